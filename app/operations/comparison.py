"""What another mapping would change: events are tried with both, and the calls compared field by field. Pure."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson

from app.delivery.delivery import Delivery
from app.masking import PERSONAL, mask_personal, mask_text
from app.operations.trial import Trial, tried
from app.pipeline import Forward, Plan
from app.segment.events import InvalidEvent

SAME: Final = "the same"
_INDEX: Final = re.compile(r"\[[0-9]+\]")
_STEP: Final = re.compile(r"[.\[]")  # between the names in a place


@dataclass(frozen=True, slots=True)
class Change:
    """One event that the new configuration treats in another way."""

    kind: str
    destination: str
    line: int  # of the file of events, or the number of the event
    event: str
    differences: tuple[tuple[str, Any, Any], ...] = ()  # place in a call, old value, new value


@dataclass(slots=True)
class Comparison:
    """All events so far."""

    lines: int = 0
    events: int = 0
    refused: int = 0  # no events, or such as are refused at intake
    kinds: dict[str, Counter[str]] = field(default_factory=dict)  # by destination
    fields: Counter[str] = field(default_factory=Counter)  # how many events differ in each place of a call
    examples: list[Change] = field(default_factory=list)

    @property
    def changed(self) -> int:
        """How often an event is treated in another way."""
        return sum(count for kinds in self.kinds.values() for kind, count in kinds.items() if kind != SAME)

    def add(self, raw: Any, plans: Mapping[str, tuple[Plan, Plan]], *, now: datetime, examples: int) -> None:
        """Try one event with the old and the new plan of each destination; keep `examples` of each kind of change."""
        self.events += 1
        try:
            pairs = {name: [tried(raw, plan, received_at=now) for plan in both] for name, both in plans.items()}
        except InvalidEvent:
            self.refused += 1
            return
        for name, (old, new) in pairs.items():
            kind, differences = compared(old, new)
            counts = self.kinds.setdefault(name, Counter())
            counts[kind] += 1
            self.fields.update({_INDEX.sub("[]", place) for place, _, _ in differences})
            if kind != SAME and counts[kind] <= examples:
                event = mask_text(new.event.name or new.event.type)
                self.examples.append(Change(kind, name, self.lines, event, tuple(differences)))


def compared(old: Trial, new: Trial) -> tuple[str, list[tuple[str, Any, Any]]]:
    """The kind of change between what becomes of the same event, and what differs in the calls."""
    before, after = _calls(old), _calls(new)
    differences: list[tuple[str, Any, Any]] = []
    parts: list[str] = []
    for endpoint in {**before, **after}:
        was, sent = before.get(endpoint), after.get(endpoint)
        found = list(_differences(endpoint, _body(was), _body(sent)))
        parts += [f"other {endpoint} call"] if found else []
        if was and sent and was.priority != sent.priority:
            parts.append(f"other priority of {endpoint}")
            found.append((f"{endpoint} priority", was.priority.name.lower(), sent.priority.name.lower()))
        differences += found
    if old.outcome != new.outcome:
        return f"{old.outcome} → {new.outcome}", differences
    if before.keys() != after.keys():
        return f"{' + '.join(before)} → {' + '.join(after)}", differences
    return ", ".join(parts) or SAME, differences


def _body(sent: Delivery | None) -> Any:
    return None if sent is None else orjson.loads(sent.body)


def _calls(trial: Trial) -> dict[str, Delivery]:
    """By endpoint; of several to one, such as two opt-ins, the second and further ones with their number."""
    calls: dict[str, Delivery] = {}
    for sent in trial.decision.deliveries if isinstance(trial.decision, Forward) else ():
        before = sum(each.endpoint == sent.endpoint for each in calls.values())
        calls[f"{sent.endpoint} {before + 1}" if before else sent.endpoint] = sent
    return calls


def _differences(place: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    """Where two JSON values differ: place, old, new; None where there is none."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            yield from _differences(f"{place}.{key}", old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _differences(f"{place}[{index}]", one, other)
    elif old != new:
        yield place, old, new


def shown(place: str, value: Any, *, reveal: bool) -> Any:
    """A value at a place of a call; masked where it names a person, unless revealed."""
    return value if reveal else mask_personal(value, personal=not PERSONAL.isdisjoint(_STEP.split(place)))
