"""`attentive-gateway forget` and `receipts`: erase a person, and show that it was done."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import orjson
import typer
from rich.json import JSON
from rich.table import Table

from app.commands.common import audit, err, fail, out, parse_span, table_with, whole, with_redis
from app.erasure.removal import Reach
from app.erasure.requests import Erasure, receipt
from app.erasure.subject import Subject
from app.operations.erasures import (
    Named,
    all_receipts,
    erase,
    find_erasure,
    identifiers,
    is_done_here,
    reach,
    rewrite_log,
    subject_of,
)
from app.operations.operator import Operator

LOOK_EVERY_S: Final = 0.5
NO_WORKER_AFTER_S: Final = 15.0

receipts = typer.Typer(no_args_is_help=True, help="Show the receipts of erasures. No receipt identifies the person.")

DestinationName = Annotated[str | None, typer.Option(help="Only this destination. Without it, all destinations.")]


def forget(
    email: Annotated[list[str] | None, typer.Option(help="An e-mail address of the person. May be repeated.")] = None,
    phone: Annotated[list[str] | None, typer.Option(help="A phone number of the person. May be repeated.")] = None,
    user_id: Annotated[list[str] | None, typer.Option(help="A user ID of the person. May be repeated.")] = None,
    anonymous_id: Annotated[
        list[str] | None, typer.Option(help="An anonymous ID of the person, as a tracker made it. May be repeated.")
    ] = None,
    destination: DestinationName = None,
    reference: Annotated[
        str, typer.Option(help="Your own reference, such as a ticket number. It becomes part of the receipt.")
    ] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Return when everything in the gateway is done.")] = False,
    rewrite_aof: Annotated[
        bool,
        typer.Option("--rewrite-aof", help="Then have Redis rewrite its append-only file, which keeps old writes."),
    ] = False,
    preview: Annotated[
        bool, typer.Option("--preview", help="Show what the erasure would reach and what it would leave alone.")
    ] = False,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show identifiers in the preview unmasked.")] = False,
    status: Annotated[
        str | None, typer.Option(metavar="ID", help="Show the state of this erasure, and do nothing else.")
    ] = None,
) -> None:
    """Erase a person from profiles, lanes, retries, dead letters and the journal, and from Attentive if configured.

    Give every identifier that you know. A worker carries out the erasure. Events that arrive later are new data.
    """
    if status is not None:
        _show(status, destination)
        return

    async def work(operator: Operator) -> None:
        begun: list[tuple[str, str]] = []
        named = Named(*map(tuple, (email or (), phone or (), user_id or (), anonymous_id or ())))
        subjects = {name: subject_of(operator, name, named) for name in operator.chosen(destination)}
        for name, subject in subjects.items():
            if preview:
                await audit(operator, "look up a person", destination=name, **({"shown": "unmasked"} if reveal else {}))
                _print_reach(name, await reach(operator, name, subject), reveal=reveal)
                continue
            erasure_id = await erase(operator, name, subject, reference=reference)
            begun.append((name, erasure_id))
            await audit(operator, "erase", destination=name, ids=[erasure_id])
            out.print(f"{name}: erasure {erasure_id}", markup=False, highlight=False)
        if (wait or rewrite_aof) and begun:
            await _wait(operator, begun)
        if rewrite_aof and begun:
            await rewrite_log(operator)
            out.print("Redis rewrites its append-only file.")

    with_redis(work)


def _print_reach(destination: str, found: Reach, *, reveal: bool) -> None:
    out.print(f"{destination}: an erasure reaches", markup=False, highlight=False)
    _print_identifiers(found.person, reveal=reveal)
    if found.claimed:
        out.print("and leaves alone, because only public sources link them to the person:", highlight=False)
        _print_identifiers(found.claimed, reveal=reveal)
        out.print("If they belong to the person, give them too.", highlight=False)


def _print_identifiers(person: Subject, *, reveal: bool) -> None:
    for kind, value in identifiers(person, reveal=reveal):
        out.print(f"  {kind}: {value}", markup=False, highlight=False)


async def _wait(operator: Operator, begun: Sequence[tuple[str, str]]) -> None:
    """Return when nothing is left to do here; what Attentive still has to do may take it 30 days."""
    started, warned = time.monotonic(), False
    while True:
        found = [each for name, erasure_id in begun for each in await find_erasure(operator, name, erasure_id)]
        if len(found) == len(begun) and all(is_done_here(erasure) for _, erasure in found):
            break
        if not warned and time.monotonic() - started > NO_WORKER_AFTER_S:
            warned = True
            err.print(
                "Still waiting. Check that a worker runs and that Attentive answers. "
                "After Ctrl-C, the erasure goes on without this command."
            )
        await asyncio.sleep(LOOK_EVERY_S)
    out.print(_table(found))


def _show(erasure_id: str, destination: str | None) -> None:
    found = with_redis(lambda operator: find_erasure(operator, destination, erasure_id))
    if not found:
        fail(f"There is no erasure {erasure_id}. Run `attentive-gateway receipts list` to see all of them.")
    for name, erasure in found:
        out.print(JSON(orjson.dumps(receipt(name, erasure)).decode()))


@receipts.command("list")
def list_receipts(
    destination: DestinationName = None,
    limit: Annotated[int, typer.Option(min=1, help="The largest number to show, newest first.")] = 50,
) -> None:
    """List erasures and their states, newest first."""
    found = with_redis(lambda operator: all_receipts(operator, destination))
    if not found:
        out.print("There are no erasures.")
        return
    out.print(_table(found[:limit]))
    if len(found) > limit:
        out.print(f"These are the newest {limit:,} of {len(found):,}.")


@receipts.command("show")
def show_receipt(
    erasure_id: Annotated[str, typer.Argument(metavar="ID", help="The ID, as `forget` or `receipts list` prints it.")],
    destination: DestinationName = None,
) -> None:
    """Show one receipt as JSON."""
    _show(erasure_id, destination)


@receipts.command("export")
def export_receipts(
    destination: DestinationName = None,
    newer_than: Annotated[
        timedelta | None,
        typer.Option(parser=parse_span, metavar="AGE", help="Only those requested within this time, such as 30d."),
    ] = None,
) -> None:
    """Print all receipts, one JSON object per line."""
    since = datetime.fromtimestamp(0, UTC) if newer_than is None else datetime.now(UTC) - newer_than
    for name, erasure in with_redis(lambda operator: all_receipts(operator, destination)):
        if erasure.asked_at >= since:
            typer.echo(orjson.dumps(receipt(name, erasure)))


def _table(found: Sequence[tuple[str, Erasure]]) -> Table:
    table = table_with(whole("Erasure"), "Reference", "State", "Removed here", "At Attentive")
    for name, erasure in found:
        removed = receipt(name, erasure)["removed"]
        waits_for = erasure.facts.get("waits_for")
        unsubscribed, requested = (erasure.facts.get(step) or "-" for step in ("unsubscribed", "requested"))
        at_attentive = [f"unsubscribed: {unsubscribed}", f"delete request: {requested}", *erasure.request_ids]
        table.add_row(
            f"{erasure.id}\n{name}\n{erasure.asked_at:%Y-%m-%d %H:%M:%S} UTC",
            erasure.facts.get("reference") or "-",
            f"{erasure.state.value}, waiting for {waits_for}" if waits_for else erasure.state.value,
            "\n".join(f"{count:,} {place.replace('_', ' ')}" for place, count in removed.items() if count) or "nothing",
            "\n".join(at_attentive),
        )
    return table
