"""`attentive-gateway attributes`: the custom attributes that each account has, and forgetting one."""

from typing import Annotated

import typer
from rich.table import Table

from app.commands.common import Operator, fail, out, with_redis
from app.config.attributes import Attributes
from app.delivery.attributes import Types, forget_attribute, read_attributes
from app.delivery.books import Books, read_books

commands = typer.Typer(no_args_is_help=True, help="Look after the custom attributes of the Attentive accounts.")

Destination = Annotated[str | None, typer.Option("--destination", help="of this destination; else of all")]


@commands.command("list")
def list_attributes(destination: Destination = None) -> None:
    """Show each attribute with its type, and how many values of another type were left out."""

    async def work(operator: Operator) -> list[Table]:
        names = _named(operator, destination)
        known = await read_attributes(operator.redis, names)
        settings = operator.topology.destinations
        return [
            _table(settings[books.destination].attributes, known[books.destination], books)
            for books in await read_books(operator.redis, names)
        ]

    for table in with_redis(work):
        out.print(table)


@commands.command("forget")
def forget(
    name: Annotated[str, typer.Argument(help="the attribute, as `list` shows it")], destination: Destination = None
) -> None:
    """Forget an attribute and its type: its next value sets the type anew. Attentive is not told of it.

    For an attribute whose first value had the wrong type and that was made anew in Attentive, or deleted there.
    """

    async def work(operator: Operator) -> list[str]:
        names = _named(operator, destination)
        return [one for one in names if await forget_attribute(operator.redis, one, name)]

    forgotten = with_redis(work)
    if not forgotten:
        fail(f"no attribute {name!r} is known; `attentive-gateway attributes list` shows those that are")
    out.print(f"{', '.join(forgotten)}: {name} is forgotten", markup=False, highlight=False)


def _named(operator: Operator, destination: str | None) -> list[str]:
    if destination is None:
        return operator.destinations
    if destination not in operator.destinations:
        fail(f"there is no destination {destination!r}; there are: {', '.join(operator.destinations)}", 2)
    return [destination]


def _table(settings: Attributes, known: Types, books: Books) -> Table:
    most = f" of {settings.most_names}" if settings.most_names is not None else ""
    table = Table(
        "Attribute", "Type", "Values left out", title=f"{books.destination}: {len(known)}{most}", title_justify="left"
    )
    for name in sorted({*known, *settings.types}):
        declared = settings.types.get(name)
        kind = f"{declared}, by the settings" if declared else known[name]
        table.add_row(name, kind, f"{books.left_out.get(f'type:{name}', 0):,}")
    if beyond := books.left_out.get("names", 0):
        table.caption = f"{beyond:,} values of further attributes were left out"
    return table
