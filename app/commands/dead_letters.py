"""`attentive-gateway dead-letters`: inspect what could not be delivered; correct, replay or delete it."""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import click
import orjson
import typer
from rich.progress import Progress

from app.attentive.call import Priority
from app.commands.common import audit, err, fail, out, with_redis
from app.commands.dead_letter_queue import (
    All,
    AsJson,
    Destination,
    Ids,
    Limit,
    Reveal,
    Yes,
    confirm,
    counted,
    filtered,
    print_json,
    print_table,
    show_dead_letter,
    stopped_by_ctrl_c,
)
from app.delivery.dead_letter import DeadLetter, DeadLetterQueue, Filter
from app.operations.dead_letters import delete, details, find, listing, matching, paced, select
from app.operations.editing import Edited, Rejected, content_of, edit, read_json, with_changes
from app.operations.operator import Operator
from app.operations.replay import in_words, replay

commands = typer.Typer(
    no_args_is_help=True, help="Inspect events and calls that could not be delivered. Correct, replay or delete them."
)


@commands.command("list")
@filtered()
def list_dead_letters(
    wanted: Filter,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List dead letters, oldest first, and count them by reason."""
    found = with_redis(lambda operator: listing(operator, wanted, DeadLetterQueue.DEAD, limit))
    if as_json:
        print_json(found)
        return
    if not found.first:
        out.print("No dead letters match.")
        return
    print_table(found)
    sums = ", ".join(f"{count:,} {reason}" for reason, count in found.reasons.most_common())
    out.print(f"{counted(found.reasons.total(), DeadLetterQueue.DEAD)}: {sums}", markup=False)


@commands.command("show")
def show(
    dead_letter_id: Annotated[str, typer.Argument(metavar="ID", help="The ID, as `list` prints it.")],
    destination: Destination = None,
    reveal: Reveal = False,
) -> None:
    """Show one dead letter: the reason, the last answer, the call and the original event."""
    with_redis(
        lambda operator: show_dead_letter(operator, dead_letter_id, destination, DeadLetterQueue.DEAD, reveal=reveal)
    )


class ReplayPriority(StrEnum):
    """The priority of replayed calls within their lane."""

    LOW = "low"  # behind all that comes in
    NORMAL = "normal"
    HIGH = "high"
    OWN = "own"  # where they waited before


@commands.command("replay")
@filtered()
def replay_dead_letters(
    wanted: Filter,
    dead_letter_ids: Ids = None,
    all_of_them: All = False,
    ignore_age: Annotated[bool, typer.Option("--ignore-age", help="Include events that arrived too old.")] = False,
    rate: Annotated[
        float | None,
        typer.Option(min=0.01, help="The largest number each second. Without it, no limit."),
    ] = None,
    priority: Annotated[
        ReplayPriority, typer.Option(help="low: behind all new events; own: the priority that each had before.")
    ] = ReplayPriority.LOW,
    yes: Yes = False,
) -> None:
    """Send dead letters again. Events that never became a call go through the current mapping.

    Each is sent once, however often you run this. After Ctrl-C, the same command continues with the rest.
    """
    level = None if priority is ReplayPriority.OWN else Priority[priority.name]

    async def work(operator: Operator) -> tuple[Counter[str], int]:
        chosen = await select(operator, DeadLetterQueue.DEAD, wanted, dead_letter_ids, everything=all_of_them)
        confirm(f"Send {counted(chosen.count, DeadLetterQueue.DEAD)} again?", agreed=yes or chosen.count == 1)
        results: Counter[str] = Counter()
        with Progress(console=out, disable=chosen.count < 20) as progress:
            bar = progress.add_task("Replaying", total=chosen.count)
            async for dead_letter in paced(chosen.dead_letters(operator), rate, stopped_by_ctrl_c()):
                results[in_words(await replay(operator, dead_letter, ignore_age=ignore_age, priority=level))] += 1
                progress.advance(bar)
        await audit(operator, "replay", destination=wanted.destination or "", ids=dead_letter_ids or (), **results)
        return results, chosen.count

    results, count = with_redis(work)
    for result, number in results.most_common():
        out.print(f"{number:,} {result}", markup=False)
    if results.total() < count:
        out.print(f"Stopped after {results.total():,} of {count:,}. Run the same command to continue with the rest.")
        raise typer.Exit(130)


@commands.command("edit")
def edit_dead_letter(
    dead_letter_id: Annotated[str, typer.Argument(metavar="ID", help="The ID, as `list` prints it.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Set a field: items.0.price.0.value=19.99."),
    ] = None,
    removals: Annotated[
        list[str] | None, typer.Option("--remove", metavar="PATH", help="Remove a field: user.phone.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FILE", help="Replace the whole content by this JSON file, or - for standard input."
        ),
    ] = None,
    destination: Destination = None,
) -> None:
    """Change the call of a dead letter, or the event that never became one. Without an option, in $EDITOR.

    A change that Attentive or the gateway would refuse is refused here, with the field and the rule. The journal
    records which fields changed, never what they hold. Nothing is sent: run `replay` to send it.
    """
    if file is not None and (settings or removals):
        fail("Give either --from, or --set and --remove.", 2)
    dead_letter = with_redis(lambda operator: find(operator, dead_letter_id, destination))
    before = content_of(dead_letter)
    try:
        if file is not None:
            after = read_json(read_file(file))
        elif settings or removals:
            after = with_changes(before, settings or (), removals or ())
        else:
            after = read_json(in_editor(orjson.dumps(before, option=orjson.OPT_INDENT_2).decode()))
    except Rejected as rejected:
        fail(f"Nothing is changed: {rejected}")
    edited = with_redis(lambda operator: _edit(operator, dead_letter, after))
    if edited is None:
        out.print("Nothing is changed.")
        return
    out.print(f"Changed: {', '.join(edited.changed)}", markup=False, highlight=False, soft_wrap=True)
    command = f"attentive-gateway dead-letters replay {edited.id}"
    out.print(f"The dead letter has a new ID, {edited.id}. To send it, run: {command}", soft_wrap=True)


async def _edit(operator: Operator, dead_letter: DeadLetter, content: Any) -> Edited | None:
    try:
        edited = await edit(operator, dead_letter, content)
    except Rejected as rejected:
        raise Rejected(f"Nothing is changed: {rejected}") from None
    if edited is not None:
        ids, fields = [dead_letter.id, edited.id], ", ".join(edited.changed)
        await audit(operator, "edit", destination=dead_letter.destination, ids=ids, fields=fields)
    return edited


@commands.command("export")
@filtered()
def export_dead_letters(
    wanted: Filter,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file. Use - for standard output.")] = Path("-"),
    reveal: Annotated[bool, typer.Option("--reveal", help="Include personal data, which is masked otherwise.")] = False,
) -> None:
    """Write dead letters as NDJSON, oldest first: the reason, the last answer, the call and the original event."""

    async def work(operator: Operator, target: BinaryIO) -> int:
        count = 0
        async for dead_letter in matching(operator, wanted, DeadLetterQueue.DEAD):
            target.write(orjson.dumps(details(dead_letter, reveal=reveal), option=orjson.OPT_APPEND_NEWLINE))
            count += 1
        if reveal:
            name = wanted.destination or ""
            await audit(operator, "export with personal data", destination=name, queue="dead", calls=count)
        return count

    if reveal:
        err.print("The output holds personal data. Keep it safe, and delete it after use.", style="yellow")
    with new_file(file) as target:
        count = with_redis(lambda operator: work(operator, target))
    err.print(f"{counted(count, DeadLetterQueue.DEAD)} written.")


@commands.command("purge")
@filtered()
def purge_dead_letters(
    wanted: Filter,
    dead_letter_ids: Ids = None,
    all_of_them: All = False,
    yes: Yes = False,
) -> None:
    """Delete dead letters permanently."""

    async def work(operator: Operator) -> int:
        chosen = await select(operator, DeadLetterQueue.DEAD, wanted, dead_letter_ids, everything=all_of_them)
        confirm(f"Delete {counted(chosen.count, DeadLetterQueue.DEAD)} for good?", agreed=yes)
        deleted = sum([await delete(operator, dead_letter) async for dead_letter in chosen.dead_letters(operator)])
        name, ids = wanted.destination or "", dead_letter_ids or ()
        await audit(operator, "delete", destination=name, ids=ids, calls=deleted)
        return deleted

    out.print(f"{counted(with_redis(work), DeadLetterQueue.DEAD)} deleted.")


def in_editor(text: str) -> str:
    """The text as the operator saves it; unchanged when they do not save."""
    try:
        return click.edit(text, extension=".json") or text
    except click.ClickException as failure:
        fail(f"Nothing is changed: {failure.message}")


def read_file(path: Path) -> bytes:
    """The content of a file, or of standard input."""
    try:
        return sys.stdin.buffer.read() if path == Path("-") else path.read_bytes()
    except OSError as failure:
        fail(f"{path} cannot be read: {failure.strerror}.")


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A new file that only its owner may read, or standard output."""
    if path == Path("-"):
        yield sys.stdout.buffer
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode=0o600)
    except OSError as failure:
        fail(f"{path} cannot be written: {failure.strerror}.")
    with os.fdopen(descriptor, "wb") as file:
        yield file
