"""One tried event as operators see it: whom it is about, what was decided and why, and the exact calls."""

import orjson
from rich.console import Console
from rich.json import JSON
from rich.table import Table

from app.config.destination import Destination
from app.mapping.catalogue import CATALOGUE
from app.operations.trial import Trial, calls_of, identity_facts
from app.pipeline import Fail


def print_trial(console: Console, trial: Trial, destination: str, account: Destination) -> None:
    """All of it, for people."""
    event, decision = trial.event, trial.decision
    about = Table(box=None, show_header=False, pad_edge=False)
    about.add_row("Event", f"{event.name or event.type} ({event.type}), message id {event.message_id}")
    about.add_row("Destination", destination)
    identity = identity_facts(trial.identity)
    about.add_row("Identity", "\n".join(f"{key} {value}" for key, value in identity.items()) or "none")
    about.add_row("Filter", "passes" if trial.identity else "stops it: it has no identifier that Attentive can use")
    own = {rule.name: "" if rule in CATALOGUE else "  (changed by the configuration)" for rule in trial.rules}
    about.add_row("Rules", "\n".join(name + by for name, by in own.items()) or "none")
    about.add_row("Notes", "\n".join(decision.notes) or "none")
    detail = f": {decision.detail}" if isinstance(decision, Fail) else ""
    about.add_row("Decision", trial.outcome + detail)
    console.print(about, markup=False, highlight=False)
    for call in calls_of(trial, account):
        asked = " and ".join(call.get("asked_first", ()))
        unless = f", unless Attentive already has that state (checked by {asked})" if asked else ""
        line = f"\n{call['method']} {call['url']}   priority {call['priority']}{unless}"
        console.print(line, highlight=False, soft_wrap=True)
        console.print(JSON(orjson.dumps(call["body"]).decode()), soft_wrap=True)
