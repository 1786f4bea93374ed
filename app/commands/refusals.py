"""`attentive-gateway refusals`: what the intake refused lately."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import orjson
import typer
from rich.table import Table

from app.commands.common import out, parse_span, table_with, with_redis
from app.delivery.journal.refusals import Refusal
from app.operations.refusals import UNKNOWN, recent_refusals, refusal_facts

commands = typer.Typer(no_args_is_help=True, help="List requests and events that the intake refused.")


@commands.callback()
def refusals() -> None:
    """List requests and events that the intake refused."""


@commands.command("list")
def list_refusals(
    source: Annotated[str | None, typer.Option(help="Only this source; 'unknown' for wrong write keys.")] = None,
    code: Annotated[str | None, typer.Option(help="Only this code, such as bad_request.")] = None,
    since: Annotated[str | None, typer.Option(help="Only the last 90s, 15m, 2h or 3d.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each refusal.")] = False,
) -> None:
    """List refused requests and refused events of batches, oldest first: rule, field and message IDs, masked.

    The record is a sample: for each source and code, 10 a minute by each gateway process. The others are counted.
    """
    youngest = None if since is None else datetime.now(UTC) - parse_span(since)

    found = with_redis(lambda operator: recent_refusals(operator, source=source, code=code, since=youngest))
    if as_json:
        for refusal in found:
            out.out(orjson.dumps(refusal_facts(refusal)).decode(), highlight=False)
    elif not found:
        out.print("Nothing was refused.")
    else:
        out.print(_table(found), highlight=False)


def _table(found: Sequence[Refusal]) -> Table:
    table = table_with("When (UTC)", "Source", "Path", "Code", "Field", "Rule", "Message IDs")
    for refusal in found:
        rule = refusal.message if not refusal.others else f"and {refusal.others:,} more within a minute"
        table.add_row(
            f"{refusal.at:%Y-%m-%d %H:%M:%S}",
            refusal.source or UNKNOWN,
            refusal.path,
            f"{refusal.status} {refusal.code}",
            refusal.field or "",
            rule,
            "\n".join(refusal.message_ids),
        )
    return table
