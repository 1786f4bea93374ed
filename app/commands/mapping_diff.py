"""`attentive-gateway mapping diff`: what a new configuration would change, on events that were recorded."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import orjson
import typer
from rich.progress import open as open_with_progress

from app.commands.common import err, fail, numeric, out, table_with
from app.config.document import BadFile
from app.config.topology import load_file
from app.operations.comparison import SAME, Comparison, shown
from app.operations.trial import whatever_its_age
from app.pipeline import Plan
from app.wiring.gateway import plan_of

_PLAIN: Final[Mapping[str, Any]] = {"markup": False, "highlight": False, "soft_wrap": True}
_BIG: Final = 1_000_000  # bytes, from which on progress is shown


def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="The YAML file in use.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The YAML file to compare it with.")],
    events: Annotated[Path, typer.Argument(metavar="EVENTS.ndjson", help="The events, one JSON object on each line.")],
    destination: Annotated[str | None, typer.Option(metavar="NAME", help="Only this destination.")] = None,
    examples: Annotated[int, typer.Option(min=0, help="The number of changed events to show of each kind.")] = 3,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show personal data.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what NEW would change on recorded events, compared with OLD.

    Exit status 0: it changes nothing; 1: it changes something; 2: a mistake.

    Events are what trackers post: a log of your own, an archive of Segment's or RudderStack's, dead letters, whole.

    The journal is not suitable, because it keeps events masked.

    The age of the events does not count, and neither does what Redis stores: profiles and the types of attributes.
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
                _add(comparison, line, {name: (before[name], after[name]) for name in names}, examples)
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
        fail(f"Cannot read {events}: {failure.strerror}.", 2)


def _add(comparison: Comparison, line: bytes, plans: Mapping[str, tuple[Plan, Plan]], examples: int) -> None:
    try:
        raw = orjson.loads(line)
    except orjson.JSONDecodeError:
        comparison.events += 1
        comparison.refused += 1
    else:
        comparison.add(_event_in(raw), plans, now=datetime.now(UTC), examples=examples)


def _event_in(line: Any) -> Any:
    """The event of a line: the line itself, or what a dead letter holds."""
    if isinstance(line, dict):
        for name in ("original", "event"):
            if isinstance(line.get(name), dict):
                return line[name]
    return line


def _facts(comparison: Comparison, only: Mapping[str, list[str]], *, reveal: bool) -> dict[str, Any]:
    return {
        "events": comparison.events,
        "refused": comparison.refused,
        "changed": comparison.changed,
        "destinations": {name: dict(kinds.most_common()) for name, kinds in comparison.kinds.items()},
        "fields": dict(comparison.fields.most_common()),
        "destinations_added": only["added"],
        "destinations_removed": only["removed"],
        "examples": [
            {
                "kind": change.kind,
                "destination": change.destination,
                "line": change.line,
                "event": change.event,
                "differences": [
                    {"at": place, "old": shown(place, old, reveal=reveal), "new": shown(place, new, reveal=reveal)}
                    for place, old, new in change.differences
                ],
            }
            for change in comparison.examples
        ],
    }


def _print(comparison: Comparison, only: Mapping[str, list[str]], *, reveal: bool) -> None:
    table = table_with("Destination", "What becomes of them", *numeric("Events"))
    for name, kinds in comparison.kinds.items():
        for kind, count in kinds.most_common():
            table.add_row(name, kind, f"{count:,}", style="dim" if kind == SAME else None)
    out.print(table)
    for change in comparison.examples:
        out.print(f"{change.destination}, line {change.line}, {change.event}: {change.kind}", **_PLAIN)
        for place, old, new in change.differences:
            for sign, value, style in (("-", old, "red"), ("+", new, "green")):
                if value is not None:
                    text = orjson.dumps(shown(place, value, reveal=reveal)).decode()
                    out.print(f"  {sign} {place}: {text}", style=style, **_PLAIN)
    for what, names in only.items():
        if names:
            out.print(f"Destinations {what}: {', '.join(names)}", **_PLAIN)
    refused = f", {comparison.refused:,} of them refused or no events" if comparison.refused else ""
    changes = "nothing changes" if not comparison.changed else f"{comparison.changed:,} changes"
    out.print(f"{comparison.events:,} events{refused}: {changes}", **_PLAIN)
