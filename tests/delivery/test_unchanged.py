"""Calls that are skipped because Attentive already has their content, on a real Redis."""

from dataclasses import dataclass
from itertools import count
from typing import Any, Final, cast

import orjson
import pytest
from redis.asyncio import Redis

from app.delivery.consumer import LaneConsumer
from app.delivery.dead_letter import DeadLetter
from app.delivery.delivery import Delivery
from app.delivery.lane import Lane
from app.delivery.last_sent import Fingerprint, fingerprint_of
from app.delivery.opt_outs import opted_out
from app.delivery.outbox import Outbox
from app.delivery.outbox_event import OutboxEvent, calls_of
from app.delivery.pace import Pace
from app.delivery.row_outcomes import follow, read_outcomes
from app.delivery.settlement import Entry, dead_lettered, done
from app.store.keys import LAST_SENT_HASHES, DestinationKeys
from tests.builders import EMAIL, PHONE, delivery

HOUR: Final = 3600
BOTH: Final = {"phone": PHONE, "email": EMAIL}
_NUMBERS: Final = count(1)


@pytest.fixture
def shop(redis: Redis) -> "Shop":
    return Shop(redis, Outbox(redis, wake=lambda *_: None, journal_entries=100))


@dataclass(frozen=True)
class Shop:
    """Somebody says things, and Attentive takes them in or does not."""

    redis: Redis
    outbox: Outbox

    async def says(self, endpoint: str, user: dict[str, str], *, within_s: int = HOUR, **body: Any) -> None:
        message_id = f"message-{next(_NUMBERS)}"
        call = delivery(
            message_id=message_id, endpoint=endpoint, body=orjson.dumps({"user": user} | body), dedupe_window_s=within_s
        )
        await self.outbox.submit("acme", [OutboxEvent(call.event_key, message_id, b"{}", calls=calls_of([call]))])

    async def row_opts_in(self, user: dict[str, str]) -> str:
        """A row of a sync opts in; how its event ended, "" while it waits."""
        message_id = f"message-{next(_NUMBERS)}"
        body = orjson.dumps({"user": user, "signUpSourceId": "1"})
        fields: dict[str, Any] = {"message_id": message_id, "source": "sync:consents"}
        call = delivery(**fields, endpoint="subscribe", body=body, dedupe_window_s=HOUR)
        packed = OutboxEvent(call.event_key, **fields, record=b"{}", calls=calls_of([call]))
        await follow(self.redis, "acme", [call.event_key])
        await self.outbox.submit("acme", [packed])
        (ending,) = await read_outcomes(self.redis, "acme", [call.event_key])
        return ending or ""

    async def opts_in(self, user: dict[str, str] | None = None, *, source: str = "1", within_s: int = HOUR) -> None:
        await self.says("subscribe", user or BOTH, within_s=within_s, signUpSourceId=source)

    async def opts_out(self, user: dict[str, str] | None = None) -> None:
        await self.says("unsubscribe", user or BOTH)

    async def waiting(self, endpoint: str = "subscribe") -> int:
        return int(await self.redis.xlen(Lane("acme", endpoint).keys.streams[1]))

    async def settle(self, *, dies: bool = False, endpoint: str = "subscribe") -> None:
        """Everything that waits is accepted, or given up."""
        lease = LaneConsumer(self.redis, Lane("acme", endpoint), Pace(1000), journal_entries=100)
        assert await lease.acquire()
        claim = await lease.claim(100, under_way=0)
        await lease.settle([_end(entry, dies=dies) for entry in claim.entries])
        await lease.release()

    async def let_time_pass(self, seconds: int) -> None:
        """Make every memory so much older."""
        for key in [key async for key in self.redis.scan_iter("*:last_sent:*")]:
            value = await self.redis.get(key)
            mark, said_at = value[:-10], int(value[-10:])
            await self.redis.set(key, mark + str(said_at - seconds).encode(), keepttl=True)


def _end(entry: Entry, *, dies: bool) -> Any:
    call = Delivery.unpacked(entry.payload)
    dead_letter = DeadLetter.of(call, "http_400", "", {})
    return dead_lettered(entry, call, b"{}", dead_letter) if dies else done(entry, call, b"{}")


class TestAnOptOut:
    async def test_keeps_rows_from_opting_the_contact_in(self, shop: Shop) -> None:
        await shop.opts_out({"phone": PHONE})
        assert await opted_out(shop.redis, "acme", [("phone", PHONE), ("email", EMAIL)]) == {("phone", PHONE)}
        assert await shop.row_opts_in(BOTH) == "dropped:opted_out"
        assert await shop.row_opts_in({"email": EMAIL}) == ""

    async def test_is_over_with_an_opt_in_of_the_person(self, shop: Shop) -> None:
        await shop.opts_out()
        await shop.opts_in()
        assert await opted_out(shop.redis, "acme", [("phone", PHONE), ("email", EMAIL)]) == set()

    async def test_that_attentive_refused_is_remembered_too(self, shop: Shop) -> None:
        await shop.opts_out()
        await shop.settle(dies=True, endpoint="unsubscribe")
        assert await shop.row_opts_in(BOTH) == "dropped:opted_out"


