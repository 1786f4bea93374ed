"""One tried event as operators see it: whom it is about, what was decided and why, and the exact calls."""

from typing import Any

import orjson
from rich.console import Console
from rich.json import JSON
from rich.table import Table

from app.attentive.endpoints import BY_NAME
from app.commands.trial import Trial
from app.config.destination import Destination
from app.identity.identity import Identity
from app.mapping.catalogue import CATALOGUE
from app.pipeline import Bury, Forward


def trial_facts(trial: Trial, destination: str, account: Destination) -> dict[str, Any]:
    """All of it, for programs."""
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
            **({"asked_first": list(sent.doubts)} if sent.doubts else {}),
            "body": orjson.loads(sent.body),
        }
        for sent in trial.decision.deliveries
    ]


def print_trial(console: Console, trial: Trial, destination: str, account: Destination) -> None:
    """All of it, for people."""
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
    console.print(about, markup=False, highlight=False)
    for call in _calls(trial, account):
        asked = " and ".join(call.get("asked_first", ()))
        unless = f", unless Attentive says that it is so already (asked by {asked})" if asked else ""
        line = f"\n{call['method']} {call['url']}   priority {call['priority']}{unless}"
        console.print(line, highlight=False, soft_wrap=True)
        console.print(JSON(orjson.dumps(call["body"]).decode()), soft_wrap=True)


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
