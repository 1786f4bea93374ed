"""How long dead letters and calls held for review are kept, and how many; said long before the first one goes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from redis.asyncio import Redis

from app.delivery.dead_letters import Shelf, shelf_key
from app.delivery.delivery import from_ms, to_ms
from app.delivery.keys import DestinationKeys
from app.delivery.script import Script

NEARLY_FULL: Final = 0.8
_RETAIN: Final = Script("retain")


@dataclass(frozen=True, slots=True)
class Retention:
    """What is kept of each destination's letters, on each shelf. The oldest go first."""

    life: timedelta
    entries: int


@dataclass(frozen=True, slots=True)
class Kept:
    """One shelf of one destination."""

    destination: str
    shelf: Shelf
    letters: int
    oldest: timedelta  # age of the oldest; 0 when there is none

    def fill(self, retention: Retention) -> float:
        """The larger share of what may be kept, by number or by age. At 1 the oldest go."""
        return max(self.letters / retention.entries, self.oldest / retention.life)


async def read_kept(redis: Redis, destinations: Sequence[str]) -> list[Kept]:
    """Every shelf of these destinations. Raises RedisError."""
    shelves = [(destination, shelf) for destination in destinations for shelf in Shelf]
    async with redis.pipeline(transaction=False) as pipeline:
        for destination, shelf in shelves:
            pipeline.xlen(shelf_key(destination, shelf))
            pipeline.xrange(shelf_key(destination, shelf), count=1)
        answers = await pipeline.execute()
    now = datetime.now(UTC)
    return [
        Kept(destination, shelf, letters, max(timedelta(), now - _since(first)) if first else timedelta())
        for (destination, shelf), letters, first in zip(shelves, answers[::2], answers[1::2], strict=True)
    ]


async def let_go(redis: Redis, destinations: Sequence[str], retention: Retention) -> dict[str, int]:
    """Delete what is too old or too much, and count it in the books. How many went where. Raises RedisError."""
    oldest = str(max(0, to_ms(datetime.now(UTC) - retention.life)))
    gone: dict[str, int] = {}
    for destination in destinations:
        for shelf in Shelf:
            fields = [f"let_go:{shelf}:{why}" for why in ("age", "number")]
            keys = [shelf_key(destination, shelf), DestinationKeys(destination).books]
            if number := sum(await _RETAIN.run(redis, keys, [oldest, retention.entries, *fields])):
                gone[destination] = gone.get(destination, 0) + number
    return gone


def _since(entries: list[tuple[bytes, object]]) -> datetime:
    return from_ms(int(entries[0][0].partition(b"-")[0]))
