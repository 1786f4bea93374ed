"""What one event costs Redis: the bytes of everything that is kept about it, and processor time until it is delivered.

Run it from the repository's root: `python -m benchmarks.redis_cost`. It needs a redis-server; docs/operations.md has
the arithmetic that these figures are for.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import httpx

from app.profiles.profile import ProfileUpdate, record_name
from app.profiles.updates import update_profiles
from app.settings import DEFAULT_DESTINATION, DEFAULT_SOURCE
from app.store.connection import open_redis
from app.store.keys import LAST_SENT_HASHES, LAST_SENT_LIFE_S, DestinationKeys
from benchmarks.contenders import GATEWAY, SINK, in_lanes
from benchmarks.event import BATCH, PEOPLE, WRITE_KEY, event
from benchmarks.failure import BenchmarkFailed, ends_with_a_line
from benchmarks.machine import machine
from benchmarks.process import Running, Store, gateway_worker, serving, store
from benchmarks.tables import markdown

EVENTS: Final = 20_000
SIZES: Final = ("kept in Redis", "bytes each", "weighed")
TIMES: Final = ("Redis' processor time", "µs per event")
_LANES: Final = ("lane:*:high", "lane:*:normal", "lane:*:low")
_WITHIN_S: Final = 120.0
_PEOPLE: Final = 10_000_000
_HASHES: Final = 1024  # that are filled as if there were so many people
_DAY: Final = b"\x50\x00"
_PROFILE_LIFE_S: Final = 90 * 86_400


@dataclass(frozen=True, slots=True)
class Weight:
    """What a number of entries took together."""

    name: str
    entries: int
    bytes: int

    @property
    def row(self) -> tuple[str, str, str]:
        """Under SIZES."""
        return self.name, f"{self.bytes / self.entries:,.0f}", f"{self.entries:,}"


def measure(events: int) -> tuple[list[Weight], dict[str, float]]:
    """All sizes, and Redis' time in µs per event. Raises BenchmarkFailed, NoRedis."""
    with store() as kept, serving(SINK, kept) as sink, serving(GATEWAY, kept) as server:
        started = kept.cpu_s()
        _post(server, _views(events))
        taken_in = kept.cpu_s()
        with gateway_worker(kept, sink):
            _wait_until_delivered(kept)
            delivered = kept.cpu_s()
        journal = _weigh(kept, "journal entry: an event has one, and one for each attempt", "journal")
        seen = _weigh(kept, "message id, remembered", "seen:*")
        _post(server, _views(events))
        waiting = _weigh(kept, "delivery that waits, of an event of 810 bytes", *_LANES)
        _empty(kept)
        _post(server, _unusable(events))
        dead = _weigh(kept, "dead letter, of the same event", "dead")
        _empty(kept)
        _post(server, _identifies(events))
        parts = _weigh(kept, "event of several calls, while one waits", "parts")
        _empty(kept)
        _fill_hashes(kept, "sent", _fingerprint, LAST_SENT_LIFE_S)
        last = _weigh(kept, "the last call about one person to one endpoint, of ten million people", "sent:*")
        _empty(kept)
        asyncio.run(_learn(kept, events))
        profiles = _weigh(kept, "profile, with e-mail address and phone number", "profile:*")
        _empty(kept)
        _fill_hashes(kept, "contacts", _contact, _PROFILE_LIFE_S)
        contacts = _weigh(kept, "contact of a profile, of ten million people", "contacts:*")
    times = {"to take it in": taken_in - started, "to hand it out and settle it": delivered - taken_in}
    sizes = [waiting, parts, seen, journal, dead, last, profiles, contacts]
    return sizes, {name: 1e6 * seconds / events for name, seconds in times.items()}


def _post(server: Running, events: Iterator[dict[str, Any]]) -> None:
    everything = list(events)
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", auth=(WRITE_KEY, ""), trust_env=False) as http:
        for first in range(0, len(everything), BATCH):
            answer = http.post("/v1/batch", json={"batch": everything[first : first + BATCH]}, timeout=30)
            if answer.status_code != 200:
                raise BenchmarkFailed(f"the gateway answered {answer.status_code}: {answer.text[:200]}")


def _views(number: int) -> Iterator[dict[str, Any]]:
    """Product views by a thousand people."""
    return (event(index % PEOPLE, f"view-{index:08d}-7d1a-4e39-9c55") for index in range(number))


