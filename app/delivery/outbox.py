"""The way into Redis: waiting events of all requests are written in one round trip, all or nothing."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from app.counted import RECEIVED, UNCHANGED, Dropped, DropReason, Evicted
from app.delivery.accounts.attributes import MOST_KEPT
from app.delivery.dead_letter import DeadLetterQueue
from app.delivery.last_sent import Fingerprint
from app.delivery.outbox_event import OutboxEvent, PackedCall
from app.delivery.retention import DEFAULT_RETENTION, Retention, share_args
from app.profiles.profile import PROFILE_PARTS
from app.store.connection import QueueUnavailable, Redirect, dedicated, why_unavailable
from app.store.group_commit import GroupCommit
from app.store.keys import (
    LAST_SENT_LIFE_S,
    OPTED_OUT_LIFE_S,
    ROWS_PREFIX,
    SEEN_BUCKET_S,
    SEEN_BUCKETS,
    STREAMS,
    DestinationKeys,
    LaneKeys,
)
from app.store.script import Argument, Arguments, KeyPlaces, Keys, Script

REPLICATED_WITHIN_MS: Final = 2000  # well within the time that a tracker waits
EVENTS_PER_FLUSH: Final = 128  # what fits a socket buffer: at 256, Redis and the gateway waited for each other
# This many may wait for the next flush while one is written. Without the bound, the requests of 64 connections were
# all decided, then all written, and the gateway idled for a sixth of its time.
EVENTS_AHEAD: Final = 24
# The events of one run of the script. Redis does nothing else during a run, which must take less than 50 ms. If a
# larger batch fails halfway, the events of earlier runs stay stored; when sent again, they are repeats.
EVENTS_PER_RUN: Final = 250
REDIRECTS: Final = 40  # with the pauses of DedicatedToShard, two seconds
# The arguments of one run, by estimate. Some services refuse a request with 4,000 of them.
ARGUMENTS_PER_RUN: Final = 3_000
ARGUMENTS_OF_A_CALL: Final = 5  # with the keys of its fingerprint
UPDATE_WEIGHT: Final = 20  # updating a profile takes as long as writing this many events
_KEYS: Final = (
    *("journal", "journal_index", "dead", "dead_kept", "backlog", "counters", "parts", "attributes"),
    *("row_outcomes", "#erasures", "@lists"),
)
_ARGS: Final = (
    *("source", "most_letters", "most_bytes", "evicted", "keys_of_a_lane", "seen_sets", "seen_life_s"),
    *("journal_entries", "lanes", "count", "last_sent_life_s", "updates", "lessons", "opted_out"),
    *("opted_out_life_s", "most_attributes", "received", "duplicate", "unchanged", "unchanged_calls", "rows"),
    *("of_rows", "@events"),
)
_PARTS: Final = ("entry_id", "journal", "dead_letters", "last_sent")
# Most flushes update no profile. Without the functions for that, a run of one event takes a seventh fewer instructions.
_PLAIN = Script("enqueue", keys=_KEYS, args=_ARGS, after=("shared_hash", *_PARTS), label="enqueue_plain")
_ENQUEUE = Script("enqueue", keys=_KEYS, args=_ARGS, after=(*PROFILE_PARTS, *_PARTS))
_LISTS_AT: Final = _ENQUEUE.index("lists")
_DEAD, _ERASURES = 0, _ENQUEUE.index("erasures")
_BLOCKED: Final = Dropped(DropReason.MERGE_BLOCKED).field  # how an event ends whose only call is blocked
_SEEN_LIFE_S: Final = SEEN_BUCKET_S * SEEN_BUCKETS

log = structlog.get_logger()

Wake = Callable[[str, str, int], None]  # destination, endpoint, generation


class Outbox:
    """Takes decided events, and confirms them once Redis has acknowledged the write."""

    def __init__(
        self,
        redis: Redis,
        *,
        wake: Wake,
        journal_entries: int,
        replicas: int = 0,
        retention: Retention = DEFAULT_RETENTION,
        destination: str | None = None,
    ) -> None:
        """`wake` is called for each lane that got a call and has no drain. `journal_entries` bounds the journal.

        `retention` bounds the dead letters of each source. An event counts as kept once `replicas` replicas have it.
        `destination` is the only one that it serves, which a cluster requires.
        """
        self._connection = dedicated(redis, destination)
        self._replicas = replicas
        self._wake = wake
        self._bounds: Arguments = {**share_args(retention), "journal_entries": journal_entries}
        self._commit = GroupCommit(self._write, most=EVENTS_PER_FLUSH, size=_events)
        self._on_capacity: Callable[[], None] | None = None
        self._is_leaving = False  # a flush is leaving, and other work would delay it

    @property
    def at_capacity(self) -> bool:
        """Whether requests should wait: enough events wait for the next flush, or a flush is about to leave."""
        return self._is_leaving or self._commit.waiting >= EVENTS_AHEAD

    def on_capacity(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever there is capacity again: when a flush has left and Redis is busy with it."""
        self._on_capacity = callback

    def hand_in(
        self, destination: str, arrivals: Sequence[OutboxEvent], then: Callable[[BaseException | None], None]
    ) -> None:
        """Call `then` once all events of a request are kept, or with QueueUnavailable: then none of them is kept."""
        self._commit.hand_in((destination, arrivals), then)

    async def submit(self, destination: str, arrivals: Sequence[OutboxEvent]) -> None:
        """Return once all events of a request are kept. Raises QueueUnavailable: then none of them is kept."""
        await self._commit.submit((destination, arrivals))

    async def flush(self) -> None:
        """Return when nothing waits to be written."""
        await self._commit.flush()

    async def close(self) -> None:
        """Flush, and release the connection."""
        await self.flush()
        await self._connection.release()

    async def _write(self, requests: Sequence["_Request"]) -> list[BaseException | None]:
        self._is_leaving = True
        try:
            return await self._written(requests)
        finally:
            if self._is_leaving:  # it could not leave, but waiting requests must not wait forever
                self._left()

    async def _written(self, requests: Sequence["_Request"]) -> list[BaseException | None]:
        by_sender: dict[tuple[str, str], list[OutboxEvent]] = {}
        for destination, events in requests:
            if events:
                by_sender.setdefault((destination, events[0].source), []).extend(events)
        flushes = [_Flush(*sender, run, self._bounds) for sender, events in by_sender.items() for run in _runs(events)]
        verdicts: dict[tuple[str, str], BaseException | None] = {}
        while flushes:
            answers, replicated = await self._send(flushes)
            again = []
            for flush, answer in zip(flushes, answers, strict=True):
                if flush.wants_another_go(answer):
                    again.append(flush)
                else:
                    verdict = self._conclude(flush, answer, replicated=replicated)
                    sender = (flush.destination, flush.source)
                    verdicts[sender] = verdicts.get(sender) or verdict
            flushes = again
        return [verdicts[destination, events[0].source] if events else None for destination, events in requests]

    async def _send(self, flushes: Sequence["_Flush"]) -> tuple[list[Any], bool]:
        """Redis's answer to each flush, in one round trip, and whether enough replicas have them all."""
        commands = [flush.command() for flush in flushes]
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
        if self._on_capacity is not None and not self.at_capacity:
            self._on_capacity()

    def _conclude(self, flush: "_Flush", answer: Any, *, replicated: bool) -> BaseException | None:
        if isinstance(answer, RedisError) or not replicated:
            reason = why_unavailable(answer) if isinstance(answer, RedisError) else "redis_not_replicated"
            log.error("outbox.refused", destination=flush.destination, reason=reason, events=flush.events)
            return QueueUnavailable(reason)
        for lane, generation in zip(answer[1::2], answer[2::2], strict=True):
            self._wake(flush.destination, flush.endpoints[lane], generation)
        return None


