"""Claims: what public sources say about people, which never outweighs what trusted sources know.

Each test replays an attack with a public write key, or the ordinary use that must go on beside it.
"""

from collections.abc import Awaitable
from typing import Any, Final, cast

import pytest
from redis.asyncio import Redis

from app.profiles.lookup import find_people
from app.profiles.profile import ProfileUpdate, contact_digest, record_name
from app.profiles.removal import remove_person
from app.profiles.suspicious import read_suspicious
from app.profiles.updates import update_profiles
from app.store.keys import DestinationKeys

DAY: Final = 86_400
ADA, BEA, EVE = "ada@example.com", "bea@example.com", "eve@example.com"
PHONE, OTHER_PHONE = "+14155550132", "+14155550199"


def server(user: str, **facts: str) -> ProfileUpdate:
    """An identify call of a trusted source."""
    name = record_name("server", "u", user)
    labels = {what: f"server {what} masked" for what in ("user", "email", "phone")}
    return ProfileUpdate("upsert", (name,), 30 * DAY, facts=facts, at_ms=1, merges="send", most_links=5, labels=labels)


def claim(user: str | None, visitor: str, *, verified: bool = True, **facts: str) -> ProfileUpdate:
    """An identify call of a public source, from one browser."""
    return ProfileUpdate(
        "upsert",
        (record_name("web", "a", visitor) if user is None else record_name("web", "u", user, visitor),),
        30 * DAY,
        facts=facts,
        at_ms=1,
        merges=None if user is None else "block",
        claim=True,
        verified=verified,
        user="" if user is None else contact_digest("user", user),
        elsewhere=() if user is None else (record_name("server", "u", user),),
    )


async def verdicts(redis: Redis, *updates: ProfileUpdate) -> list[str]:
    """Each update alone, as events arrive one by one."""
    return [(await update_profiles(redis, "acme", [update]))[0] for update in updates]


async def known(redis: Redis, name: str) -> dict[str, str]:
    person = (await find_people(redis, {"acme": [name]}))["acme"].get(name)
    return {} if person is None else {what: value for what, (value, _) in person.facts.items()}


ATTACKS: Final = [
    pytest.param(
        [server("victim", email=ADA)],
        claim("victim", "eve", email=EVE),
        id="a new address for a user whom a server knows",
    ),
    pytest.param(
        [server("victim", email=ADA)],
        claim("victim", "eve", email=ADA, phone=OTHER_PHONE),
        id="a new number beside the address that the server knows",
    ),
    pytest.param(
        [server("victim", email=ADA, phone=PHONE)],
        claim("eve", "eve", email=ADA),
        id="the address of a known user under another id",
    ),
    pytest.param(
        [server("victim", email=ADA, **{"custom.username": "ada"})],
        claim("eve", "eve", verified=True, email=EVE, **{"custom.username": "ada"}),
        id="the user name of a known user beside the attacker's own address",
    ),
    pytest.param(
        [server("victim", email=ADA)],
        claim("victim", "eve", verified=True, email=ADA, **{"custom.username": "eve"}),
        id="a new user name for a known user",
    ),
    pytest.param(
        [server("victim", email=ADA)],
        claim(None, "eve", email=ADA, phone=OTHER_PHONE),
        id="a new number for a known address, without an id",
    ),
    pytest.param(
        [claim("victim", "victim's browser", email=ADA)],
        claim("victim", "eve", email=EVE),
        id="a new address for a user who is known from another browser",
    ),
    pytest.param(
        [claim("victim", "victim's browser", email=ADA)],
        claim("eve", "eve", email=ADA),
        id="the address of a user of another browser",
    ),
    pytest.param(
        [claim("victim", "b1", email=ADA), claim("eve", "b2", phone=OTHER_PHONE)],
        claim(None, "b3", email=ADA, phone=OTHER_PHONE),
        id="an address and a number that two browsers claimed, together",
    ),
    pytest.param(
        [claim(None, "b1", email=ADA), claim("eve", "b1", phone=OTHER_PHONE), server("victim", email=ADA)],
        claim("eve", "b2", email=ADA),
        id="an address that a second browser of the attacker has claimed before",
    ),
]


@pytest.mark.parametrize(("before", "attack"), ATTACKS)
async def test_a_claim_that_contradicts_what_others_know_is_blocked(
    redis: Redis, before: list[ProfileUpdate], attack: ProfileUpdate
) -> None:
    assert await verdicts(redis, *before) == [""] * len(before)
    assert await verdicts(redis, attack) == ["block"]
    assert await known(redis, attack.names[0]) == {}


