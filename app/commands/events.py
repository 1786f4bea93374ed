"""`attentive-gateway events`: every event and every call: found, followed as they come, and shown whole."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import Annotated, Any, Final

import orjson
import typer

from app.commands.common import err, out, parse_span, table_with, whole, with_redis
from app.commands.filters import with_filter
from app.commands.recorded_calls import print_call
from app.delivery.journal.event_rows import (
    EventFilter,
    EventPage,
    EventRow,
    EventStory,
    EventSummary,
    Followed,
    RowOutcome,
    position_text,
)
from app.delivery.journal.event_search import calls_of
from app.masking import printable
from app.operations.events import following, listing, moment, stories
from app.operations.operator import Operator
from app.store.connection import explain
from app.store.errors import StoreError

_AGAIN_S: Final = 1.0

commands = typer.Typer(no_args_is_help=True, help="Find events and the calls that they became, and follow them live.")

Destination = Annotated[str | None, typer.Option(help="Only this destination.")]
Event = Annotated[str | None, typer.Option("--event", help="Only events of this name, such as 'Order Completed'.")]
Source = Annotated[str | None, typer.Option(help="Only events of this source.")]
Endpoint = Annotated[str | None, typer.Option(help="Only events with a call to this endpoint, such as purchase.")]
Outcome = Annotated[list[RowOutcome] | None, typer.Option("--outcome", help="Only this outcome. May be repeated.")]
Reason = Annotated[str | None, typer.Option(help="Only this reason, such as no_identity, http_400 or 'HTTP 503'.")]
MessageId = Annotated[str | None, typer.Option(help="Only the event with this messageId.")]
OrderId = Annotated[str | None, typer.Option(help="Only events of this order.")]
Email = Annotated[str | None, typer.Option(help="Only events about this e-mail address.")]
Phone = Annotated[str | None, typer.Option(help="Only events about this phone number, in any notation.")]
UserId = Annotated[str | None, typer.Option(help="Only events about this user ID.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per line, masked.")]
Age = Annotated[timedelta | None, typer.Option(parser=parse_span, metavar="AGE", help="Only the last 15m, 2h or 3d.")]
Until = Annotated[
    timedelta | None, typer.Option(parser=parse_span, metavar="AGE", help="Only what is at least this old: 15m, 2h.")
]

_FILTERS: Final[Mapping[str, Any]] = {
    "event": Event,
    "source": Source,
    "endpoint": Endpoint,
    "outcome": Outcome,
    "reason": Reason,
    "message_id": MessageId,
    "order_id": OrderId,
    "email": Email,
    "phone": Phone,
    "user_id": UserId,
}
_AGES: Final[Mapping[str, Any]] = {"since": Age, "until": Until}


def _wanted(
    *,
    outcome: Sequence[RowOutcome] | None,
    since: timedelta | None = None,
    until: timedelta | None = None,
    **others: str | None,
) -> EventFilter:
    return EventFilter(outcomes=frozenset(outcome or ()), since=moment(since), until=moment(until), **others)


@commands.callback()
def events() -> None:
    """Find events and the calls that they became, and follow them live."""


@commands.command("list")
@with_filter({**_FILTERS, **_AGES}, _wanted)
def list_events(
    *,
    destination: Destination = None,
    wanted: EventFilter,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The largest number to show.")] = 50,
    before: Annotated[
        str | None, typer.Option(metavar="POSITION", help="Continue where an earlier list has ended.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List events, the newest first, with their state and the reason for it, dropped and refused events included.

    Every option must match. Personal data is masked; it is searched by hashes and is not stored in the index.
    """
    page = with_redis(lambda operator: listing(operator, wanted, destination, limit=limit, before=before))
    if as_json:
        _print_json(summary.as_dict() for summary in page.events)
    elif not page.events:
        out.print(_nothing(wanted))
    else:
        _print_page(page)


def _nothing(wanted: EventFilter) -> str:
    if wanted == EventFilter():
        return "There are no events yet. Send one, or run `attentive-gateway run` for samples."
    return "No events match. Leave out an option, or look further back with a longer --since."


def _print_page(page: EventPage) -> None:
    table = table_with(whole("When (UTC)"), "Event\nmessage ID", "Who", "State\nreason", "Calls", lines=True)
    for summary in page.events:
        table.add_row(
            f"{summary.received_at or summary.updated_at:%m-%d %H:%M:%S}",
            f"{summary.event}\n{summary.message_id}",
            ", ".join(summary.who.values()),
            f"{summary.state.value}\n{summary.reason}",
            _calls(summary),
        )
    out.print(table)
    if page.older is not None:
        position = position_text(page.older)
        out.print(f"There are more. Continue with --before {position}", soft_wrap=True, highlight=False)


def _calls(summary: EventSummary) -> str:
    return "\n".join(
        f"{call.endpoint} {call.outcome.value if call.outcome else 'waiting'}{f' {call.status}' if call.status else ''}"
        for call in summary.calls
    )


