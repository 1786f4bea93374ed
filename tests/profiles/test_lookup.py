"""Profiles as the scripts store them: updated, merged, looked up and removed, all in one step with the event."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from app.delivery.counters import read_counters
from app.delivery.delivery import event_key
from app.delivery.journal.journal import entries_of
from app.delivery.outbox import Outbox
from app.delivery.outbox_event import OutboxEvent, calls_of
from app.profiles.lookup import ProfileLookup, find_people
from app.profiles.profile import OnMerge, ProfileUpdate, record_name
from app.profiles.removal import remove_person
from app.profiles.updates import update_profiles
from app.store.connection import QueueUnavailable, open_redis
from app.store.keys import DestinationKeys
from app.value import changed
from tests.builders import delivery
from tests.generated import examples

DAY: Final = 86_400
ADA, BEA = "ada@example.com", "bea@example.com"
PHONE: Final = "+14155550132"


def user(value: str, source: str = "shop") -> str:
    return record_name(source, "u", value)


def browser(value: str) -> str:
    return record_name("shop", "a", value)


def learn(*names: str, at: int = 1, merges: OnMerge | None = None, days: int = 30, **facts: str) -> ProfileUpdate:
    facts = {what.replace("_", "."): value for what, value in facts.items()}
    return ProfileUpdate("upsert", names, days * DAY, facts=facts, at_ms=at, merges=merges)


def alias(previous: str, name: str) -> ProfileUpdate:
    return ProfileUpdate("alias", (name,), 30 * DAY, previous=(previous,))


async def known(redis: Redis, *names: str) -> dict[str, dict[str, str]]:
    """What is remembered of each name, without the times."""
    people = (await find_people(redis, {"acme": names}))["acme"]
    return {name: {what: value for what, (value, _) in person.facts.items()} for name, person in people.items()}


async def facts_of(redis: Redis, name: str) -> dict[str, str]:
    return (await known(redis, name)).get(name, {})


class TestWhatAnIdentifyTells:
    async def test_is_known_under_its_id_alone(self, redis: Redis) -> None:
        await update_profiles(redis, "acme", [learn(user("1"), email=ADA, phone=PHONE)])
        assert await known(redis, user("1"), user("2"), user("1", "app"), browser("1")) == {
            user("1"): {"email": ADA, "phone": PHONE}
        }

    async def test_is_known_under_each_of_its_names(self, redis: Redis) -> None:
        await update_profiles(redis, "acme", [learn(user("1"), browser("b"), email=ADA)])
        assert await known(redis, user("1"), browser("b")) == {user("1"): {"email": ADA}, browser("b"): {"email": ADA}}

    async def test_of_one_destination_is_unknown_to_another(self, redis: Redis) -> None:
        await update_profiles(redis, "acme", [learn(user("1"), email=ADA)])
        assert (await find_people(redis, {"other": [user("1")]})) == {"other": {}}

    async def test_adds_to_what_was_known(self, redis: Redis) -> None:
        await update_profiles(redis, "acme", [learn(user("1"), email=ADA)])
        await update_profiles(redis, "acme", [learn(user("1"), at=2, phone=PHONE, custom_username="ada")])
        assert await facts_of(redis, user("1")) == {"email": ADA, "phone": PHONE, "custom.username": "ada"}

    @pytest.mark.parametrize(
        ("first", "second", "email"),
        [
            pytest.param((1, ADA), (2, BEA), BEA, id="the newer one that comes later counts"),
            pytest.param((2, ADA), (1, BEA), ADA, id="an older one that comes later changes nothing"),
            pytest.param((1, ADA), (1, BEA), BEA, id="of two of the same moment the later one counts"),
        ],
    )
    async def test_replaces_what_was_said_before(
        self, redis: Redis, first: tuple[int, str], second: tuple[int, str], email: str
    ) -> None:
        for at, value in (first, second):
            await update_profiles(redis, "acme", [learn(user("1"), at=at, email=value)])
        assert await facts_of(redis, user("1")) == {"email": email}

    async def test_a_value_said_again_is_as_new_as_its_last_word(self, redis: Redis) -> None:
        for at, value in ((1, ADA), (3, ADA), (2, BEA)):
            await update_profiles(redis, "acme", [learn(user("1"), at=at, email=value)])
        assert await facts_of(redis, user("1")) == {"email": ADA}

    async def test_lives_as_long_as_its_source_says_and_longer_when_it_is_said_again(self, redis: Redis) -> None:
        key = DestinationKeys("acme").profile(user("1"))
        await update_profiles(redis, "acme", [learn(user("1"), days=3, email=ADA)])
        assert 3 * DAY - 5 < await redis.ttl(key) <= 3 * DAY
        await redis.expire(key, 10)
        await update_profiles(redis, "acme", [learn(user("1"), days=3, email=ADA)])
        assert 3 * DAY - 5 < await redis.ttl(key) <= 3 * DAY

    async def test_every_key_has_an_end(self, redis: Redis) -> None:
        await update_profiles(redis, "acme", [learn(user("1"), browser("b"), email=ADA, phone=PHONE)])
        await update_profiles(redis, "acme", [alias(user("0"), user("1")), alias(browser("b"), user("1"))])
        keys = await redis.keys()
        assert len(keys) == 6
        assert all([await redis.ttl(key) > 0 for key in keys])

    async def test_no_key_names_a_person(self, redis: Redis) -> None:
        await update_profiles(redis, "acme", [learn(user("customer-1042"), browser("b-77"), email=ADA, phone=PHONE)])
        for key in await redis.keys():
            assert not any(text in key.decode() for text in ("1042", "b-77", "ada", "5550132"))

    async def test_a_user_id_with_twenty_addresses_is_nobodys(self, redis: Redis) -> None:
        for number in range(20):
            await update_profiles(redis, "acme", [learn(user("guest"), at=number, email=f"{number}@example.com")])
        assert await facts_of(redis, user("guest")) == {"email": "19@example.com"}
        await update_profiles(redis, "acme", [learn(user("guest"), at=20, email=ADA)])
        await update_profiles(redis, "acme", [learn(user("guest"), at=21, email=ADA)])
        assert await facts_of(redis, user("guest")) == {}

    async def test_an_address_of_a_hundred_user_ids_is_nobodys(self, redis: Redis) -> None:
        await update_profiles(
            redis, "acme", [learn(user(str(number)), email="none@shop.example") for number in range(101)]
        )
        assert await facts_of(redis, user("99")) == {"email": "none@shop.example"}
        assert await facts_of(redis, user("100")) == {}

    @pytest.mark.parametrize(
        "stored",
        [
            pytest.param(b"{", id="no JSON"),
            pytest.param(b"[]", id="no object"),
            pytest.param(b'{"v":2,"people":[]}', id="of a later version"),
            pytest.param(b'{"v":1,"facts":{"email":"a@b.c"}}', id="of another shape"),
            pytest.param(b'{"v":1,"seen":1,"facts":{},"listed":"none"}', id="of a list that is none"),
        ],
    )
    async def test_what_cannot_be_read_is_nothing_and_is_written_anew(self, redis: Redis, stored: bytes) -> None:
        await redis.set(DestinationKeys("acme").profile(user("1")), stored)
        assert await facts_of(redis, user("1")) == {}
        await update_profiles(redis, "acme", [learn(user("1"), at=5, email=ADA)])
        assert await facts_of(redis, user("1")) == {"email": ADA}


class TestAnAlias:
    @pytest.mark.parametrize(
        "steps",
        [
            pytest.param([learn(user("old"), email=ADA), alias(user("old"), user("new"))], id="after the identify"),
            pytest.param([alias(user("old"), user("new")), learn(user("old"), email=ADA)], id="before the identify"),
            pytest.param(
                [learn(user("old"), email=ADA), learn(user("new"), phone=PHONE), alias(user("old"), user("new"))],
                id="of two who are known",
            ),
            pytest.param(
                [alias(user("old"), user("mid")), alias(user("mid"), user("new")), learn(user("old"), email=ADA)],
                id="of an alias",
            ),
            pytest.param(
                [alias(user("mid"), user("new")), learn(user("old"), email=ADA), alias(user("old"), user("mid"))],
                id="to an alias",
            ),
            pytest.param(
                [learn(user("old"), email=ADA), alias(user("old"), user("new")), alias(user("new"), user("old"))],
                id="there and back",
            ),
        ],
    )
    async def test_makes_two_ids_one_person(self, redis: Redis, steps: list[ProfileUpdate]) -> None:
        for step in steps:
            await update_profiles(redis, "acme", [step])
        await update_profiles(redis, "acme", [learn(user("new"), at=9, custom_username="ada")])
        people = await known(redis, user("old"), user("new"))
        assert people[user("old")] == people[user("new")]
        assert {"email": ADA, "custom.username": "ada"}.items() <= people[user("new")].items()

    async def test_keeps_the_newest_word_of_both(self, redis: Redis) -> None:
        await update_profiles(redis, "acme", [learn(user("old"), at=5, email=ADA), learn(user("new"), at=3, email=BEA)])
        await update_profiles(redis, "acme", [alias(user("old"), user("new"))])
        assert await facts_of(redis, user("new")) == {"email": ADA}
        await update_profiles(redis, "acme", [learn(user("old"), at=4, email=BEA)])
        assert await facts_of(redis, user("new")) == {"email": ADA}

    async def test_to_itself_changes_nothing(self, redis: Redis) -> None:
        await update_profiles(redis, "acme", [learn(user("1"), email=ADA), alias(user("1"), user("1"))])
        assert await facts_of(redis, user("1")) == {"email": ADA}

    async def test_of_a_browser_lends_the_person_to_what_is_anonymous(self, redis: Redis) -> None:
        await update_profiles(redis, "acme", [learn(user("1"), email=ADA), alias(browser("b"), user("1"))])
        assert await facts_of(redis, browser("b")) == {"email": ADA}

    async def test_in_an_endless_chain_is_cut_and_breaks_nothing(self, redis: Redis) -> None:
        for number in range(40):
            await update_profiles(redis, "acme", [alias(user(str(number)), user(str(number + 1)))])
        await update_profiles(redis, "acme", [learn(user("0"), email=ADA)])
        assert await facts_of(redis, user("0")) == {"email": ADA}

    async def test_by_hand_in_a_circle_breaks_nothing(self, redis: Redis) -> None:
        for one, other in (("1", "2"), ("2", "1")):
            await redis.set(DestinationKeys("acme").profile(user(one)), orjson.dumps({"v": 1, "to": user(other)}))
        assert await facts_of(redis, user("1")) == {}
        await update_profiles(redis, "acme", [learn(user("1"), email=ADA)])
        assert await facts_of(redis, user("1")) == {"email": ADA}


class TestAMerge:
    """An identify that says in one breath what belongs to two people."""

    @pytest.mark.parametrize(
        ("before", "step", "verdict"),
        [
            pytest.param([], learn(user("1"), email=ADA, phone=PHONE), False, id="somebody new"),
            pytest.param([learn(user("1"), email=ADA)], learn(user("1"), email=ADA), False, id="the same again"),
            pytest.param([learn(user("1"), email=ADA)], learn(user("1"), email=BEA), False, id="a new address"),
            pytest.param(
                [learn(user("1"), email=ADA), learn(user("1"), email=BEA)],
                learn(user("1"), email=ADA),
                False,
                id="an old address again",
            ),
            pytest.param(
                [learn(user("2"), email=BEA)], learn(user("1"), email=BEA), False, id="a second account of one person"
            ),
            pytest.param(
                [learn(user("2"), email=BEA, phone=PHONE)],
                learn(user("1"), email=BEA, phone=PHONE),
                False,
                id="a second account with all of it",
            ),
            pytest.param(
                [learn(user("1"), email=ADA), learn(user("1", "app"), email=ADA)],
                learn(user("1"), email=ADA),
                False,
                id="one user of two sources",
            ),
            pytest.param(
                [learn(browser("b"), email=BEA), learn(user("1"), email=ADA)],
                learn(user("1"), email=BEA),
                False,
                id="an address that only a browser had",
            ),
            pytest.param(
                [learn(user("2"), email=ADA), alias(user("2"), user("1")), learn(user("1"), at=2, email=BEA)],
                learn(user("1"), email=ADA),
                False,
                id="an address of an id that became this one",
            ),
            pytest.param(
                [learn(user("1"), email=ADA), learn(user("2"), email=BEA)],
                learn(user("1"), email=BEA),
                True,
                id="one user id, two addresses that both had an owner",
            ),
            pytest.param(
                [learn(user("1"), email=ADA), learn(user("2"), phone=PHONE)],
                learn(user("1"), phone=PHONE),
                True,
                id="an address of one, a number of the other",
            ),
            pytest.param(
                [learn(user("1"), email=ADA), learn(user("2"), phone=PHONE)],
                learn(user("1"), email=ADA, phone=PHONE),
                True,
                id="both in one call",
            ),
            pytest.param(
                [learn(user("1"), email=ADA), learn(user("2"), phone=PHONE)],
                learn(user("3"), email=ADA, phone=PHONE),
                True,
                id="a third user id with an address and a number of two others",
            ),
            pytest.param(
                [learn(user("1"), email=ADA), learn(user("2", "app"), email=BEA)],
                learn(user("1"), email=BEA),
                True,
                id="two people of two sources",
            ),
        ],
    )
    async def test_is_told_apart(
        self, redis: Redis, before: list[ProfileUpdate], step: ProfileUpdate, verdict: bool
    ) -> None:
        for each in before:
            await update_profiles(redis, "acme", [each])
        said = {**step.facts}
        again = ProfileUpdate("upsert", step.names, step.life_s, facts=said, at_ms=9, merges="block")
        assert await update_profiles(redis, "acme", [again]) == ["block" if verdict else ""]
        sent = ProfileUpdate("upsert", step.names, step.life_s, facts=said, at_ms=9, merges="send")
        assert await update_profiles(redis, "acme", [sent]) == ["send" if verdict else ""]
        assert said.items() <= (await facts_of(redis, step.names[0])).items()
        assert await update_profiles(redis, "acme", [sent]) == [""], "who was joined is one person"

    async def test_that_is_held_leaves_memory_as_it_was(self, redis: Redis) -> None:
        await update_profiles(redis, "acme", [learn(user("1"), email=ADA), learn(user("2"), email=BEA)])
        before = {key: await redis.dump(key) for key in await redis.keys()}
        await update_profiles(redis, "acme", [learn(user("1"), at=9, merges="block", email=BEA)])
        assert {key: await redis.dump(key) for key in await redis.keys()} == before


class Counting:
    """Counts how often Redis is asked anything, for everybody asks it by pipelines."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.round_trips = 0
        self.away = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._redis, name)

    def pipeline(self, *args: Any, **options: Any) -> Any:
        self.round_trips += 1
        if self.away:
            raise RedisConnectionError("nobody there")
        return self._redis.pipeline(*args, **options)