@pytest.mark.parametrize(
    ("before", "update"),
    [
        pytest.param([], claim("ada", "b1", email=ADA), id="the first claim about a user"),
        pytest.param([server("ada", email=ADA)], claim("ada", "b1", email=ADA), id="what a server knows"),
        pytest.param(
            [server("ada", email=ADA, phone=PHONE)],
            claim("ada", "b1", email=ADA, phone=PHONE),
            id="all that a server knows",
        ),
        pytest.param([claim("ada", "b1", email=ADA)], claim("ada", "b1", email=ADA), id="the claim again"),
        pytest.param([claim("ada", "b1", email=ADA)], claim("ada", "b1", email=BEA), id="a new address in the browser"),
        pytest.param([claim("ada", "b1", email=ADA)], claim("ada", "b2", email=ADA), id="a second browser"),
        pytest.param([claim(None, "b1", email=ADA)], claim("ada", "b2", email=ADA), id="an address of no user yet"),
        pytest.param([server("ada", email=ADA)], claim("bea", "b1", email=BEA), id="another person"),
        pytest.param(
            [claim("eve", "b1", email=ADA), server("ada", email=ADA)],
            claim("ada", "b2", email=ADA),
            id="what a server knows, although somebody claimed it before",
        ),
    ],
)
async def test_a_claim_that_contradicts_nothing_is_stored(
    redis: Redis, before: list[ProfileUpdate], update: ProfileUpdate
) -> None:
    assert await verdicts(redis, *before) == [""] * len(before)
    assert await verdicts(redis, update) == [""]
    assert await known(redis, update.names[0]) == dict(update.facts)


async def test_claims_never_hinder_a_trusted_source(redis: Redis) -> None:
    """25 claims on an address, and on an ID, neither merge nor use up what the server may say."""
    claims = [claim(f"eve-{number}", f"b{number}", verified=False, email=ADA) for number in range(25)]
    claims += [claim("ada", f"b{number}", verified=False, email=f"{number}@example.com") for number in range(25)]
    await update_profiles(redis, "acme", claims)
    assert await verdicts(redis, server("ada", email=ADA, phone=PHONE)) == [""]
    assert await known(redis, record_name("server", "u", "ada")) == {"email": ADA, "phone": PHONE}


async def test_claims_about_one_contact_are_bounded(redis: Redis) -> None:
    claims = [claim(f"eve-{number}", f"b{number}", verified=False, email=ADA) for number in range(200)]
    await update_profiles(redis, "acme", claims)
    assert await redis.zcard(DestinationKeys("acme").claim(contact_digest("email", ADA))) == 20


async def test_the_erasure_of_an_address_with_many_profiles_runs_no_script_and_works_in_slices(redis: Redis) -> None:
    digest = contact_digest("email", ADA)
    for number in range(450):  # more than a list takes today
        name = record_name("server", "u", f"u-{number}")
        await cast(Awaitable[int], redis.hset(DestinationKeys("acme").profile(name), "email", ADA))
        await redis.zadd(DestinationKeys("acme").contact(digest), {name: number})
    sent = Recorded(redis)
    removed = await remove_person(cast(Redis, sent), "acme", sources=["server"], email=ADA)
    assert removed == 450
    assert {name for name, _ in sent.commands} <= {"unlink", "pipeline", "zrange"}
    assert max(count for name, count in sent.commands if name == "unlink") == 200


class Recorded:
    """A client of Redis, and its commands with the number of their arguments."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.commands: list[tuple[str, int]] = []

    def __getattr__(self, name: str) -> Any:
        command = getattr(self.redis, name)

        def record(*arguments: Any, **options: Any) -> Any:
            self.commands.append((name, len(arguments)))
            return command(*arguments, **options)

        return record


class TestAnIdentifierThatManyPeopleShare:
    """Case 17: it identifies none of them, and what it would link is irreversible."""

    async def test_of_an_id_links_five_contacts_and_no_more(self, redis: Redis) -> None:
        phones = [server("guest", phone=f"+141555501{number:02}") for number in range(25)]
        assert await verdicts(redis, *phones) == [""] * 5 + ["block"] * 20
        assert await read_suspicious(redis, "acme") == {"server user masked": 20}

    async def test_of_a_contact_links_five_ids_and_no_more(self, redis: Redis) -> None:
        updates = [server(f"u-{number}", phone=PHONE) for number in range(25)]
        assert await verdicts(redis, *updates) == [""] * 5 + ["block"] * 20
        assert await read_suspicious(redis, "acme") == {"server phone masked": 20}

    async def test_of_a_user_name_links_five_ids_and_no_more(self, redis: Redis) -> None:
        updates = [server(f"u-{number}", **{"custom.username": "shop"}) for number in range(8)]
        assert await verdicts(redis, *updates) == [""] * 5 + ["block"] * 3

    async def test_leaves_contacts_uncounted_by_other_ids(self, redis: Redis) -> None:
        """Five contacts and two other IDs are one person's."""
        ids = [server("u-1", **{"custom.username": "ada", "shopify_id": "7"})]
        phones = [server("u-1", phone=f"+141555501{number:02}") for number in range(6)]
        assert await verdicts(redis, *ids, *phones) == [""] * 6 + ["block"]

    async def test_may_be_repeated_by_those_who_had_it(self, redis: Redis) -> None:
        updates = [server(f"u-{number}", phone=PHONE) for number in range(5)]
        assert await verdicts(redis, *updates, *updates) == [""] * 10
        assert await read_suspicious(redis, "acme") == {}
