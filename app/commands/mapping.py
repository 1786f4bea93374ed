"""`attentive-gateway mapping`: what becomes of events, shown, checked and tried before it goes live."""

import sys
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.json import JSON
from rich.table import Table

from app.attentive.endpoints import BY_NAME
from app.commands.common import err, fail, out
from app.commands.mapping_diff import diff
from app.commands.mapping_show import Config, DestinationName, show
from app.commands.trial import Trial, chosen, destinations_of, topology_of, tried, whatever_its_age
from app.config.destination import Destination
from app.config.document import BadFile
from app.config.topology import load_file
from app.identity.identity import Identity
from app.mapping.catalogue import CATALOGUE
from app.pipeline import Bury, Forward
from app.segment.events import InvalidEvent
from app.topology import plan_of

commands = typer.Typer(no_args_is_help=True, help="See what becomes of events: shown, checked and tried.")
commands.command("show")(show)
commands.command("diff")(diff)


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
    name, account = _destination_for(config, destination, source)
    plan = plan_of(account)
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
            out.out(orjson.dumps(_facts(trial, name, account)).decode(), highlight=False)
        else:
            _print_trial(trial, name, account)
    if refused:
        raise typer.Exit(1)


def _destination_for(config: Path | None, name: str | None, source: str | None) -> tuple[str, Destination]:
    """The one destination that an event goes to."""
    destinations = destinations_of(config)
    if source is not None:
        topology = topology_of(config)
        if topology is None or source not in topology.sources:
            known = f"; there are: {', '.join(topology.sources)}" if topology else " without a file"
            fail(f"there is no source {source!r}{known}", 2)
        name = topology.sources[source].destination
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


def _facts(trial: Trial, destination: str, account: Destination) -> dict[str, Any]:
    decision = trial.decision
    return {
        "event": trial.event.name or trial.event.type,
        "message_id": trial.event.message_id,
        "destination": destination,
        "identity": _identity_facts(trial.found.identity),
        "rules": [rule.name for rule in trial.rules],
        "decision": trial.outcome,
        "detail": decision.detail if isinstance(decision, Bury) else "",
        "notes": list(decision.notes),
        "calls": _calls(trial, account),
    }


def _calls(trial: Trial, account: Destination) -> list[dict[str, Any]]:
    if not isinstance(trial.decision, Forward):
        return []
    return [
        {
            "method": "POST",
            "url": account.base_url + BY_NAME[sent.endpoint].path,
            "priority": sent.priority.name.lower(),
            "body": orjson.loads(sent.body),
        }
        for sent in trial.decision.deliveries
    ]


def _print_trial(trial: Trial, destination: str, account: Destination) -> None:
    event, decision = trial.event, trial.decision
    about = Table(box=None, show_header=False, pad_edge=False)
    about.add_row("Event", f"{event.name or event.type} ({event.type}), message id {event.message_id}")
    about.add_row("Destination", destination)
    identity = _identity_facts(trial.found.identity)
    about.add_row("Identity", "\n".join(f"{key} {value}" for key, value in identity.items()) or "nobody")
    about.add_row("Filter", "passes" if trial.found.identity else "stops it: nobody whom Attentive could know")
    own = {rule.name: "" if rule in CATALOGUE else "  (changed by the configuration)" for rule in trial.rules}
    about.add_row("Rules", "\n".join(name + by for name, by in own.items()) or "none")
    about.add_row("Notes", "\n".join(decision.notes) or "none")
    detail = f": {decision.detail}" if isinstance(decision, Bury) else ""
    about.add_row("Decision", trial.outcome + detail)
    out.print(about, markup=False, highlight=False)
    for call in _calls(trial, account):
        out.print(f"\n{call['method']} {call['url']}   priority {call['priority']}", highlight=False, soft_wrap=True)
        out.print(JSON(orjson.dumps(call["body"]).decode()), soft_wrap=True)


def _identity_facts(identity: Identity | None) -> dict[str, Any]:
    if identity is None:
        return {}
    named = {
        "email": identity.email,
        "phone": identity.phone,
        "clientUserId": identity.client_user_id,
        "shopifyId": identity.shopify_id,
        "klaviyoId": identity.klaviyo_id,
    }
    return {name: value for name, value in named.items() if value} | dict(identity.custom)


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
