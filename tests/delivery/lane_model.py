"""What Redis must hold of the events in some lanes, what it does hold, and how a drain's attempts may end."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from redis.asyncio import Redis

from app.attentive.call import Priority
from app.delivery.backlog import SourceBacklog, source_backlogs
from app.delivery.consumer import LaneConsumer
from app.delivery.counters import read_counters
from app.delivery.dead_letter import DeadLetter, DeadLetterQueue, queue_key, read_dead_letter
from app.delivery.delivery import Delivery
from app.delivery.lane import Lane
from app.delivery.outcome import HOLD, Hold
from app.delivery.pace import Pace
from app.delivery.settlement import Entry, Settlement, dead_lettered, done, held, retried, unresolved
from app.delivery.unknown import WhenUnknown
from tests.builders import delivery

ACCOUNT: Final = "acme"
LANES: Final = (Lane(ACCOUNT, "custom-event"), Lane(ACCOUNT, "purchase"))
DAY: Final = timedelta(days=1)
JOURNAL: Final = 50
ENDINGS: Final = ("done", "retry", "held", "dead", "unknown")

Names = Counter[str]  # message ids: calls of one event may be quite the same, and are counted, not told apart


@dataclass
class Worker:
    """A drain as far as it has got: what it believes, true or not."""

    lease: LaneConsumer | None = None
    took_over: bool = False  # whether it has asked for what an earlier drain left
    hands: list[Entry] = field(default_factory=list)  # claimed or inherited, and not settled
    owes: bool = False  # whether something inherited is among them: that is settled before more is claimed


@dataclass
class Place:
    """What the model knows of a lane."""

    waits: Names = field(default_factory=Counter)
    claimed: dict[tuple[int, bytes], str] = field(default_factory=dict)
    retry: Names = field(default_factory=Counter)
    due: Names = field(default_factory=Counter)  # of these, those whose time has come
    owner: LaneConsumer | None = None
    turns: int = 0
    held: bool = False

    @property
    def has_work(self) -> bool:
        """Whether there is something for a drain to do now."""
        return bool(self.waits or self.claimed or self.due)


class Found(NamedTuple):
    """What Redis holds of events, claimed or not."""

    streams: dict[Lane, list[Delivery]]
    retries: dict[Lane, list[Delivery]]
    dead_letters: dict[DeadLetterQueue, list[DeadLetter]]
    waiting: int  # events, by the counters
    backlog: dict[str, SourceBacklog]  # by source, as the scripts count it

    @property
    def backlog_found(self) -> dict[str, SourceBacklog]:
        """The same, counted now."""
        found: dict[str, SourceBacklog] = {}
        for part in (self.streams, self.retries):
            for call in (each for lane in part.values() for each in lane):
                before = found.get(call.source, SourceBacklog(0, 0))
                found[call.source] = SourceBacklog(before.calls + 1, before.bytes + len(call.packed()))
        return found

    @property
    def open_events(self) -> int:
        """Events of which a call waits."""
        calls = [call for part in (self.streams, self.retries) for lane in part.values() for call in lane]
        several = {call.message_id for call in calls if call.calls > 1}
        return len(several) + sum(call.calls == 1 for call in calls)


async def look(redis: Redis) -> Found:
    """Everything, in two round trips."""
    async with redis.pipeline(transaction=False) as pipeline:
        for lane in LANES:
            pipeline.zrange(lane.keys.retry, 0, -1)
            for stream in lane.keys.streams:
                pipeline.xrange(stream)
        for queue in DeadLetterQueue:
            pipeline.xrange(queue_key(ACCOUNT, queue))
        answers = iter(await pipeline.execute())
    streams: dict[Lane, list[Delivery]] = {}
    retries: dict[Lane, list[Delivery]] = {}
    for lane in LANES:
        retries[lane] = [Delivery.unpacked(member[1:]) for member in next(answers)]
        stored = [fields[b"d"] for _ in lane.keys.streams for _, fields in next(answers)]
        streams[lane] = list(map(Delivery.unpacked, stored))
    dead_letters = {
        queue: [read_dead_letter(ACCOUNT, id_, fields[b"d"], queue) for id_, fields in next(answers)]
        for queue in DeadLetterQueue
    }
    [counters] = await read_counters(redis, [ACCOUNT])
    backlog = (await source_backlogs(redis, [ACCOUNT]))[ACCOUNT]
    return Found(streams, retries, dead_letters, counters.waiting, backlog)


def names(what: Sequence[Delivery | DeadLetter]) -> Names:
    """Their message ids."""
    return Counter(each.message_id for each in what)


def name_of(entry: Entry) -> str:
    """Which event it belongs to."""
    return Delivery.unpacked(entry.payload).message_id


def call_of(name: str, lane: Lane, priority: Priority, age: str, calls: int, *, public: bool = False) -> Delivery:
    """One of an event's `calls`; `age`: fresh, stale, or late, which is past its deadline."""
    now = datetime.now(UTC)
    return delivery(
        message_id=name,
        endpoint=lane.endpoint,
        priority=priority,
        received_at=now.replace(microsecond=0),
        fresh_until=now.replace(microsecond=0) + (DAY if age == "fresh" else -DAY),
        deadline=now.replace(microsecond=0) + (-DAY if age == "late" else DAY),
        calls=calls,
        source="page" if public else "shop",
        public=public,
    )


def lease_of(redis: Redis, lane: Lane) -> LaneConsumer:
    """For a drain that no limit holds back, and whose lease ends only when a test ends it."""
    return LaneConsumer(redis, lane, Pace(10_000), journal_entries=JOURNAL, lease=timedelta(hours=1))


def settlement(entry: Entry, ending: str) -> Settlement:
    """One of ENDINGS for a claimed call; a retry is due in an hour."""
    sent, record = Delivery.unpacked(entry.payload), b"{}"
    makers: dict[str, Any] = {
        "done": lambda: done(entry, sent, record),
        "retry": lambda: retried(entry, sent, record, datetime.now(UTC), timedelta(hours=1)),
        "held": lambda: held(entry, sent, record, Hold(False, "403", HOLD)),
        "dead": lambda: dead_lettered(entry, sent, record, DeadLetter.of(sent, "http_400", "", {})),
        "unknown": lambda: unresolved(
            entry, sent, record, WhenUnknown.REVIEW, DeadLetter.of(sent, "unknown_outcome", "", {})
        ),
    }
    ending_of: Settlement = makers[ending]()
    return ending_of
