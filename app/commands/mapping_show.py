"""`attentive-gateway mapping show`: the catalogue that is in force for each destination, in words."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from app.commands.common import out, table_with
from app.commands.trial import chosen, destinations_of
from app.mapping.describe import Line, Products, consents, lines, products
from app.pipeline import Plan
from app.wiring.gateway import plan_of

Config = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The YAML file. Default: GATEWAY_CONFIG, or the catalogue alone."),
]
DestinationName = Annotated[str | None, typer.Option("--destination", metavar="NAME", help="Only this destination.")]

_USUAL: Final = {("type", "event"), ("externalEventId", "messageId")}


def show(
    destination: DestinationName = None,
    config: Config = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each destination.")] = False,
) -> None:
    """Print the catalogue in force: every event, where it goes, what fills the call. `*` marks what is not default."""
    for name, account in chosen(destinations_of(config), destination).items():
        plan = plan_of(account)
        if as_json:
            out.out(orjson.dumps(_catalogue_facts(name, plan)).decode(), highlight=False)
            continue
        out.rule(f"[bold]{escape(name)}[/]", align="left")
        out.print(_rows_table([*lines(plan.catalogue), *consents(plan.subscriptions)]))
        for each in products(plan.catalogue):
            out.print(_products_table(each))
        out.print(_rules_table(plan))


def _catalogue_facts(destination: str, plan: Plan) -> dict[str, Any]:
    return {
        "destination": destination,
        "rows": [
            {
                "event": line.event,
                "endpoint": line.endpoint or None,
                "priority": line.priority or None,
                "fields": {key or "body": value for key, value in line.fields.items()},
                "changed": line.own,
            }
            for line in (*lines(plan.catalogue), *consents(plan.subscriptions))
        ],
        "products": [
            {"events": each.events, "fields": each.fields, "changed": sorted(each.own)}
            for each in products(plan.catalogue)
        ],
    }


def _rows_table(rows: list[Line]) -> Table:
    usual = "custom-event: type ← event, externalEventId ← messageId, where no other sources are listed"
    table = table_with("", "Event", "Goes to", "Priority", "What fills it", caption=usual)
    for row in rows:
        filled = "\n".join(_filled(key, value) for key, value in row.fields.items() if (key, value) not in _USUAL)
        style = "dim" if row.off else "bold" if row.own else None
        where = row.endpoint or "(dropped)"
        table.add_row("*" if row.own else "", escape(row.event), where, row.priority, escape(filled), style=style)
    return table


def _filled(key: str, value: str) -> str:
    return f"{key} ← {value}".replace("; ", "\n  ") if key else value


def _products_table(found: Products) -> Table:
    title = f"Products of {', '.join(map(escape, found.events))}"
    table = table_with("", "Product's field", "First of these that can be used", title=title)
    for key, value in found.fields.items():
        own = key in found.own
        table.add_row("*" if own else "", key, escape(value), style="bold" if own else None)
    return table


def _rules_table(plan: Plan) -> Table:
    """Whatever else the plan holds about identifiers and attributes."""
    table = table_with("", "Rule", "Is", title="Identifiers and attributes")
    for part, default in ((plan.identity, Plan().identity), (plan.attributes, Plan().attributes)):
        for each in fields(part):
            if not each.init:  # worked out from the others
                continue
            value = getattr(part, each.name)
            own = value != getattr(default, each.name)
            table.add_row("*" if own else "", each.name, escape(_readable(value)), style="bold" if own else None)
    return table


def _readable(value: Any) -> str:
    match value:
        case (str(name), tuple(paths)):
            return f"{name} ← {_readable(paths)}"
        case tuple() | list():
            return ", ".join(map(_readable, value)) or "none"
        case frozenset():
            return ", ".join(sorted(map(str, value))) or "none"
        case Mapping():
            return ", ".join(f"{name}: {_readable(inner)}" for name, inner in value.items()) or "none"
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case _:
            return str(value)
