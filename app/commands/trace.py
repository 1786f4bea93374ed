"""`attentive-gateway trace`: what became of one event."""

from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
import typer
from rich.json import JSON
from rich.table import Table

from app.commands.common import Operator, fail, out, with_redis
from app.delivery.backlog import deliveries_of
from app.delivery.dead_letters import Filter, Shelf, dead_letters
from app.delivery.journal import Step, steps_of
from app.masking import mask_personal
from app.segment.events import internal_message_id
from app.topology import all_lanes


def trace(
    message_id: Annotated[str, typer.Argument(help="the tracker's messageId")],
    reveal: Annotated[
        bool, typer.Option("--reveal", help="show personal data, as far as the event is still held")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object per step")] = False,
) -> None:
    """Tell what came in, what was decided and why, what was sent when, and what Attentive answered."""
    known = internal_message_id(message_id.strip())

    async def work(operator: Operator) -> None:
        steps = await steps_of(operator.redis, operator.destinations, {known})
        if not steps:
            settings = operator.settings
            fail(
                f"nothing is known of {message_id!r}: the journal keeps the last {settings.journal_entries:,} entries "
                f"per destination, for {settings.journal_hours:g} h"
            )
        if as_json:
            for step in steps:
                out.print_json(orjson.dumps(_as_dict(step)).decode(), indent=None)
        else:
            out.print(_table(known, steps))
        await _show_held(operator, known, reveal=reveal, quiet=as_json and not reveal)

    with_redis(work)


async def _show_held(operator: Operator, message_id: str, *, reveal: bool, quiet: bool) -> None:
    """Where the event is now, if it is anywhere; whole when asked for."""
    if quiet:
        return
    shown = False
    for place, event in await _held(operator, message_id):
        out.print(f"Held in {place}." if not shown else f"And in {place}.", markup=False, highlight=False)
        if not shown:
            content = orjson.loads(event)
            out.print(JSON(orjson.dumps(content if reveal else mask_personal(content)).decode()))
            shown = True
    if reveal and not shown:
        out.print("The event itself is gone: it is kept only until it is delivered or dropped.")


async def _held(operator: Operator, message_id: str) -> list[tuple[str, bytes]]:
    found = [
        (f"lane {delivery.endpoint}, next attempt number {delivery.attempt}", delivery.event)
        for delivery in await deliveries_of(operator.redis, all_lanes(operator.topology), message_id)
    ]
    now = datetime.now(UTC)
    for shelf, place in ((Shelf.DEAD, "the dead letters"), (Shelf.UNKNOWN, "the calls of unknown outcome")):
        wanted = Filter(message_id=message_id)
        letters = dead_letters(operator.redis, operator.destinations, wanted, now=now, shelf=shelf)
        found += [(f"{place} as {letter.id} ({letter.reason})", letter.event) async for letter in letters]
    return found


def _table(message_id: str, steps: list[Step]) -> Table:
    table = Table(title=message_id, title_justify="left", show_lines=True)
    for column in ("When (UTC)", "Step", "What"):
        table.add_column(column, overflow="fold")
    for step in steps:
        what = "\n".join(f"{name}: {_readable(value)}" for name, value in step.facts.items())
        what = what or "the same message id was taken in before: not sent again"
        table.add_row(f"{step.at:%Y-%m-%d %H:%M:%S}.{step.at.microsecond // 1000:03}", step.step, what)
    return table


def _readable(value: Any) -> str:
    match value:
        case dict():
            return ", ".join(f"{name} {inner}" for name, inner in value.items()) or "nobody named"
        case list():
            return "; ".join(map(str, value))
        case _:
            return str(value)


def _as_dict(step: Step) -> dict[str, Any]:
    return {
        "at": step.at.isoformat(),
        "message_id": step.message_id,
        "destination": step.destination,
        "step": step.step,
        **step.facts,
    }
