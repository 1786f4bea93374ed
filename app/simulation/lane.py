"""One lane as a flow: what claim.lua, settle.lua and the drain do to one call, done to thousands at once. Pure.

Equal calls that came in together are one cohort. Each step grants as many calls as the pace allows, takes them from the
streams in the order of claim.lua, and judges the answers with the code of the workers. Tests compare the shares with a
real Redis. Times are seconds of the virtual clock.
"""

import heapq
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import Final

from app.attentive.answers import Unreachable
from app.attentive.call import Priority
from app.delivery.backoff import backoff
from app.delivery.delivery import Delivery, from_ms
from app.delivery.lane import Lane
from app.delivery.outcome import RetryLater, judge
from app.delivery.pace import FAILURES_TO_STOP, LONGEST_STOP, SHARE, Pace
from app.delivery.workload import WINDOW_S, LaneWork
from app.simulation.figures import PACE_USED
from app.store.keys import FIRST_PUBLIC_STREAM, STREAMS

RESERVED_SHARE: Final = 0.1  # as in claim.lua: of the tokens, for what has waited longer than the starvation limit
_WOKEN_AFTER_S: Final = 0.05  # from the end of a stop to the next claim: arq looks for jobs this often
_STALE: Final = FIRST_PUBLIC_STREAM - 1  # its place among the streams of its kind
_AWAY: Final = Unreachable("Attentive does not answer", ambiguous=False)
_JITTER: Final = (0.5, 0.1, 0.9, 0.3, 0.7)  # the draws of a wait that stand for all of them
_FINE_S: Final = 300.0  # waits are counted by the second up to here, above it by 10 s
_COARSE_S: Final = 10.0


@dataclass(slots=True)
class Cohort:
    """Calls that came in together and fare alike."""

    calls: int
    priority: Priority
    received_s: float
    entered_s: float  # into its stream
    fresh_until_s: float
    attempt: int = 1

    def split(self, calls: int) -> "Cohort":
        """So many of these calls as a cohort of their own."""
        self.calls -= calls
        return Cohort(calls, self.priority, self.received_s, self.entered_s, self.fresh_until_s, self.attempt)


@dataclass(slots=True)
class Tally:
    """What became of the calls of one priority so far."""

    arrived: int = 0
    delivered: int = 0  # those that missed their journey included
    missed: int = 0  # delivered too late to start a journey
    expired: int = 0  # became dead letters
    waits: Counter[float] = field(default_factory=Counter)  # of the delivered calls, by seconds from receipt to sending


