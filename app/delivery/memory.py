"""Memory in Redis: recalled for all requests that wait at one moment by one round trip, and forgotten on request.

It is written by the scripts: by enqueue.lua in the same step as the event that tells something.
"""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.delivery.connection import QueueUnavailable, why_unavailable
from app.delivery.group_commit import GroupCommit
from app.delivery.keys import DestinationKeys
from app.delivery.people import Remembered, Step, contact_digest, read_record, record_name
from app.delivery.script import Script

_REQUESTS_PER_READ: Final = 256
_KEYS_PER_MGET: Final = 1000
_LONGEST_CHAIN: Final = 16  # of aliases, as in memory.lua
_REMEMBER, _FORGET = Script("remember", after=("memory",)), Script("forget")

log = structlog.get_logger()

People = dict[str, Remembered]  # by name


class Recall:
    """Asks memory who is known by which name."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._reads = GroupCommit(self._read, most=_REQUESTS_PER_READ)

    async def people(self, destination: str, names: Collection[str]) -> People:
        """Those of `names` that memory knows. Raises QueueUnavailable."""
        return await self._reads.submit((destination, names))

    async def _read(self, requests: Sequence[tuple[str, Collection[str]]]) -> list[People | BaseException]:
        wanted: dict[str, set[str]] = {}
        for destination, names in requests:
            wanted.setdefault(destination, set()).update(names)
        try:
            known = await find_people(self._redis, wanted)
        except RedisError as failure:
            reason = why_unavailable(failure)
            log.error("memory.unavailable", reason=reason, requests=len(requests))
            return [QueueUnavailable(reason) for _ in requests]
        return [
            {name: person for name in names if (person := known[destination].get(name))}
            for destination, names in requests
        ]


async def find_people(redis: Redis, wanted: Mapping[str, Iterable[str]]) -> dict[str, People]:
    """Who is known of these names, by destination. One round trip, and one more where an alias leads on.

    Raises RedisError.
    """
    known: dict[str, People] = {destination: {} for destination in wanted}
    asked = [(destination, name, name) for destination, names in wanted.items() for name in names]
    for _ in range(_LONGEST_CHAIN):
        led_on = []
        for (destination, name, _), record in zip(asked, await _records(redis, asked), strict=True):
            if isinstance(record, Remembered):
                known[destination][name] = record
            elif record is not None:
                led_on.append((destination, name, record))
        if not led_on:
            break
        asked = led_on
    return known


async def _records(redis: Redis, asked: Sequence[tuple[str, str, str]]) -> list[Remembered | str | None]:
    """What stands under each (destination, -, name), in order."""
    keys = [DestinationKeys(destination).memory(name) for destination, _, name in asked]
    async with redis.pipeline(transaction=False) as pipeline:
        start = 0
        while start < len(asked):  # a command asks for one destination alone: its keys are on one node
            end = start + 1
            while end < len(asked) and asked[end][0] == asked[start][0] and end - start < _KEYS_PER_MGET:
                end += 1
            pipeline.mget(keys[start:end])
            start = end
        answers = await pipeline.execute()
    return [read_record(stored) for answer in answers for stored in answer]


async def remember(redis: Redis, destination: str, steps: Sequence[Step]) -> list[str]:
    """Take steps that belong to no arriving event. For each "send" or "hold" where it would join two people, else "".

    Taking them twice changes nothing. Raises RedisError.
    """
    shared, now_s = DestinationKeys(destination), time.time()
    keys: dict[str, int] = {}
    args = [step.to_json(shared, lambda key: keys.setdefault(key, len(keys) + 1), now_s=now_s) for step in steps]
    while True:
        answer = await _REMEMBER.run(redis, list(keys), args)
        if answer[:1] != [b"more"]:
            return [verdict.decode() for verdict in answer]
        for name in answer[1]:
            keys.setdefault(shared.memory(name.decode()), len(keys) + 1)


async def count_people(redis: Redis, memories: Mapping[tuple[str, str], timedelta]) -> list[int]:
    """About how many names each destination and source remembers, by how long it does. Raises RedisError.

    An estimate: within 1 %, and who is past their life counts for up to a quarter of it more.
    """
    now_s = time.time()
    async with redis.pipeline(transaction=False) as pipeline:
        for (destination, source), life in memories.items():
            pipeline.pfcount(*DestinationKeys(destination).people(source, int(life.total_seconds()), now_s))
        return await pipeline.execute()


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was taken out of memory."""

    records: int  # ids of people under which something was known, aliases included
    facts: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)  # what was known under the given ids


async def forget_person(
    redis: Redis,
    destination: str,
    *,
    sources: Collection[str],
    user_id: str | None = None,
    anonymous_id: str | None = None,
    email: str | None = None,
    phone: str | None = None,
) -> Forgotten:
    """Take a person out of memory and out of the lists of who holds which contact.

    Everything goes that is known under the given ids in any of `sources`, under any id that holds one of the given
    contacts (normalised), under those that aliases joined to them, and under any id that shares a contact with one of
    these. Somebody else who shares a contact is forgotten as well, and remembered again by their next identify.

    Raises RedisError. What an event tells that is taken in at the same moment may stay.
    """
    given = [record_name(source, "u", user_id) for source in sources if user_id is not None]
    given += [record_name(source, "a", anonymous_id) for source in sources if anonymous_id is not None]
    contacts = {contact_digest(what, value) for what, value in (("email", email), ("phone", phone)) if value}
    names, theirs = await _all_about(redis, destination, given)
    facts: dict[str, set[str]] = {}
    for person in theirs:
        for what, (value, _) in person.facts.items():
            facts.setdefault(what, set()).add(value)
    more, others = await _all_about(redis, destination, await holders(redis, destination, contacts))
    contacts.update(*(person.contacts for person in (*theirs, *others)))
    names |= more | await holders(redis, destination, contacts)
    names, everybody = await _all_about(redis, destination, names)
    contacts.update(*(person.contacts for person in everybody))
    shared = DestinationKeys(destination)
    keys = [*(shared.memory(name) for name in names), *(shared.contact(digest) for digest in contacts)]
    gone = await _FORGET.run(redis, keys, [len(names), *names]) if keys else 0
    return Forgotten(gone, {what: frozenset(values) for what, values in facts.items()})


async def holders(redis: Redis, destination: str, contacts: Iterable[str]) -> set[str]:
    """The names of the records that hold any of these contacts, given as digests. Raises RedisError."""
    async with redis.pipeline(transaction=False) as pipeline:
        for digest in contacts:
            pipeline.zrange(DestinationKeys(destination).contact(digest), 0, -1)
        return {name.decode() for listed in await pipeline.execute() for name in listed}


async def _all_about(redis: Redis, destination: str, given: Iterable[str]) -> tuple[set[str], list[Remembered]]:
    """The people of these names, with all the names that lead to them."""
    names, people = set(given), []
    asked = set(names)
    while asked:
        records = await _records(redis, [(destination, name, name) for name in asked])
        asked = set()
        for record in records:
            if isinstance(record, Remembered):
                people.append(record)
                names.update(record.was)
            elif record is not None:
                asked.add(record)
        asked -= names
        names |= asked
    return names, people
