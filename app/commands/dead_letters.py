"""`attentive-gateway dead-letters`: look at what could not be delivered, mend it, send it again, or delete it."""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO

import click
import orjson
import typer
from rich.progress import Progress

from app.attentive.call import Priority
from app.commands.common import Operator, err, fail, out, with_redis
from app.commands.editing import Rejected, changed_paths, content_of, read_json, with_changes, with_content
from app.commands.letters import (
    All,
    AsJson,
    Chosen,
    Destination,
    Endpoint,
    Ids,
    Limit,
    Listing,
    NewerThan,
    OlderThan,
    Reason,
    Reveal,
    Yes,
    confirm,
    find_letter,
    matching,
    paced,
    send_again,
    show_letter,
    whole,
)
from app.delivery.dead_letters import DeadLetter, Filter, Shelf, discard, edit
from app.identity.extract import IdentityRules
from app.topology import plan_of

commands = typer.Typer(
    no_args_is_help=True, help="Look at what could not be delivered, mend it, send it again, or delete it."
)


@commands.command("list")
def list_letters(
    destination: Destination = None,
    endpoint: Endpoint = None,
    reason: Reason = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Show dead letters, oldest first, and how many there are by reason."""
    wanted = Filter(destination, endpoint, reason, older_than, newer_than)
    listing = with_redis(lambda operator: Listing.read(operator, wanted, Shelf.DEAD, limit))
    if as_json:
        listing.print_json()
        return
    if not listing.first:
        out.print("No dead letters match.")
        return
    listing.print_table()
    sums = ", ".join(f"{count:,} {reason}" for reason, count in listing.reasons.most_common())
    number = listing.reasons.total()
    out.print(f"{number:,} dead letter{'s' if number != 1 else ''}: {sums}", markup=False)


@commands.command("show")
def show(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="as `list` prints it")],
    destination: Destination = None,
    reveal: Reveal = False,
) -> None:
    """Show one dead letter whole: the reason, the last answer, the call and the original event."""
    with_redis(lambda operator: show_letter(operator, letter_id, destination, Shelf.DEAD, reveal=reveal))


class ReplayPriority(StrEnum):
    """Where replayed calls wait within their lane."""

    LOW = "low"  # behind all that comes in
    NORMAL = "normal"
    HIGH = "high"
    OWN = "own"  # where they waited before


@commands.command("replay")
def replay_letters(
    letter_ids: Ids = None,
    destination: Destination = None,
    endpoint: Endpoint = None,
    reason: Reason = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    all_of_them: All = False,
    ignore_age: Annotated[bool, typer.Option("--ignore-age", help="also events that arrived too old")] = False,
    rate: Annotated[
        float | None, typer.Option(min=0.01, help="letters a second; else as fast as Redis takes them")
    ] = None,
    priority: Annotated[
        ReplayPriority, typer.Option(help="low: behind everything that comes in; own: as it was")
    ] = ReplayPriority.LOW,
    yes: Yes = False,
) -> None:
    """Send dead letters again. Events that never became a call go through the mapping as it is now.

    Each is sent again once, however often this is run: after Ctrl-C, the same command goes on with the rest.
    """
    wanted = Filter(destination, endpoint, reason, older_than, newer_than)
    level = None if priority is ReplayPriority.OWN else Priority[priority.name]

    async def work(operator: Operator) -> tuple[Counter[str], int]:
        chosen = await Chosen.read(operator, Shelf.DEAD, wanted, letter_ids, all_=all_of_them)
        confirm(f"Send {chosen.count:,} dead letters again?", agreed=yes or chosen.count == 1)
        results: Counter[str] = Counter()
        with Progress(console=out, disable=chosen.count < 20) as progress:
            bar = progress.add_task("Replaying", total=chosen.count)
            async for letter in paced(chosen.letters(operator), rate):
                results[await send_again(operator, letter, ignore_age=ignore_age, priority=level)] += 1
                progress.advance(bar)
        return results, chosen.count

    results, count = with_redis(work)
    for result, number in results.most_common():
        out.print(f"{number:,} {result}", markup=False)
    if results.total() < count:
        out.print(f"Stopped after {results.total():,} of {count:,}: the same command goes on with the rest.")
        raise typer.Exit(130)


@commands.command("edit")
def edit_letter(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="as `list` prints it")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="such as items.0.price.0.value=19.99")
    ] = None,
    removals: Annotated[list[str] | None, typer.Option("--remove", metavar="PATH", help="such as user.phone")] = None,
    file: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="the whole call or event as JSON; - for standard input"),
    ] = None,
    destination: Destination = None,
) -> None:
    """Change the call of a dead letter, or the event that never became one; without an option, in $EDITOR.

    What Attentive or the gateway would refuse is refused here, with the field and the rule. The journal tells which
    fields were changed, never what they hold. Nothing is sent: `replay` does that.
    """
    if file is not None and (settings or removals):
        fail("give --from, or --set and --remove, not both", 2)
    letter, rules = with_redis(lambda operator: _letter_and_rules(operator, letter_id, destination))
    before = content_of(letter)
    try:
        if file is not None:
            after = read_json(read_file(file))
        elif settings or removals:
            after = with_changes(before, settings or (), removals or ())
        else:
            after = read_json(in_editor(orjson.dumps(before, option=orjson.OPT_INDENT_2).decode()))
        edited = with_content(letter, after, rules)
    except Rejected as rejected:
        fail(f"nothing is changed: {rejected}")
    changes = list(changed_paths(before, after))
    if not changes:
        out.print("Nothing is changed.")
        return
    record = orjson.dumps({"dead_letter": letter.id, "changed": changes[:20]})

    async def write(operator: Operator) -> str | None:
        return await edit(
            operator.redis, letter, edited, record=record, journal_entries=operator.settings.journal_entries
        )

    if (new_id := with_redis(write)) is None:
        fail(f"there is no dead letter {letter_id} any more")
    out.print(f"Changed: {', '.join(changes)}", markup=False, highlight=False, soft_wrap=True)
    out.print(f"It is letter {new_id} now. To send it: attentive-gateway dead-letters replay {new_id}", soft_wrap=True)


@commands.command("export")
def export_letters(
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="a new file; - for standard output")] = Path("-"),
    destination: Destination = None,
    endpoint: Endpoint = None,
    reason: Reason = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    reveal: Annotated[bool, typer.Option("--reveal", help="whole, with personal data; else masked")] = False,
) -> None:
    """Write dead letters as NDJSON, one a line, oldest first: reason, last answer, call and original event."""
    wanted = Filter(destination, endpoint, reason, older_than, newer_than)

    async def work(operator: Operator, target: BinaryIO) -> int:
        count = 0
        async for letter in matching(operator, wanted, Shelf.DEAD):
            target.write(orjson.dumps(whole(letter, reveal=reveal), option=orjson.OPT_APPEND_NEWLINE))
            count += 1
        return count

    if reveal:
        err.print("This holds personal data: keep it safe, and delete it when it has served.", style="yellow")
    with new_file(file) as target:
        count = with_redis(lambda operator: work(operator, target))
    err.print(f"{count:,} dead letters written.")


@commands.command("purge")
def purge_letters(
    letter_ids: Ids = None,
    destination: Destination = None,
    endpoint: Endpoint = None,
    reason: Reason = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    all_of_them: All = False,
    yes: Yes = False,
) -> None:
    """Delete dead letters for good."""
    wanted = Filter(destination, endpoint, reason, older_than, newer_than)

    async def work(operator: Operator) -> int:
        chosen = await Chosen.read(operator, Shelf.DEAD, wanted, letter_ids, all_=all_of_them)
        confirm(f"Delete {chosen.count:,} dead letters for good?", agreed=yes)
        entries = operator.settings.journal_entries
        return sum(
            [await discard(operator.redis, one, journal_entries=entries) async for one in chosen.letters(operator)]
        )

    out.print(f"{with_redis(work):,} deleted")


async def _letter_and_rules(
    operator: Operator, letter_id: str, destination: str | None
) -> tuple[DeadLetter, IdentityRules]:
    letter = await find_letter(operator, letter_id, destination)
    return letter, plan_of(operator.topology.destinations[letter.destination]).identity


def in_editor(text: str) -> str:
    """The text as the operator leaves it; as it was when they do not save it."""
    try:
        return click.edit(text, extension=".json") or text
    except click.ClickException as failure:
        fail(f"nothing is changed: {failure.message}")


def read_file(path: Path) -> bytes:
    """What is in a file, or on standard input."""
    try:
        return sys.stdin.buffer.read() if path == Path("-") else path.read_bytes()
    except OSError as failure:
        fail(f"cannot read {path}: {failure.strerror}")


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that only its owner may read, and that was not there before; or standard output."""
    if path == Path("-"):
        yield sys.stdout.buffer
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode=0o600)
    except OSError as failure:
        fail(f"cannot write {path}: {failure.strerror}")
    with os.fdopen(descriptor, "wb") as file:
        yield file
