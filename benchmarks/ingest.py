"""How many requests per second the gateway answers, and how fast, beside three other servers on the same machine.

Run it from the repository's root: `python -m benchmarks.ingest`. It needs wrk and a redis-server.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from app.embedded import NoRedis
from benchmarks.contenders import CONTENDERS
from benchmarks.failure import BenchmarkFailed
from benchmarks.measure import Measurement, measure
from benchmarks.report import HEADINGS, Report, machine, markdown, table
from benchmarks.wrk import CONNECTIONS, find_wrk

MOST_ROUNDS = 50
MOST_SECONDS = 60


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Returns the exit status."""
    options = _options(arguments)
    try:
        find_wrk()
        report = Report(machine(), _measure_all(options.rounds, options.seconds))
    except (BenchmarkFailed, NoRedis) as failure:
        print(f"benchmark failed: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    _print(report, options)
    if options.json is not None:
        options.json.write_bytes(orjson.dumps(report.as_json(), option=orjson.OPT_INDENT_2) + b"\n")
    return 0


def _measure_all(rounds: int, seconds: int) -> list[dict[str, Measurement]]:
    """Every server once per round, so that whatever else the machine does falls on all of them."""
    measured: list[dict[str, Measurement]] = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=rounds * len(CONTENDERS))
        for number in range(1, rounds + 1):
            figures: dict[str, Measurement] = {}
            for contender in CONTENDERS:
                progress.update(task, description=f"round {number}, ({contender.letter}) {contender.name}")
                figures[contender.letter] = measure(contender, seconds=seconds)
                progress.advance(task)
            measured.append(figures)
            rates = ", ".join(f"({letter}) {found.per_second:,.0f}" for letter, found in figures.items())
            progress.console.print(f"round {number}: {rates} requests/s", highlight=False)
    return measured


def _print(report: Report, options: argparse.Namespace) -> None:
    setting = f"{CONNECTIONS} connections, {options.rounds} rounds of {options.seconds} s, medians"
    if options.markdown:
        print(markdown(HEADINGS, report.rows()))
        print("\n" + "\n".join(f"- {sentence}" for sentence in report.comparisons()))
        print(f"\n{setting}. {report.machine}")
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 140
    console.print(table(f"POST /v1/track: {setting}", HEADINGS, report.rows()))
    for sentence in report.comparisons():
        console.print(f" {sentence}")
    console.print(f" {report.machine}", soft_wrap=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__)
    parser.add_argument("--rounds", type=_within(MOST_ROUNDS), default=5, help="how often each server is measured (5)")
    parser.add_argument("--seconds", type=_within(MOST_SECONDS), default=4, help="how long each time, in s (4)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--markdown", action="store_true", help="print Markdown, for benchmarks/README.md")
    return parser.parse_args(arguments)


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
