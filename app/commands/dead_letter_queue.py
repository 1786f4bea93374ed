"""What the commands about dead letters and calls in review share: their options, and how lists are printed."""

import asyncio
import signal
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Annotated, Any, Final

import orjson
import typer
from rich.json import JSON
from rich.table import Column, Table

from app.commands.common import audit, out, parse_span, table_with, whole
from app.commands.filters import with_filter
from app.delivery.dead_letter import DeadLetterQueue, Filter
from app.operations.dead_letters import NAMES, PLURALS, Listing, details, find, summary
from app.operations.operator import Operator

Ids = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID", help="IDs, as `list` prints them. Without any, all that match the filters."),
]
Destination = Annotated[str | None, typer.Option(help="Only this destination.")]
Endpoint = Annotated[
    str | None, typer.Option(help="Only this endpoint. Use 'none' for events that never became a call.")
]
Reason = Annotated[str | None, typer.Option(help="Only this reason, such as http_400, expired or unmappable.")]
OlderThan = Annotated[
    timedelta | None, typer.Option(parser=parse_span, metavar="AGE", help="Only what is at least this old: 2h, 3d.")
]
NewerThan = Annotated[
    timedelta | None, typer.Option(parser=parse_span, metavar="AGE", help="Only what is at most this old: 2h, 3d.")
]
Limit = Annotated[int, typer.Option(min=1, help="The largest number to show, oldest first.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per line, masked.")]
Reveal = Annotated[bool, typer.Option("--reveal", help="Show personal data.")]
All = Annotated[bool, typer.Option("--all", help="Select all of them.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


_FILTERS: Final[Mapping[str, Any]] = {
    "destination": Destination,
    "endpoint": Endpoint,
    "reason": Reason,
    "older_than": OlderThan,
    "newer_than": NewerThan,
}


def filtered(*but: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of a Filter, `but` these, in place of its parameter `wanted`, a Filter."""
    return with_filter({name: option for name, option in _FILTERS.items() if name not in but}, Filter)


def print_json(listing: Listing) -> None:
    """One line for each."""
    for dead_letter in listing.first:
        out.out(orjson.dumps(summary(dead_letter)).decode(), highlight=False)


def table_of(listing: Listing) -> Table:
    """The listing for people, on a terminal of 80 columns too."""
    heads = ("Lane", "Event\nmessage ID", "Reason\nlast answer", Column("Tries"))
    table = table_with(whole("ID\nsince (UTC)"), *heads, lines=True)
    for dead_letter in listing.first:
        last = dead_letter.last_answer.get("answer") or dead_letter.last_answer.get("status") or dead_letter.detail
        table.add_row(
            f"{dead_letter.id}\n{dead_letter.died_at:%Y-%m-%d %H:%M}",
            f"{dead_letter.destination}\n{dead_letter.endpoint or '-'}",
            f"{summary(dead_letter)['event']}\n{dead_letter.message_id}",
            f"{dead_letter.reason}\n{str(last)[:80]}",
            str(dead_letter.attempts),
        )
    return table


def print_table(listing: Listing) -> None:
    """The table, and how many are not in it."""
    out.print(table_of(listing))
    if listing.reasons.total() > len(listing.first):
        out.print(f"These are the oldest {len(listing.first):,} of {listing.reasons.total():,}.")


async def show_dead_letter(
    operator: Operator, dead_letter_id: str, destination: str | None, queue: DeadLetterQueue, *, reveal: bool
) -> None:
    """Print one whole: the reason, the last answer, the call and the original event."""
    dead_letter = await find(operator, dead_letter_id, destination, queue)
    if reveal:
        await audit(operator, "reveal", destination=dead_letter.destination, ids=[dead_letter.id], queue=queue.value)
    out.print(JSON(orjson.dumps(details(dead_letter, reveal=reveal)).decode()))


def stopped_by_ctrl_c() -> asyncio.Event:
    """An event that Ctrl-C sets: what is being done then is done to its end."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stopping.set)
    return stopping


def confirm(question: str, *, agreed: bool) -> None:
    """Ask, unless the operator has agreed already."""
    if not agreed:
        typer.confirm(question, abort=True)


def counted(number: int, queue: DeadLetterQueue) -> str:
    """Such as "1 dead letter" or "12 calls in review"."""
    return f"{number:,} {(NAMES if number == 1 else PLURALS)[queue]}"
