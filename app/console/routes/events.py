"""Events: searched, one event's story, and the live view."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Form, Header, Request
from fastapi.sse import EventSourceResponse
from starlette.responses import Response

from app.attentive.endpoints import ENDPOINTS
from app.console.live import LiveBatch, LiveRow
from app.console.pages.events import SINCE, filter_of, line, query_of, row, story_page
from app.console.refused import refusals_seen
from app.console.rendering import TEMPLATES, duration, render
from app.console.visit import Seen, Visit
from app.console.web import Asked
from app.delivery.backlog import deliveries_of
from app.delivery.dead_letter import DeadLetter, DeadLetterQueue, Filter
from app.delivery.journal.event_rows import EventFilter, EventRow, RowOutcome, position_of, position_text
from app.delivery.journal.event_search import newest, search_events, search_rows, stories_of
from app.identity.normalise import to_e164, to_email
from app.masking import mask_personal, mask_text
from app.operations.dead_letters import matching
from app.operations.operator import NotFound, Operator
from app.segment.events import internal_message_id
from app.wiring.shared import all_lanes

router = APIRouter()
_LISTED: Final = 50
_FIRST: Final = 50  # rows that the live view begins with
_MOST_ROWS: Final = 500  # that a browser keeps
_UNBUFFERED: Final = {"X-Accel-Buffering": "no"}  # for proxies
_MOST_AT_ONCE: Final = 100  # rows of one message; what is beyond is counted


def _choices(visit: Visit) -> dict[str, Any]:
    return {
        "destinations": visit.destinations,
        "sources": list(visit.operator.topology.sources),
        "endpoints": [endpoint.name for endpoint in ENDPOINTS],
        "outcomes": [outcome.value for outcome in RowOutcome],
        "spans": list(SINCE),
    }


@router.get("/events")
async def events(request: Request, visit: Seen, before: str = "") -> Response:
    """The newest events that match."""
    query = query_of(request.query_params)
    return await _found(request, visit, query, filter_of(query, datetime.now(UTC)), before=before)


@router.post("/events")
async def events_of_person(request: Request, visit: Seen, who: Annotated[str, Form(max_length=300)]) -> Response:
    """The newest events about a person or an order. The identifier travels in the form, never in an address."""
    who = who.strip()
    regions = {each.default_region for each in visit.operator.topology.destinations.values()}
    phones = [number for region in sorted(regions) if (number := to_e164(who, region))]
    if address := to_email(who):
        wanted = EventFilter(email=address)
    elif phones and len(who) > 6 and not who.isalpha():
        wanted = EventFilter(phone=phones[0])
    else:
        wanted = EventFilter(user_id=who)
    await visit.note("search for a person", kind="email" if address else "phone" if wanted.phone else "user id")
    page = await search_events(visit.operator.redis, visit.operator.destinations, wanted, limit=_LISTED)
    if not page.events and wanted.user_id:
        orders = EventFilter(order_id=who)
        page = await search_events(visit.operator.redis, visit.operator.destinations, orders, limit=_LISTED)
    found = [line(each) for each in page.events]
    return render(request, "events.html", visit, found=found, query=Asked(), older="", person=True, **_choices(visit))


async def _found(request: Request, visit: Visit, asked: Asked, wanted: EventFilter, *, before: str) -> Response:
    operator = visit.operator
    names = list(operator.chosen(asked.get("destination")))
    position = position_of(before, names) if before else None
    page = await search_events(operator.redis, names, wanted, limit=_LISTED, before=position)
    older = position_text(page.older) if page.older else ""
    found = [line(each) for each in page.events]
    return render(request, "events.html", visit, found=found, query=asked, older=older, person=False, **_choices(visit))


@router.get("/events/{message_id:path}")
async def event(request: Request, visit: Seen, message_id: str) -> Response:
    """The story of one event."""
    operator, known = visit.operator, internal_message_id(message_id.strip())
    stories = [story_page(story) for story in await stories_of(operator.redis, operator.destinations, known)]
    held, content = await _held(operator, known)
    refusals = [each for each in await refusals_seen(visit) if mask_text(known) in each.message_ids]
    if not stories and not held and not refusals:
        settings = operator.settings
        raise NotFound(
            f"Nothing is known of this message ID. The journal keeps the last {settings.journal_entries:,} entries of "
            f"each destination, for {settings.journal_hours:g} h."
        )
    return render(
        request,
        "event.html",
        visit,
        stories=stories,
        held=held,
        refusals=refusals,
        content=content,
        message_id=message_id,
    )


async def _held(operator: Operator, message_id: str) -> tuple[list[Any], Any]:
    """Where the event is now, and the event itself, masked, as long as it is held."""
    letters: list[DeadLetter] = []
    for queue in DeadLetterQueue:
        letters += [letter async for letter in matching(operator, Filter(message_id=message_id), queue)]
    waiting = await deliveries_of(operator.redis, all_lanes(operator.topology), message_id)
    stored = [letter.event for letter in letters] + [delivery.event for delivery in waiting]
    places = [*letters, *waiting]
    return places, mask_personal(orjson.loads(stored[0])) if stored else None


@router.get("/live")
async def live(request: Request, visit: Seen) -> Response:
    """Every event and every call, as it happens. Without a script: the newest, and a page that is read again."""
    operator, query = visit.operator, query_of(request.query_params)
    names = list(operator.chosen(query.get("destination")))
    position = await newest(operator.redis, names)
    page = await search_rows(operator.redis, names, filter_of(query, datetime.now(UTC)), limit=_FIRST)
    return render(
        request,
        "live.html",
        visit,
        rows=[row(each) for each in page.rows],
        query=query,
        position=position_text(position),
        most=_MOST_ROWS,
        **_choices(visit),
    )


@router.get("/live/stream")
async def live_stream(
    visit: Seen,
    request: Request,
    after: str = "",
    last_event_id: Annotated[str, Header()] = "",
) -> EventSourceResponse:
    """Rows as they come, in batches. The ID of a message is the position after it, so a reconnect misses nothing."""
    operator, query = visit.operator, query_of(request.query_params)
    names = list(operator.chosen(query.get("destination")))
    begin = position_of(last_event_id or after, names)
    position = begin if begin.keys() == set(names) else await newest(operator.redis, names) | begin
    wanted = filter_of({**query, "since": ""}, datetime.now(UTC))
    return EventSourceResponse(_stream(visit.parts.live.follow(wanted, position)), headers=_UNBUFFERED)


async def _stream(batches: AsyncGenerator[LiveBatch, None]) -> AsyncIterator[bytes]:
    """The messages, so many in one write as there are: a message for each would cost more than its rows."""
    async with aclosing(batches):  # its tap ends with the page
        async for batch in batches:
            yield b"".join(_messages(batch))


def row_html(found: EventRow) -> tuple[str, str]:
    """One row of the live view, and what it shows when it is opened: a browser pays for each element of a page."""
    shown = row(found)
    return (
        TEMPLATES.get_template("rows.html").render(row=shown, whole=False),
        TEMPLATES.get_template("row_facts.html").render(row=shown),
    )


def _messages(batch: LiveBatch) -> Iterator[bytes]:
    where = position_text(batch.position)
    for start in range(0, len(batch.rows), _MOST_AT_ONCE):
        shown = _json_of(tuple(batch.rows[start : start + _MOST_AT_ONCE]))
        last = start + _MOST_AT_ONCE >= len(batch.rows)
        # Only the last part carries the position: a break in between sends the whole batch again.
        yield _message("rows", shown, where if last else None)
    yield _message("state", _state(batch).encode(), None if batch.rows else where)


@lru_cache(maxsize=4)
def _json_of(rows: tuple[LiveRow, ...]) -> bytes:
    """The HTML of rows, which all views with one filter take at the same time."""
    return orjson.dumps([each.html for each in rows])


def _message(event: str, data: bytes, where: str | None) -> bytes:
    """One server-sent event. `data` has no line break."""
    return b"event: %b\ndata: %b\n%b\n" % (event.encode(), data, b"" if where is None else f"id: {where}\n".encode())


def _state(batch: LiveBatch) -> str:
    lag = max(timedelta(), datetime.now(UTC) - batch.rows[-1].found.at) if batch.rows else None
    text = "Nothing new." if lag is None else f"{duration(lag)} behind."
    missed = f" Rows of {', '.join(sorted(batch.missed))} were trimmed before they were read." if batch.missed else ""
    return text + missed
