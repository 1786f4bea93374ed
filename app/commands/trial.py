"""What would become of one event: the same road that it takes at the door, with nothing kept and nobody told."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from app.commands.common import fail
from app.config.destination import Destination
from app.config.topology import Topology, load_file
from app.identity.extract import Extraction, extract_identity
from app.mapping.catalogue import Rule
from app.pipeline import Bury, Decision, Drop, Forget, Forward, Plan, decide
from app.segment.events import SegmentEvent, parse_event
from app.settings import DEFAULT_DESTINATION, load_settings

NO_ID: Final = "no-message-id"  # of an event that has none: a tracker's would differ each time
SOURCE: Final = "trial"


@dataclass(frozen=True, slots=True)
class Trial:
    """One event, and everything decided about it."""

    event: SegmentEvent
    found: Extraction
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
            case Bury(reason=reason):
                return f"dead letter: {reason}"
            case Forget():
                return "deletion"


def tried(raw: Any, plan: Plan, *, received_at: datetime | None = None) -> Trial:
    """What becomes of one event that arrives now. Raises InvalidEvent for one that is refused."""
    if isinstance(raw, dict):
        kind = {"type": "track"} if "type" not in raw and "event" in raw else {}
        raw = {"messageId": NO_ID, **kind, **{key: value for key, value in raw.items() if key != "writeKey"}}
    inspected = plan.guard.inspect(raw, orjson.dumps(raw))
    event = parse_event(inspected.event, plan.identity.names_somebody)
    decision = decide(
        event,
        plan,
        original=inspected.json,
        source=SOURCE,
        received_at=received_at or datetime.now(UTC),
        findings=inspected.findings,
    )
    return Trial(event, extract_identity(event, plan.identity), plan.catalogue.rules_for(event), decision)


def whatever_its_age(plan: Plan) -> Plan:
    """The same plan for events that were recorded long ago."""
    return replace(plan, any_age=True)


def topology_of(config: Path | None) -> Topology | None:
    """What a file says, or the file of GATEWAY_CONFIG; None without either. Secrets need not be at hand."""
    path = config or load_settings().config
    return None if path is None else load_file(path, secrets_needed=False).topology


def destinations_of(config: Path | None) -> Mapping[str, Destination]:
    """The destinations of a file or of GATEWAY_CONFIG; without either, the one that the environment describes."""
    if (topology := topology_of(config)) is not None:
        return topology.destinations
    settings = load_settings()
    account = {"api_token": "unknown", "base_url": settings.base_url, "default_region": settings.default_region}
    return {DEFAULT_DESTINATION: Destination.model_validate(account)}


def chosen(destinations: Mapping[str, Destination], name: str | None) -> Mapping[str, Destination]:
    """The one of this name, or all. Ends the command when there is none."""
    if name is None:
        return destinations
    if name not in destinations:
        fail(f"there is no destination {name!r}; there are: {', '.join(destinations)}", 2)
    return {name: destinations[name]}
