"""`attentive-gateway mapping`: what becomes of events, shown, checked and tried before it goes live."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from app.commands.common import err, fail, out
from app.commands.mapping_diff import diff
from app.commands.mapping_page import page
from app.commands.mapping_show import Config, DestinationName, show
from app.commands.trial import chosen, destinations_of, topology_of, tried, whatever_its_age
from app.commands.trial_report import print_trial, trial_facts
from app.config.destination import Destination
from app.config.document import BadFile
from app.config.source import Source
from app.config.topology import load_file
from app.segment.events import InvalidEvent
from app.topology import plan_of

commands = typer.Typer(no_args_is_help=True, help="See what becomes of events: shown, checked and tried.")
commands.command("show")(show)
commands.command("diff")(diff)
commands.command("page", hidden=True)(page)


@commands.command("check")
def check(file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML file of sources and destinations")]) -> None:
    """Check a configuration file, for CI: exit status 0 when it is good, 1 with a line for each mistake when not.

    Secrets need not be at hand: a variable that is not set here, or a file that is elsewhere, is no mistake.
    """
    try:
        loaded = load_file(file, secrets_needed=False)
    except BadFile as bad:
        for mistake in bad.mistakes:
            out.out(f"{file}:{mistake.line}: {mistake}", highlight=False)
        raise typer.Exit(1) from None
    topology = loaded.topology
    rows = sum(len(account.mapping.overrides().rows) for account in topology.destinations.values())
    found = [_count(len(topology.destinations), "destination"), _count(len(topology.sources), "source")]
    found += [_count(rows, "event") + " mapped its own way"] if rows else []
    unknown = f"; {_count(loaded.unknown_secrets, 'secret')} not at hand" if loaded.unknown_secrets else ""
    out.out(f"{file}: good, {', '.join(found)}{unknown}", highlight=False)


@commands.command("try")
def try_event(
    event: Annotated[
        Path | None,
        typer.Argument(metavar="EVENT.json", help="the event, as a tracker posts it; else standard input"),
    ] = None,
    destination: DestinationName = None,
    source: Annotated[str | None, typer.Option(metavar="NAME", help="as this source sends it")] = None,
    config: Config = None,
    ignore_age: Annotated[bool, typer.Option("--ignore-age", help="also an event of long ago")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object per event")] = False,
) -> None:
    """Show every decision about one event, and the exact calls to Attentive. Nothing is sent or kept.

    Redis is not asked either: memory, which may name the person of an event that has an id alone, is left aside.

    Exit status 1: the event would be refused at the door.
    """
    sender = None if source is None else _source(config, source)
    name, account = _destination_for(config, destination if sender is None else sender.destination)
    plan = replace(plan_of(account), deletions=sender is not None and sender.deletions)
    refused = False
    for raw in _events_in(event):
        try:
            trial = tried(raw, whatever_its_age(plan) if ignore_age else plan)
        except InvalidEvent as invalid:
            refused = True
            if as_json:
                out.out(orjson.dumps({"decision": "refused", "reason": str(invalid)}).decode(), highlight=False)
            else:
                err.print(f"refused with a 400: {invalid}", style="red", markup=False, highlight=False)
            continue
        if as_json:
            out.out(orjson.dumps(trial_facts(trial, name, account)).decode(), highlight=False)
        else:
            print_trial(out, trial, name, account)
    if refused:
        raise typer.Exit(1)


def _source(config: Path | None, name: str) -> Source:
    topology = topology_of(config)
    if topology is None or name not in topology.sources:
        known = f"; there are: {', '.join(topology.sources)}" if topology else " without a file"
        fail(f"there is no source {name!r}{known}", 2)
    return topology.sources[name]


def _destination_for(config: Path | None, name: str | None) -> tuple[str, Destination]:
    """The one destination that an event goes to."""
    destinations = destinations_of(config)
    if name is None and len(destinations) > 1:
        fail(f"say --destination or --source: there are {', '.join(destinations)}", 2)
    ((name, account),) = chosen(destinations, name or next(iter(destinations))).items()
    return name, account


def _events_in(file: Path | None) -> list[Any]:
    """One event, or all of a batch."""
    try:
        content = sys.stdin.buffer.read() if file is None or str(file) == "-" else file.read_bytes()
        raw = orjson.loads(content)
    except OSError as failure:
        fail(f"cannot read {file}: {failure.strerror}", 2)
    except orjson.JSONDecodeError as problem:
        fail(f"{file or 'standard input'}: no JSON: {problem}", 2)
    batch = raw.get("batch") if isinstance(raw, dict) else raw
    return batch if isinstance(batch, list) else [raw]


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