class TestLookup:
    async def test_of_all_who_ask_at_one_moment_is_one_round_trip(self, redis: Redis) -> None:
        counting = Counting(redis)
        steps = [learn(user(str(number)), email=f"{number}@example.com") for number in range(60)]
        await update_profiles(redis, "acme", steps)
        lookup = ProfileLookup(cast(Redis, counting))
        counting.round_trips = 0
        people = await asyncio.gather(
            *(lookup.people("acme" if number % 2 else "other", [user(str(number))]) for number in range(60))
        )
        assert counting.round_trips == 1
        assert [len(each) for each in people] == [0, 1] * 30
        assert people[59][user("59")].facts == {"email": ("59@example.com", 1)}

    async def test_gives_each_what_it_asked_for(self, redis: Redis) -> None:
        await update_profiles(redis, "acme", [learn(user("1"), email=ADA), learn(user("2"), email=BEA)])
        lookup = ProfileLookup(redis)
        one, both, none = await asyncio.gather(
            lookup.people("acme", [user("1")]),
            lookup.people("acme", [user("1"), user("2"), user("3")]),
            lookup.people("acme", [user("3")]),
        )
        assert (set(one), set(both), none) == ({user("1")}, {user("1"), user("2")}, {})

    async def test_of_thousands_in_one_request_reaches_them_all(self, redis: Redis) -> None:
        counting = Counting(redis)
        await update_profiles(redis, "acme", [learn(user(str(number)), email=ADA) for number in (0, 999, 1000, 2499)])
        counting.round_trips = 0
        names = [user(str(number)) for number in range(2500)]
        people = await ProfileLookup(cast(Redis, counting)).people("acme", names)
        assert len(people) == 4
        assert counting.round_trips == 1

    async def test_of_a_redis_that_is_away_says_so_and_works_again_when_it_is_back(self, redis: Redis) -> None:
        counting = Counting(redis)
        await update_profiles(redis, "acme", [learn(user("1"), email=ADA)])
        lookup = ProfileLookup(cast(Redis, counting))
        counting.away = True
        answers = await asyncio.gather(*(lookup.people("acme", [user("1")]) for _ in range(3)), return_exceptions=True)
        assert [each.reason for each in answers if isinstance(each, QueueUnavailable)] == ["redis_unreachable"] * 3
        counting.away = False
        assert await lookup.people("acme", [user("1")])


