"""Taking people out of all that is stored: one way through a destination's lanes, letters, journal and memory.

What a drain holds at that moment may be on its way to Attentive: it is left to it, and the caller comes again.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import orjson
from redis.asyncio import Redis

from app.delivery.backlog import Lane
from app.delivery.deletions import Deletion
from app.delivery.delivery import Delivery, Unreadable, event_key, in_full
from app.delivery.keys import GROUP, DestinationKeys
from app.delivery.memory import find_people, forget_person, holders
from app.delivery.people import contact_digest, record_name
from app.delivery.script import Answer, Argument, Script
from app.delivery.subject import Subject

FORGOTTEN: Final = "dropped:forgotten"  # how an event ends whose last open call was taken out
_CALLS = Script("forget_calls", after=("close",))
_ENTRIES, _SAID = Script("forget_entries"), Script("forget_said")
_PAGE: Final = 500

Beat = Callable[[], Awaitable[None]]  # called now and then on a long way; it may raise, to end it
Member = tuple[int, bytes, bytes]  # a call in a lane: stream number (-1: retry), entry id (or the member), payload


@dataclass(frozen=True, slots=True)
class Stores:
    """Where one destination's data is."""

    redis: Redis
    destination: str
    lanes: Sequence[Lane]
    sources: Sequence[str]

    @property
    def keys(self) -> DestinationKeys:
        """The keys that its lanes share."""
        return DestinationKeys(self.destination)


async def known_of(stores: Stores, subject: Subject) -> Subject:
    """The same person, known also by what memory has under their ids, and under ids that hold their e-mail address.

    A phone number leads no further: families share one. Raises RedisError.
    """
    names = [record_name(source, "u", user_id) for source in stores.sources for user_id in subject.user_ids]
    names += [record_name(source, "a", each) for source in stores.sources for each in subject.anonymous_ids]
    digests = [contact_digest("email", email) for email in subject.emails]
    names += await holders(stores.redis, stores.destination, digests)
    people = (await find_people(stores.redis, {stores.destination: names}))[stores.destination].values()
    facts = [(what, value) for person in people for what, (value, _) in person.facts.items()]
    return subject | Subject(
        emails=frozenset(value for what, value in facts if what == "email"),
        phones=frozenset(value for what, value in facts if what == "phone"),
    )


async def forget(stores: Stores, deletions: Sequence[Deletion], beat: Beat) -> Mapping[str, int]:
    """Take these people out of everything. For each deletion, by id: how many of their calls a drain still holds.

    Where that is none, all is gone that was there when this began. May be repeated.

    Raises RedisError, and what `beat` raises.
    """
    way = _Way(stores, deletions, beat)
    for deletion in deletions:
        await way.out_of_memory(deletion)
    for lane in stores.lanes:
        await way.out_of_lane(lane)
    for shelf, place in ((stores.keys.dead, "dead_letters"), (stores.keys.unknown, "unknown")):
        await way.out_of_letters(shelf, place)
    if way.through:  # the journal last: what is under way writes in it
        await way.out_of_journal()
        await way.out_of_what_was_said()
    return way.left


