"""`attentive-gateway attributes`: the custom attributes that each account has, and forgetting one."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from app.commands.common import audit, numeric, out, table_with, whole, with_redis
from app.operations import attributes as operations
from app.operations.attributes import AttributeList
from app.operations.operator import Operator

commands = typer.Typer(no_args_is_help=True, help="List and forget the custom attributes of Attentive accounts.")

Destination = Annotated[
    str | None, typer.Option("--destination", help="Only this destination. Without it, all destinations.")
]


@commands.command("list")
def list_attributes(destination: Destination = None) -> None:
    """Show each attribute with its type, and how many values of another type were left out."""
    for each in with_redis(lambda operator: operations.list_attributes(operator, destination)):
        out.print(_table(each))


@commands.command("forget")
def forget(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The attribute, as `list` prints it.")],
    destination: Destination = None,
) -> None:
    """Forget an attribute and its type, so that its next value defines the type. Nothing is changed at Attentive.

    Use it when the first value had the wrong type, after the attribute was deleted or created anew in Attentive.
    """

    async def work(operator: Operator) -> Sequence[str]:
        forgotten = await operations.forget(operator, name, destination)
        for each in forgotten:
            await audit(operator, "forget an attribute", destination=each)
        return forgotten

    forgotten = with_redis(work)
    out.print(f"{', '.join(forgotten)}: {name} is forgotten.", markup=False, highlight=False)


def _table(found: AttributeList) -> Table:
    most = f" of {found.most}" if found.most is not None else ""
    more = f"{found.beyond:,} values of further attributes were left out." if found.beyond else None
    title = f"{found.destination}: {found.in_use}{most}"
    table = table_with(whole("Attribute"), "Type", *numeric("Values left out"), title=title, caption=more)
    for each in found.attributes:
        table.add_row(
            escape(each.name),
            f"{each.type}, by the settings" if each.declared else each.type,
            f"{each.values_left_out:,}",
        )
    return table