class TestAnEventThatTellsSomething:
    """Steps that are taken by enqueue.lua, in the same step as the event."""

    @pytest.fixture
    def outbox(self, redis: Redis) -> Outbox:
        return Outbox(redis, wake=lambda *_: None, journal_entries=1000)

    def arrival(self, message_id: str, *steps: ProfileUpdate, calls: int = 2, **fields: Any) -> OutboxEvent:
        sent = tuple(
            delivery(endpoint=endpoint, calls=calls, body=orjson.dumps({"id": message_id}))
            for endpoint in ("identity", "user-attributes")[:calls]
        )
        arrived = OutboxEvent(event_key("shop", message_id), message_id, b"{}", "", calls_of(sent), updates=steps)
        return changed(arrived, **fields)

    async def sent(self, redis: Redis) -> dict[str, int]:
        """How many calls wait at each endpoint."""
        counts = {}
        for endpoint in ("identity", "user-attributes"):
            if count := await redis.xlen(f"{{acme}}:lane:{endpoint}:normal"):
                counts[endpoint] = count
        return counts

    async def test_is_remembered_with_it(self, redis: Redis, outbox: Outbox) -> None:
        await outbox.submit("acme", [self.arrival("m-1", learn(user("1"), email=ADA))])
        assert await facts_of(redis, user("1")) == {"email": ADA}
        assert await self.sent(redis) == {"identity": 1, "user-attributes": 1}

    async def test_is_remembered_once(self, redis: Redis, outbox: Outbox) -> None:
        await outbox.submit("acme", [self.arrival("m-1", learn(user("1"), at=1, email=ADA))])
        await outbox.submit("acme", [self.arrival("m-1", learn(user("1"), at=9, email=BEA))])
        assert await facts_of(redis, user("1")) == {"email": ADA}

    async def test_is_remembered_though_nothing_of_it_is_sent(self, redis: Redis, outbox: Outbox) -> None:
        ending = "dropped:no_content"
        await outbox.submit("acme", [self.arrival("m-1", learn(browser("b"), email=ADA), calls=0, ending=ending)])
        assert await facts_of(redis, browser("b")) == {"email": ADA}
        assert (await read_counters(redis, ["acme"]))[0].dropped == {"no_content": 1}

    async def test_of_an_id_that_became_another_is_remembered_in_the_same_step(
        self, redis: Redis, outbox: Outbox
    ) -> None:
        await update_profiles(redis, "acme", [alias(user("a"), user("b")), alias(user("b"), user("c"))])
        events = [self.arrival("m-1", learn(user("a"), email=ADA)), self.arrival("m-2", learn(user("d"), email=BEA))]
        await outbox.submit("acme", events)
        assert await known(redis, user("c"), user("d")) == {user("c"): {"email": ADA}, user("d"): {"email": BEA}}
        assert (await read_counters(redis, ["acme"]))[0].received == 2
        assert await self.sent(redis) == {"identity": 2, "user-attributes": 2}

    @pytest.mark.parametrize("merges", [pytest.param("send", id="sent"), pytest.param("block", id="blocked")])
    async def test_that_would_join_two_people_is_counted_and_said(
        self, redis: Redis, outbox: Outbox, merges: OnMerge
    ) -> None:
        await update_profiles(redis, "acme", [learn(user("1"), email=ADA), learn(user("2"), email=BEA)])
        joining = learn(user("1"), at=2, merges=merges, email=BEA)
        unlinked = calls_of([delivery(endpoint="user-attributes", calls=1)])
        await outbox.submit("acme", [self.arrival("m-1", joining, instead=unlinked if merges == "block" else ())])
        (counters,) = await read_counters(redis, ["acme"])
        assert counters.merges == {("shop", merges): 1}
        steps = [entry async for entry in entries_of(redis, "acme") if entry.message_id == "m-1"]
        assert [step.step for step in steps] == ["received", "merge"]
        assert steps[1].facts["link"] == {"send": "sent", "block": "blocked"}[merges]
        assert await facts_of(redis, user("1")) == {"email": BEA if merges == "send" else ADA}
        everything = {"identity": 1, "user-attributes": 1}
        assert await self.sent(redis) == (everything if merges == "send" else {"user-attributes": 1})
        assert counters.waiting == 1

    async def test_that_joins_nobody_is_sent_as_usual_where_joins_are_held(self, redis: Redis, outbox: Outbox) -> None:
        unlinked = calls_of([delivery(endpoint="user-attributes", calls=1)])
        step = learn(user("1"), merges="block", email=ADA)
        await outbox.submit("acme", [self.arrival("m-1", step, instead=unlinked)])
        assert await self.sent(redis) == {"identity": 1, "user-attributes": 1}
        assert (await read_counters(redis, ["acme"]))[0].merges == {}

    async def test_of_which_nothing_is_left_but_the_join_is_dropped_for_that(
        self, redis: Redis, outbox: Outbox
    ) -> None:
        await update_profiles(redis, "acme", [learn(user("1"), email=ADA), learn(user("2"), email=BEA)])
        await outbox.submit("acme", [self.arrival("m-1", learn(user("1"), merges="block", email=BEA), calls=1)])
        (counters,) = await read_counters(redis, ["acme"])
        assert (counters.dropped, counters.waiting) == ({"merge_blocked": 1}, 0)
        assert await self.sent(redis) == {}

    async def test_counts_the_people_who_are_known(self, redis: Redis, outbox: Outbox) -> None:
        events = [self.arrival(f"m-{n}", learn(user(str(n % 3)), browser(str(n % 3)), email=ADA)) for n in range(9)]
        await outbox.submit("acme", events)
        assert await redis.pfcount(*DestinationKeys("acme").people("shop", 30 * DAY, time.time())) == 6

    async def test_lives_on_when_it_was_of_use(self, redis: Redis, outbox: Outbox) -> None:
        await update_profiles(redis, "acme", [alias(user("0"), user("1")), learn(user("1"), email=ADA)])
        for key in await redis.keys():
            await redis.expire(key, 100)
        person = (await find_people(redis, {"acme": [user("0")]}))["acme"][user("0")]
        see = ProfileUpdate("touch", (user("0"),), 30 * DAY, contacts=person.contacts)
        await outbox.submit("acme", [self.arrival("m-1", see)])
        assert all([await redis.ttl(key) > 100 for key in await redis.keys("*:profile:*")])
        after = (await find_people(redis, {"acme": [user("1")]}))["acme"][user("1")]
        assert (after.facts, after.seen_ms >= person.seen_ms) == (person.facts, True)

    async def test_that_saw_somebody_who_was_forgotten_meanwhile_brings_nothing_back(
        self, redis: Redis, outbox: Outbox
    ) -> None:
        await outbox.submit("acme", [self.arrival("m-1", ProfileUpdate("touch", (user("1"),), DAY, contacts=("ab",)))])
        assert await redis.keys("*:profile:*") == []
        assert await redis.keys("*:contact:*") == []


