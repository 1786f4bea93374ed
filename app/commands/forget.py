"""`attentive-gateway forget` and `receipts`: take a person out of everything, and show that it was done."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, cast

import orjson
import typer
from redis.exceptions import ResponseError
from rich import box
from rich.json import JSON
from rich.table import Table

from app.commands.common import Operator, err, fail, out, parse_span, with_redis
from app.delivery import deletions
from app.delivery.deletions import OVER_HERE, Deletion, Request, ask, receipt
from app.delivery.script import Answer
from app.delivery.subject import Subject
from app.identity.normalise import to_e164, to_email
from app.masking import mask_text

LOOK_EVERY_S: Final = 0.5
NOBODY_AT_IT_S: Final = 15.0

receipts = typer.Typer(no_args_is_help=True, help="Show what became of deletions. No receipt says whom it was about.")

DestinationName = Annotated[str | None, typer.Option(help="only for this destination; else for all")]


def forget(
    email: Annotated[list[str] | None, typer.Option(help="an e-mail address of the person; may be repeated")] = None,
    phone: Annotated[list[str] | None, typer.Option(help="a phone number; may be repeated")] = None,
    user_id: Annotated[list[str] | None, typer.Option(help="the shop's own id; may be repeated")] = None,
    anonymous_id: Annotated[list[str] | None, typer.Option(help="a tracker's id; may be repeated")] = None,
    destination: DestinationName = None,
    reference: Annotated[
        str, typer.Option(help="your own word for it, such as a ticket's number: it stands in the receipt")
    ] = "",
    wait: Annotated[bool, typer.Option("--wait", help="return when all is done that is done here")] = False,
    rewrite_aof: Annotated[
        bool, typer.Option("--rewrite-aof", help="then have Redis rewrite its append-only file, which keeps a history")
    ] = False,
    status: Annotated[str | None, typer.Option(metavar="ID", help="show how far a deletion is, and do nothing")] = None,
) -> None:
    """Forget a person: in memory, lanes, retries, dead letters and journal; at Attentive where that is configured.

    Give all that is known of the person. A worker does the work; what comes in about the person later is new.
    """
    if status is not None:
        _show(status, destination)
        return
    if not (email or phone or user_id or anonymous_id):
        fail("say who: --email, --phone, --user-id or --anonymous-id", 2)

    async def work(operator: Operator) -> None:
        begun: list[tuple[str, str]] = []
        for name in _chosen(operator, destination):
            region = operator.topology.destinations[name].default_region
            subject = Subject.of(
                emails=[_address(each) for each in email or ()],
                phones=[_number(each, region) for each in phone or ()],
                user_ids=[_id(each) for each in user_id or ()],
                anonymous_ids=[_id(each) for each in anonymous_id or ()],
            )
            request = Request.new(subject, reference=mask_text(reference)[:200])
            await ask(operator.redis, name, request)
            begun.append((name, request.id))
            out.print(f"{name}: deletion {request.id}", markup=False, highlight=False)
        if wait or rewrite_aof:
            await _wait(operator, begun)
        if rewrite_aof:
            await _rewrite(operator)

    with_redis(work)


async def _rewrite(operator: Operator) -> None:
    try:
        await cast(Answer, operator.redis.execute_command("BGREWRITEAOF"))  # type: ignore[no-untyped-call]
    except ResponseError as refusal:
        fail(f"the person is forgotten, but Redis does not rewrite its append-only file: {refusal}")
    out.print("Redis rewrites its append-only file.")


async def _wait(operator: Operator, begun: Sequence[tuple[str, str]]) -> None:
    """Return when nothing is left to do here; what Attentive still has to do may take it 30 days."""
    started, told = time.monotonic(), False
    while True:
        found = [(name, await deletions.find(operator.redis, name, each)) for name, each in begun]
        if all(each is not None and each.state in OVER_HERE for _, each in found):
            break
        if not told and time.monotonic() - started > NOBODY_AT_IT_S:
            told = True
            err.print("Still waiting: does a worker run, and does Attentive answer? Ctrl-C leaves the deletion to it.")
        await asyncio.sleep(LOOK_EVERY_S)
    out.print(_table([(name, each) for name, each in found if each is not None]))


def _show(deletion_id: str, destination: str | None) -> None:
    found = with_redis(lambda operator: _found(operator, destination, deletion_id))
    if not found:
        fail(f"no deletion {deletion_id} is known here")
    for name, deletion in found:
        out.print(JSON(orjson.dumps(receipt(name, deletion)).decode()))


async def _found(operator: Operator, destination: str | None, deletion_id: str) -> list[tuple[str, Deletion]]:
    names = _chosen(operator, destination)
    found = [(name, await deletions.find(operator.redis, name, deletion_id)) for name in names]
    return [(name, deletion) for name, deletion in found if deletion is not None]


@receipts.command("list")
def list_receipts(
    destination: DestinationName = None,
    limit: Annotated[int, typer.Option(min=1, help="show at most this many, the newest first")] = 50,
) -> None:
    """Show deletions, the newest first, and how far each is."""
    found = with_redis(lambda operator: _all(operator, destination))
    if not found:
        out.print("No deletion is known.")
        return
    out.print(_table(found[:limit]))
    if len(found) > limit:
        out.print(f"{len(found):,} deletions; the newest {limit} are shown")


@receipts.command("show")
def show_receipt(
    deletion_id: Annotated[str, typer.Argument(metavar="ID", help="as `forget` or `list` prints it")],
    destination: DestinationName = None,
) -> None:
    """Show one receipt whole."""
    _show(deletion_id, destination)


@receipts.command("export")
def export_receipts(
    destination: DestinationName = None,
    newer_than: Annotated[
        timedelta | None, typer.Option(parser=parse_span, metavar="AGE", help="asked for within this time: 30d")
    ] = None,
) -> None:
    """Print all receipts, one JSON object per line."""
    since = datetime.fromtimestamp(0, UTC) if newer_than is None else datetime.now(UTC) - newer_than
    for name, deletion in with_redis(lambda operator: _all(operator, destination)):
        if deletion.asked_at >= since:
            typer.echo(orjson.dumps(receipt(name, deletion)))


async def _all(operator: Operator, destination: str | None) -> list[tuple[str, Deletion]]:
    return [
        (name, deletion)
        for name in _chosen(operator, destination)
        for deletion in await deletions.receipts(operator.redis, name)
    ]


def _table(found: Sequence[tuple[str, Deletion]]) -> Table:
    table = Table("Deletion", "Reference", "State", "Removed here", "At Attentive", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns:  # `show` wants the id whole, in any terminal
        column.no_wrap, column.overflow = column is table.columns[0], "fold"
    for name, deletion in found:
        removed = receipt(name, deletion)["removed"]
        waits_for = deletion.facts.get("waits_for")
        unsubscribed, requested = (deletion.facts.get(step) or "-" for step in ("unsubscribed", "requested"))
        at_attentive = [f"unsubscribed: {unsubscribed}", f"delete request: {requested}", *deletion.request_ids]
        table.add_row(
            f"{deletion.id}\n{name}\n{deletion.asked_at:%Y-%m-%d %H:%M:%S} UTC",
            deletion.facts.get("reference") or "-",
            f"{deletion.state.value}, waits for {waits_for}" if waits_for else deletion.state.value,
            "\n".join(f"{count:,} {place.replace('_', ' ')}" for place, count in removed.items() if count) or "nothing",
            "\n".join(at_attentive),
        )
    return table


def _chosen(operator: Operator, destination: str | None) -> list[str]:
    if destination is None:
        return operator.destinations
    if destination not in operator.destinations:
        fail(f"there is no destination {destination!r}; there are: {', '.join(operator.destinations)}", 2)
    return [destination]


def _address(text: str) -> str:
    return to_email(text) or fail("--email: is no e-mail address", 2)


def _number(text: str, region: str) -> str:
    return to_e164(text, region) or fail(f"--phone: is no phone number, read as one of {region}", 2)


def _id(text: str) -> str:
    return text.strip() or fail("an id must not be blank", 2)
