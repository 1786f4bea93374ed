"""The course of a simulation: what waited when, and how everything ended. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from app.attentive.call import Priority
from app.simulation.lane import Tally
from app.simulation.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Moment:
    """How things stand at one time. Rates are those since the moment before."""

    at_s: float
    events_per_s: float  # offered to one account
    refused_per_s: float
    calls_per_s: float  # sent for one account
    waiting: Mapping[str, int]  # by endpoint
    oldest_s: Mapping[str, float]  # by endpoint: how long the oldest waiting call has waited
    silent: frozenset[str]  # endpoints at which Attentive does not answer
    redis_bytes: int  # of all accounts
    workers: int  # needed by all accounts


@dataclass(frozen=True, slots=True)
class Peak:
    """The largest value, and when it was first reached."""

    value: float = 0.0
    at_s: float = 0.0

    def or_more(self, value: float, at_s: float) -> "Peak":
        """This peak, or a higher one."""
        return Peak(value, at_s) if value > self.value else self


@dataclass(frozen=True, slots=True)
class Waits:
    """How long delivered calls waited, in seconds."""

    calls: int
    median_s: float
    p99_s: float
    longest_s: float


@dataclass(frozen=True, slots=True)
class LaneCourse:
    """What became of one lane."""

    endpoint: str
    rate: float  # calls per second that it may send
    tallies: Mapping[Priority, Tally]
    waiting: int  # at the end
    peak: Peak  # of the backlog, in calls
    drained_s: float | None  # when nothing waited any more, if something ever waited and all was sent

    @property
    def arrived(self) -> int:
        """Calls that came in."""
        return sum(tally.arrived for tally in self.tallies.values())

    @property
    def delivered(self) -> int:
        """Calls that Attentive accepted."""
        return sum(tally.delivered for tally in self.tallies.values())

    @property
    def missed(self) -> int:
        """Calls that Attentive accepted too late to start a journey."""
        return sum(tally.missed for tally in self.tallies.values())

    @property
    def expired(self) -> int:
        """Calls that became dead letters because they waited beyond their horizon."""
        return sum(tally.expired for tally in self.tallies.values())

    def waits(self, priority: Priority | None = None) -> Waits | None:
        """How long its delivered calls of this priority (None: all) waited. None where there were none."""
        tallies = self.tallies.values() if priority is None else [self.tallies[priority]]
        return waits_of(sum((tally.waits for tally in tallies), Counter[float]()))


def waits_of(counted: Counter[float]) -> Waits | None:
    """The figures of counted waits."""
    if not (calls := counted.total()):
        return None
    ordered = sorted(counted.items())
    return Waits(calls, _at_share(ordered, calls * 0.5), _at_share(ordered, calls * 0.99), ordered[-1][0])


def _at_share(ordered: list[tuple[float, int]], place: float) -> float:
    passed = 0
    for wait_s, calls in ordered:
        passed += calls
        if passed >= place:
            return wait_s
    return ordered[-1][0]


@dataclass(frozen=True)
class Course:
    """All of it."""

    scenario: Scenario
    moments: tuple[Moment, ...]
    lanes: tuple[LaneCourse, ...]
    events: int  # offered to one account
    refused: Counter[str]  # events by why the intake refused them
    redis: Peak  # bytes, of all accounts
    workers: Peak  # needed by all accounts
    ends_s: float

    @cached_property
    def worst(self) -> LaneCourse | None:
        """The lane whose calls wait longest; None if none wait for more than a few seconds."""
        waited = [(waits.longest_s, lane) for lane in self.lanes if (waits := lane.waits())]
        longest, lane = max(waited, key=lambda each: each[0], default=(0.0, None))
        return lane if longest > self.scenario.step_s * 2 else None

    @property
    def delivered(self) -> int:
        """Calls that Attentive accepted, of one account."""
        return sum(lane.delivered for lane in self.lanes)

    @property
    def missed(self) -> int:
        """Of these, the calls that were too late to start a journey."""
        return sum(lane.missed for lane in self.lanes)

    @property
    def expired(self) -> int:
        """Calls that became dead letters, of one account."""
        return sum(lane.expired for lane in self.lanes)

    @property
    def waiting(self) -> int:
        """Calls that still wait at the end, of one account."""
        return sum(lane.waiting for lane in self.lanes)