class TestAnOptIn:
    @pytest.mark.parametrize("accepted", [False, True])
    async def test_that_comes_twice_is_sent_once(self, shop: Shop, accepted: bool) -> None:
        await shop.opts_in()
        if accepted:
            await shop.settle()
        await shop.opts_in()
        assert await shop.waiting() == (0 if accepted else 1)

    async def test_that_attentive_refused_may_be_said_again(self, shop: Shop) -> None:
        await shop.opts_in()
        await shop.settle(dies=True)
        await shop.opts_in()
        assert await shop.waiting() == 1

    async def test_after_an_opt_out_is_news(self, shop: Shop) -> None:
        for _ in range(2):
            await shop.opts_in()
            await shop.opts_out()
        assert (await shop.waiting(), await shop.waiting("unsubscribe")) == (2, 2)

    async def test_after_an_opt_out_of_one_contact_is_news(self, shop: Shop) -> None:
        await shop.opts_in()
        await shop.opts_out({"email": EMAIL})
        await shop.opts_in()
        assert await shop.waiting() == 2

    async def test_with_another_contact_is_news(self, shop: Shop) -> None:
        await shop.opts_in({"email": EMAIL})
        await shop.opts_in()
        await shop.opts_in({"phone": PHONE})
        assert await shop.waiting() == 2

    async def test_to_something_else_is_news(self, shop: Shop) -> None:
        await shop.opts_in(source="1")
        await shop.opts_in(source="2")
        assert await shop.waiting() == 2

    async def test_is_news_to_an_event_when_it_is_none_to_a_trait(self, shop: Shop) -> None:
        """An act counts again after its hour; the state that every page repeats does not, for its year."""
        await shop.opts_in(within_s=366 * 86_400)
        await shop.settle()
        await shop.let_time_pass(2 * HOUR)
        await shop.opts_in(within_s=366 * 86_400)
        assert await shop.waiting() == 0
        await shop.opts_in(within_s=HOUR)
        assert await shop.waiting() == 1
        await shop.settle()
        assert all([await shop.redis.ttl(key) > 300 * 86_400 async for key in shop.redis.scan_iter("*:last_sent:*")])
        await shop.opts_in(within_s=366 * 86_400)
        assert await shop.waiting() == 0


async def test_an_opt_out_that_comes_twice_is_sent_once(shop: Shop) -> None:
    await shop.opts_out()
    await shop.opts_out()
    assert await shop.waiting("unsubscribe") == 1


LINK: Final = {"email": EMAIL, "clientUserId": "7"}
ATTRIBUTES: Final = {"identifiers": {"email": EMAIL}, "attributes": {"firstName": "Ada"}}
KEYS: Final = DestinationKeys("acme")


def fingerprint(endpoint: str, body: Any) -> Fingerprint:
    found = fingerprint_of(endpoint, orjson.dumps(body))
    assert found is not None
    return found


