"""What deciding about one event costs, beside what Python's own json costs to read and write the same event.

Deciding is all that stands between a parsed event and its calls: the privacy guard, identity, filter, rules,
Attentive's own rules, and writing the calls' JSON. Run it from the repository's root: `python -m benchmarks.mapping`.
"""

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from rich.console import Console

from app.config.destination import Destination
from app.pipeline import Forward, Plan, Reading, decide
from app.segment.events import SegmentEvent, parse_event
from app.wiring.gateway import plan_of
from benchmarks.event import PEOPLE, event
from benchmarks.machine import machine
from benchmarks.rows import Spread, at_most
from benchmarks.tables import markdown, table

ROUNDS: Final = 25
STRANGERS: Final = 10_000
REACH: Final = at_most(3)
HEADINGS: Final = ("people", "decide µs", "range", "json µs", "ratio", "range", "reach", "verdict")
_AREAS: Final = [code for code in range(201, 990) if code % 100 != 11]


@dataclass(frozen=True, slots=True)
class Given:
    """One event in all the forms that are timed."""

    raw: dict[str, Any]
    text: str
    original: bytes
    parsed: SegmentEvent

    @classmethod
    def of(cls, raw: dict[str, Any]) -> "Given":
        """`raw` as its tracker sent it."""
        return cls(raw, json.dumps(raw), orjson.dumps(raw), parse_event(raw))


@dataclass(frozen=True, slots=True)
class Case:
    """µs per event of each round."""

    people: str
    decide_us: tuple[float, ...]
    json_us: tuple[float, ...]

    def row(self) -> tuple[str, ...]:
        """Under HEADINGS. The ratios are taken within each round."""
        ours = Spread.of(self.decide_us)
        ratio = Spread.of([mine / theirs for mine, theirs in zip(self.decide_us, self.json_us, strict=True)])
        return (
            self.people,
            f"{ours.median:.1f}",
            f"{ours.least:.1f} to {ours.most:.1f}",
            f"{statistics.median(self.json_us):.1f}",
            f"{ratio.median:.2f} x",
            f"{ratio.least:.2f} to {ratio.most:.2f}",
            str(REACH),
            REACH.verdict(ratio.median),
        )


def cases(rounds: int) -> list[Case]:
    """A thousand people, over and over; and ten thousand, a thousand in each round, more than our caches hold."""
    return [
        _measured(f"{PEOPLE:,}, over and over", PEOPLE, rounds),
        _measured(f"{STRANGERS:,}, a thousand a round", STRANGERS, rounds),
    ]


def _measured(name: str, people: int, rounds: int) -> Case:
    plan, received_at = _plan(), datetime.now(UTC)

    def ours(given: Given) -> object:
        inspected = plan.guard.inspect(given.raw, given.original)
        reading = Reading(given.parsed, inspected.json, inspected.findings)
        return decide(reading, plan, source="shop", received_at=received_at)

    decide_us, json_us = [], []
    for number in range(-people // PEOPLE, rounds):  # those before round 0 are not counted: everybody came by once
        events = [Given.of(_by_person((number * PEOPLE + place) % people)) for place in range(PEOPLE)]
        if number < 0 and not all(isinstance(ours(given), Forward) for given in events):
            raise AssertionError("an event of the benchmark is not forwarded")
        if number >= 0:
            decide_us.append(_cost_us(ours, events))
            json_us.append(_cost_us(lambda given: json.dumps(json.loads(given.text)), events))
    return Case(name, tuple(decide_us), tuple(json_us))


def _cost_us(work: Callable[[Given], object], events: Sequence[Given]) -> float:
    """µs of processor time that `work` takes for each event, with no garbage collection in between."""
    gc.collect()
    gc.disable()
    try:
        started = time.thread_time_ns()
        for given in events:
            work(given)
        return (time.thread_time_ns() - started) / 1_000 / len(events)
    finally:
        gc.enable()


def _by_person(number: int) -> dict[str, Any]:
    """The event by one of 10,000 people."""
    raw = event(number % PEOPLE, f"mapping-{number:010d}")
    raw["userId"] = f"cust_{100_000 + number}"
    traits = raw["context"]["traits"]
    traits["email"] = f"shopper.{number:05d}@example.com"
    traits["phone"] = f"+1{_AREAS[number // 100]}55501{number % 100:02d}"
    return raw


def _plan() -> Plan:
    return plan_of(Destination.model_validate({"api_token": "x", "base_url": "http://127.0.0.1:9"}))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mapping", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"how often each is measured, in turns ({ROUNDS})")
    parser.add_argument("--markdown", action="store_true", help="print Markdown, for benchmarks/README.md")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("--rounds: at least 1")
    where, size = machine(), len(orjson.dumps(event(0)))
    rows = [case.row() for case in cases(options.rounds)]
    if options.markdown:
        print(markdown(HEADINGS, rows), f"\n{where}", sep="\n")
    else:
        out = Console(highlight=False)
        if not out.is_terminal:
            out.width = 140
        title = f"one event of {size} bytes; median of {options.rounds} rounds in turns"
        out.print(table(title, HEADINGS, rows))
        out.print(f" {where}", soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