class _Way:
    """One way through everything."""

    def __init__(self, stores: Stores, deletions: Sequence[Deletion], beat: Beat) -> None:
        self._redis, self._keys = stores.redis, stores.keys
        self._stores = stores
        self._deletions = deletions
        self._beat = beat
        self.left: Counter[str] = Counter({deletion.id: 0 for deletion in deletions})
        self._message_ids: dict[bytes, str] = {}  # of events about them → which deletion

    @property
    def through(self) -> list[Deletion]:
        """Those of whom no drain holds a call."""
        return [deletion for deletion in self._deletions if not self.left[deletion.id]]

    async def out_of_memory(self, deletion: Deletion) -> None:
        gone = 0
        for name, values in (
            ("user_id", deletion.subject.user_ids),
            ("anonymous_id", deletion.subject.anonymous_ids),
            ("email", deletion.subject.emails),
            ("phone", deletion.subject.phones),
        ):
            for value in values:
                about = {name: value}
                where = self._stores
                forgotten = await forget_person(self._redis, where.destination, sources=where.sources, **about)
                gone += forgotten.records
        if gone:
            counted = self._redis.hincrby(self._keys.deletion(deletion.id), "removed:memory", gone)
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
        for number, place, payload in page:
            if (deletion := self._named_in(in_full(payload))) is None:
                continue
            key, calls, message_id = _identified(payload, place)
            if message_id:
                self._message_ids[message_id] = deletion
            found.setdefault(deletion, []).extend((number, place, key, calls))
        keys, shared = lane.keys, self._keys
        for deletion, calls_found in found.items():
            record = shared.deletion(deletion)
            self.left[deletion] += await _CALLS.run(
                self._redis,
                [record, shared.books, shared.parts, keys.lease, keys.retry, *keys.streams],
                [GROUP, FORGOTTEN, len(calls_found) // 4, *calls_found],
            )

    async def out_of_letters(self, shelf: str, place: str) -> None:
        async for entries in self._pages(shelf):
            found: dict[str, list[Argument]] = {}
            for entry_id, fields in entries:
                if (deletion := self._named_in(fields[b"d"])) is not None:
                    found.setdefault(deletion, []).append(entry_id)
                    if message_id := _message_id(fields[b"d"]):
                        self._message_ids[message_id] = deletion
            await self._out_of_stream(shelf, place, found)

    async def out_of_journal(self) -> None:
        """By the marks of the records of receipt, which stand before all others of their event."""
        marks = {mark: deletion.id for deletion in self.through for mark in deletion.subject.marks}
        through = {deletion.id for deletion in self.through}
        of_them = {message_id: each for message_id, each in self._message_ids.items() if each in through}
        async for entries in self._pages(self._keys.journal):
            found: dict[str, list[Argument]] = {}
            for entry_id, fields in entries:
                message_id = fields[b"m"]
                if fields[b"s"] == b"received":
                    for mark in orjson.loads(fields[b"d"]).get("marks", ()):
                        if mark in marks:
                            of_them[message_id] = marks[mark]
                if (deletion := of_them.get(message_id)) is not None:
                    found.setdefault(deletion, []).append(entry_id)
            await self._out_of_stream(self._keys.journal, "journal", found)

    async def out_of_what_was_said(self) -> None:
        """By the names of the keys: all of Redis' are looked at, for nothing else leads to them."""
        parts = {part: deletion.id for deletion in self.through for part in deletion.subject.said}
        found: dict[str, list[str]] = {}
        async for key in self._redis.scan_iter(match=self._keys.said("*"), count=1000):
            name = key.decode()
            if (part := next((part for part in name.split(":") if part in parts), None)) is not None:
                found.setdefault(parts[part], []).append(name)
        for deletion, names in found.items():
            for start in range(0, len(names), _PAGE):
                keys = [self._keys.deletion(deletion), *names[start : start + _PAGE]]
                await _SAID.run(self._redis, keys, ["removed:said"])

    async def _out_of_stream(self, stream: str, place: str, found: Mapping[str, Sequence[Argument]]) -> None:
        for deletion, entry_ids in found.items():
            keys = [stream, self._keys.deletion(deletion)]
            await _ENTRIES.run(self._redis, keys, [f"removed:{place}", *entry_ids])

    async def _pages(self, stream: str) -> AsyncIterator[list[tuple[bytes, Mapping[bytes, bytes]]]]:
        after = "-"
        while page := await self._redis.xrange(stream, min=after, count=_PAGE):
            await self._beat()
            yield page
            after = "(" + page[-1][0].decode()

    def _named_in(self, stored: bytes) -> str | None:
        """The deletion whose person this names."""
        text = stored.decode(errors="replace")
        return next((each.id for each in self._deletions if each.subject.named_in(text)), None)


def _identified(payload: bytes, place: bytes) -> tuple[bytes, int, bytes]:
    """What closes a call in the books, and its event's message id. One that cannot be read is an event of its own."""
    try:
        delivery = Delivery.unpacked(payload)
    except Unreadable:
        return event_key("?", place.decode(errors="replace")), 1, b""
    return delivery.event_key, delivery.calls, delivery.message_id.encode()


def _message_id(letter: bytes) -> bytes:
    try:
        message_id: str = orjson.loads(letter)["message_id"]
        return message_id.encode()
    except (ValueError, KeyError, TypeError, AttributeError):
        return b""
