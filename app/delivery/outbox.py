"""The way into Redis: events of all requests that wait at one moment go in by one round trip, all or nothing."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from app.delivery.arrival import Arrival
from app.delivery.attributes import MOST_KEPT
from app.delivery.connection import QueueUnavailable, why_unavailable
from app.delivery.delivery import Delivery
from app.delivery.group_commit import GroupCommit
from app.delivery.keys import SAID_LIFE_S, SEEN_BUCKET_S, SEEN_BUCKETS, DestinationKeys, LaneKeys
from app.delivery.said import said
from app.delivery.script import Argument, Script

REPLICATED_WITHIN_MS: Final = 2000  # well within the time a tracker waits
EVENTS_PER_FLUSH: Final = (
    128  # about what a socket takes at once: 256 left Redis waiting for the rest, and us for Redis
)
_ENQUEUE = Script("enqueue", after=("memory",))
_HELD: Final = "dropped:join_held"  # how an event ends of which nothing is left without the call that is held
_SEEN_LIFE_S: Final = SEEN_BUCKET_S * SEEN_BUCKETS

log = structlog.get_logger()

Wake = Callable[[str, str, int], None]  # destination, endpoint, turn


class Outbox:
    """Takes decided events, and answers when Redis has acknowledged them."""

    def __init__(self, redis: Redis, *, wake: Wake, journal_entries: int, replicas: int = 0) -> None:
        """`wake` is told of each lane that got something and has no drain; `journal_entries` bounds the journal.

        So many `replicas` must have an event before it counts as kept.
        """
        self._redis = redis
        self._replicas = replicas
        self._wake = wake
        self._journal_entries = journal_entries
        self._commit = GroupCommit(self._write, most=EVENTS_PER_FLUSH, size=_events)

    async def submit(self, destination: str, arrivals: Sequence[Arrival]) -> None:
        """Return once the events of one request are kept. Raises QueueUnavailable: then none of them is."""
        await self._commit.submit((destination, arrivals))

    async def flush(self) -> None:
        """Return when nothing waits to be written."""
        await self._commit.flush()

    async def _write(self, requests: Sequence[tuple[str, Sequence[Arrival]]]) -> list[BaseException | None]:
        by_destination: dict[str, list[Arrival]] = {}
        for destination, arrivals in requests:
            by_destination.setdefault(destination, []).extend(arrivals)
        flushes = [_Flush(name, arrivals, self._journal_entries) for name, arrivals in by_destination.items()]
        verdicts: dict[str, BaseException | None] = {}
        while flushes:
            answers, replicated = await self._send(flushes)
            again = []
            for flush, answer in zip(flushes, answers, strict=True):
                if flush.wants_another_go(answer):
                    again.append(flush)
                else:
                    verdicts[flush.destination] = self._conclude(flush, answer, replicated=replicated)
            flushes = again
        return [verdicts[destination] for destination, _ in requests]

    async def _send(self, flushes: Sequence["_Flush"]) -> tuple[list[Any], bool]:
        """What Redis answers to each, in one round trip, and whether enough replicas have it all."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for flush in flushes:
                _ENQUEUE.queue(pipeline, flush.keys, flush.args, with_text=flush.with_text)
            if self._replicas:
                pipeline.execute_command("WAIT", self._replicas, REPLICATED_WITHIN_MS)
            try:
                answers = await pipeline.execute(raise_on_error=False)
            except RedisError as failure:
                return [failure] * len(flushes), True
        if not self._replicas:
            return answers, True
        *answers, replicas = answers
        return answers, not isinstance(replicas, RedisError) and replicas >= self._replicas

    def _conclude(self, flush: "_Flush", answer: Any, *, replicated: bool) -> BaseException | None:
        if isinstance(answer, RedisError) or not replicated:
            reason = why_unavailable(answer) if isinstance(answer, RedisError) else "redis_not_replicated"
            log.error("outbox.refused", destination=flush.destination, reason=reason, events=len(flush.arrivals))
            return QueueUnavailable(reason)
        for lane, turn in zip(answer[1::2], answer[2::2], strict=True):
            self._wake(flush.destination, flush.endpoints[lane], turn)
        return None