class TestTheLastCallAboutAPerson:
    """Fingerprints share hashes; those of earlier releases have keys of their own."""

    async def links(self, shop: Shop, body: dict[str, Any] = LINK) -> int:
        """An identity link is taken in; how many wait."""
        await _take_in(shop, "identity", body)
        return await shop.waiting("identity")

    async def test_that_was_accepted_is_not_repeated(self, shop: Shop) -> None:
        assert await self.links(shop) == 1
        await shop.settle(endpoint="identity")
        assert await self.links(shop) == 0

    @pytest.mark.parametrize("dies", [False, True])
    async def test_that_waits_or_was_given_up_is_sent_again(self, shop: Shop, dies: bool) -> None:
        waiting = await self.links(shop)
        if dies:
            await shop.settle(dies=True, endpoint="identity")
            waiting = 0
        assert await self.links(shop) == waiting + 1

    async def test_with_other_content_is_sent_and_then_replaces_it(self, shop: Shop) -> None:
        for name in ("Ada", "A.", "Ada"):
            body = ATTRIBUTES | {"attributes": {"firstName": name}}
            await _take_in(shop, "user-attributes", body)
            assert await shop.waiting("user-attributes") == 1
            await shop.settle(endpoint="user-attributes")

    async def test_of_an_earlier_release_is_not_repeated(self, shop: Shop) -> None:
        what = fingerprint("identity", LINK)
        await shop.redis.set(KEYS.last_sent(what.people[0]), b"d" + what.digest, ex=1000)
        assert await self.links(shop) == 0

    async def test_of_an_earlier_release_gives_way_to_news(self, shop: Shop) -> None:
        what = fingerprint("user-attributes", ATTRIBUTES)
        key = KEYS.last_sent(what.people[0])
        await shop.redis.set(key, b"d" + b"0" * 12, ex=1000)
        await _take_in(shop, "user-attributes", ATTRIBUTES)
        assert (await shop.waiting("user-attributes"), await shop.redis.exists(key)) == (1, 0)
        assert await _stored(shop, what) is not None

    async def test_that_an_earlier_release_queued_is_concluded_where_that_stored_it(self, shop: Shop) -> None:
        assert await self.links(shop) == 1
        what = fingerprint("identity", LINK)
        key = KEYS.last_sent(what.people[0])
        await shop.redis.delete(KEYS.fingerprints(what.name))
        await shop.redis.set(key, b"p" + what.digest, ex=1000)
        await shop.settle(endpoint="identity")
        assert await shop.redis.get(key) == b"d" + what.digest
        assert await self.links(shop) == 0

    async def test_that_an_earlier_release_sends_beside_this_one_is_the_last(self, shop: Shop) -> None:
        other = ATTRIBUTES | {"attributes": {"firstName": "A."}}
        what, since = fingerprint("user-attributes", ATTRIBUTES), fingerprint("user-attributes", other)
        await _take_in(shop, "user-attributes", ATTRIBUTES)
        await shop.settle(endpoint="user-attributes")
        accepted = await _stored(shop, what)
        await _take_in(shop, "user-attributes", other)
        await cast(Any, shop.redis).hset(KEYS.fingerprints(what.name), what.name, accepted)  # as if it knew no hashes
        await shop.redis.set(KEYS.last_sent(what.people[0]), b"p" + since.digest, ex=1000)
        await shop.settle(endpoint="user-attributes")
        for body, waiting in ((other, 0), (ATTRIBUTES, 1)):
            await _take_in(shop, "user-attributes", body)
            assert await shop.waiting("user-attributes") == waiting

    @pytest.mark.parametrize(("age", "sent"), [(29, 0), (31, 1)])
    async def test_is_forgotten_after_a_month(self, shop: Shop, age: int, sent: int) -> None:
        await self.links(shop)
        await shop.settle(endpoint="identity")
        await _age(shop, fingerprint("identity", LINK), age)
        assert await self.links(shop) == sent

    async def test_leaves_memory_when_others_come_and_it_is_old(self, shop: Shop) -> None:
        name = fingerprint("user-attributes", ATTRIBUTES).name
        key = KEYS.fingerprints(name)
        store = cast(Any, shop.redis)
        await store.hset(key, b"old", b"d" + b"1" * 12 + b"\0\0")
        for number in range(200):  # one new fingerprint in eight looks for old ones
            await store.hdel(key, name)
            await _take_in(shop, "user-attributes", ATTRIBUTES | {"attributes": {"firstName": f"Ada {number}"}})
            if not await store.hexists(key, b"old"):
                break
        assert await store.hkeys(key) == [name]

    async def test_expires_with_its_hash_when_no_more_come(self, shop: Shop) -> None:
        await self.links(shop)
        assert 30 * 86_400 < await shop.redis.ttl(KEYS.fingerprints(fingerprint("identity", LINK).name)) <= 31 * 86_400

    async def test_of_a_person_with_very_many_ids_has_a_key_of_its_own(self, shop: Shop) -> None:
        body = {f"id{number}": "x" for number in range(11)}
        what = fingerprint("identity", body)
        assert await self.links(shop, body) == 1
        await shop.settle(endpoint="identity")
        assert await self.links(shop, body) == 0
        assert (what.name, await shop.redis.get(KEYS.last_sent(what.people[0]))) == (b"", b"d" + what.digest)

    async def test_takes_at_most_36_bytes_with_ten_million_people(self, shop: Shop) -> None:
        key = KEYS.fingerprints(b"")
        people = 2 * 10_000_000 // LAST_SENT_HASHES
        for number in range(people):
            name = b"i" + number.to_bytes(6, "big") + b"1" * 6
            await cast(Any, shop.redis).hset(key, name, b"d" + b"1" * 12 + b"\1\2")
        assert await shop.redis.memory_usage(key, samples=0) / people <= 36


async def _take_in(shop: Shop, endpoint: str, body: dict[str, Any]) -> None:
    message_id = f"message-{next(_NUMBERS)}"
    call = delivery(message_id=message_id, endpoint=endpoint, body=orjson.dumps(body))
    await shop.outbox.submit("acme", [OutboxEvent(call.event_key, message_id, b"{}", calls=calls_of([call]))])


async def _stored(shop: Shop, what: Fingerprint) -> bytes | None:
    return cast(bytes | None, await cast(Any, shop.redis).hget(KEYS.fingerprints(what.name), what.name))


async def _age(shop: Shop, what: Fingerprint, days: int) -> None:
    """Make the fingerprint so many days older."""
    stored = await _stored(shop, what)
    assert stored is not None
    day = int.from_bytes(stored[-2:], "big") - days
    aged = stored[:-2] + day.to_bytes(2, "big")
    await cast(Any, shop.redis).hset(KEYS.fingerprints(what.name), what.name, aged)
