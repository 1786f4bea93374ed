"""What follows when a destination's token turns out to be of another account: keep what is queued, or discard it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from app.counted import DropReason
from app.delivery.accounts.account import Account, read_binding, rebind
from app.delivery.accounts.token_app import TokenApp, accept_app, read_apps
from app.delivery.dead_letter import DeadLetter, DeadLetterQueue, Filter
from app.delivery.dead_letters import dead_letters, discard
from app.delivery.removal import drop_waiting
from app.operations.operator import BadRequest, OperationError, Operator
from app.wiring.shared import lanes_of


@dataclass(frozen=True, slots=True)
class AccountChange:
    """The calls of a destination are for `bound`; its token belongs to `found`."""

    destination: str
    bound: Account
    found: Account
    found_at: datetime


@dataclass(frozen=True, slots=True)
class Discarded:
    """How many calls were discarded."""

    waiting: int
    kept: int  # dead letters, and calls in review


async def account_change(operator: Operator, destination: str) -> AccountChange:
    """The change that holds a destination. Raises BadRequest where there is none."""
    operator.chosen(destination)
    binding = await read_binding(operator.redis, destination)
    if binding.bound is None or binding.found is None or binding.found_at is None:
        raise BadRequest(f"The account of {destination} has not changed. There is nothing to decide.")
    return AccountChange(destination, binding.bound, binding.found, binding.found_at)


async def app_change(operator: Operator, destination: str) -> TokenApp | None:
    """The apps of a destination whose token is of another app than the one that made its event types."""
    operator.chosen(destination)
    app = (await read_apps(operator.redis, [destination])).get(destination)
    return app if app is not None and app.found is not None else None


async def keep_app(operator: Operator, destination: str, app: TokenApp) -> None:
    """Let the token's app count as the one that made the event types."""
    if app.found is not None:
        await accept_app(operator.redis, destination, app.found)


async def keep(operator: Operator, change: AccountChange) -> None:
    """Send to the new account all that was queued for the old one, and end the hold."""
    await rebind(operator.redis, change.destination, change.found)


async def discard_old(operator: Operator, change: AccountChange) -> Discarded:
    """Discard all that was queued, kept or in review when the change was found, and end the hold.

    Each event ends as dropped, with the reason `account_changed`. May be repeated after a crash.
    """
    waiting = await drop_waiting(
        operator.redis, lanes_of([change.destination]), DropReason.ACCOUNT_CHANGED, until=change.found_at
    )
    if waiting.left:
        raise OperationError(f"{waiting.left:,} calls are being sent at this moment. Run it again in some seconds.")
    kept = 0
    async for dead_letter in _dead_letters(operator, change):
        kept += await discard(operator.redis, dead_letter, journal_entries=operator.settings.journal_entries)
    await rebind(operator.redis, change.destination, change.found)
    return Discarded(waiting.calls, kept)


async def _dead_letters(operator: Operator, change: AccountChange) -> AsyncIterator[DeadLetter]:
    for queue in DeadLetterQueue:
        wanted = Filter(change.destination)
        async for dead_letter in dead_letters(
            operator.redis, [change.destination], wanted, now=change.found_at, queue=queue
        ):
            if dead_letter.died_at <= change.found_at:
                yield dead_letter
