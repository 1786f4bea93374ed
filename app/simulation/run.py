"""The virtual clock: traffic comes in, lanes send, and what happens is written down. Pure.

While something waits, a step is a second, and ten once the last change is some minutes ago: from then on backlogs
grow and shrink evenly. While nothing waits and everything that comes in can be sent at once, a step leads to the next
change.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from app.delivery.lane import Lane
from app.delivery.pace import SHARE
from app.simulation.course import Course, LaneCourse, Moment, Peak
from app.simulation.figures import MESSAGE_ID_KEPT_S, PACE_USED
from app.simulation.lane import SimulatedLane
from app.simulation.scenario import Flow, Scenario
from app.simulation.sizing import Stored, dead_letters_bytes, redis_bytes, workers_for

MOMENT_S: Final = 60.0  # between two moments that are written down, while something waits
_QUIET_S: Final = 300.0  # the same while nothing waits
_AFTERWARDS_S: Final = 600.0  # of quiet, after which the simulation is over
_FINE_FOR_S: Final = 600.0  # after a change
_COARSE: Final = 10.0  # times the length of a fine step


@dataclass(frozen=True, slots=True)
class Standing:
    """What the intake sees of one account when it decides whether to accept an event."""

    trusted_calls: int
    public_calls: int
    redis_bytes: int  # of all accounts


Admits = Callable[[Standing, bool], str]  # for a source that is public or not; why it is refused, or empty


def admit_all(_standing: Standing, _public: bool) -> str:
    """No limit."""
    return ""


def simulate(scenario: Scenario, admits: Admits = admit_all) -> Course:
    """Run it to its end: when everything is sent some time after the last change, or at its longest."""
    simulation = Simulation(scenario, admits)
    while not simulation.is_over:
        simulation.step()
    return simulation.course()


def shared(wants: Sequence[int], total: int, *, turn: int = 0) -> list[int]:
    """What each gets of `total` if they take turns: all that it wants, or as much as the others that want more.

    `turn` moves on with each call, and decides who gets what cannot be divided.
    """
    granted, left = [0] * len(wants), total
    order = sorted(range(len(wants)), key=lambda place: (wants[place], (place + turn) % len(wants)))
    for done, place in enumerate(order):
        granted[place] = min(wants[place], left // (len(order) - done))
        left -= granted[place]
    return granted


@dataclass(slots=True)
class _Record:
    """What is written down of one lane."""

    peak: Peak = field(default_factory=Peak)
    drained_s: float | None = None


class Simulation:
    """A scenario under way."""

    def __init__(self, scenario: Scenario, admits: Admits) -> None:
        self._scenario = scenario
        self._admits = admits
        self._now_s = 0.0
        self._lanes = {endpoint: _lane(scenario, endpoint) for endpoint in scenario.endpoints()}
        self._flows = [_Flow(flow, self._lanes[flow.endpoint]) for flow in scenario.traffic.flows]
        self._records = {endpoint: _Record() for endpoint in self._lanes}
        self._account = _Account(scenario)
        self._steps = 0
        self._changed_s = 0.0  # when the last change was
        self._changes = deque(scenario.changes)
        self._quiet_since_s = 0.0
        self._redis, self._workers = Peak(), Peak()
        self._moments: list[Moment] = []
        self._since_moment = _SinceMoment()

    @property
    def is_over(self) -> bool:
        """Whether the end is reached."""
        now_s, scenario = self._now_s, self._scenario
        if now_s >= scenario.longest_s:
            return True
        quiet = not self._changes and self._is_quiet and now_s - self._quiet_since_s >= _AFTERWARDS_S
        return quiet and now_s >= scenario.shortest_s

    @property
    def _is_quiet(self) -> bool:
        return all(lane.is_quiet for lane in self._lanes.values())

    def step(self) -> None:
        """Let some time pass."""
        now_s = self._now_s
        self._steps += 1
        while self._changes and self._changes[0] <= now_s:
            self._changed_s = self._changes.popleft()
        span_s = self._span_s(now_s)
        arrived = self._take_in(now_s, span_s)
        sent = self._send(now_s, span_s)
        self._now_s = now_s + span_s
        if not self._is_quiet:
            self._quiet_since_s = self._now_s
        self._write_down(span_s, arrived, sent)

    def _span_s(self, now_s: float) -> float:
        longest = min([self._scenario.longest_s, *list(self._changes)[:1]]) - now_s
        if self._keeps_up(now_s):
            return min(longest, _QUIET_S)
        is_fine = now_s - self._changed_s < _FINE_FOR_S
        return min(longest, self._scenario.step_s * (1 if is_fine else _COARSE))

    def _keeps_up(self, now_s: float) -> bool:
        """Whether nothing waits, and nothing will until the next change."""
        scenario, events = self._scenario, self._scenario.traffic.rate_at(now_s)
        if not self._is_quiet or any(scenario.fails(endpoint, now_s) for endpoint in self._lanes):
            return False
        rates = dict.fromkeys(self._lanes, 0.0)
        for flow in scenario.traffic.flows:
            rates[flow.endpoint] += events * flow.per_event
        if any(rate > self._lanes[endpoint].rate for endpoint, rate in rates.items()):
            return False
        return sum(rates.values()) <= self._account.calls_per_s

    def _take_in(self, now_s: float, span_s: float) -> Counter[str]:
        """The events of this span, or why they are refused. Returns the calls that came in, by endpoint."""
        arrived: Counter[str] = Counter()
        events = self._scenario.traffic.rate_at(now_s) * span_s
        standing = self._account.standing(self._lanes.values(), self._now_s)
        refusals = {public: self._admits(standing, public) for public in (False, True)}
        self._since_moment.events += events
        self._since_moment.refused += self._account.take_in(events, refusals, now_s)
        for flow in self._flows:
            calls = flow.calls(events)
            if calls and not refusals[flow.public]:
                flow.arrive(calls, now_s)
                arrived[flow.endpoint] += calls
        return arrived

    def _send(self, now_s: float, span_s: float) -> int:
        lanes = self._lanes
        wants = [min(lane.allows(now_s, span_s), lane.waiting) for lane in lanes.values()]
        granted = shared(wants, self._account.tokens(span_s), turn=self._steps)
        sent = sum(
            lane.send(most, now_s, answered=not self._scenario.fails(endpoint, now_s))
            for (endpoint, lane), most in zip(lanes.items(), granted, strict=True)
        )
        self._account.spend(sent)
        return sent

    def _write_down(self, span_s: float, arrived: Counter[str], sent: int) -> None:
        now_s, capacity = self._now_s, self._scenario.capacity
        for endpoint, lane in self._lanes.items():
            record, waiting = self._records[endpoint], lane.waiting
            if waiting:
                record.peak = record.peak.or_more(waiting, now_s)
                record.drained_s = None
            elif record.peak.value and record.drained_s is None:
                record.drained_s = now_s
        since = self._since_moment
        since.span_s += span_s
        since.sent += sent
        since.arrived += arrived
        if since.span_s < MOMENT_S and not (self._changes and self._changes[0] <= now_s) and not self.is_over:
            return
        work = [lane.work(since.span_s, since.arrived[endpoint]) for endpoint, lane in self._lanes.items()]
        needed = workers_for(work, accounts=self._scenario.accounts, one_worker=capacity.worker_calls_per_s)
        size = self._account.standing(self._lanes.values(), now_s).redis_bytes
        self._redis, self._workers = self._redis.or_more(size, now_s), self._workers.or_more(needed, now_s)
        self._moments.append(
            Moment(
                now_s,
                since.events / since.span_s,
                since.refused / since.span_s,
                since.sent / since.span_s,
                {endpoint: lane.waiting for endpoint, lane in self._lanes.items()},
                {endpoint: lane.oldest_s(now_s) for endpoint, lane in self._lanes.items()},
                frozenset(endpoint for endpoint in self._lanes if self._scenario.fails(endpoint, now_s)),
                size,
                needed,
            )
        )
        self._since_moment = _SinceMoment()

    def course(self) -> Course:
        """Everything that was written down."""
        return Course(
            self._scenario,
            tuple(self._moments),
            tuple(
                LaneCourse(endpoint, lane.rate, lane.tallies, lane.waiting, record.peak, record.drained_s)
                for (endpoint, lane), record in zip(self._lanes.items(), self._records.values(), strict=True)
            ),
            self._account.offered,
            self._account.refused,
            self._redis,
            self._workers,
            self._now_s,
        )


@dataclass(slots=True)
class _SinceMoment:
    """What happened since the last moment that was written down."""

    span_s: float = 0.0
    events: float = 0.0
    refused: float = 0.0
    sent: int = 0
    arrived: Counter[str] = field(default_factory=Counter)


def _lane(scenario: Scenario, endpoint: str) -> SimulatedLane:
    capacity = scenario.capacity
    return SimulatedLane(
        Lane("account", endpoint),
        capacity.paces[endpoint],
        fresh_s=capacity.fresh_s,
        horizon_s=capacity.horizon_s,
        concurrency=capacity.concurrency,
        latency_s=capacity.latency_s,
    )


class _Flow:
    """One flow, with the fraction of a call that has not come in yet."""

    def __init__(self, flow: Flow, lane: SimulatedLane) -> None:
        self.endpoint, self.public = flow.endpoint, flow.public
        self._flow, self._lane = flow, lane
        self._rest = 0.0

    def calls(self, events: float) -> int:
        """How many calls these events of the whole traffic become, with what was left of earlier ones."""
        self._rest += events * self._flow.per_event
        calls = int(self._rest)
        self._rest -= calls
        return calls

    def arrive(self, calls: int, now_s: float) -> None:
        """Put them into the lane."""
        self._lane.arrive(calls, self._flow.priority, public=self.public, dated=self._flow.dated, now_s=now_s)


class _Account:
    """What all lanes of the account share: its limits, and its part of Redis."""

    def __init__(self, scenario: Scenario) -> None:
        capacity = scenario.capacity
        limits = [capacity.ceiling * SHARE * PACE_USED] if capacity.ceiling else []
        if capacity.workers is not None:
            limits.append(capacity.workers * capacity.worker_calls_per_s / scenario.accounts)
        self.calls_per_s = min(limits, default=float("inf"))
        self.refused: Counter[str] = Counter()
        self.offered = 0
        self._scenario = scenario
        self._tokens = 0.0
        self._events = 0.0
        self._rests = {False: 0.0, True: 0.0}
        self._accepted = 0
        self._forgotten = 0  # of these, the ones whose message ID is not known any more
        self._past: deque[tuple[float, int]] = deque()  # when, and how many were accepted by then

    def tokens(self, span_s: float) -> int:
        """How many calls all lanes together may send within the span."""
        if self.calls_per_s == float("inf"):
            return 2**62
        self._tokens += self.calls_per_s * span_s
        return int(self._tokens)

    def spend(self, calls: int) -> None:
        """These were sent."""
        if self.calls_per_s < float("inf"):
            self._tokens = min(self._tokens - calls, max(1.0, self.calls_per_s * (1 - SHARE)))

    def take_in(self, events: float, refusals: dict[bool, str], now_s: float) -> int:
        """Count the events of public and of trusted sources. Returns how many were refused."""
        public_share, all_refused = self._scenario.traffic.public_share, 0
        for public, share in ((False, 1 - public_share), (True, public_share)):
            self._rests[public] += events * share
            number = int(self._rests[public])
            self._rests[public] -= number
            self.offered += number
            if refusals[public]:
                self.refused[refusals[public]] += number
                all_refused += number
            else:
                self._accepted += number
        if not self._past or now_s - self._past[-1][0] >= _QUIET_S:
            self._past.append((now_s, self._accepted))
        while self._past[0][0] < now_s - MESSAGE_ID_KEPT_S:
            self._forgotten = self._past.popleft()[1]
        return all_refused

    def standing(self, lanes: Iterable[SimulatedLane], now_s: float) -> Standing:
        """What the intake sees now."""
        lanes, scenario = list(lanes), self._scenario
        capacity = scenario.capacity
        trusted = sum(lane.waiting_of(public=False) for lane in lanes)
        public = sum(lane.waiting_of(public=True) for lane in lanes)
        expired = sum(tally.expired for lane in lanes for tally in lane.tallies.values())
        before = scenario.traffic.events_per_s * max(0.0, MESSAGE_ID_KEPT_S - now_s)
        stored = Stored(
            trusted + public,
            self._accepted - self._forgotten + round(before),
            capacity.journal_entries,
            dead_letters_bytes(expired, capacity.dead_letter_bytes * capacity.sources),
        )
        size = redis_bytes(stored, accounts=scenario.accounts, people=scenario.people)
        return Standing(trusted, public, size)
