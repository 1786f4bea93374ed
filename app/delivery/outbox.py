"""The way into Redis: events of all requests that wait at one moment go in by one round trip, all or nothing."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from app.delivery.arrival import Arrival, Call
from app.delivery.attributes import MOST_KEPT
from app.delivery.connection import Dedicated, QueueUnavailable, why_unavailable
from app.delivery.group_commit import GroupCommit
from app.delivery.keys import SAID_LIFE_S, SEEN_BUCKET_S, SEEN_BUCKETS, DestinationKeys, LaneKeys
from app.delivery.said import Said
from app.delivery.script import Argument, Script

REPLICATED_WITHIN_MS: Final = 2000  # well within the time a tracker waits
EVENTS_PER_FLUSH: Final = 128  # what a socket takes at once: of 256, Redis waited for the rest, and we for Redis
# So many may wait for the next flush while one is written. Without this bound the requests of 64 connections were all
# decided, then all written, and the gateway had nothing to do for a sixth of its time.
EVENTS_AHEAD: Final = 24
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
        self._connection = Dedicated(redis)
        self._replicas = replicas
        self._wake = wake
        self._journal_entries = journal_entries
        self._commit = GroupCommit(self._write, most=EVENTS_PER_FLUSH, size=_events)
        self._told: Callable[[], None] | None = None
        self._is_leaving = False  # a flush, which what else is done meanwhile would hold up

    @property
    def full(self) -> bool:
        """Whether enough waits for the next flush, or one is about to leave: more should come when it has."""
        return self._is_leaving or self._commit.waiting >= EVENTS_AHEAD

    def tell_of_room(self, told: Callable[[], None]) -> None:
        """Call `told` from now on whenever there is room again: when a flush has left, while Redis is busy with it."""
        self._told = told

    def hand_in(
        self, destination: str, arrivals: Sequence[Arrival], then: Callable[[BaseException | None], None]
    ) -> None:
        """Call `then` once the events of one request are kept, or with QueueUnavailable: then none of them is."""
        self._commit.hand_in((destination, arrivals), then)

    async def submit(self, destination: str, arrivals: Sequence[Arrival]) -> None:
        """Return once the events of one request are kept. Raises QueueUnavailable: then none of them is."""
        await self._commit.submit((destination, arrivals))

    async def flush(self) -> None:
        """Return when nothing waits to be written."""
        await self._commit.flush()

    async def close(self) -> None:
        """Flush, and give the connection back."""
        await self.flush()
        await self._connection.release()

    async def _write(self, requests: Sequence["_Request"]) -> list[BaseException | None]:
        self._is_leaving = True
        try:
            return await self._written(requests)
        finally:
            if self._is_leaving:  # it could not; but those who wait for room must not wait for ever
                self._left()

    async def _written(self, requests: Sequence["_Request"]) -> list[BaseException | None]:
        by_destination: dict[str, list[Arrival]] = {}
        for destination, events in requests:
            by_destination.setdefault(destination, []).extend(events)
        flushes = [_Flush(name, events, self._journal_entries) for name, events in by_destination.items()]
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
        commands = [_ENQUEUE.command(flush.keys, flush.args, with_text=flush.with_text) for flush in flushes]
        if self._replicas:
            commands.append(("WAIT", self._replicas, REPLICATED_WITHIN_MS))
        try:
            answers = await self._connection.ask(commands, self._left)
        except RedisError as failure:
            return [failure] * len(flushes), True
        if not self._replicas:
            return answers, True
        *answers, replicas = answers
        return answers, not isinstance(replicas, RedisError) and replicas >= self._replicas

    def _left(self) -> None:
        self._is_leaving = False
        if self._told is not None and not self.full:
            self._told()

    def _conclude(self, flush: "_Flush", answer: Any, *, replicated: bool) -> BaseException | None:
        if isinstance(answer, RedisError) or not replicated:
            reason = why_unavailable(answer) if isinstance(answer, RedisError) else "redis_not_replicated"
            log.error("outbox.refused", destination=flush.destination, reason=reason, events=flush.events)
            return QueueUnavailable(reason)
        for lane, turn in zip(answer[1::2], answer[2::2], strict=True):
            self._wake(flush.destination, flush.endpoints[lane], turn)
        return None


_Request = tuple[str, Sequence[Arrival]]  # the destination, and the events of one request


class _Flush:
    """The arguments of one run of enqueue.lua."""

    def __init__(self, destination: str, events: Sequence[Arrival], journal_entries: int) -> None:
        shared = self._shared = DestinationKeys(destination)
        now_s = time.time()
        self.destination = destination
        self.events = len(events)
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
        args: list[Argument] = [event.key for event in events]
        stepping: list[tuple[int, Arrival]] = []  # those that do something in memory, with their numbers
        lessons: dict[str, Any] = {}  # by number of the event, from 1
        for number, event in enumerate(events, start=1):
            calls, letter, deletion, ending = event.calls, event.dead_letter, event.deletion, event.ending
            if event.counts or event.attributes:
                lessons[str(number)] = {"counts": event.counts, "attributes": event.attributes or {}}
            if event.steps:
                stepping.append((number, event))
                calls += event.instead
            entries = len(calls) + (letter is not None) + (deletion is not None)
            args += (event.message_id, event.record, f"{entries} {ending}" if ending else entries)
            for call in calls:
                first = streams_of.get(call.endpoint)
                if first is None:
                    lane = LaneKeys(shared, call.endpoint)
                    self.keys += (lane.lease, lane.turn)
                    first = streams_of[call.endpoint] = len(self.keys) + 1
                    self.keys += lane.streams
                    self.endpoints.append(call.endpoint)
                stream = first + call.priority
                what = call.said
                place = stream if what is None else _place_of(stream, call, what, shared, remembered)
                args += (place, call.stored)
            if letter is not None:
                args += (dead_letters, letter)
            if deletion is not None:
                args += (deletions, deletion)
        self.args: list[Argument] = [
            SEEN_BUCKETS,
            _SEEN_LIFE_S,
            journal_entries,
            len(self.endpoints),
            len(events),
            SAID_LIFE_S,
            sum(len(event.steps) for _, event in stepping),
            orjson.dumps(lessons) if lessons else b"",
            MOST_KEPT,
            *args,
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

        for number, event in stepping:
            ending = "" if event.instead else _HELD
            calls = len(event.calls)
            for step in event.steps:
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


def _place_of(stream: int, call: Call, what: Said, shared: DestinationKeys, numbers: dict[str, int]) -> bytes:
    """The place of a call that says something about somebody, with what it says: see enqueue.lua."""
    people = ",".join(str(numbers.setdefault(shared.said(person), len(numbers) + 1)) for person in what.people)
    about = f"{people}/{call.once_in_s}" if what.is_consent else people
    return f"{stream} {about} ".encode() + what.digest


def _events(request: _Request) -> int:
    return len(request[1])