_Request = tuple[str, Sequence[OutboxEvent]]  # the destination, and the events of one request

_CONSTANTS: Final[Arguments] = {
    "keys_of_a_lane": 2 + len(STREAMS),
    "seen_sets": SEEN_BUCKETS,
    "seen_life_s": _SEEN_LIFE_S,
    "last_sent_life_s": LAST_SENT_LIFE_S,
    "opted_out": Dropped(DropReason.OPTED_OUT).field,
    "opted_out_life_s": OPTED_OUT_LIFE_S,
    "most_attributes": MOST_KEPT,
    "received": RECEIVED,
    "duplicate": Dropped(DropReason.DUPLICATE).field,
    "unchanged": Dropped(DropReason.UNCHANGED).field,
    "unchanged_calls": UNCHANGED,
}


def _keys_of(shared: DestinationKeys, lists: Sequence[str]) -> Keys:
    return {
        "journal": shared.journal,
        "journal_index": shared.journal_index,
        "dead": shared.dead,
        "dead_kept": shared.dead_kept,
        "backlog": shared.backlog,
        "counters": shared.counters,
        "parts": shared.parts,
        "attributes": shared.attributes,
        "row_outcomes": shared.row_outcomes,
        "erasures": shared.erasures,
        "lists": lists,
    }