@commands.command("tail")
@with_filter(_FILTERS, _wanted)
def tail_events(
    *,
    destination: Destination = None,
    wanted: EventFilter,
    after: Annotated[
        str | None, typer.Option(metavar="POSITION", help="Continue after a position that an earlier tail has printed.")
    ] = None,
    with_calls: Annotated[bool, typer.Option("--calls", help="Print the request and the answer of each call.")] = False,
    as_json: AsJson = False,
) -> None:
    """Follow events and calls as they happen, until Ctrl-C. It misses none, even if the connection breaks.

    While it runs, every call that matches is recorded with its request and answer; `events show` has them afterwards.
    """
    tail = _Tail(after, with_calls=with_calls, as_json=as_json)
    try:
        with_redis(lambda operator: tail.run(operator, wanted, destination))
    except KeyboardInterrupt:
        tail.stopped()
        raise typer.Exit(130) from None


class _Tail:
    """What is printed of a live view, and the position that it has come to."""

    def __init__(self, after: str | None, *, with_calls: bool, as_json: bool) -> None:
        self._after = after
        self._with_calls = with_calls
        self._as_json = as_json

    async def run(self, operator: Operator, wanted: EventFilter, destination: str | None) -> None:
        if not self._as_json:
            err.print("Waiting for events. Stop with Ctrl-C.", style="dim")
        away = False
        while True:
            try:
                async with aclosing(await following(operator, wanted, destination, self._after)) as batches:
                    async for batch in batches:
                        if away:
                            err.print("Redis answers again.", style="dim")
                        away = False
                        await self._print(operator, batch)
                        self._after = position_text(batch.position)
            except StoreError as failure:
                if not away:
                    err.print(f"Redis cannot be used ({explain(failure)}). Trying again.", style="red", markup=False)
                away = True
                await asyncio.sleep(_AGAIN_S)

    async def _print(self, operator: Operator, batch: Followed) -> None:
        for destination in sorted(batch.missed):
            text = f"The journal of {destination} let go of entries before they were read: see GATEWAY_JOURNAL_ENTRIES."
            err.print(text, style="red", markup=False)
        calls = await calls_of(operator.redis, batch.rows) if self._with_calls else {}
        for row in batch.rows:
            call = calls.get(row.id)
            if self._as_json:
                _print_json([row.as_dict() | ({"call": call.as_dict()} if call else {})])
                continue
            out.print(_line(row), markup=False, highlight=False, soft_wrap=True)
            if call is not None:
                print_call(call)

    def stopped(self) -> None:
        """Print how to go on."""
        if self._after is not None:
            command = f"attentive-gateway events tail --after {self._after}"
            err.print(f"Stopped. To continue without a gap, run: {command}", markup=False, soft_wrap=True)


def _line(row: EventRow) -> str:
    what = row.endpoint or ", ".join(row.calls)
    answer = " ".join(filter(None, (str(row.status or ""), "" if row.took_ms is None else f"{row.took_ms:g} ms")))
    parts = (
        f"{row.at:%H:%M:%S}.{row.at.microsecond // 1000:03}",
        f"{row.outcome.value:13}",
        printable(row.event or row.step),
        f"-> {what}" if what else "",
        answer,
        row.reason,
        printable(f"[{row.destination} {row.message_id}]"),
    )
    return "  ".join(filter(None, parts))


@commands.command("show")
def show_event(
    message_id: Annotated[str, typer.Argument(metavar="MESSAGE_ID", help="The messageId of the event.")],
    as_json: AsJson = False,
) -> None:
    """Show one event: its state, each step, and the exact request and answer of each call that was recorded."""
    found = with_redis(lambda operator: stories(operator, message_id))
    if as_json:
        _print_json(_story(story) for story in found)
        return
    for story in found:
        _print_story(story)


def _story(story: EventStory) -> dict[str, Any]:
    steps = [row.as_dict() for row in story.summary.rows]
    return {**story.summary.as_dict(), "steps": steps, "recorded_calls": [call.as_dict() for call in story.calls]}


def _print_story(story: EventStory) -> None:
    summary = story.summary
    who = ", ".join(summary.who.values())
    source = summary.source or "an unknown source"
    head = f"{summary.event} of {source}, to {summary.destination}: {summary.state.value}"
    out.print(head + (f" ({summary.reason})" if summary.reason else ""), markup=False, highlight=False, soft_wrap=True)
    if who:
        out.print(f"About {who}.", markup=False, highlight=False)
    for row in summary.rows:
        out.print(_line(row), markup=False, highlight=False, soft_wrap=True)
    for call in story.calls:
        print_call(call)
    if any(row.is_attempt for row in summary.rows) and not story.calls:
        out.print(
            "No call of this event was recorded. Failed calls are always recorded; others only while "
            "`events tail` or the console watches, or by GATEWAY_RECORD_SHARE.",
            soft_wrap=True,
        )


def _print_json(lines: Iterable[Any]) -> None:
    for line in lines:
        out.out(orjson.dumps(line).decode(), highlight=False)
