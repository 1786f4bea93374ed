"""From measurements to what is printed: medians over the rounds, ratios within a round, the machine."""

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.table import Table

from app.embedded import find_redis
from benchmarks.contenders import CONTENDERS
from benchmarks.measure import Measurement

Rounds = Sequence[Mapping[str, Measurement]]  # one mapping per round, by the contender's letter

GATEWAY: Final = "d"
OTHERS: Final = ("a", "b", "c")
REACH: Final = 3.0  # times the requests per second of (c)
FIGURES: Final = ("per_second", "p50_ms", "p99_ms", "server_us", "redis_us")
HEADINGS: Final = ("server", "requests/s", "lowest to highest", "p50 ms", "p99 ms", "CPU µs, server", "CPU µs, Redis")


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over all rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """`values` holds at least one."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Report:
    """All that one run found."""

    machine: str
    rounds: Rounds

    def spread(self, letter: str, figure: str) -> Spread:
        """A figure of one server."""
        return Spread.of([getattr(measured[letter], figure) for measured in self.rounds])

    def ratio(self, other: str) -> Spread:
        """Requests per second of the gateway as a multiple of `other`'s, compared within each round."""
        return Spread.of([measured[GATEWAY].per_second / measured[other].per_second for measured in self.rounds])

    @property
    def reached(self) -> bool:
        """Whether the gateway answers at least REACH times as many requests as the obvious way."""
        return self.ratio("c").median >= REACH

    def rows(self) -> list[tuple[str, ...]]:
        """One per server, under HEADINGS."""
        return [
            (
                f"({contender.letter}) {contender.name}",
                f"{(rate := self.spread(contender.letter, 'per_second')).median:,.0f}",
                f"{rate.least:,.0f} to {rate.most:,.0f}",
                f"{self.spread(contender.letter, 'p50_ms').median:.1f}",
                f"{self.spread(contender.letter, 'p99_ms').median:.1f}",
                f"{self.spread(contender.letter, 'server_us').median:.0f}",
                f"{redis.median:.0f}" if (redis := self.spread(contender.letter, "redis_us")).median >= 1 else "-",
            )
            for contender in CONTENDERS
        ]

    def comparisons(self) -> list[str]:
        """The ratios as sentences, and whether the aim is reached."""
        ratios = {other: self.ratio(other) for other in OTHERS}
        return [
            *(
                f"{GATEWAY}/{other}: {ratio.median:.2f} ({ratio.least:.2f} to {ratio.most:.2f})"
                for other, ratio in ratios.items()
            ),
            f"reach: {GATEWAY} ≥ {REACH:g} x c: {'reached' if self.reached else 'missed'}",
        ]

    def as_json(self) -> dict[str, Any]:
        """Everything, with each round's own figures."""
        return {
            "machine": self.machine,
            "servers": {
                contender.letter: {
                    "name": contender.name,
                    **{
                        figure: {
                            **_spread_json(self.spread(contender.letter, figure)),
                            "rounds": [getattr(measured[contender.letter], figure) for measured in self.rounds],
                        }
                        for figure in FIGURES
                    },
                }
                for contender in CONTENDERS
            },
            "ratios": {f"{GATEWAY}/{other}": _spread_json(self.ratio(other)) for other in OTHERS},
            "reached": self.reached,
        }


def table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 1) -> Table:
    """For the terminal. The first `words` columns are words, the others figures, which stand to the right."""
    drawn = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for index, heading in enumerate(headings):
        drawn.add_column(heading, justify="left" if index < words else "right", no_wrap=index >= words)
    for row in rows:
        drawn.add_row(*row)
    return drawn


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 1) -> str:
    """The same for a README."""
    lines = [headings, ["---" if index < words else "---:" for index in range(len(headings))], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine() -> str:
    """Where and when: without it a figure says nothing. The load says how quiet the machine was before."""
    redis = ".".join(map(str, find_redis().version))
    now = datetime.now(UTC)
    return (
        f"{_processor()}, {os.cpu_count()} cores · Python {platform.python_version()} · Redis {redis} · "
        f"{now:%Y-%m-%d %H:%M} UTC · load before: {os.getloadavg()[0]:.1f}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _spread_json(spread: Spread) -> dict[str, float]:
    return {"median": spread.median, "min": spread.least, "max": spread.most}