class _Flush:
    """The keys and arguments of one run of enqueue.lua."""

    def __init__(self, destination: str, source: str, events: Sequence[OutboxEvent], bounds: Arguments) -> None:
        shared = self._shared = DestinationKeys(destination)
        now_s = time.time()
        self.destination, self.source = destination, source
        self.events = len(events)
        self.redirects = 0  # how often a node of a cluster did not own the slot
        self.with_text = False  # whether Redis needs the script itself
        self.endpoints: list[str] = []
        lists = self._lists = shared.seen(now_s)  # the keys from position _LISTS_AT
        streams_of: dict[str, int] = {}
        last_sent: dict[str, int] = {}  # keys of fingerprints, numbered from 1
        args: list[Argument] = [event.key for event in events]
        updating: list[tuple[int, OutboxEvent]] = []  # events that update profiles, with their numbers
        lessons: dict[str, Any] = {}  # by the event's number, from 1
        for number, event in enumerate(events, start=1):
            calls, dead_letter, erasure, ending = event.calls, event.dead_letter, event.erasure, event.ending
            if event.counts or event.attributes:
                lessons[str(number)] = {"counts": event.counts, "attributes": event.attributes or {}}
            if event.updates:
                updating.append((number, event))
                calls += event.instead
            entries = len(calls) + (dead_letter is not None) + (erasure is not None)
            args += (event.message_id, event.record, f"{entries} {ending}" if ending else entries)
            for call in calls:
                first = streams_of.get(call.endpoint)
                if first is None:
                    lane = LaneKeys(shared, call.endpoint)
                    lists += (lane.lease, lane.generation)
                    first = streams_of[call.endpoint] = _LISTS_AT + len(lists)
                    lists += lane.streams
                    self.endpoints.append(call.endpoint)
                stream = first + call.stream
                what = call.fingerprint
                args += (stream if what is None else _place_of(stream, call, what, shared, last_sent), call.stored)
            if dead_letter is not None:
                args += (_DEAD, dead_letter)
            if erasure is not None:
                args += (_ERASURES, erasure)
        lists += last_sent
        if updating:
            self._add_updates(updating, args, now_s)
        self.keys = _keys_of(shared, lists)
        self.args: Arguments = {
            **_CONSTANTS,
            **bounds,
            "source": source,
            "evicted": Evicted(DeadLetterQueue.DEAD, "share", source).field,
            "lanes": len(self.endpoints),
            "count": len(events),
            "updates": sum(len(event.updates) for _, event in updating),
            "lessons": orjson.dumps(lessons) if lessons else b"",
            "rows": b"".join([event.rows for event in events]),
            "of_rows": int(source.startswith(ROWS_PREFIX)),
            "events": args,
        }

    def _add_updates(self, updating: Sequence[tuple[int, OutboxEvent]], args: list[Argument], now_s: float) -> None:
        place = KeyPlaces(self._lists, _LISTS_AT).place
        for number, event in updating:
            ending = "" if event.instead else _BLOCKED
            calls = len(event.calls)
            for update in event.updates:
                args += (number, update.to_json(self._shared, place, now_s=now_s, calls=calls, ending=ending))

    def command(self) -> tuple[Argument, ...]:
        """The command for the run."""
        script = _ENQUEUE if self.args["updates"] else _PLAIN
        return script.command(self.keys, self.args, with_text=self.with_text)

    def wants_another_go(self, answer: Any) -> bool:
        """Whether Redis did nothing and reported what it lacks: the script's text, keys, or the slot.

        Text and keys are added here. A redirect is followed by the connection.
        """
        if isinstance(answer, NoScriptError):
            self.with_text = True
            return True
        if isinstance(answer, list) and answer[0] == b"more":  # an alias leads to records that are not among the keys
            self._lists += dict.fromkeys(self._shared.profile(name.decode()) for name in answer[1])
            return True
        if isinstance(answer, Redirect) and self.redirects < REDIRECTS:  # of a cluster: the slot is moving
            self.redirects += 1
            return True
        return False


def _place_of(
    stream: int, call: PackedCall, what: Fingerprint, shared: DestinationKeys, numbers: dict[str, int]
) -> bytes:
    """The place of a call's fingerprint, with the fingerprint: see enqueue.lua."""
    people = ",".join(str(numbers.setdefault(shared.last_sent(person), len(numbers) + 1)) for person in what.people)
    if name := what.name:
        place = numbers.setdefault(shared.fingerprints(name), len(numbers) + 1)
        return f"{stream} {place}:{people} ".encode() + what.digest + name
    about = people
    if what.consent:
        outs = ",".join(str(numbers.setdefault(shared.last_sent(name), len(numbers) + 1)) for name in what.opt_outs)
        about = f"{people}/{call.dedupe_window_s}/{outs}/{what.consent}"
    return f"{stream} {about} ".encode() + what.digest


def _runs(events: Sequence[OutboxEvent]) -> list[Sequence[OutboxEvent]]:
    """The events of each run, in their order."""
    if len(events) * (1 + UPDATE_WEIGHT) <= EVENTS_PER_RUN:  # nearly always
        return [events]
    runs: list[list[OutboxEvent]] = [[]]
    weight = arguments = 0
    for event in events:
        own, more = 1 + UPDATE_WEIGHT * len(event.updates), 4 + ARGUMENTS_OF_A_CALL * len(event.calls)
        if (weight + own > EVENTS_PER_RUN or arguments + more > ARGUMENTS_PER_RUN) and runs[-1]:
            runs.append([])
            weight = arguments = 0
        runs[-1].append(event)
        weight += own
        arguments += more
    return list(runs)


def _events(request: _Request) -> int:
    return len(request[1])