class TestForgetting:
    @pytest.fixture
    async def full(self, redis: Redis) -> Redis:
        steps = [
            learn(user("old"), email="ada@old.example"),
            alias(user("old"), user("1")),
            alias(user("never seen"), user("1")),
            learn(user("1"), browser("b"), email=ADA, phone=PHONE),
            learn(user("1", "app"), email=ADA),
            learn(user("2"), browser("c"), email=BEA),
        ]
        for step in steps:
            await update_profiles(redis, "acme", [step])
        return redis

    @pytest.mark.parametrize(
        "who",
        [
            pytest.param({"user_id": "1"}, id="their user id"),
            pytest.param({"user_id": "old"}, id="an id that became theirs"),
            pytest.param({"anonymous_id": "b"}, id="their browser"),
            pytest.param({"email": ADA}, id="their e-mail address"),
            pytest.param({"email": "ada@old.example"}, id="the address of the id they had before"),
            pytest.param({"phone": PHONE}, id="their phone number"),
            pytest.param({"user_id": "1", "email": ADA, "phone": PHONE}, id="all of it"),
        ],
    )
    async def test_by_one_thing_forgets_all_that_is_known_of_a_person(self, full: Redis, who: dict[str, str]) -> None:
        forgotten = await remove_person(full, "acme", sources=["shop", "app"], **who)
        names = [user("1"), user("old"), user("1", "app"), browser("b")]
        assert await known(full, *names) == {}
        assert forgotten == 5
        left = [key.decode() for key in await full.keys() if b":people:" not in key]
        assert len(left) == 3, "the other person's two records and address alone"
        assert await facts_of(full, user("2")) == {"email": BEA}

    async def test_of_nobody_known_changes_nothing(self, full: Redis) -> None:
        before = {key: await full.dump(key) for key in await full.keys()}
        nobody = await remove_person(full, "acme", sources=["shop"], user_id="9", email="nobody@example.com")
        assert nobody == 0
        assert await remove_person(full, "acme", sources=["shop"]) == 0
        assert {key: await full.dump(key) for key in await full.keys()} == before

    async def test_goes_no_further_than_those_who_share_a_contact(self, redis: Redis) -> None:
        steps = [learn(user("1"), email=ADA), learn(user("2"), email=ADA, phone=PHONE), learn(user("3"), phone=PHONE)]
        await update_profiles(redis, "acme", steps)
        assert await remove_person(redis, "acme", sources=["shop"], user_id="1") == 2
        assert await known(redis, user("1"), user("2"), user("3")) == {user("3"): {"phone": PHONE}}

    async def test_leaves_nothing_of_a_person_who_was_alone(self, redis: Redis) -> None:
        await update_profiles(redis, "acme", [learn(user("1"), browser("b"), email=ADA, phone=PHONE)])
        await remove_person(redis, "acme", sources=["shop"], email=ADA)
        assert [key for key in await redis.keys() if b":people:" not in key] == []


