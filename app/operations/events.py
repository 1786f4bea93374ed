"""Events as an operator looks for them: found by what is known of them, and followed as they come."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from app.attentive.endpoints import BY_NAME
from app.delivery.journal.event_rows import EventFilter, EventPage, EventStory, Followed, position_of
from app.delivery.journal.event_search import newest, search_events, stories_of, watched
from app.masking import mask_text
from app.operations.operator import BadRequest, NotFound, Operator
from app.segment.events import internal_message_id


def checked(operator: Operator, wanted: EventFilter) -> EventFilter:
    """The same filter. Raises BadRequest where it can never match."""
    if wanted.source is not None and wanted.source not in operator.topology.sources:
        known = ", ".join(operator.topology.sources)
        raise BadRequest(f"There is no source {wanted.source!r}. The sources are: {known}.")
    if wanted.endpoint is not None and wanted.endpoint not in BY_NAME:
        raise BadRequest(f"There is no endpoint {wanted.endpoint!r}. The endpoints are: {', '.join(BY_NAME)}.")
    if wanted.since is not None and wanted.until is not None and wanted.since >= wanted.until:
        raise BadRequest("--since must be longer ago than --until.")
    named = wanted.message_id
    return wanted if named is None else replace(wanted, message_id=internal_message_id(named.strip()))


async def listing(
    operator: Operator, wanted: EventFilter, destination: str | None, *, limit: int, before: str | None
) -> EventPage:
    """The events with the newest rows that match. Raises BadRequest."""
    names = operator.chosen(destination)
    position = None if before is None else position_in(before, names)
    return await search_events(operator.redis, names, checked(operator, wanted), limit=limit, before=position)


async def following(
    operator: Operator, wanted: EventFilter, destination: str | None, after: str | None
) -> AsyncGenerator[Followed, None]:
    """The rows that come, from now on or after a position; meanwhile, their calls are recorded. Raises BadRequest."""
    names, wanted = operator.chosen(destination), checked(operator, wanted)
    position: Mapping[str, str] = await newest(operator.redis, names)
    if after is not None:
        position = {**position, **position_in(after, names)}
    return watched(operator.redis, wanted, position)


async def stories(operator: Operator, message_id: str) -> Sequence[EventStory]:
    """All that is known of one event, for each destination that knows it. Raises NotFound."""
    known = internal_message_id(message_id.strip())
    for name in dict.fromkeys((known, mask_text(known))):  # of what was refused, the masked ID is known
        if found := await stories_of(operator.redis, operator.destinations, name):
            return found
    settings = operator.settings
    raise NotFound(
        f"Nothing is known of {message_id!r}. The journal keeps the last {settings.journal_entries:,} entries of each "
        f"destination, for {settings.journal_hours:g} h."
    )


def position_in(text: str, destinations: Sequence[str]) -> dict[str, str]:
    """The position that a text names. Raises BadRequest where it names none."""
    if not (position := position_of(text, destinations)):
        raise BadRequest(f"{text!r} is not a position. Use one that this command has printed.")
    return position


def moment(age: timedelta | None) -> datetime | None:
    """The time that was so long ago, UTC."""
    return None if age is None else datetime.now(UTC) - age