class _Flush:
    """The arguments of one run of enqueue.lua."""

    def __init__(self, destination: str, arrivals: Sequence[Arrival], journal_entries: int) -> None:
        shared = self._shared = DestinationKeys(destination)
        now_s = time.time()
        self.destination = destination
        self.arrivals = arrivals
        self.with_text = False  # whether Redis must be told the script itself
        self.keys = [
            *shared.seen(now_s),
            shared.journal,
            shared.dead,
            shared.books,
            shared.parts,
            shared.attributes,
            shared.deletions,
        ]
        self.endpoints: list[str] = []
        dead_letters, deletions = SEEN_BUCKETS + 2, SEEN_BUCKETS + 6  # where these stand among the keys, from 1
        streams_of: dict[str, int] = {}
        remembered: dict[str, int] = {}  # keys of what was last said, numbered from 1
        events: list[Argument] = []
        stepping: list[tuple[int, Arrival]] = []  # those that do something in memory, with their numbers
        lessons: dict[str, Any] = {}  # by number of the event, from 1
        for number, arrival in enumerate(arrivals, start=1):
            if arrival.counts or arrival.attributes:
                lessons[str(number)] = {"counts": arrival.counts, "attributes": arrival.attributes or {}}
            letters = arrival.dead_letter
            deliveries = arrival.deliveries
            if arrival.steps:
                stepping.append((number, arrival))
                deliveries += arrival.instead
            entries = len(deliveries) + (letters is not None) + (arrival.deletion is not None)
            events += (arrival.key, arrival.message_id, arrival.record, arrival.ending, entries)
            for delivery in deliveries:
                first = streams_of.get(delivery.endpoint)
                if first is None:
                    lane = LaneKeys(shared, delivery.endpoint)
                    self.keys += (lane.lease, lane.turn)
                    first = streams_of[delivery.endpoint] = len(self.keys) + 1
                    self.keys += lane.streams
                    self.endpoints.append(delivery.endpoint)
                events += (first + delivery.priority, delivery.packed(), *_said_by(delivery, shared, remembered))
            if letters is not None:
                events += (dead_letters, letters, 0, b"")
            if arrival.deletion is not None:
                events += (deletions, arrival.deletion, 0, b"")
        self.args: list[Argument] = [
            SEEN_BUCKETS,
            _SEEN_LIFE_S,
            journal_entries,
            len(self.endpoints),
            len(arrivals),
            SAID_LIFE_S,
            sum(len(arrival.steps) for _, arrival in stepping),
            orjson.dumps(lessons) if lessons else b"",
            MOST_KEPT,
            *events,
        ]
        self.keys += remembered
        if stepping:
            self._add_steps(stepping, now_s)

    def _add_steps(self, stepping: Sequence[tuple[int, Arrival]], now_s: float) -> None:
        places: dict[str, int] = {}

        def place(key: str) -> int:
            if key not in places:
                self.keys.append(key)
                places[key] = len(self.keys)
            return places[key]

        for number, arrival in stepping:
            ending = "" if arrival.instead else _HELD
            calls = len(arrival.deliveries)
            for step in arrival.steps:
                self.args += (number, step.to_json(self._shared, place, now_s=now_s, calls=calls, ending=ending))

    def wants_another_go(self, answer: Any) -> bool:
        """Whether Redis did nothing yet and has said what it lacks: the script's text, or keys. They are there now."""
        if isinstance(answer, NoScriptError):
            self.with_text = True
            return True
        if isinstance(answer, list) and answer[0] == b"more":  # an alias leads to records that nobody has named
            self.keys += dict.fromkeys(self._shared.memory(name.decode()) for name in answer[1])
            return True
        return False


def _said_by(delivery: Delivery, shared: DestinationKeys, remembered: dict[str, int]) -> tuple[Argument, Argument]:
    """The two arguments that tell enqueue.lua what this call says about whom."""
    what = said(delivery.endpoint, delivery.body)
    if what is None:
        return 0, b""
    numbers = [remembered.setdefault(shared.said(person), len(remembered) + 1) for person in what.people]
    if what.is_consent:
        return f"{','.join(map(str, numbers))}/{delivery.once_in_s}", what.digest
    return numbers[0], what.digest


def _events(request: tuple[str, Sequence[Arrival]]) -> int:
    return len(request[1])
