"""Taking people out of all that is stored: one pass through a destination's lanes, dead letters, journal and profiles.

What a drain holds at that moment may be on its way to Attentive: it is left there, and the caller repeats the pass.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import orjson
from redis.asyncio import Redis

from app.counted import DropReason
from app.delivery.dead_letter import DeadLetterQueue, kept_key, queue_key, read_dead_letter
from app.delivery.delivery import in_full
from app.delivery.journal.call_record import blank_rows, remove_recorded
from app.delivery.journal.recorded_call import unpack
from app.delivery.lane import Lane
from app.delivery.last_sent import identifiers_in
from app.delivery.removal import Member, closed, identified, remove_calls
from app.erasure.requests import Erasure, removed_field
from app.erasure.subject import Subject
from app.profiles.lookup import find_people, holders
from app.profiles.profile import contact_digest, record_names, source_in
from app.profiles.removal import remove_person
from app.store.keys import FINGERPRINTS, DestinationKeys
from app.store.script import Answer, Argument, Arguments, Script

_ENTRIES = Script("remove_entries", keys=("stream", "erasure"), args=("field", "*ids"))
_DEAD_LETTERS = Script(
    "remove_dead_letters",
    keys=("queue", "kept", "counters", "erasure"),
    args=("field", "*ids"),
    after=("dead_letters",),
)
_LAST_SENT = Script("remove_last_sent", keys=("erasure", "*places"), args=("field", "*names"))
_PAGE: Final = 200  # entries that one run of a script removes
_HASHES: Final = 50  # that are read at once; each may have hundreds of fingerprints

Checkpoint = Callable[[], Awaitable[None]]  # called now and then on a long pass; it raises to end it


@dataclass(frozen=True, slots=True)
class Stores:
    """Where one destination's data is."""

    redis: Redis
    destination: str
    lanes: Sequence[Lane]
    sources: Sequence[str]
    trusted: Collection[str] = ()  # those of the sources whose links an erasure follows

    @property
    def keys(self) -> DestinationKeys:
        """The keys that its lanes share."""
        return DestinationKeys(self.destination)


@dataclass(frozen=True, slots=True)
class Reach:
    """What an erasure reaches, beginning with the identifiers that it was given."""

    person: Subject  # the given identifiers, and those that trusted sources link to them
    claimed: Subject  # identifiers that only public sources link to them: they may belong to another person


async def reach_of(stores: Stores, subject: Subject) -> Reach:
    """The person, known also by the profiles under their ids, and under ids that hold their e-mail address.

    A phone number leads no further: families share one. Raises RedisError.
    """
    public = [source for source in stores.sources if source not in stores.trusted]
    names = record_names(stores.trusted, subject.user_ids, subject.anonymous_ids)
    claims = record_names(public, subject.user_ids, subject.anonymous_ids)
    emails = [contact_digest("email", email) for email in subject.emails]
    users = [contact_digest("user", user_id) for user_id in subject.user_ids]
    for name in await holders(stores.redis, stores.destination, emails):
        (names if source_in(name) in stores.trusted else claims).add(name)
    claims |= await holders(stores.redis, stores.destination, [*emails, *users], claims=True)
    person = subject | await _contacts_of(stores, names)
    return Reach(person, await _contacts_of(stores, claims) - person)


async def _contacts_of(stores: Stores, names: Iterable[str]) -> Subject:
    people = (await find_people(stores.redis, {stores.destination: names}))[stores.destination].values()
    facts = [(what, value) for person in people for what, (value, _) in person.facts.items()]
    return Subject(
        emails=frozenset(value for what, value in facts if what == "email"),
        phones=frozenset(value for what, value in facts if what == "phone"),
    )


async def forget(stores: Stores, erasures: Sequence[Erasure], checkpoint: Checkpoint) -> Mapping[str, int]:
    """Take these people out of everything. For each erasure, by id: how many of their calls a drain still holds.

    Where that is none, all is gone that was there when this began. May be repeated.

    Raises RedisError, and what `checkpoint` raises.
    """
    run = _Pass(stores, erasures, checkpoint)
    for erasure in erasures:
        await run.out_of_profiles(erasure)
    for lane in stores.lanes:
        await run.out_of_lane(lane)
    for queue, place in ((DeadLetterQueue.DEAD, "dead_letters"), (DeadLetterQueue.REVIEW, "unknown")):
        await run.out_of_dead_letters(queue, place)
    if run.through:  # the journal last: what is under way writes in it
        await run.out_of_journal()
        await run.out_of_calls()
        await run.out_of_last_sent()
    return run.left