def _unusable(number: int) -> Iterator[dict[str, Any]]:
    """Product views at a price that is none."""
    for view in _views(number):
        yield view | {"properties": view["properties"] | {"price": "free"}}


def _identifies(number: int) -> Iterator[dict[str, Any]]:
    """Each of another person, and worth two calls: an identity link and attributes."""
    for index in range(number):
        traits = {"email": f"person.{index:06d}@example.com", "firstName": "Ada", "loyaltyTier": f"tier-{index % 7}"}
        yield {"type": "identify", "messageId": f"person-{index:08d}", "userId": f"cust_{index}", "traits": traits}


def _fill_hashes(kept: Store, name: str, entry: Callable[[], tuple[bytes, bytes]], life_s: int) -> None:
    """Fill some of the hashes that share entries, as ten million people with two entries each fill all."""
    for number in range(_HASHES):
        key = f"{DestinationKeys(DEFAULT_DESTINATION).prefix}:{name}:{number * LAST_SENT_HASHES // _HASHES:x}"
        with kept.redis.pipeline(transaction=False) as pipeline:
            for field, value in (entry() for _ in range(2 * _PEOPLE // LAST_SENT_HASHES)):
                pipeline.hset(key, field, value)  # type: ignore[arg-type]
            pipeline.expire(key, life_s)
            pipeline.execute()


def _fingerprint() -> tuple[bytes, bytes]:
    """Its name and value, see last_sent.lua."""
    return b"i" + os.urandom(12), b"d" + os.urandom(12) + _DAY


def _contact() -> tuple[bytes, bytes]:
    """A contact of one record, see contacts.lua."""
    name = f"{DEFAULT_SOURCE}:u".encode() + os.urandom(12)
    return os.urandom(12), _DAY + bytes([len(name)]) + name


async def _learn(kept: Store, people: int) -> None:
    """Remember people, each by a user id alone."""
    redis = open_redis(kept.url)
    for index in range(people):
        facts = {"email": f"person.{index:06d}@example.com", "phone": f"+1206{5_550_000 + index}"}
        names = (record_name(DEFAULT_SOURCE, "u", f"cust_{index}"),)
        step = ProfileUpdate("upsert", names, _PROFILE_LIFE_S, facts, at_ms=int(time.time() * 1000))
        await update_profiles(redis, DEFAULT_DESTINATION, [step])
    await redis.aclose()


def _wait_until_delivered(kept: Store) -> None:
    ends = time.monotonic() + _WITHIN_S
    while in_lanes(kept.redis):
        if time.monotonic() > ends:
            raise BenchmarkFailed(f"not all was delivered within {_WITHIN_S:g} s")
        time.sleep(0.05)


def _weigh(kept: Store, name: str, *patterns: str) -> Weight:
    """Take the keys away, and see how much less memory Redis uses."""
    keys = _keys(kept, *patterns)
    entries = sum(_length(kept, key) for key in keys)
    before = kept.memory_bytes()
    _delete(kept, keys)
    return Weight(name, entries, before - kept.memory_bytes())


def _empty(kept: Store) -> None:
    _delete(kept, _keys(kept, "*"))


def _delete(kept: Store, keys: Sequence[str]) -> None:
    for first in range(0, len(keys), 1000):
        kept.redis.delete(*keys[first : first + 1000])


def _keys(kept: Store, *patterns: str) -> list[str]:
    whole = (f"{{{DEFAULT_DESTINATION}}}:{pattern}" for pattern in patterns)
    return [key.decode() for pattern in whole for key in kept.redis.scan_iter(pattern, count=1000)]


def _length(kept: Store, key: str) -> int:
    counts = {b"stream": kept.redis.xlen, b"set": kept.redis.scard, b"hash": kept.redis.hlen}
    count = counts.get(cast(bytes, kept.redis.type(key)))
    return cast(int, count(key)) if count else 1


@ends_with_a_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.redis_cost", description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS, help=f"how many of each kind are posted ({EVENTS:,})")
    options = parser.parse_args(arguments)
    sizes, times = measure(options.events)
    costs = [(name, f"{us:.0f}") for name, us in times.items()]
    print(markdown(SIZES, [size.row for size in sizes]), markdown(TIMES, costs), machine(), sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
