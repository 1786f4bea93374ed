"""A hold: a destination, or one of its endpoints, must not send until the hold ends.

A hold is a key with a reason and an expiry. The scripts that hand out calls read it, and the script that settles
attempts sets it after a refusal. This module does the rest: it begins, reads and ends holds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from redis.asyncio import Redis

from app.delivery.outcome import HOLD_DESTINATION, REFUSED_TOKEN
from app.store.keys import DestinationKeys, LaneKeys

NO_ANSWER: Final = "Attentive does not answer"  # of a stop, as settle.lua writes it
_ACCOUNT_CHANGED: Final = "account changed"  # the reason of such a hold begins with this
_UNVERIFIED: Final = "the token is new, and Attentive has not confirmed its account"
_UNVERIFIED_FOR: Final = timedelta(seconds=15)
_UNTIL_DECIDED: Final = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class HoldStatus:
    """Why a destination, or one endpoint of it, must not send, and for how long."""

    endpoint: str | None  # None: all endpoints
    reason: str
    ends_in: timedelta

    @property
    def needs_decision(self) -> bool:
        """Whether the account changed: then an operator must end the hold, by keeping or discarding the calls."""
        return self.reason.startswith(_ACCOUNT_CHANGED)


async def read_holds(redis: Redis, destination: str, endpoints: Iterable[str] = ()) -> list[HoldStatus]:
    """The hold of a destination and those of these endpoints, if any. Raises StoreError."""
    return (await read_all_holds(redis, [destination], list(endpoints)))[destination]


async def read_all_holds(
    redis: Redis, destinations: Sequence[str], endpoints: Sequence[str]
) -> dict[str, list[HoldStatus]]:
    """The holds of each destination and of its endpoints, in one round trip. Raises StoreError."""
    places = [(name, endpoint) for name in destinations for endpoint in (None, *endpoints)]
    async with redis.pipeline(transaction=False) as pipeline:
        for place in places:
            pipeline.get(_key(*place))
            pipeline.pttl(_key(*place))
        answers = await pipeline.execute()
    found: dict[str, list[HoldStatus]] = {name: [] for name in destinations}
    for (name, endpoint), reason, life_ms in zip(places, answers[::2], answers[1::2], strict=True):
        if reason is not None:
            found[name].append(HoldStatus(endpoint, reason.decode(), timedelta(milliseconds=max(0, life_ms))))
    return found


async def read_hold(redis: Redis, destination: str) -> HoldStatus | None:
    """The hold of a whole destination. Raises StoreError."""
    return next(iter(await read_holds(redis, destination)), None)


async def hold_refused(redis: Redis, destination: str) -> None:
    """Hold a destination whose token Attentive refuses. An existing hold stays. Raises StoreError."""
    await redis.set(DestinationKeys(destination).hold, REFUSED_TOKEN, px=HOLD_DESTINATION, nx=True)


async def hold_unverified(redis: Redis, destination: str, why: str) -> None:
    """Hold a destination until its token's account is known. An existing hold stays. Raises StoreError."""
    await redis.set(DestinationKeys(destination).hold, f"{_UNVERIFIED}: {why}", px=_UNVERIFIED_FOR, nx=True)


async def hold_changed(redis: Redis, destination: str, detail: str) -> None:
    """Hold a destination whose account changed, until an operator decides. Raises StoreError."""
    await redis.set(DestinationKeys(destination).hold, f"{_ACCOUNT_CHANGED}: {detail}", px=_UNTIL_DECIDED)


async def end_hold(redis: Redis, destination: str, endpoint: str | None = None) -> bool:
    """End the hold of a destination, or of one endpoint. False if there was none. Raises StoreError."""
    return bool(await redis.delete(_key(destination, endpoint)))


def _key(destination: str, endpoint: str | None) -> str:
    keys = DestinationKeys(destination)
    return keys.hold if endpoint is None else LaneKeys(keys, endpoint).hold