class _Pass:
    """One pass through everything."""

    def __init__(self, stores: Stores, erasures: Sequence[Erasure], checkpoint: Checkpoint) -> None:
        self._redis, self._keys = stores.redis, stores.keys
        self._stores = stores
        self._erasures = erasures
        self._checkpoint = checkpoint
        self.left: Counter[str] = Counter({erasure.id: 0 for erasure in erasures})
        self._erased_events: dict[bytes, str] = {}  # those of them that the journal had
        self._message_ids: dict[bytes, str] = {}  # of events about them → which erasure

    @property
    def through(self) -> list[Erasure]:
        """Those of whom no drain holds a call."""
        return [erasure for erasure in self._erasures if not self.left[erasure.id]]

    async def out_of_profiles(self, erasure: Erasure) -> None:
        gone = 0
        for name, values in (
            ("user_id", erasure.subject.user_ids),
            ("anonymous_id", erasure.subject.anonymous_ids),
            ("email", erasure.subject.emails),
            ("phone", erasure.subject.phones),
        ):
            for value in values:
                about = {name: value}
                where = self._stores
                gone += await remove_person(
                    self._redis, where.destination, sources=where.sources, trusted=where.trusted, **about
                )
        if gone:
            counted = self._redis.hincrby(self._keys.erasure(erasure.id), removed_field("profiles"), gone)
            await cast(Answer, counted)

    async def out_of_lane(self, lane: Lane) -> None:
        """The retries first: a call that waits for one goes from there to the end of a stream."""
        page: list[Member] = []
        async for member, _ in self._redis.zscan_iter(lane.keys.retry, count=_PAGE):
            page.append((-1, member, member[1:]))
            if len(page) >= _PAGE:
                await self._out_of_page(lane, page)
                page = []
        await self._out_of_page(lane, page)
        for number, stream in enumerate(lane.keys.streams):
            async for entries in self._pages(stream):
                await self._out_of_page(lane, [(number, entry_id, fields[b"d"]) for entry_id, fields in entries])

    async def _out_of_page(self, lane: Lane, page: Iterable[Member]) -> None:
        found: dict[str, list[Argument]] = {}
        for member in page:
            _, place, payload = member
            if (erasure := self._named_in(in_full(payload))) is None:
                continue
            closing = identified(payload, place)
            if closing.message_id:
                self._message_ids[closing.message_id] = erasure
            found.setdefault(erasure, []).extend(closed(member, closing))
        for erasure, calls in found.items():
            self.left[erasure] += await remove_calls(
                self._redis,
                lane,
                calls,
                DropReason.ERASED,
                record=self._keys.erasure(erasure),
                from_lanes=removed_field("lanes"),
                from_retries=removed_field("retries"),
            )

    async def out_of_dead_letters(self, queue: DeadLetterQueue, place: str) -> None:
        destination = self._stores.destination
        async for entries in self._pages(queue_key(destination, queue)):
            found: dict[str, list[Argument]] = {}
            for entry_id, fields in entries:
                if (erasure := self._named_in(in_full(fields[b"d"]))) is not None:
                    found.setdefault(erasure, []).append(entry_id)
                    dead_letter = read_dead_letter(destination, entry_id, fields[b"d"])
                    self._message_ids[dead_letter.message_id.encode()] = erasure
            for erasure, entry_ids in found.items():
                keys = {
                    "queue": queue_key(destination, queue),
                    "kept": kept_key(destination, queue),
                    "counters": self._keys.counters,
                    "erasure": self._keys.erasure(erasure),
                }
                await _DEAD_LETTERS.run(self._redis, keys, {"field": removed_field(place), "ids": entry_ids})

    async def out_of_journal(self) -> None:
        """By the search hashes of the records of receipt, which stand before all others of their event."""
        search_hashes = {one: erasure.id for erasure in self.through for one in erasure.subject.search_hashes}
        through = {erasure.id for erasure in self.through}
        of_them = {message_id: each for message_id, each in self._message_ids.items() if each in through}
        async for entries in self._pages(self._keys.journal):
            found: dict[str, list[Argument]] = {}
            for entry_id, fields in entries:
                message_id = fields[b"m"]
                if fields[b"s"] == b"received":
                    for one in orjson.loads(fields[b"d"]).get("search_hashes", ()):
                        if one in search_hashes:
                            of_them[message_id] = search_hashes[one]
                if (erasure := of_them.get(message_id)) is not None:
                    found.setdefault(erasure, []).append(entry_id)
            await self._out_of_stream(self._keys.journal, "journal", found)
        self._erased_events = of_them

    async def out_of_calls(self) -> None:
        """By the events that the journal named, and by the search hashes that each recorded call has of its own."""
        search_hashes = {one: erasure.id for erasure in self.through for one in erasure.subject.search_hashes}
        destination, of_them = self._stores.destination, self._erased_events
        async for entries in self._pages(self._keys.calls):
            found: dict[str, list[bytes]] = {}
            for entry_id, fields in entries:
                call = unpack(fields[b"d"], destination=destination, entry_id=entry_id.decode())
                if call is None:
                    continue
                named = next((search_hashes[one] for one in call.hashes if one in search_hashes), None)
                if named is not None:
                    of_them[call.message_id.encode()] = named
                if (erasure := of_them.get(call.message_id.encode())) is not None:
                    found.setdefault(erasure, []).append(entry_id)
            for erasure, ids in found.items():
                record = self._keys.erasure(erasure)
                await remove_recorded(self._redis, destination, ids, erasure=record, field=removed_field("calls"))
        await blank_rows(self._redis, destination, [message_id.decode() for message_id in of_them])

    async def out_of_last_sent(self) -> None:
        """Remove what was last sent. It is found by the identifiers in its name, so all names in Redis are read."""
        parts = {part: erasure.id for erasure in self.through for part in erasure.subject.last_sent_parts}
        digests = {bytes.fromhex(part): erasure for part, erasure in parts.items()}
        found: dict[str, list[tuple[str, bytes]]] = {}  # by erasure: the key, and its field if it is a hash
        hashes: list[str] = []

        async def look_into_hashes() -> None:
            for key, names in (await self._names_in(hashes)).items():
                for stored in names:
                    if named := identifiers_in(stored) & digests.keys():
                        found.setdefault(digests[min(named)], []).append((key, stored))
            hashes.clear()

        hash_prefix = self._keys.last_sent(FINGERPRINTS)
        async for key in self._redis.scan_iter(match=self._keys.last_sent("*"), count=1000):
            name = key.decode()
            if name.startswith(hash_prefix):
                hashes.append(name)
                if len(hashes) >= _HASHES:
                    await look_into_hashes()
            elif (part := next((part for part in name.split(":") if part in parts), None)) is not None:
                found.setdefault(parts[part], []).append((name, b""))
        await look_into_hashes()
        for erasure, places in found.items():
            for start in range(0, len(places), _PAGE):
                page = places[start : start + _PAGE]
                keys = {"erasure": self._keys.erasure(erasure), "places": [key for key, _ in page]}
                args: Arguments = {"field": removed_field("last_sent"), "names": [name for _, name in page]}
                await _LAST_SENT.run(self._redis, keys, args)

    async def _names_in(self, hashes: Sequence[str]) -> dict[str, list[bytes]]:
        await self._checkpoint()
        async with self._redis.pipeline(transaction=False) as pipeline:
            for key in hashes:
                pipeline.hkeys(key)
            return dict(zip(hashes, await pipeline.execute(), strict=True))

    async def _out_of_stream(self, stream: str, place: str, found: Mapping[str, Sequence[Argument]]) -> None:
        for erasure, entry_ids in found.items():
            keys = {"stream": stream, "erasure": self._keys.erasure(erasure)}
            await _ENTRIES.run(self._redis, keys, {"field": removed_field(place), "ids": entry_ids})

    async def _pages(self, stream: str) -> AsyncIterator[list[tuple[bytes, Mapping[bytes, bytes]]]]:
        after = "-"
        while page := await self._redis.xrange(stream, min=after, count=_PAGE):
            await self._checkpoint()
            yield page
            after = "(" + page[-1][0].decode()

    def _named_in(self, stored: bytes) -> str | None:
        """The erasure whose person this names."""
        text = stored.decode(errors="replace")
        return next((each.id for each in self._erasures if each.subject.named_in(text)), None)
