"""How long dead letters and calls in review are kept, and each source's share of them.

Each source has its own share, so that a source that floods a queue displaces only its own dead letters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from redis.asyncio import Redis

from app.counted import Evicted
from app.delivery.counters import by_source
from app.delivery.dead_letter import DeadLetterQueue, kept_key, queue_key
from app.delivery.delivery import from_ms, to_ms
from app.store.keys import DestinationKeys
from app.store.script import Arguments, Script

NEARLY_FULL: Final = 0.8
_EVICT: Final = Script(
    "evict",
    keys=("queue", "kept", "counters"),
    args=("oldest_ms", "most_letters", "most_bytes", "by_age", "by_share"),
    after=("dead_letters",),
)


@dataclass(frozen=True, slots=True)
class Retention:
    """The limits for the dead letters of each source, on each queue of a destination. The oldest are removed first."""

    life: timedelta = timedelta(days=90)
    entries: int = 1_000_000
    bytes: int = 64 * 2**20  # in their stored form


DEFAULT_RETENTION: Final = Retention()


@dataclass(frozen=True, slots=True)
class Share:
    """What one source has on a queue."""

    letters: int
    bytes: int

    def fill(self, retention: Retention) -> float:
        """The larger of its two used shares. At 1, its oldest are removed."""
        return max(self.letters / retention.entries, self.bytes / retention.bytes)


@dataclass(frozen=True, slots=True)
class Kept:
    """One queue of one destination."""

    destination: str
    queue: DeadLetterQueue
    dead_letters: int
    oldest: timedelta  # age of the oldest; 0 if there is none
    shares: Mapping[str, Share] = field(default_factory=dict)  # by source

    def fill(self, retention: Retention) -> float:
        """How near the first dead letter is to removal, by its age or its source's share. At 1 it is removed."""
        return max([self.oldest / retention.life, *(share.fill(retention) for share in self.shares.values())])


async def read_kept(redis: Redis, destinations: Sequence[str]) -> list[Kept]:
    """Every queue of these destinations. Raises RedisError."""
    queues = [(destination, queue) for destination in destinations for queue in DeadLetterQueue]
    async with redis.pipeline(transaction=False) as pipeline:
        for destination, queue in queues:
            pipeline.xlen(queue_key(destination, queue))
            pipeline.xrange(queue_key(destination, queue), count=1)
            pipeline.hgetall(kept_key(destination, queue))
        answers = await pipeline.execute()
    now = datetime.now(UTC)
    return [
        Kept(
            destination,
            queue,
            dead_letters,
            max(timedelta(), now - _since(first)) if first else timedelta(),
            {source: Share(*size) for source, size in by_source(kept, "letters").items()},
        )
        for (destination, queue), dead_letters, first, kept in zip(
            queues, answers[::3], answers[1::3], answers[2::3], strict=True
        )
    ]


async def evict(redis: Redis, destinations: Sequence[str], retention: Retention) -> None:
    """Delete and count what is too old or exceeds a source's share. Works in slices. Raises RedisError."""
    oldest = to_ms(datetime.now(UTC) - retention.life)
    for destination in destinations:
        for queue in DeadLetterQueue:
            keys = {
                "queue": queue_key(destination, queue),
                "kept": kept_key(destination, queue),
                "counters": DestinationKeys(destination).counters,
            }
            args: Arguments = {
                "oldest_ms": max(1, oldest),
                **share_args(retention),
                "by_age": Evicted(queue, "age").field,
                "by_share": Evicted(queue, "share").field,
            }
            while await _EVICT.run(redis, keys, args):
                pass


def share_args(retention: Retention) -> dict[str, int]:
    """The arguments of scripts that add dead letters: a source's share."""
    return {"most_letters": retention.entries, "most_bytes": retention.bytes}


def _since(entries: list[tuple[bytes, object]]) -> datetime:
    return from_ms(int(entries[0][0].partition(b"-")[0]))