IDS: Final = ("p", "q", "r", "s")


@st.composite
def histories(draw: st.DrawFn) -> list[ProfileUpdate]:
    """Identify and alias calls of four ids, each identify at a moment of its own, in any order of arrival."""
    moments = draw(st.permutations(range(1, 9)))
    learning = st.sampled_from(IDS).flatmap(
        lambda who: st.dictionaries(
            st.sampled_from(["email", "phone", "custom.card"]), st.sampled_from("vwx"), min_size=1
        ).map(lambda facts: (who, facts))
    )
    aliasing = st.tuples(st.sampled_from(IDS), st.sampled_from(IDS))
    told = draw(st.lists(st.one_of(learning, aliasing), min_size=1, max_size=8))
    steps = []
    for (who, what), moment in zip(told, moments, strict=False):
        step = (
            alias(user(who), user(what))
            if isinstance(what, str)
            else ProfileUpdate("upsert", (user(who),), DAY, facts=what, at_ms=moment)
        )
        steps.append(step)
    return steps


def expected(steps: Iterable[ProfileUpdate]) -> Mapping[str, dict[str, str]]:
    """What has to be known of each id: the newest word on each fact among all ids that aliases made one."""
    groups = {user(each): {user(each)} for each in IDS}
    for step in steps:
        if step.action == "alias":
            united = groups[step.previous[0]] | groups[step.names[0]]
            for name in united:
                groups[name] = united
    told: dict[str, dict[str, str]] = {}
    for name, group in groups.items():
        newest: dict[str, str] = {}
        for step in sorted((step for step in steps if step.action == "upsert"), key=lambda step: step.at_ms):
            if step.names[0] in group:
                newest |= step.facts
        if newest:
            told[name] = newest
    return told


@examples(150)
@given(steps=histories(), at_once=st.booleans())
def test_in_whatever_order_they_arrive_the_newest_word_counts(
    url: str, steps: list[ProfileUpdate], at_once: bool
) -> None:
    async def run() -> None:
        redis = open_redis(url)
        await redis.flushall()
        for group in [steps] if at_once else [[step] for step in steps]:
            await update_profiles(redis, "acme", group)
        people = await known(redis, *(user(each) for each in IDS))
        assert {name: facts for name, facts in people.items() if facts} == expected(steps)
        await redis.aclose(close_connection_pool=True)

    asyncio.run(run())
