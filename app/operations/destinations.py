"""How each destination is: its counters, what is kept for it now, its holds and its token; and ending holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.config.destination import Destination
from app.delivery.accounts.attributes import Types, read_attributes
from app.delivery.accounts.event_keys import read_event_keys
from app.delivery.accounts.token_app import TokenApp, read_apps
from app.delivery.accounts.token_state import TokenReport, read_token
from app.delivery.backlog import lane_depths
from app.delivery.counters import Counters, read_counters
from app.delivery.dead_letter import DeadLetterQueue
from app.delivery.hold import HoldStatus, end_hold, read_holds
from app.delivery.retention import read_kept
from app.operations.operator import BadRequest, Operator
from app.wiring.shared import lanes_of


@dataclass(frozen=True, slots=True)
class DestinationStatus:
    """One destination: its events since counting began, and what is kept for it now."""

    counters: Counters
    calls_waiting: int
    dead_letters: int
    in_review: int
    holds: Sequence[HoldStatus]
    token: TokenReport | None
    settings: Destination
    app: TokenApp | None  # None: not known yet
    attributes: Types  # the account's custom attributes, name to type
    event_keys: Mapping[str, int]  # property names of each custom event type, the most first

    @property
    def name(self) -> str:
        """The destination's name."""
        return self.counters.destination


async def read_statuses(operator: Operator, destination: str | None = None) -> list[DestinationStatus]:
    """One destination, or all of them. Raises BadRequest."""
    names = operator.chosen(destination)
    apps = await read_apps(operator.redis, names)
    attributes = await read_attributes(operator.redis, names)
    event_keys = await read_event_keys(operator.redis, names)
    depths = await lane_depths(operator.redis, lanes_of(names))
    kept = {(each.destination, each.queue): each.dead_letters for each in await read_kept(operator.redis, names)}
    return [
        DestinationStatus(
            counters=counters,
            calls_waiting=sum(depth.total for depth in depths if depth.lane.destination == counters.destination),
            dead_letters=kept[counters.destination, DeadLetterQueue.DEAD],
            in_review=kept[counters.destination, DeadLetterQueue.REVIEW],
            holds=await holds_of(operator, counters.destination),
            token=await read_token(operator.redis, counters.destination),
            app=apps.get(counters.destination),
            attributes=attributes[counters.destination],
            event_keys=event_keys[counters.destination],
            settings=operator.topology.destinations[counters.destination],
        )
        for counters in await read_counters(operator.redis, names)
    ]


async def holds_of(operator: Operator, destination: str) -> list[HoldStatus]:
    """The holds of a destination and its endpoints. Raises StoreError."""
    return await read_holds(operator.redis, destination, [lane.endpoint for lane in lanes_of([destination])])


def next_try(hold: HoldStatus, token: TokenReport | None, now: datetime) -> datetime | None:
    """When sending is tried again: at the end of the hold, or when a worker tests the token. None: not by itself."""
    if hold.needs_decision:
        return None
    if hold.endpoint is None and token is not None and token.next_try is not None:
        return max(token.next_try, now)
    return now + hold.ends_in


async def resume(operator: Operator, destination: str | None) -> int:
    """End the holds of one destination, or of all, and send now; how many ended.

    Raises BadRequest where the one that is meant is held because its account changed.
    """
    ended = 0
    for name in operator.chosen(destination):
        for hold in await holds_of(operator, name):
            if not hold.needs_decision:
                ended += await end_hold(operator.redis, name, hold.endpoint)
            elif destination is not None:
                raise BadRequest(
                    f"{name} is held because its {hold.reason}. Run `attentive-gateway destinations keep {name}` to "
                    f"send its calls to the new account, or `destinations discard {name}` to discard them."
                )
    return ended
