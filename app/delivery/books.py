"""The books: how many events were received and how each one ended. Kept in Redis by the scripts that make it so.

received + replayed = delivered + dropped + dead letters + unknown + waiting, at every moment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from redis.asyncio import Redis

from app.delivery.keys import DestinationKeys


@dataclass(frozen=True, slots=True)
class Books:
    """One destination's sums since its Redis began, in events."""

    destination: str
    received: int
    replayed: int  # dead letters sent again: each is counted as if received anew
    delivered: int
    dropped: Mapping[str, int]  # by reason
    dead: Mapping[str, int]  # by reason
    unknown: Mapping[str, int]  # held | given_up: nobody knows whether Attentive acted on them
    unknown_calls: Mapping[tuple[str, str], int]  # calls of unknown outcome, by endpoint and what followed
    deletions: Mapping[str, int] = field(default_factory=dict)  # begun, done and incomplete
    unchanged: int = 0  # calls left out because they say what Attentive already knows
    joins: Mapping[tuple[str, str], int] = field(default_factory=dict)  # identifies, by source and "send" or "hold"
    left_out: Mapping[str, int] = field(default_factory=dict)  # attributes: "type:NAME", or "names" beyond the most
    large: Mapping[str, int] = field(default_factory=dict)  # calls of more than is safe, by endpoint
    let_go: Mapping[tuple[str, str], int] = field(default_factory=dict)  # letters, by shelf and "age" or "number"

    @property
    def waiting(self) -> int:
        """Events that have not ended yet."""
        ended = self.delivered + sum(self.dropped.values()) + sum(self.dead.values()) + sum(self.unknown.values())
        return self.received + self.replayed - ended


async def read_books(redis: Redis, destinations: Sequence[str]) -> list[Books]:
    """The books of each destination. Raises RedisError."""
    async with redis.pipeline(transaction=False) as pipeline:
        for destination in destinations:
            pipeline.hgetall(DestinationKeys(destination).books)
        pages = await pipeline.execute()
    return [
        _books(destination, {field.decode(): int(count) for field, count in page.items()})
        for destination, page in zip(destinations, pages, strict=True)
    ]


def _books(destination: str, page: Mapping[str, int]) -> Books:
    return Books(
        destination,
        received=page.get("received", 0),
        replayed=page.get("replayed", 0),
        delivered=page.get("delivered", 0),
        dropped=_by_reason(page, "dropped:"),
        dead=_by_reason(page, "dead:"),
        unknown=_by_reason(page, "unknown:"),
        unknown_calls=_by_two(page, "unknown_calls:"),
        deletions=_by_reason(page, "deletions:"),
        unchanged=page.get("unchanged", 0),
        joins={_source_and_verdict(name): count for name, count in _by_reason(page, "join:").items()},
        left_out=_by_reason(page, "left_out:"),
        large=_by_reason(page, "large:"),
        let_go=_by_two(page, "let_go:"),
    )


def _by_two(page: Mapping[str, int], prefix: str) -> dict[tuple[str, str], int]:
    return {
        (one, other): count for field, count in _by_reason(page, prefix).items() for one, other in [field.split(":")]
    }


def _source_and_verdict(name: str) -> tuple[str, str]:
    verdict, _, source = name.partition(":")
    return source, verdict


def _by_reason(page: Mapping[str, int], prefix: str) -> dict[str, int]:
    return {field.removeprefix(prefix): count for field, count in sorted(page.items()) if field.startswith(prefix)}
