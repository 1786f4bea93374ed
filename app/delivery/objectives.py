"""The objective for lag: the share of fresh calls that are sent soon enough after their event came in. Pure.

A call that was late because it waited for Attentive's limit is counted apart from one that was late because of us, and
only the latter uses the error budget. A burn rate is the speed at which the budget is used: at 1, it lasts exactly for
its 30 days.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from app.attentive.call import Priority
from app.delivery.waits import Waits

LEAST_CALLS: Final = 20  # in a window, before its burn rate means something
BUDGET_DAYS: Final = 30


class Verdict(StrEnum):
    """How a call did."""

    IN_TIME = "in_time"
    LIMITED = "limited"  # late, and in time without the wait for Attentive's limit
    LATE = "late"
    HELD = "held"  # late, and in time without the waits for a hold and the limit


class Window(StrEnum):
    """Two windows that must both burn: the long one shows that it matters, the short one that it still goes on."""

    FAST = "fast"  # 1 hour and 5 minutes
    SLOW = "slow"  # 6 hours and 30 minutes


WINDOWS: Final[Mapping[Window, tuple[timedelta, timedelta]]] = {
    Window.FAST: (timedelta(hours=1), timedelta(minutes=5)),
    Window.SLOW: (timedelta(hours=6), timedelta(minutes=30)),
}


@dataclass(frozen=True, slots=True)
class Objective:
    """The share of calls that must be sent within a time."""

    within: timedelta
    share: float

    @property
    def within_ms(self) -> int:
        """The time in ms."""
        return self.within // timedelta(milliseconds=1)


DEFAULT_OBJECTIVES: Final[Mapping[Priority, Objective]] = {
    Priority.HIGH: Objective(timedelta(seconds=5), 0.99),
    Priority.NORMAL: Objective(timedelta(seconds=60), 0.99),
}


@dataclass(frozen=True, slots=True)
class LagCount:
    """Calls of one destination and priority within some time."""

    in_time: int = 0
    limited: int = 0
    late: int = 0  # because of us
    held: int = 0

    @property
    def missed(self) -> int:
        """Those that use the error budget. A hold needs a person, so what it delays is not excused."""
        return self.late + self.held

    @property
    def judged(self) -> int:
        """Those that count for the objective."""
        return self.in_time + self.missed

    @property
    def share(self) -> float | None:
        """The share that was in time; None where there were no calls."""
        return self.in_time / self.judged if self.judged else None

    def __add__(self, other: "LagCount") -> "LagCount":
        return LagCount(
            self.in_time + other.in_time,
            self.limited + other.limited,
            self.late + other.late,
            self.held + other.held,
        )


def verdict_at(waits: Waits, within_ms: int) -> int:
    """How one call did, as the index of a Verdict."""
    late_ms = waits.total_ms - within_ms
    if late_ms <= 0:
        return 0
    if late_ms <= waits.limit_ms:
        return 1
    return 3 if late_ms <= waits.limit_ms + waits.hold_ms else 2


def burn_rate(long: LagCount, short: LagCount, objective: Objective) -> float:
    """How fast the error budget is used: the lower one of two windows. 0 where too few calls were sent to tell."""
    if long.judged < LEAST_CALLS:
        return 0.0
    allowed = 1 - objective.share
    return min((each.missed / each.judged if each.judged else 0.0) / allowed for each in (long, short))


def budget_left(month: LagCount, objective: Objective) -> float:
    """The share of the error budget of the last 30 days that is left; below 0 when more was used."""
    if not month.judged:
        return 1.0
    return 1 - month.missed / month.judged / (1 - objective.share)
