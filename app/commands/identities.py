"""`attentive-gateway identities`: identifiers that too many people share."""

from typing import Annotated

import orjson
import typer
from rich.markup import escape

from app.commands.common import numeric, out, table_with, with_redis
from app.operations.operator import Operator
from app.profiles.suspicious import read_suspicious

commands = typer.Typer(no_args_is_help=True, help="Inspect how people are identified.")

Destination = Annotated[
    str | None, typer.Option("--destination", help="Only this destination. Without it, all destinations.")
]


@commands.callback()
def identities() -> None:
    """Inspect how people are identified."""


@commands.command("suspicious")
def suspicious(
    destination: Destination = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each identifier.")] = False,
) -> None:
    """List identifiers that too many people share, such as a user ID `guest`. They link nothing more.

    Identifiers are masked. Correct the tracker that sends them, or raise `identifiers.most_links` if they are genuine.
    """

    async def work(operator: Operator) -> list[tuple[str, str, int]]:
        found = {name: await read_suspicious(operator.redis, name) for name in operator.chosen(destination)}
        return [(name, label, blocked) for name, labels in found.items() for label, blocked in labels.items()]

    rows = with_redis(work)
    if as_json:
        for name, label, blocked in rows:
            source, kind, identifier = label.split(" ", 2)
            row = {"destination": name, "source": source, "kind": kind, "identifier": identifier, "blocked": blocked}
            out.out(orjson.dumps(row).decode(), highlight=False)
    elif not rows:
        out.print("No identifier is shared by too many people.")
    else:
        table = table_with("Destination", "Source", "Kind", "Identifier", *numeric("Links blocked"))
        for name, label, blocked in rows:
            table.add_row(name, *map(escape, label.split(" ", 2)), f"{blocked:,}")
        out.print(table, highlight=False)
