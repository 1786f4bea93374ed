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
from app.commands.trial import chosen, destinations_of, topology_of
from app.commands.trial_report import print_trial
from app.config.destination import Destination
from app.config.document import BadFile, Document
from app.config.source import Source
from app.config.topology import Topology, load_file
from app.operations.trial import trial_facts, tried, whatever_its_age
from app.segment.events import InvalidEvent
from app.wiring.alerts import alert_plan
from app.wiring.gateway import plan_of

commands = typer.Typer(no_args_is_help=True, help="Show, check and test how events are mapped.")
commands.command("show")(show)
commands.command("diff")(diff)
commands.command("page", hidden=True)(page)


@commands.command("check")
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The YAML file of sources and destinations.")],
    strict: Annotated[bool, typer.Option("--strict", help="Exit with status 1 for warnings, too.")] = False,
) -> None:
    """Check a configuration file, for CI. The exit status is 1, with a line for each mistake, when it cannot be used.

    An event whose name is nearly one of the catalogue's is a warning. Secrets need not be available: a variable that is
    not set here, or a file that is elsewhere, is not a mistake. Addresses of alert channels are checked, and nothing is
    sent.
    """
    try:
        loaded = load_file(file, secrets_needed=False)
    except BadFile as bad:
        for mistake in bad.mistakes:
            out.out(f"{file}:{mistake.line}: {mistake}", highlight=False)
        raise typer.Exit(1) from None
    topology = loaded.topology
    if unusable := _unusable_channels(file, topology):
        for line in unusable:
            out.out(line, highlight=False)
        raise typer.Exit(1)
    rows = sum(len(account.mapping.overrides().rows) for account in topology.destinations.values())
    found = [_count(len(topology.destinations), "destination"), _count(len(topology.sources), "source")]
    found += [_count(rows, "event") + " mapped its own way"] if rows else []
    unknown = f"; {_count(loaded.unknown_secrets, 'secret')} not at hand" if loaded.unknown_secrets else ""
    for warning in loaded.warnings:
        out.out(f"{file}:{warning.line}: warning: {warning}", highlight=False)
    if strict and loaded.warnings:
        raise typer.Exit(1)
    out.out(f"{file}: good, {', '.join(found)}{unknown}", highlight=False)


def _unusable_channels(file: Path, topology: Topology) -> list[str]:
    """A line for each channel of alerts whose address is wrong. Addresses that are not at hand are left out."""
    addresses = alert_plan(topology).addresses
    if not addresses:
        return []
    from app.alerts.channels import problem_with  # it loads what sends alerts

    document = Document(file, file.read_bytes())
    found = []
    for name, address in addresses.items():
        if problem := problem_with(address):
            where, line = document.place(("alerts", "channels", name, "url"))
            found.append(f"{file}:{line}: {'.'.join(where)}: {problem}")
    return found


@commands.command("try")
def try_event(
    event: Annotated[
        Path | None,
        typer.Argument(metavar="EVENT.json", help="The event, as a tracker posts it. Without it, standard input."),
    ] = None,
    destination: DestinationName = None,
    source: Annotated[str | None, typer.Option(metavar="NAME", help="Treat the event as sent by this source.")] = None,
    config: Config = None,
    ignore_age: Annotated[bool, typer.Option("--ignore-age", help="Map the event whatever its age.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each event.")] = False,
) -> None:
    """Show every decision about one event, and the exact calls to Attentive. Nothing is sent or kept.

    Redis is not read either, so stored profiles do not complete the identity of an event that has an ID alone.

    Exit status 1: the event would be refused at intake.
    """
    sender = None if source is None else _source(config, source)
    name, account = _destination_for(config, destination if sender is None else sender.destination)
    plan = replace(plan_of(account), erasures=sender is not None and sender.erasures)
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
        known = f"The sources are: {', '.join(topology.sources)}." if topology else "Name the YAML file with --config."
        fail(f"There is no source {name!r}. {known}", 2)
    return topology.sources[name]


def _destination_for(config: Path | None, name: str | None) -> tuple[str, Destination]:
    """The one destination that an event goes to."""
    destinations = destinations_of(config)
    if name is None and len(destinations) > 1:
        fail(f"Add --destination or --source. The destinations are: {', '.join(destinations)}.", 2)
    ((name, account),) = chosen(destinations, name or next(iter(destinations))).items()
    return name, account


def _events_in(file: Path | None) -> list[Any]:
    """One event, or all of a batch."""
    try:
        content = sys.stdin.buffer.read() if file is None or str(file) == "-" else file.read_bytes()
        raw = orjson.loads(content)
    except OSError as failure:
        fail(f"Cannot read {file}: {failure.strerror}.", 2)
    except orjson.JSONDecodeError as problem:
        fail(f"{file or 'standard input'}: no JSON: {problem}", 2)
    batch = raw.get("batch") if isinstance(raw, dict) else raw
    return batch if isinstance(batch, list) else [raw]


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
