"""`attentive-gateway mapping diff`: what a new configuration would change, on events that were recorded."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import orjson
import typer
from rich import box
from rich.progress import open as open_with_progress
from rich.table import Table

from app.commands.common import err, fail, out
from app.commands.trial import Trial, tried, whatever_its_age
from app.config.document import BadFile
from app.config.topology import load_file
from app.delivery.delivery import Delivery
from app.masking import PERSONAL, mask_personal, mask_text
from app.pipeline import Forward, Plan
from app.segment.events import InvalidEvent
from app.topology import plan_of

_SAME: Final = "the same"
_PLAIN: Final[Mapping[str, Any]] = {"markup": False, "highlight": False, "soft_wrap": True}
_STEP: Final = re.compile(r"[.\[]")  # between the names in a place
_BIG: Final = 1_000_000  # bytes, from which on progress is shown


@dataclass(frozen=True, slots=True)
class Change:
    """One event that the new configuration treats in another way."""

    kind: str
    destination: str
    line: int  # of the file of events
    event: str
    differences: tuple[tuple[str, Any, Any], ...] = ()  # place in a call, old value, new value


@dataclass(slots=True)
class Comparison:
    """All events so far."""

    lines: int = 0
    events: int = 0
    refused: int = 0  # no events, or such as are refused at the door
    kinds: dict[str, Counter[str]] = field(default_factory=dict)  # by destination
    examples: list[Change] = field(default_factory=list)

    @property
    def changed(self) -> int:
        """How often an event is treated in another way."""
        return sum(count for kinds in self.kinds.values() for kind, count in kinds.items() if kind != _SAME)


def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="the YAML file that runs")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="the one that is to run")],
    events: Annotated[Path, typer.Argument(metavar="EVENTS.ndjson", help="events, one JSON object a line")],
    destination: Annotated[str | None, typer.Option(metavar="NAME", help="only for this destination")] = None,
    examples: Annotated[int, typer.Option(min=0, help="show this many changed events of each kind")] = 3,
    reveal: Annotated[bool, typer.Option("--reveal", help="show personal data")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Say what NEW would change, compared with OLD, on recorded events. Exit status: 0 nothing, 1 something, 2 mistake.

    Events are what trackers post: a log of your own, an archive of Segment's or RudderStack's, dead letters, whole.

    The journal will not do: it keeps events masked.

    Left aside are the age of the events, and what Redis knows: memory and the types of attributes.
    """
    before, after = _plans(old), _plans(new)
    names = [name for name in before if name in after and destination in (None, name)]
    if not names:
        fail(f"{destination or 'no destination'} is in both files", 2)
    comparison = Comparison()
    with _opened(events) as lines:
        for line in lines:
            comparison.lines += 1
            if line.strip():
                _compare(line, {name: (before[name], after[name]) for name in names}, comparison, examples)
    only = {"added": sorted(after.keys() - before), "removed": sorted(before.keys() - after)}
    if as_json:
        out.out(orjson.dumps(_facts(comparison, only, reveal=reveal)).decode(), highlight=False)
    else:
        _print(comparison, only, reveal=reveal)
    raise typer.Exit(1 if comparison.changed or any(only.values()) else 0)


def _plans(file: Path) -> dict[str, Plan]:
    try:
        destinations = load_file(file, secrets_needed=False).topology.destinations
    except BadFile as bad:
        fail("\n".join(f"{file}:{mistake.line}: {mistake}" for mistake in bad.mistakes), 2)
    return {name: whatever_its_age(plan_of(destination)) for name, destination in destinations.items()}


@contextmanager
def _opened(events: Path) -> Iterator[BinaryIO]:
    try:
        if events.stat().st_size < _BIG:
            with events.open("rb") as file:
                yield file
        else:
            with open_with_progress(events, "rb", description="Comparing", console=err, transient=True) as file:
                yield file
    except OSError as failure:
        fail(f"cannot read {events}: {failure.strerror}", 2)


def _compare(line: bytes, plans: Mapping[str, tuple[Plan, Plan]], comparison: Comparison, examples: int) -> None:
    now = datetime.now(UTC)
    comparison.events += 1
    try:
        raw = _event_in(orjson.loads(line))
        pairs = {name: [tried(raw, plan, received_at=now) for plan in both] for name, both in plans.items()}
    except (InvalidEvent, orjson.JSONDecodeError):
        comparison.refused += 1
        return
    for name, (old, new) in pairs.items():
        kind, differences = compared(old, new)
        counts = comparison.kinds.setdefault(name, Counter())
        counts[kind] += 1
        if kind != _SAME and counts[kind] <= examples:
            event = mask_text(new.event.name or new.event.type)
            comparison.examples.append(Change(kind, name, comparison.lines, event, tuple(differences)))


def _event_in(line: Any) -> Any:
    """The event of a line: the line itself, or what a dead letter holds."""
    if isinstance(line, dict):
        for name in ("original", "event"):
            if isinstance(line.get(name), dict):
                return line[name]
    return line


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
    return ", ".join(parts) or _SAME, differences


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


def _facts(comparison: Comparison, only: Mapping[str, list[str]], *, reveal: bool) -> dict[str, Any]:
    return {
        "events": comparison.events,
        "refused": comparison.refused,
        "changed": comparison.changed,
        "destinations": {name: dict(kinds.most_common()) for name, kinds in comparison.kinds.items()},
        "destinations_added": only["added"],
        "destinations_removed": only["removed"],
        "examples": [
            {
                "kind": change.kind,
                "destination": change.destination,
                "line": change.line,
                "event": change.event,
                "differences": [
                    {"at": place, "old": _shown(place, old, reveal=reveal), "new": _shown(place, new, reveal=reveal)}
                    for place, old, new in change.differences
                ],
            }
            for change in comparison.examples
        ],
    }


def _print(comparison: Comparison, only: Mapping[str, list[str]], *, reveal: bool) -> None:
    table = Table("Destination", "What becomes of them", "Events", box=box.SIMPLE_HEAD, pad_edge=False)
    table.columns[2].justify = "right"
    for name, kinds in comparison.kinds.items():
        for kind, count in kinds.most_common():
            table.add_row(name, kind, f"{count:,}", style="dim" if kind == _SAME else None)
    out.print(table)
    for change in comparison.examples:
        out.print(f"{change.destination}, line {change.line}, {change.event}: {change.kind}", **_PLAIN)
        for place, old, new in change.differences:
            for sign, value, style in (("-", old, "red"), ("+", new, "green")):
                if value is not None:
                    text = orjson.dumps(_shown(place, value, reveal=reveal)).decode()
                    out.print(f"  {sign} {place}: {text}", style=style, **_PLAIN)
    for what, names in only.items():
        if names:
            out.print(f"Destinations {what}: {', '.join(names)}", **_PLAIN)
    refused = f", {comparison.refused:,} of them refused or no events" if comparison.refused else ""
    changes = "nothing changes" if not comparison.changed else f"{comparison.changed:,} changes"
    out.print(f"{comparison.events:,} events{refused}: {changes}", **_PLAIN)


def _shown(place: str, value: Any, *, reveal: bool) -> Any:
    return value if reveal else mask_personal(value, personal=not PERSONAL.isdisjoint(_STEP.split(place)))
