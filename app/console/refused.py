"""Recent refusals of the intake that a user may see."""

from collections.abc import Sequence

from app.console.access import Right
from app.console.visit import Visit
from app.delivery.journal.refusals import UNKNOWN_SOURCE, Refusal
from app.operations.refusals import recent_refusals


async def refusals_seen(visit: Visit) -> Sequence[Refusal]:
    """The newest first. Requests of unknown senders are for those who may see every destination."""
    everything = visit.access.everywhere(Right.SEE)
    found = await recent_refusals(visit.operator)
    return [each for each in reversed(found) if everything or each.source != UNKNOWN_SOURCE]
