"""What would change if a destination delivered to more people: from none to test people, from these to all."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from app.counted import DropReason
from app.delivery.accounts.account import read_binding
from app.delivery.accounts.token_state import TokenReport, TokenState, read_token
from app.delivery.backlog import calls_in
from app.delivery.counters import read_counters
from app.delivery.delivery import Delivery, Unreadable
from app.delivery.hold import HoldStatus
from app.delivery.journal.journal import entries_of
from app.delivery.recipients import Deliver, Recipients
from app.operations.destinations import holds_of
from app.operations.operator import BadRequest, Operator
from app.wiring.shared import lanes_of

_ORDER: Final = (Deliver.NONE, Deliver.TEST_PEOPLE, Deliver.ALL)


@dataclass(frozen=True, slots=True)
class Promotion:
    """The difference between how a destination delivers now and how it would."""

    destination: str
    now: Recipients
    then: Recipients
    account: str  # as Attentive names it; empty where it is not known yet
    token: TokenReport | None
    holds: tuple[HoldStatus, ...]
    not_delivered: int  # events since counting began
    lately: Mapping[str, int]  # of these, by event, as far as the journal goes back
    waiting: int  # calls that wait now and that would be sent, although they would not be as things are

    @property
    def obstacles(self) -> list[str]:
        """What would keep calls from being sent."""
        found = [f"held: {hold.reason}" for hold in self.holds]
        if self.token is None or self.token.state is not TokenState.WORKS:
            answer = "it was not asked yet" if self.token is None else self.token.answer
            found.append(f"its API token is not known to work ({answer}); run `destinations test {self.destination}`")
        return found


def delivers_to(recipients: Recipients) -> str:
    """To whom calls are sent, in words."""
    match recipients.deliver:
        case Deliver.ALL:
            return "all people"
        case Deliver.TEST_PEOPLE:
            contacts = len(recipients.people)
            return f"test people only ({contacts} {'contact' if contacts == 1 else 'contacts'})"
        case Deliver.NONE:
            return "no one"


async def plan_promotion(operator: Operator, destination: str, to: Deliver | None) -> Promotion:
    """The change from now to the next step, or to the one that is named. Raises BadRequest where it changes nothing."""
    operator.chosen(destination)
    settings = operator.topology.destinations[destination]
    now = settings.recipients
    to = to or _next(destination, now.deliver)
    if to is now.deliver:
        raise BadRequest(f"{destination} delivers to {to.value} already.")
    if to is Deliver.TEST_PEOPLE and not now.people:
        raise BadRequest(f"{destination} has no test people. List them in `destinations.{destination}.test_people`.")
    then = Recipients(to, now.people)
    binding = await read_binding(operator.redis, destination)
    (counters,) = await read_counters(operator.redis, [destination])
    return Promotion(
        destination,
        now,
        then,
        str(binding.bound) if binding.bound is not None else "",
        await read_token(operator.redis, destination),
        tuple(await holds_of(operator, destination)),
        counters.dropped.get(DropReason.NOT_DELIVERED, 0),
        await _lately(operator, destination),
        await _waiting(operator, destination, now, then),
    )


def _next(destination: str, now: Deliver) -> Deliver:
    if now is Deliver.ALL:
        raise BadRequest(f"{destination} delivers to all people already. There is nothing to promote.")
    return _ORDER[_ORDER.index(now) + 1]


async def _lately(operator: Operator, destination: str) -> dict[str, int]:
    """The events of the journal that were not delivered, most frequent first."""
    counts: Counter[str] = Counter()
    async for step in entries_of(operator.redis, destination):
        if step.facts.get("reason") == DropReason.NOT_DELIVERED:
            counts[_name(step.facts)] += 1
    return dict(counts.most_common())


def _name(facts: Mapping[str, Any]) -> str:
    return str(facts.get("event") or facts.get("type") or facts.get("endpoint") or "?")


async def _waiting(operator: Operator, destination: str, now: Recipients, then: Recipients) -> int:
    """Calls in the lanes that a change would set free."""
    freed = 0
    async for payload in calls_in(operator.redis, lanes_of([destination])):
        try:
            body = orjson.loads(Delivery.unpacked(payload).body)
        except Unreadable:
            continue
        freed += then.include(body) and not now.include(body)
    return freed
