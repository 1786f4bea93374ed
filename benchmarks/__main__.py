"""Everything that is measured, in one table: how fast the gateway is beside the obvious way and beside the limit.

Run it from the repository's root: `python -m benchmarks`. It needs wrk and a redis-server, and takes under 10 minutes.
"""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks import intake, memory, road
from benchmarks.event import CONNECTIONS
from benchmarks.failure import ends_with_a_line
from benchmarks.machine import machine
from benchmarks.rows import HEADINGS, Found
from benchmarks.tables import markdown, table
from benchmarks.wrk import find_wrk

MOST_ROUNDS: Final = 50
MOST_SECONDS: Final = 60
Part = Callable[[argparse.Namespace, intake.Step], Found]


def _few(rounds: int) -> int:
    """For rows that are only reported: the time goes to those that have something to reach."""
    return min(rounds, 3)


PARTS: Final[dict[str, Part]] = {
    "track": lambda options, step: intake.single_events(options.rounds, options.seconds, step),
    "batch": lambda options, step: intake.batched_events(options.rounds, options.seconds, step),
    "worker": lambda options, step: road.deliveries(options.rounds, step),
    "latency": lambda options, step: road.latency(options.rounds, step),
    "memory": lambda options, step: memory.per_delivery(step),
    "backlog-intake": lambda options, step: intake.with_a_backlog(options.rounds, options.seconds, step),
    "backlog-worker": lambda options, step: road.with_a_backlog(options.rounds, step),
    "two-gateways": lambda options, step: intake.two_processes(_few(options.rounds), options.seconds, step),
    "two-workers": lambda options, step: road.two_workers(_few(options.rounds), step),
    "growth": lambda options, step: memory.growth(step, events=options.events, within_s=options.growth_seconds),
}


@ends_with_a_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Returns the exit status."""
    options = _options(arguments)
    find_wrk()
    where = machine()
    found = _measure(options)
    _print(found, where, options)
    if options.json is not None:
        content = {"machine": where, "rows": [row.as_json() for part in found for row in part.rows]}
        content["figures"] = dict(figure for part in found for figure in part.figures)  # type: ignore[assignment]
        options.json.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")
    return 0


def _measure(options: argparse.Namespace) -> list[Found]:
    found = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=len(options.parts))
        for part in options.parts:
            began = time.monotonic()
            found.append(PARTS[part](options, lambda what: progress.update(task, description=what)))
            progress.advance(task)
            verdicts = ", ".join(f"row {row.number} {row.spread.median:.2f} x {row.verdict}" for row in found[-1].rows)
            took = f"{time.monotonic() - began:.0f} s"
            progress.console.print(f"{part} ({took}): {verdicts}", highlight=False)
    return found


def _print(found: Sequence[Found], where: str, options: argparse.Namespace) -> None:
    rows = [row.cells() for part in found for row in part.rows]
    figures = [figure for part in found for figure in part.figures]
    setting = f"{CONNECTIONS} connections, median of {options.rounds} rounds"
    if options.markdown:
        print(markdown(HEADINGS, rows, words=3) + "\n")
        print(markdown(("figure", "median (lowest to highest)"), figures, words=2))
        print(f"\n{setting}. {where}")
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 160
    console.print(table(setting, HEADINGS, rows, words=3))
    console.print(table("", ("figure", "median (lowest to highest)"), figures, words=2))
    console.print(f" {where}", soft_wrap=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"all of these by default: {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=_within(MOST_ROUNDS), default=5, help="how often each is measured (5)")
    parser.add_argument("--seconds", type=_within(MOST_SECONDS), default=2, help="for each server, under load (2)")
    parser.add_argument("--events", type=_within(100 * memory.MANY), default=memory.MANY, help="for row 10 (1000000)")
    parser.add_argument("--growth-seconds", type=_within(7200), default=80, help="at most, for row 10 (80)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--markdown", action="store_true", help="print Markdown, for benchmarks/README.md")
    options = parser.parse_args(arguments)
    if unknown := [part for part in options.parts if part not in PARTS]:
        parser.error(f"there is no part {unknown[0]!r}: choose from {', '.join(PARTS)}")
    options.parts = options.parts or list(PARTS)
    return options


class _within:  # noqa: N801 - reads as a word where it is used
    def __init__(self, most: int) -> None:
        self._most = most

    def __call__(self, text: str) -> int:
        if not text.isdecimal() or not 1 <= int(text) <= self._most:
            raise argparse.ArgumentTypeError(f"a whole number from 1 to {self._most} is expected")
        return int(text)


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)  # like Ctrl-C: what was started is stopped on the way out
    sys.exit(main())
