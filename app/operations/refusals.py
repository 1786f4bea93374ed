"""What the intake refused lately: reading the record, and one refusal as facts."""

from datetime import datetime
from typing import Any, Final

from app.delivery.journal.refusals import UNKNOWN_SOURCE, Refusal, read_refusals
from app.operations.operator import BadRequest, Operator

UNKNOWN: Final = "unknown"  # how an operator names the sender of requests with a wrong write key


async def recent_refusals(
    operator: Operator, *, source: str | None = None, code: str | None = None, since: datetime | None = None
) -> list[Refusal]:
    """Refusals of one source or of all, the oldest first. Raises BadRequest for a source that does not exist."""
    return [
        refusal
        for refusal in await read_refusals(operator.redis, _recorded_as(operator, source))
        if (code is None or refusal.code == code) and (since is None or refusal.at >= since)
    ]


def _recorded_as(operator: Operator, source: str | None) -> list[str]:
    sources = operator.topology.sources
    if source is None:
        return [*sources, UNKNOWN_SOURCE]
    if source == UNKNOWN:
        return [UNKNOWN_SOURCE]
    if source not in sources:
        raise BadRequest(f"There is no source {source!r}. The sources are: {', '.join(sources)}, and {UNKNOWN}.")
    return [source]


def refusal_facts(refusal: Refusal) -> dict[str, Any]:
    """One refusal, JSON-ready, without what is not known."""
    facts: dict[str, Any] = {
        "at": refusal.at.isoformat(),
        "source": refusal.source or UNKNOWN,
        "path": refusal.path,
        "status": refusal.status,
        "code": refusal.code,
        "field": refusal.field,
        "message": refusal.message,
        "message_ids": list(refusal.message_ids),
        "others_within_a_minute": refusal.others,
    }
    return {name: value for name, value in facts.items() if value not in (None, [], 0)}
