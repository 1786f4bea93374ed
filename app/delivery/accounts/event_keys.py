"""How many property names each custom event type of an account has been sent with so far.

Attentive's journeys and macros use the first 200 names of a type. Later names are stored but cannot be used. The
gateway cuts each event at 200 names, but a type can exceed that over many events. Workers learn the names from calls
that Attentive accepted, and Redis counts them by digest, without the names themselves.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson
from redis.asyncio import Redis

from app.masking import mask_text
from app.store.hashes import read_hashes
from app.store.keys import DestinationKeys
from app.store.script import Argument, Script

USABLE_KEYS: Final = 200  # source: Attentive's custom events page
MOST_OF_A_TYPE: Final = 2 * USABLE_KEYS  # counting more would add nothing; per worker
MOST_KEPT: Final = 50_000  # names of one account, 12 bytes each
_MOST_IN_MEMORY: Final = 50_000  # then a worker starts over, and sends again what Redis already has
_DIGEST_BYTES: Final = 12
_TYPE_CHARS: Final = 100
_PLACE_CHARS: Final = 250
_AT_ONCE: Final = 500

_LEARN: Final = Script("learn_keys", keys=("seen", "counts"), args=("most", "@names"))


class EventKeys:
    """The names that one worker has seen, and those that Redis does not have yet."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], set[str]] = {}  # by destination and type
        self._size = 0
        self._new: dict[str, list[tuple[str, str]]] = {}  # by destination: type and name

    def note(self, destination: str, body: bytes) -> None:
        """Learn the names in the body of a custom event that Attentive accepted."""
        call: dict[str, Any] = orjson.loads(body)
        properties = call.get("properties")
        if not properties:
            return
        kind = str(call.get("type", ""))
        known = self._known.get((destination, kind))
        if known is None:
            known = self._known[destination, kind] = set()
            self._size += 1
        for name in _names(properties, ""):
            if name not in known and len(known) < MOST_OF_A_TYPE:
                known.add(name)
                self._size += 1
                self._new.setdefault(destination, []).append((kind, name))

    async def flush(self, redis: Redis) -> None:
        """Store the new names. Raises RedisError: then they are learnt again."""
        new, self._new = self._new, {}
        if not new:
            return
        try:
            for destination, names in new.items():
                for start in range(0, len(names), _AT_ONCE):
                    await _learn(redis, destination, names[start : start + _AT_ONCE])
        except BaseException:
            self._forget()
            raise
        if self._size > _MOST_IN_MEMORY:
            self._forget()

    def _forget(self) -> None:
        self._known, self._size = {}, 0


async def _learn(redis: Redis, destination: str, names: Sequence[tuple[str, str]]) -> None:
    keys = DestinationKeys(destination)
    arguments: list[Argument] = []
    for kind, name in names:
        digest = hashlib.blake2b(f"{kind}\0{name}".encode(), digest_size=_DIGEST_BYTES).digest()
        arguments += (mask_text(kind[:_TYPE_CHARS]), digest)
    await _LEARN.run(
        redis,
        {"seen": keys.event_keys_seen, "counts": keys.event_keys},
        {"most": MOST_KEPT, "names": arguments},
    )


def _short(place: str) -> str:
    """A long place as its digest: senders choose names, and each is part of the place of every name below it."""
    if len(place) <= _PLACE_CHARS:
        return place
    return hashlib.blake2b(place.encode(), digest_size=_DIGEST_BYTES).hexdigest()


def _names(value: Any, path: str) -> Iterator[str]:
    """The names at every depth. The objects of a list share their names, as in Attentive."""
    found = [(path, value)]
    for place, each in found:  # which grows
        if isinstance(each, dict):
            for name, inner in each.items():
                yield (below := _short(f"{place}\0{name}"))
                if isinstance(inner, dict | list):
                    found.append((below, inner))
        elif isinstance(each, list):
            found += [(place, inner) for inner in each]


async def read_event_keys(redis: Redis, destinations: Sequence[str]) -> dict[str, Mapping[str, int]]:
    """By destination: the number of property names per event type, masked, the largest first. Raises RedisError."""
    pages = await read_hashes(redis, [DestinationKeys(destination).event_keys for destination in destinations])
    return {
        destination: dict(
            sorted(((kind.decode(), int(count)) for kind, count in page.items()), key=lambda item: (-item[1], item[0]))
        )
        for destination, page in zip(destinations, pages, strict=True)
    }
