"""`attentive-gateway destinations test`: whether each account's token works, whose it is, and which scopes it has."""

import asyncio
import contextlib
import os
from collections.abc import Mapping
from typing import Annotated, Any

import orjson
import typer

from app.attentive.token import PROBES, Held
from app.commands.common import WITHHELD, fail, join_local_run, out, table_with, whole, with_redis
from app.config.bad_settings import BadSettings
from app.config.destination import Destination
from app.operations.tokens import Findings, check_token, note_findings
from app.settings import load_settings

DestinationName = Annotated[str | None, typer.Argument(metavar="NAME", help="Only this destination.")]


def ask_whose_tokens(
    name: DestinationName = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per destination.")] = False,
) -> None:
    """Ask Attentive who owns each destination's token, and which scopes it has. Nothing is written.

    Scopes are found with empty calls, which Attentive refuses in one way or another: they change nothing. A token that
    works ends the hold of a destination whose token was refused.

    Exit status 1: a token does not work, or lacks a scope that the destination needs.
    """
    join_local_run()
    if os.environ.get("ATTENTIVE_API_TOKEN") == WITHHELD:
        fail("The running gateway shares its token with no other process. Set ATTENTIVE_API_TOKEN here too.", 2)
    try:
        topology = load_settings().topology()
    except BadSettings as problem:
        fail(f"{problem}. This command needs the API tokens, which are stored nowhere but in the configuration.", 2)
    destinations = topology.destinations
    if name is not None and name not in destinations:
        fail(f"There is no destination {name!r}. The destinations are: {', '.join(destinations)}.", 2)
    good = True
    for one in [name] if name is not None else destinations:
        tested = asyncio.run(check_token(destinations[one], topology.syncs_of(one)))
        good = good and tested.good
        if as_json:
            out.out(orjson.dumps(_facts(one, tested)).decode(), highlight=False)
        else:
            _print(one, tested)
        _note(one, tested)
    if not good:
        raise typer.Exit(1)


def _note(name: str, tested: Findings) -> None:
    """Let workers and `list` know, where their Redis can be reached; the test itself needs none."""
    with contextlib.suppress(typer.Exit):
        with_redis(lambda operator: note_findings(operator, name, tested), quiet=True)


def say_whose_tokens(destinations: Mapping[str, Destination]) -> None:
    """One line for each destination: whether its token works, and whose it is."""
    for name, destination in destinations.items():
        _print(name, asyncio.run(check_token(destination, scopes=False)))


def _facts(name: str, tested: Findings) -> dict[str, Any]:
    return {
        "destination": name,
        "works": tested.works,
        "summary": tested.summary,
        "scopes": [
            {"scope": scope, "found": tested.scopes.get(scope, Held.UNKNOWN), "needed_for": tested.needs.get(scope, [])}
            for scope in PROBES
        ],
    }


def _print(name: str, tested: Findings) -> None:
    verdict = "works" if tested.works else "does not work"
    style = None if tested.works else "red"
    out.print(f"{name}: {verdict}, {tested.summary}", style=style, markup=False, highlight=False, soft_wrap=True)
    if not tested.scopes:
        return
    table = table_with(whole("Scope"), "Has it", "Needed for")
    for scope, found in tested.scopes.items():
        needed = tested.needs.get(scope)
        style = "red" if needed and found is Held.NO else None if needed else "dim"
        table.add_row(scope, found, ", ".join(needed or ()) or "-", style=style)
    out.print(table)
