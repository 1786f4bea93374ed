"""What happened to every event of one run, and the figures that follow from it. Pure."""

import statistics
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

STRETCH_S = 5  # the shortest time over which a pace is asked about


class Kind(StrEnum):
    """The two sorts of events in a run."""

    ORDER = "order"
    VIEW = "page view"

    @property
    def priority(self) -> str:
        """Its place in the lane."""
        return "high" if self is Kind.ORDER else "low"


@dataclass(frozen=True, slots=True)
class Event:
    """One event that the gateway accepted. Times are seconds since the first was."""

    kind: Kind
    accepted: float
    arrived: tuple[float, ...]  # at Attentive: once, if all is well

    @property
    def took(self) -> float:
        """From its acceptance to Attentive."""
        return self.arrived[0] - self.accepted


@dataclass(frozen=True, slots=True)
class Run:
    """One burst, to its end."""

    workers: int
    limit: float  # calls a second that Attentive allows
    ceiling: float  # calls a second that the pace aims at
    events: Sequence[Event]
    throttled: int  # calls answered 429
    busiest: int  # the most calls that Attentive saw within any second

    @property
    def lost(self) -> int:
        """Events that never arrived."""
        return sum(not event.arrived for event in self.events)

    @property
    def twice(self) -> int:
        """Arrivals beyond each event's first."""
        return sum(max(0, len(event.arrived) - 1) for event in self.events)

    @property
    def arrivals(self) -> list[float]:
        """When calls arrived, in order."""
        return sorted(moment for event in self.events for moment in event.arrived)

    @property
    def drain(self) -> tuple[float, float]:
        """From the first to the last arrival of a page view: all this time the lane had more than it could send."""
        moments = [moment for event in self.events if event.kind is Kind.VIEW for moment in event.arrived]
        return min(moments), max(moments)

    @property
    def share(self) -> float:
        """The pace over the whole drain, as a share of the ceiling."""
        return self._share(*self.drain)

    @property
    def least_share(self) -> float:
        """The same over the slowest stretch of STRETCH_S seconds."""
        begins, ends = self.drain
        starts = range(int((ends - begins - STRETCH_S) * 10) + 1)
        return min((self._share(begins + start / 10, begins + start / 10 + STRETCH_S) for start in starts), default=0.0)

    def _share(self, begins: float, ends: float) -> float:
        arrivals = self.arrivals
        sent = bisect_right(arrivals, ends) - bisect_right(arrivals, begins)
        return sent / (ends - begins) / self.ceiling if ends > begins else 0.0

    def latencies(self, kind: Kind) -> list[float]:
        """Seconds from acceptance to arrival, sorted."""
        return sorted(event.took for event in self.events if event.kind is kind and event.arrived)

    def backlog(self, step_s: float) -> tuple[list[float], list[int]]:
        """How many accepted events had not arrived yet, at each step."""
        accepted, arrived = sorted(event.accepted for event in self.events), self.arrivals
        moments = [step * step_s for step in range(int(arrived[-1] / step_s) + 2)]
        return moments, [bisect_right(accepted, moment) - bisect_right(arrived, moment) for moment in moments]

    def sends(self, step_s: float = 1.0) -> tuple[list[float], list[float]]:
        """Calls a second that arrived, over the second before each step."""
        arrived = self.arrivals
        moments = [1 + step * step_s for step in range(int((arrived[-1] - 1) / step_s) + 1)]
        return moments, [float(bisect_right(arrived, at) - bisect_right(arrived, at - 1)) for at in moments]


@dataclass(frozen=True, slots=True)
class Aim:
    """What a run has to reach."""

    share: float = 0.95  # of the ceiling, for the whole drain
    order_s: float = 2.0  # each order arrives within this

    def __str__(self) -> str:
        return f"{self.share:.0%} of the ceiling for the whole drain, no 429, each order within {self.order_s:g} s"

    def missed(self, run: Run) -> list[str]:
        """What it did not reach, in words; empty when all is well."""
        checks: Mapping[str, bool] = {
            f"{run.share:.1%} of the ceiling, not {self.share:.0%}": run.share >= self.share,
            f"{run.throttled} calls were answered 429": run.throttled == 0,
            f"an order took {run.latencies(Kind.ORDER)[-1]:.1f} s, not {self.order_s:g}": (
                run.latencies(Kind.ORDER)[-1] <= self.order_s
            ),
            f"{run.lost} events were lost": run.lost == 0,
            f"{run.twice} calls came twice": run.twice == 0,
        }
        return [words for words, reached in checks.items() if not reached]


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that this share of the sorted values does not exceed."""
    return statistics.quantiles(ordered, n=100, method="inclusive")[round(share * 100) - 1]
