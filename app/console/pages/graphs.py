"""Graphs over time as SVG paths: rates and delays of the last hour. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from app.delivery.journal.event_rates import Rates

WIDTH: Final = 600
HEIGHT: Final = 100


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a graph."""

    kind: str  # its colour
    name: str
    path: str
    area: str  # the path of what is below it; empty for all but the first line


@dataclass(frozen=True, slots=True)
class Graph:
    """Some lines over one hour. Heights are shares of `most`."""

    title: str
    lines: Sequence[Line]
    most: float  # at the top
    unit: str  # "a minute" or "s"
    begin: datetime
    text: str  # for screen readers


def graphs(rates: Rates) -> list[Graph]:
    """Rates, and delays where there are any. Empty where nothing happened."""
    buckets = rates.buckets
    counts = {
        "received": ("Received", [each.received for each in buckets]),
        "delivered": ("Delivered", [each.delivered for each in buckets]),
        "dead": ("Failed attempts", [each.failed for each in buckets]),
    }
    delays = {
        "unknown": ("95 of 100 faster than", [_seconds(each.slowest) for each in buckets]),
        "waiting": ("Median", [_seconds(each.median) for each in buckets]),
    }
    found = [
        _graph("Events and calls a minute", "a minute", counts, buckets[0].begin),
        _graph("From arrival to delivery", "s", delays, buckets[0].begin),
    ]
    return [graph for graph in found if graph.most]


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds()


def _graph(title: str, unit: str, series: Mapping[str, tuple[str, Sequence[float | None]]], begin: datetime) -> Graph:
    most = max((value for _, values in series.values() for value in values if value), default=0.0)
    lines = [
        Line(kind, name, _path(values, most), _area(values, most) if number == 0 else "")
        for number, (kind, (name, values)) in enumerate(series.items())
        if any(values)
    ]
    peaks = ", ".join(
        f"{name} at most {max(value for value in values if value):g} {unit}"
        for name, values in series.values()
        if any(values)
    )
    return Graph(title, lines, most, unit, begin, f"{title} in the last hour: {peaks}.")


def _points(values: Sequence[float | None], most: float) -> Iterator[list[tuple[float, float]]]:
    """The points of each part of a line without a gap."""
    part: list[tuple[float, float]] = []
    for number, value in enumerate(values):
        if value is None:
            if part:
                yield part
            part = []
            continue
        x = WIDTH * number / max(1, len(values) - 1)
        part.append((round(x, 1), round(HEIGHT - (HEIGHT - 4) * value / (most or 1) - 2, 1)))
    if part:
        yield part


def _path(values: Sequence[float | None], most: float) -> str:
    parts = ("L".join(f"{x:g} {y:g}" for x, y in _wide(part)) for part in _points(values, most))
    return "".join(f"M{part}" for part in parts)


def _wide(part: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """A single point is drawn as a short line."""
    return part if len(part) > 1 else [(part[0][0] - 2, part[0][1]), (part[0][0] + 2, part[0][1])]


def _area(values: Sequence[float | None], most: float) -> str:
    areas = []
    for part in _points(values, most):
        wide = _wide(part)
        line = "L".join(f"{x:g} {y:g}" for x, y in wide)
        areas.append(f"M{wide[0][0]:g} {HEIGHT}L{line}L{wide[-1][0]:g} {HEIGHT}Z")
    return "".join(areas)
