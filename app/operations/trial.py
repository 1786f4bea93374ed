"""What would become of one event: the road that it takes at intake, without storing or sending anything."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from app.attentive.endpoints import BY_NAME
from app.config.destination import Destination
from app.identity.identity import Identity
from app.mapping.catalogue import Rule
from app.pipeline import Decision, Drop, Erase, Fail, Forward, Plan, decide, read
from app.segment.events import SegmentEvent

NO_ID: Final = "no-message-id"  # of an event that has none: a tracker's would differ each time
SOURCE: Final = "trial"


@dataclass(frozen=True, slots=True)
class Trial:
    """One event, and everything decided about it."""

    event: SegmentEvent
    identity: Identity | None  # that the event names by itself
    rules: tuple[Rule, ...]
    decision: Decision

    @property
    def outcome(self) -> str:
        """In a word or two: "forward", "drop: no_identity", "dead letter: unmappable"."""
        match self.decision:
            case Forward():
                return "forward"
            case Drop(reason=reason):
                return f"drop: {reason.value}"
            case Fail(reason=reason):
                return f"dead letter: {reason}"
            case Erase():
                return "erasure"


def tried(raw: Any, plan: Plan, *, received_at: datetime | None = None) -> Trial:
    """What becomes of one event that arrives now. Raises InvalidEvent for one that is refused."""
    if isinstance(raw, dict):
        kind = {"type": "track"} if "type" not in raw and "event" in raw else {}
        raw = {"messageId": NO_ID, **kind, **{key: value for key, value in raw.items() if key != "writeKey"}}
    reading = read(raw, orjson.dumps(raw), plan)
    decision = decide(reading, plan, source=SOURCE, received_at=received_at or datetime.now(UTC))
    identity = None if reading.found is None else reading.found.identity
    return Trial(reading.event, identity, plan.catalogue.rules_for(reading.event), decision)


def whatever_its_age(plan: Plan) -> Plan:
    """The same plan for events that were recorded long ago."""
    return replace(plan, any_age=True)


def trial_facts(trial: Trial, destination: str, account: Destination) -> dict[str, Any]:
    """All of it, for programs."""
    decision = trial.decision
    return {
        "event": trial.event.name or trial.event.type,
        "message_id": trial.event.message_id,
        "destination": destination,
        "identity": identity_facts(trial.identity),
        "rules": [rule.name for rule in trial.rules],
        "decision": trial.outcome,
        "detail": decision.detail if isinstance(decision, Fail) else "",
        "notes": list(decision.notes),
        "calls": calls_of(trial, account),
    }


def calls_of(trial: Trial, account: Destination) -> list[dict[str, Any]]:
    """The calls that the event becomes: method, address, priority and body."""
    if not isinstance(trial.decision, Forward):
        return []
    return [
        {
            "method": "POST",
            "url": account.base_url + BY_NAME[sent.endpoint].path,
            "priority": sent.priority.name.lower(),
            **({"asked_first": list(sent.unverified)} if sent.unverified else {}),
            "body": orjson.loads(sent.body),
        }
        for sent in trial.decision.deliveries
    ]


def identity_facts(identity: Identity | None) -> dict[str, Any]:
    """The identifiers of a person, by Attentive's names."""
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
