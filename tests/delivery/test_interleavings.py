"""Claim, settle and sweep against a model: no interleaving of crashes and take-overs loses or invents a delivery.

Hypothesis plays workers, trackers, operators and the clock against a real Redis, one step at a time and in any order:
between any two steps a worker may die, or be stopped so long that its lease ends, another may take over, and the first
may wake up late with calls in its hands. After each step Redis must hold just what the model says, each call in one
place, and the counters must balance; in the end everything must have ended.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import pytest
import uvloop
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from redis.asyncio import Redis

from app.attentive.call import Priority
from app.delivery.backlog import lanes_to_wake
from app.delivery.consumer import LaneConsumer
from app.delivery.counters import read_counters
from app.delivery.dead_letter import DeadLetterQueue
from app.delivery.dead_letters import replay
from app.delivery.lane import Lane
from app.delivery.outbox import Outbox
from app.delivery.outbox_event import OutboxEvent, calls_of
from app.delivery.settlement import Entry
from app.embedded import RedisBinary, embedded_redis
from app.store.connection import open_redis
from app.store.keys import GROUP, DestinationKeys
from tests.delivery.lane_model import (
    ACCOUNT,
    DAY,
    ENDINGS,
    JOURNAL,
    LANES,
    Names,
    Place,
    Worker,
    call_of,
    lease_of,
    look,
    name_of,
    names,
    settlement,
)
from tests.generated import WHOLE, share_of

EVENTS: Final = 4
WORKERS: Final = 3
MISHAPS: Final = (
    "a worker is killed",
    "a lease ends",
    "an answer is lost",
    "retries come due",
    "holds end",
    "dead letters are replayed",
    "Redis forgets",
)

lanes = st.sampled_from(LANES)
workers = st.integers(0, WORKERS - 1)
calls = st.tuples(lanes, st.sampled_from(list(Priority)), st.sampled_from(("fresh", "stale", "late")))


class Interleavings(RuleBasedStateMachine):
    """All that may happen to some events on their way, in any order."""

    def __init__(self, loop: asyncio.AbstractEventLoop, redis: Redis) -> None:
        super().__init__()
        self._do, self._redis = loop.run_until_complete, redis
        self._outbox = Outbox(redis, wake=lambda *_: None, journal_entries=JOURNAL)
        self.workers = [Worker() for _ in range(WORKERS)]
        self.lanes = {lane: Place() for lane in LANES}
        self.arrivals: list[OutboxEvent] = []
        self.dead_letters: dict[DeadLetterQueue, Names] = {queue: Counter() for queue in DeadLetterQueue}
        self.delivered: Names = Counter()
        self._do(redis.flushall())

    @precondition(lambda self: len(self.arrivals) < EVENTS)
    @rule(parts=st.lists(calls, min_size=1, max_size=2), twins=st.booleans(), public=st.booleans())
    def accept(self, parts: list[tuple[Lane, Priority, str]], twins: bool, public: bool) -> None:
        """An event that becomes some calls, perhaps two that are the same."""
        name = f"event-{len(self.arrivals)}"
        parts = [*parts, parts[0]] if twins else parts
        sent = tuple(call_of(name, *part, calls=len(parts), public=public) for part in parts)
        self.arrivals.append(OutboxEvent(sent[0].event_key, name, b"{}", calls=calls_of(sent), source=sent[0].source))
        self._do(self._outbox.submit(ACCOUNT, self.arrivals[-1:]))
        for lane, _, _ in parts:
            self.lanes[lane].waits[name] += 1

    # A worker does what a drain does: it takes a lane, settles what it inherits, then claims and settles.

    @rule(data=st.data(), number=workers, lane=lanes, steps=st.integers(1, 5))
    def work(self, data: st.DataObject, number: int, lane: Lane, steps: int) -> None:
        """One worker makes its next steps, and only then anybody else makes one."""
        for _ in range(steps):
            worker = self.workers[number]
            if worker.lease is None:
                self._take(worker, lane)
            elif not worker.took_over:
                self._reclaim(worker, worker.lease)
            elif worker.hands and (worker.owes or data.draw(st.booleans())):
                ended = data.draw(st.lists(st.sampled_from(worker.hands), min_size=1, unique=True))
                ends = [(entry, data.draw(st.sampled_from(ENDINGS))) for entry in ended]
                self._settle(worker, worker.lease, ends, times=data.draw(st.integers(1, 2)))
            elif worker.hands or data.draw(st.sampled_from([True] * 4 + [False])):
                self._claim(worker, worker.lease, data.draw(st.integers(1, 4)))
            else:
                self._release(number, worker.lease)

    def _take(self, worker: Worker, lane: Lane) -> None:
        lease, place = lease_of(self._redis, lane), self.lanes[lane]
        assert self._do(lease.acquire()) == (place.owner is None)
        if place.owner is None:
            worker.lease = place.owner = lease
            place.turns += 1

    def _reclaim(self, worker: Worker, lease: LaneConsumer) -> None:
        worker.hands, worker.took_over = self._do(lease.reclaim()), True
        worker.owes = bool(worker.hands)
        assert {(entry.stream, entry.id) for entry in worker.hands} == set(self.lanes[lease.lane].claimed)

    def _claim(self, worker: Worker, lease: LaneConsumer, most: int) -> None:
        place, got = self.lanes[lease.lane], self._do(lease.claim(most, under_way=len(worker.hands)))
        assert got.lost == (place.owner is not lease), "only the owner is given anything"
        assert got.lost or got.held == place.held
        if got.lost or got.held:
            assert not got.entries
            return
        assert len(got.entries) == min(most, place.waits.total() + place.due.total()), "nothing is left lying"
        self._rejoin(lease.lane, most)
        for entry in got.entries:
            assert place.waits[name_of(entry)] > 0, "what is handed out waits, and nobody has it"
            place.waits -= Counter([name_of(entry)])
            place.claimed[entry.stream, entry.id] = name_of(entry)
        worker.hands += got.entries

    def _rejoin(self, lane: Lane, most: int) -> None:
        """As many retries as may be handed out have come back to their streams; any of those that are due."""
        place = self.lanes[lane]
        moved = place.retry - names(self._do(look(self._redis)).retries[lane])
        assert moved <= place.due
        assert moved.total() == min(most, place.due.total())
        place.waits, place.retry, place.due = place.waits + moved, place.retry - moved, place.due - moved

    def _settle(self, worker: Worker, lease: LaneConsumer, ends: list[tuple[Entry, str]], times: int) -> None:
        """Twice where the first answer is lost. It may be too late for it: then it changes nothing."""
        for _ in range(times):
            self._do(lease.settle([settlement(entry, ending) for entry, ending in ends]))
        place = self.lanes[lease.lane]
        place.held |= any(ending == "held" for _, ending in ends)
        homes: dict[str, Names] = {"done": self.delivered, "retry": place.retry, "held": place.waits}
        homes |= {"dead": self.dead_letters[DeadLetterQueue.DEAD], "unknown": self.dead_letters[DeadLetterQueue.REVIEW]}
        for entry, ending in ends:
            worker.hands.remove(entry)
            if (name := place.claimed.pop((entry.stream, entry.id), None)) is not None:
                homes[ending][name] += 1
        worker.owes = worker.owes and bool(worker.hands)

    def _release(self, number: int, lease: LaneConsumer) -> None:
        place, turn = self.lanes[lease.lane], self._do(lease.release())
        mine = place.owner is lease
        assert turn == (place.turns if mine and not place.held and (place.waits or place.claimed) else None)
        if mine:
            place.owner = None
        self.workers[number] = Worker()

    @rule(what=st.sampled_from(MISHAPS), lane=lanes, number=workers)
    def mishap(self, what: str, lane: Lane, number: int) -> None:
        """Something that befalls them, or helps them on."""
        place = self.lanes[lane]
        match what:
            case "a worker is killed":  # its lease and what it claimed stay behind
                self.workers[number] = Worker()
            case "a lease ends":  # its owner is dead, or has been stopped for too long and does not know
                self._do(self._redis.delete(lane.keys.lease))
                place.owner = None
            case "an answer is lost" if self.arrivals:  # the tracker sends the event again
                self._do(self._outbox.submit(ACCOUNT, [self.arrivals[number % len(self.arrivals)]]))
            case "retries come due":
                self._do(self._make_due(lane))
                place.due = place.retry.copy()
            case "holds end":
                self._do(self._redis.delete(lane.keys.hold))
                place.held = False
            case "dead letters are replayed":
                for queue in DeadLetterQueue:
                    self._replay_oldest(queue)
            case "Redis forgets" if place.turns:  # a consumer group, so that what was claimed waits again; all scripts
                self._do(self._redis.script_flush())
                self._do(self._redis.xgroup_destroy(lane.keys.streams[number], GROUP))
                for claimed in [claimed for claimed in place.claimed if claimed[0] == number]:
                    place.waits[place.claimed.pop(claimed)] += 1

    def _replay_oldest(self, queue: DeadLetterQueue) -> None:
        """Two operators at once."""
        for dead_letter in self._do(look(self._redis)).dead_letters[queue][:1]:
            again: Any = {
                "deliveries": [dead_letter.revived(datetime.now(UTC) + DAY, calls=1)],
                "journal_entries": JOURNAL,
            }
            replayed = [self._do(replay(self._redis, dead_letter, record=b"{}", **again)) for _ in range(2)]
            assert replayed == [True, False]
            self.dead_letters[queue] -= names([dead_letter])
            self.lanes[Lane(ACCOUNT, str(dead_letter.endpoint))].waits += names([dead_letter])

    async def _make_due(self, lane: Lane) -> None:
        if members := await self._redis.zrange(lane.keys.retry, 0, -1):
            await self._redis.zadd(lane.keys.retry, dict.fromkeys(members, 1))

    @invariant()
    def each_call_is_in_its_one_place_and_the_counters_balance(self) -> None:
        found = self._do(look(self._redis))
        for lane, place in self.lanes.items():
            assert names(found.streams[lane]) == place.waits + Counter(place.claimed.values())
            assert names(found.retries[lane]) == place.retry
        assert {queue: names(dead_letters) for queue, dead_letters in found.dead_letters.items()} == self.dead_letters
        assert found.waiting == found.open_events
        counted = {source: size.calls for source, size in found.backlog.items() if size.calls}
        assert counted == {source: size.calls for source, size in found.backlog_found.items()}
        # A retry that equals another is told apart by a blank, and has a byte more than it would have alone.
        for source, size in found.backlog_found.items():
            assert 0 <= found.backlog[source].bytes - size.bytes < 100

    @invariant()
    def the_sweep_wakes_what_nobody_drains(self) -> None:
        due = {lane: place for lane, place in self.lanes.items() if place.has_work and not place.held}
        expected = {lane: place.turns for lane, place in due.items() if place.owner is None}
        assert dict(self._do(lanes_to_wake(self._redis, LANES))) == expected

    def teardown(self) -> None:
        """All workers die, and one comes back that has time: everything ends."""
        self._do(self._outbox.close())
        for lane in LANES:
            self._do(self._redis.delete(lane.keys.hold, lane.keys.lease))
            self._do(self._finish(lane))
        assert self._do(lanes_to_wake(self._redis, LANES)) == []
        [counters] = self._do(read_counters(self._redis, [ACCOUNT]))
        assert counters.waiting == 0
        assert counters.received == len(self.arrivals) + counters.dropped.get("duplicate", 0)
        assert not self._do(self._redis.exists(DestinationKeys(ACCOUNT).parts)), (
            "no event waits for a call that is gone"
        )

    async def _finish(self, lane: Lane) -> None:
        lease = lease_of(self._redis, lane)
        assert await lease.acquire()
        await lease.settle([settlement(entry, "retry") for entry in await lease.reclaim()])
        await self._make_due(lane)
        while entries := (await lease.claim(64, under_way=0)).entries:
            await lease.settle([settlement(entry, "done") for entry in entries])
        await lease.release()


@pytest.fixture
def machine(redis_binary: RedisBinary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Makes machines that share one Redis, which is empty for each."""
    folder = tmp_path_factory.mktemp("interleavings")
    with (
        embedded_redis(folder, server=redis_binary.path, fsync="no") as url,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        redis = open_redis(url)
        yield lambda: Interleavings(runner.get_loop(), redis)
        runner.run(redis.aclose(close_connection_pool=True))


@pytest.mark.hypothesis
@pytest.mark.timeout(600)  # a sequence that fails is made as short as can be, which takes minutes
def test_no_interleaving_loses_or_invents_a_delivery(machine: Any) -> None:
    run_state_machine_as_test(
        machine, settings=settings(max_examples=share_of(100), stateful_step_count=50, derandomize=not WHOLE)
    )
