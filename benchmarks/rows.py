"""The table: what is measured beside what, how far it should reach, and whether it does."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

HEADINGS: Final = ("#", "measured", "beside", "ratio", "lowest to highest", "reach", "verdict")


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
class Reach:
    """How far a ratio should go: at least `bound`, or at most. None of both: it is only reported."""

    bound: float | None = None
    at_most: bool = False

    def __str__(self) -> str:
        if self.bound is None:
            return "-"
        return f"{'at most ' if self.at_most else ''}{self.bound:.3g} x"

    def verdict(self, ratio: float) -> str:
        """reached, missed or reported."""
        if self.bound is None:
            return "reported"
        return "reached" if (ratio <= self.bound if self.at_most else ratio >= self.bound) else "missed"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `ratios` holds one figure per round, each taken within its round."""

    number: str
    measured: str
    beside: str
    ratios: tuple[float, ...]
    reach: Reach

    @property
    def spread(self) -> Spread:
        """The median is the figure to quote."""
        return Spread.of(self.ratios)

    @property
    def verdict(self) -> str:
        """reached, missed or reported."""
        return self.reach.verdict(self.spread.median)

    def cells(self) -> tuple[str, ...]:
        """Under HEADINGS."""
        spread = self.spread
        between = f"{_figure(spread.least)} to {_figure(spread.most)}" if len(self.ratios) > 1 else "-"
        return (
            *(self.number, self.measured, self.beside, f"{_figure(spread.median)} x", between),
            *(str(self.reach), self.verdict),
        )

    def as_json(self) -> dict[str, Any]:
        """The line with each round's figure."""
        return {
            "number": self.number,
            "measured": self.measured,
            "beside": self.beside,
            "ratios": list(self.ratios),
            "median": self.spread.median,
            "reach": str(self.reach),
            "verdict": self.verdict,
        }


@dataclass(frozen=True, slots=True)
class Found:
    """What one part of the benchmark found: its rows, and the plain figures behind them."""

    rows: tuple[Row, ...]
    figures: tuple[tuple[str, str], ...]  # what, and how much with its unit


def at_least(bound: float) -> Reach:
    """A ratio that should be this or more."""
    return Reach(bound)


def at_most(bound: float) -> Reach:
    """A ratio that should be this or less."""
    return Reach(bound, at_most=True)


def spread_text(values: Sequence[float], unit: str, digits: int = 0) -> str:
    """ "7,755 requests/s (7,284 to 8,239)"."""
    spread = Spread.of(values)
    return f"{spread.median:,.{digits}f} {unit} ({spread.least:,.{digits}f} to {spread.most:,.{digits}f})"


def _figure(value: float) -> str:
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"
