"""The counters: how many events were received and how each one ended. The scripts that change an event count it, too.

received + replayed = delivered + dropped + dead letters + unknown + waiting, at every moment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from redis.asyncio import Redis

from app.counted import (
    DELIVERED,
    LONG_URL,
    RECEIVED,
    REPLAYED,
    UNCHANGED,
    DeadLettered,
    Dropped,
    ErasureCount,
    Evicted,
    JournalTrim,
    LargeCall,
    LeftOut,
    Merge,
    MissedJourney,
    UnknownCall,
    Unresolved,
)
from app.store.hashes import read_hashes
from app.store.keys import DestinationKeys


@dataclass(frozen=True, slots=True)
class Counters:
    """One destination's totals since its Redis was set up, in events."""

    destination: str
    received: int
    replayed: int  # dead letters sent again: each counts as received once more
    delivered: int
    dropped: Mapping[str, int]  # by reason
    dead: Mapping[str, int]  # by reason
    unknown: Mapping[str, int]  # by what followed: review or given_up
    unknown_calls: Mapping[tuple[str, str], int]  # calls of unknown outcome, by endpoint and what followed
    erasures: Mapping[str, int] = field(default_factory=dict)  # begun, done and incomplete
    unchanged: int = 0  # calls skipped because Attentive already has their content
    merges: Mapping[tuple[str, str], int] = field(default_factory=dict)  # by source and "send" or "block"
    left_out: Mapping[str, int] = field(default_factory=dict)  # attributes: "type:NAME", "refused:NAME", or "names"
    large: Mapping[str, int] = field(default_factory=dict)  # calls above the safe size, by endpoint
    long_urls: int = 0  # calls with a URL longer than Attentive shortens
    missed: Mapping[str, int] = field(default_factory=dict)  # calls too late for a journey: "arrived" or "waited"
    evicted: Mapping[tuple[str, str, str], int] = field(default_factory=dict)  # by queue, "age" or "share", and source
    journal_trimmed: Mapping[str, int] = field(default_factory=dict)  # entries deleted for bytes, by who filled it

    @property
    def waiting(self) -> int:
        """Events that have not ended yet."""
        ended = self.delivered + sum(self.dropped.values()) + sum(self.dead.values()) + sum(self.unknown.values())
        return self.received + self.replayed - ended


async def read_counters(redis: Redis, destinations: Sequence[str]) -> list[Counters]:
    """The counters of each destination. Raises RedisError."""
    pages = await read_hashes(redis, [DestinationKeys(destination).counters for destination in destinations])
    return [
        _counters(destination, {field.decode(): int(count) for field, count in page.items()})
        for destination, page in zip(destinations, pages, strict=True)
    ]


def _counters(destination: str, page: Mapping[str, int]) -> Counters:
    return Counters(
        destination,
        received=page.get(RECEIVED, 0),
        replayed=page.get(REPLAYED, 0),
        delivered=page.get(DELIVERED, 0),
        dropped=_by_reason(page, Dropped.prefix),
        dead=_by_reason(page, DeadLettered.prefix),
        unknown=_by_reason(page, Unresolved.prefix),
        unknown_calls=_by_two(page, UnknownCall.prefix),
        erasures=_by_reason(page, ErasureCount.prefix),
        unchanged=page.get(UNCHANGED, 0),
        merges={_source_and_verdict(name): count for name, count in _by_reason(page, Merge.prefix).items()},
        left_out=_by_reason(page, LeftOut.prefix),
        large=_by_reason(page, LargeCall.prefix),
        long_urls=page.get(LONG_URL, 0),
        missed=_by_reason(page, MissedJourney.prefix),
        evicted=_by_three(page, Evicted.prefix),
        journal_trimmed=_by_reason(page, JournalTrim.prefix),
    )


def _by_two(page: Mapping[str, int], prefix: str) -> dict[tuple[str, str], int]:
    return {
        (one, other): count for field, count in _by_reason(page, prefix).items() for one, other in [field.split(":")]
    }


def _by_three(page: Mapping[str, int], prefix: str) -> dict[tuple[str, str, str], int]:
    return {
        (one, two, rest): count
        for field, count in _by_reason(page, prefix).items()
        for one, two, rest in [field.split(":", 2)]
    }


def by_source(page: Mapping[bytes, bytes], what: str) -> dict[str, tuple[int, int]]:
    """The count and bytes of each source: the fields `what:NAME` and `bytes:NAME` of a stored hash."""
    stored = {name.decode(): value for name, value in page.items()}
    return {
        source: (max(0, int(number)), max(0, int(stored.get(f"bytes:{source}", 0))))
        for name, number in sorted(stored.items())
        for counted, _, source in [name.partition(":")]
        if counted == what
    }


def _source_and_verdict(name: str) -> tuple[str, str]:
    verdict, _, source = name.partition(":")
    return source, verdict


def _by_reason(page: Mapping[str, int], prefix: str) -> dict[str, int]:
    return {field.removeprefix(prefix): count for field, count in sorted(page.items()) if field.startswith(prefix)}
