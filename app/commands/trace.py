"""`attentive-gateway trace`: what became of one event."""

from collections.abc import Sequence
from typing import Annotated, Any

import orjson
import typer
from rich.json import JSON
from rich.markup import escape
from rich.table import Table

from app.commands.common import audit, out, table_with, with_redis
from app.commands.recorded_calls import print_call
from app.delivery.journal.journal import JournalEntry
from app.operations import trace as operation
from app.operations.operator import Operator
from app.operations.trace import Story


def trace(
    message_id: Annotated[str, typer.Argument(metavar="MESSAGE_ID", help="The messageId of the event.")],
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Show the event with its personal data, as long as it is kept.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each step.")] = False,
) -> None:
    """Show what happened to one event: what was received, what was decided and why, each call and each answer.

    The journal keeps no personal data in the clear. The event itself is kept until its last call is delivered.
    """
    shows_event = reveal or not as_json

    async def work(operator: Operator) -> Story:
        story = await operation.trace(operator, message_id, with_places=shows_event)
        if reveal:
            await audit(operator, "reveal", ids=[story.message_id], queue="trace")
        return story

    story = with_redis(work)
    if as_json:
        for entry in story.entries:
            out.print_json(orjson.dumps(_as_dict(entry)).decode(), indent=None)
        for call in story.calls:
            out.print_json(orjson.dumps({"step": "call", **call.as_dict()}).decode(), indent=None)
    else:
        out.print(_table(story.message_id, story.entries))
        for call in story.calls:
            print_call(call)
    if shows_event:
        _print_places(story, reveal=reveal)


def _print_places(story: Story, *, reveal: bool) -> None:
    """Where the event is now, if it is anywhere, and what is kept of it."""
    for number, place in enumerate(story.places):
        out.print(f"{place.what}.", markup=False, highlight=False)
        if number == 0:
            out.print(JSON(orjson.dumps(place.shown(reveal=reveal)).decode()))
    if reveal and not story.places:
        out.print("The event itself is no longer stored. It is kept only until it is delivered or dropped.")


def _table(message_id: str, entries: Sequence[JournalEntry]) -> Table:
    table = table_with("When (UTC)", "Step", "What", title=escape(message_id), lines=True)
    for entry in entries:
        what = "\n".join(f"{name}: {_readable(value)}" for name, value in entry.facts.items())
        what = what or "An event with this message ID was accepted before. It is not sent again."
        table.add_row(f"{entry.at:%Y-%m-%d %H:%M:%S}.{entry.at.microsecond // 1000:03}", entry.step, what)
    return table


def _readable(value: Any) -> str:
    match value:
        case dict():
            return ", ".join(f"{name} {inner}" for name, inner in value.items()) or "without identifiers"
        case list():
            return "; ".join(map(str, value))
        case _:
            return str(value)


def _as_dict(entry: JournalEntry) -> dict[str, Any]:
    return {
        "at": entry.at.isoformat(),
        "message_id": entry.message_id,
        "destination": entry.destination,
        "step": entry.step,
        **entry.facts,
    }