class SimulatedLane:
    """The backlog of one endpoint, and how fast it may shrink."""

    def __init__(
        self, lane: Lane, pace: Pace, *, fresh_s: float, horizon_s: float, concurrency: int, latency_s: float
    ) -> None:
        """`fresh_s` and `horizon_s` are ages of calls, `concurrency` how many may wait for the answer at once."""
        self.lane = lane
        self.rate = min(pace.limit * SHARE * PACE_USED, concurrency / latency_s)
        self._waiting = [0, 0]  # of trusted and of public sources
        self.tallies = {priority: Tally() for priority in Priority}
        self._saved_up = max(2.0, pace.limit / 10)
        self._starvation_s = pace.starvation_limit.total_seconds()
        self._fresh_s = fresh_s
        self._latency_s = latency_s
        self._horizon_s = horizon_s
        self._streams: tuple[deque[Cohort], ...] = tuple(deque() for _ in STREAMS)
        self._retries: list[tuple[float, int, int, Cohort]] = []  # when due, a number, the stream
        self._numbers = count()
        self._tokens = 0.0
        self._reserved = 0.0
        self._public = 0.0
        self._failures = 0
        self._stops = 0
        self._stopped_until_s = 0.0

    def arrive(self, calls: int, priority: Priority, *, public: bool, dated: bool, now_s: float) -> None:
        """Calls that came in just now."""
        fresh_until_s = now_s + self._fresh_s if dated else float("inf")
        stream = self._streams[priority + (FIRST_PUBLIC_STREAM if public else 0)]
        self.tallies[priority].arrived += calls
        self._waiting[public] += calls
        last = stream[-1] if stream else None
        if last and last.entered_s == now_s and last.attempt == 1 and last.fresh_until_s == fresh_until_s:
            last.calls += calls
        else:
            stream.append(Cohort(calls, priority, now_s, now_s, fresh_until_s))

    def allows(self, now_s: float, span_s: float) -> int:
        """How many calls may be sent within the next `span_s`, by the pace of this lane alone."""
        while self._retries and self._retries[0][0] <= now_s:
            _, _, stream, cohort = heapq.heappop(self._retries)
            cohort.entered_s = now_s
            self._streams[stream].append(cohort)
        if self.is_stopped(now_s):
            return 0
        self._tokens += self.rate * span_s
        return min(int(self._tokens), 1) if self._failures >= FAILURES_TO_STOP else int(self._tokens)

    def is_stopped(self, now_s: float) -> bool:
        """Whether it waits after calls without an answer."""
        return now_s < self._stopped_until_s

    @property
    def waiting(self) -> int:
        """The number of calls in the lane, including those that wait for a retry."""
        return self._waiting[0] + self._waiting[1]

    def waiting_of(self, *, public: bool) -> int:
        """Those of public, or of trusted sources."""
        return self._waiting[public]

    @property
    def is_quiet(self) -> bool:
        """Whether nothing waits, and nothing is to be tried again."""
        return not self.waiting and not self._failures

    def send(self, granted: int, now_s: float, *, answered: bool) -> int:
        """Send up to `granted` calls; `answered`: whether Attentive answers. Returns how many were sent."""
        if not answered:
            granted = min(granted, max(1, FAILURES_TO_STOP - self._failures))
        claimed, spent = self._claim(granted, now_s)
        self._tokens = min(self._tokens - spent, self._saved_up)
        for stream, cohort in claimed:
            if answered:
                self._deliver(stream, cohort, now_s)
            else:
                self._fail(stream, cohort, now_s)
        if spent:
            self._note(spent, now_s, answered=answered)
        return spent

    def work(self, span_s: float, arriving: float) -> LaneWork:
        """What it could send now, if `arriving` calls came in within `span_s`."""
        due = self.waiting + round(arriving / span_s * WINDOW_S)
        return LaneWork(self.lane, due, 0.0 if self._failures >= FAILURES_TO_STOP else self.rate)

    def oldest_s(self, now_s: float) -> float:
        """How long the call has waited that has waited longest; 0 when none waits."""
        heads = [stream[0].received_s for stream in self._streams if stream]
        heads += [cohort.received_s for _, _, _, cohort in self._retries]
        return now_s - min(heads, default=now_s)

    def _claim(self, granted: int, now_s: float) -> tuple[list[tuple[int, Cohort]], int]:
        """What claim.lua hands out for so many tokens: each cohort with its stream, and how many calls they are."""
        claimed: list[tuple[int, Cohort]] = []
        if not self.waiting:
            return claimed, 0
        left = granted - self._take_starved(granted, now_s, claimed)
        self._public += left / 2
        from_public = self._take_kind(FIRST_PUBLIC_STREAM, min(left, int(self._public)), now_s, claimed)
        self._public = min(1.0, self._public - from_public)
        left -= from_public
        left -= self._take_kind(0, left, now_s, claimed)
        left -= self._take_kind(FIRST_PUBLIC_STREAM, left, now_s, claimed)
        return claimed, granted - left

    def _take_starved(self, granted: int, now_s: float, claimed: list[tuple[int, Cohort]]) -> int:
        """What has waited longer than the starvation limit, the longest wait first, for its reserved share."""
        taken = 0
        self._reserved += granted * RESERVED_SHARE
        while self._reserved >= 1 and taken < granted:
            waits = [(stream[0].entered_s, place) for place, stream in enumerate(self._streams) if place and stream]
            since, place = min(waits, default=(now_s, 0))
            if since >= now_s - self._starvation_s:
                break
            most = min(int(self._reserved), granted - taken, self._streams[place][0].calls)
            got = self._take(place, most, now_s, claimed)
            taken += got
            self._reserved -= max(1, got)
        self._reserved = min(1.0, self._reserved)
        return taken

    def _take_kind(self, first: int, most: int, now_s: float, claimed: list[tuple[int, Cohort]]) -> int:
        """From the streams of trusted or of public sources, in their order."""
        taken = 0
        for place in range(first, first + FIRST_PUBLIC_STREAM):
            if taken < most:
                taken += self._take(place, most - taken, now_s, claimed)
        return taken

    def _take(self, place: int, most: int, now_s: float, claimed: list[tuple[int, Cohort]]) -> int:
        """Up to `most` calls of one stream. What has gone stale moves behind what is fresh; what is late expires."""
        stream, stale = self._streams[place], place // FIRST_PUBLIC_STREAM * FIRST_PUBLIC_STREAM + _STALE
        taken = 0
        while taken < most and stream:
            head = stream[0]
            if place != stale and head.fresh_until_s < now_s:
                head.entered_s = now_s
                self._streams[stale].append(stream.popleft())
            elif head.received_s + self._horizon_s < now_s:
                self._expire(place, stream.popleft())
            elif head.calls <= most - taken:
                taken += head.calls
                claimed.append((place, stream.popleft()))
            else:
                claimed.append((place, head.split(most - taken)))
                taken = most
        return taken

    def _deliver(self, stream: int, cohort: Cohort, now_s: float) -> None:
        tally = self.tallies[cohort.priority]
        self._waiting[stream >= FIRST_PUBLIC_STREAM] -= cohort.calls
        tally.delivered += cohort.calls
        if cohort.fresh_until_s < now_s:
            tally.missed += cohort.calls
        tally.waits[_rounded(now_s - cohort.received_s)] += cohort.calls

    def _expire(self, stream: int, cohort: Cohort) -> None:
        self._waiting[stream >= FIRST_PUBLIC_STREAM] -= cohort.calls
        self.tallies[cohort.priority].expired += cohort.calls

    def _fail(self, stream: int, cohort: Cohort, now_s: float) -> None:
        """No answer: another attempt after the wait that the workers would draw, or the end."""
        for part, drawn in zip(_parts(cohort.calls), _JITTER, strict=True):
            if not part:
                continue
            draw = partial(backoff, rand=partial(float, drawn))
            outcome = judge(_AWAY, self._delivery(cohort), now=_moment(now_s), backoff=draw)
            if isinstance(outcome, RetryLater):
                again = replace(cohort, calls=part, attempt=cohort.attempt + 1)
                due_s = now_s + outcome.wait / timedelta(seconds=1)
                heapq.heappush(self._retries, (due_s, next(self._numbers), stream, again))
            else:
                self._expire(stream, replace(cohort, calls=part))

    def _delivery(self, cohort: Cohort) -> Delivery:
        """One of these calls, in the form in which the workers judge answers."""
        received_ms = round(cohort.received_s * 1000)
        return Delivery(
            message_id="",
            source="",
            endpoint=self.lane.endpoint,
            priority=cohort.priority,
            body=b"{}",
            event=b"{}",
            received_ms=received_ms,
            deadline_ms=received_ms + round(self._horizon_s * 1000),
            attempt=cohort.attempt,
        )

    def _note(self, calls: int, now_s: float, *, answered: bool) -> None:
        """What settle.lua keeps of the answers: after a run of calls without one, the lane stops for a while."""
        if answered:
            self._failures = self._stops = 0
            return
        self._failures += calls
        if self._failures >= FAILURES_TO_STOP:
            self._stops += 1
            self._stopped_until_s = now_s + self._latency_s + stop_s(self._stops) + _WOKEN_AFTER_S
            self._tokens = min(self._tokens, self._saved_up)


def stop_s(stops: int) -> float:
    """How long a lane stops for the so-manieth time, as in settle.lua."""
    return min(LONGEST_STOP.total_seconds(), 2.0 ** min(stops - 1, 10))


def _parts(calls: int) -> list[int]:
    """So many calls in as many parts as there are draws."""
    whole, rest = divmod(calls, len(_JITTER))
    return [whole + (place < rest) for place in range(len(_JITTER))]


def _moment(now_s: float) -> datetime:
    return from_ms(round(now_s * 1000))


def _rounded(wait_s: float) -> float:
    return float(round(wait_s)) if wait_s < _FINE_S else round(wait_s / _COARSE_S) * _COARSE_S
