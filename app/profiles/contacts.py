"""The lists of contact holders: which records hold an e-mail address, phone number or other ID, by its digest.

The scripts write them, see scripts/contacts.lua. A list is a value in a hash that many share. One that is too long for
that has a key of its own, a sorted set.
"""

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from redis.asyncio import Redis

from app.profiles.profile import DIGEST_BYTES
from app.store.keys import DestinationKeys
from app.store.script import Argument, Script

_SLICE: Final = 200  # lists per round trip; a list has at most 100 names
_END_BYTES: Final = 2
_DAY_S: Final = 86_400
_Place = tuple[str, str, bytes]  # of a list: its own key, the hash that it shares, its field there
_LISTED_AT_ONCE: Final = 90  # lists that one run reads, each with up to 100 names
_LISTED = Script("listed", keys=("@lists",), args=("*fields",))
_SWAP = Script("swap_values", keys=("*hashes",), args=("*changes",))


class _Stored(NamedTuple):
    """A list as it is stored: the names under its own key, and the value in the hash that it shares."""

    own: str
    names: list[bytes]
    shared: str
    field: bytes
    value: bytes | None


async def read_lists(
    redis: Redis, destination: str, digests: Collection[str], *, claims: bool = False
) -> dict[str, list[str]]:
    """The names of the trusted sources' records that hold each of these contacts, given as digests.

    With `claims`, the names of the records in which public sources claim these contacts or user IDs. Raises RedisError.
    """
    stored = await _read(redis, _places(destination, digests, claims=claims))
    return _names(digests, [(each.names, each.value) for each in stored])


async def read_many_lists(redis: Redis, destination: str, digests: Sequence[str]) -> dict[str, list[str]]:
    """The same for the contacts of trusted sources, by a script: it is faster where there are hundreds."""
    answers: list[Any] = []
    places = _places(destination, digests, claims=False)
    for start in range(0, len(places), _LISTED_AT_ONCE):
        some = places[start : start + _LISTED_AT_ONCE]
        keys = {"lists": [key for own, shared, _ in some for key in (own, shared)]}
        answers += await _LISTED.run(redis, keys, {"fields": [field for _, _, field in some]})
    return _names(digests, zip(answers[::2], answers[1::2], strict=True))


async def leave_lists(
    redis: Redis, destination: str, digests: Collection[str], names: Collection[str], *, claims: bool = False
) -> None:
    """Remove these records from these lists, in slices, so that Redis never stalls. Raises RedisError."""
    everything = list(digests)
    for start in range(0, len(everything), _SLICE):
        some = everything[start : start + _SLICE]
        while await _leave(redis, await _read(redis, _places(destination, some, claims=claims)), names):
            pass


async def _leave(redis: Redis, stored: Sequence[_Stored], names: Collection[str]) -> int:
    """Remove records from lists as they were read. Returns how many lists in hashes have changed meanwhile."""
    hashes: list[str] = []
    changes: list[Argument] = []
    async with redis.pipeline(transaction=False) as pipeline:
        for each in stored:
            if leaving := [name for name in each.names if name.decode() in names]:
                pipeline.zrem(each.own, *leaving)
            if each.value is None:
                continue
            staying = [packed for packed in _entries(each.value) if _unpack(packed[1:]) not in names]
            new = each.value[:_END_BYTES] + b"".join(staying) if staying else b""
            if new != each.value:
                hashes.append(each.shared)
                changes += (each.field, each.value, new)
        await pipeline.execute()
    return await _SWAP.run(redis, {"hashes": hashes}, {"changes": changes}) if hashes else 0


def _places(destination: str, digests: Iterable[str], *, claims: bool) -> list[_Place]:
    keys = DestinationKeys(destination)
    own, shared = (keys.claim, keys.claims) if claims else (keys.contact, keys.contacts)
    return [(own(digest), shared(digest), bytes.fromhex(digest)) for digest in digests]


async def _read(redis: Redis, places: Sequence[_Place]) -> list[_Stored]:
    async with redis.pipeline(transaction=False) as pipeline:
        for key, hash_key, field in places:
            pipeline.zrange(key, 0, -1)
            pipeline.hget(hash_key, field)  # type: ignore[arg-type]
        answers: list[Any] = await pipeline.execute()
    return [
        _Stored(key, names, hash_key, field, value)
        for (key, hash_key, field), names, value in zip(places, answers[::2], answers[1::2], strict=True)
    ]


def _names(digests: Iterable[str], stored: Iterable[tuple[Sequence[bytes], bytes | None]]) -> dict[str, list[str]]:
    today = int(time.time() / _DAY_S)
    return {
        digest: [*(name.decode() for name in names), *_live_names(value, today)]
        for digest, (names, value) in zip(digests, stored, strict=True)
    }


def _live_names(value: bytes | None, today: int) -> Iterator[str]:
    """The names in a value, unless the list has ended."""
    if value is not None and int.from_bytes(value[:_END_BYTES]) > today:
        yield from (_unpack(packed[1:]) for packed in _entries(value))


def _entries(value: bytes) -> Iterator[bytes]:
    """The names in a value as they are stored, each behind its length."""
    at = _END_BYTES
    while at < len(value):
        yield value[at : at + 1 + value[at]]
        at += 1 + value[at]


def _unpack(packed: bytes) -> str:
    """The name of a record in short: source, kind, and digests in bytes."""
    start = packed.index(b":") + 2
    digest, visitor = packed[start : start + DIGEST_BYTES].hex(), packed[start + DIGEST_BYTES :].hex()
    return packed[:start].decode() + (f"{digest}.{visitor}" if visitor else digest)
