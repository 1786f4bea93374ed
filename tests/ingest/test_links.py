"""For any events in any order: no identifier gets more links than allowed, and no people are merged."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.delivery.delivery import Delivery
from app.identity.enrichment import ProfileRules
from app.identity.extract import IdentityRules
from app.ingest.profile_session import ProfileSession
from app.pipeline import Decision, Forward, Known, Plan, Reading, decide, read
from app.profiles.lookup import find_people
from app.profiles.updates import update_profiles
from app.segment.paths import EventPath
from app.store.connection import open_redis
from tests.builders import NOW, Raw
from tests.generated import examples

MOST: Final = 2  # contacts of an ID, IDs of a contact
ACCOUNT: Final = "acme"
USERS: Final = st.sampled_from([None, "u-1", "u-2", "u-3", "u-4"])
EMAILS: Final = st.sampled_from([None, *(f"{name}@shop.example" for name in ("ada", "bea", "cleo", "dora"))])
NAMES: Final = st.sampled_from([None, None, "ada-1", "kiosk-7"])
PHONES: Final = st.sampled_from([None, "+14155550132", "+14155550133", "+14155550134"])


@st.composite
def events(draw: st.DrawFn) -> Raw:
    """An event of any kind about anybody."""
    kind = draw(st.sampled_from(["track", "track", "page", "identify"]))
    traits = {"vip": draw(st.booleans()), "email": draw(EMAILS), "phone": draw(PHONES), "username": draw(NAMES)}
    who: Raw = {"traits": traits} if kind == "identify" else {"context": {"traits": traits}, "event": "Quiz Finished"}
    return {"type": kind, "userId": draw(USERS), "anonymousId": "b", "properties": {"url": "https://a.example"}, **who}


@st.composite
def followed(draw: st.DrawFn) -> list[Raw]:
    """A request in which an event has the ID alone that the event before it has."""
    first = draw(events())
    return [first, {"type": "track", "event": "Quiz Finished", "userId": first["userId"], "anonymousId": "b"}]


REQUESTS: Final = st.one_of(st.lists(events(), min_size=1, max_size=4), followed())


@dataclass
class Account:
    """What a destination was sent: the contacts of each user ID, and the user IDs of each contact and user name."""

    merges: Literal["send", "block"]
    contacts: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    users: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    linked: set[str] = field(default_factory=set)

    def take(self, deliveries: Sequence[Delivery]) -> None:
        """Link what the calls name. Raises AssertionError."""
        for delivery in deliveries:
            body = orjson.loads(delivery.body)
            named = body.get("user") or body.get("identifiers") or body
            named = {**named, **named.get("externalIdentifiers", {})}
            contacts = {named[kind] for kind in ("email", "phone") if kind in named}
            names = {pair["value"] for pair in named.get("customIdentifiers", ())}
            user = named.get("clientUserId") or named.get("email") or named.get("phone")
            if user is not None and len(contacts | names | {user}) > 1:
                self._link(user, contacts, names)

    def _link(self, user: str, contacts: set[str], names: set[str]) -> None:
        known, identifiers = self.contacts[user], contacts | names
        if self.merges == "block":
            groups = [{user} if user in self.linked else set(), *(self.users[each] for each in identifiers)]
            assert _are_one([group for group in groups if group]), "two people are merged"
        self.linked.add(user)
        known |= contacts - {user}
        for each in identifiers:
            self.users[each].add(user)
            assert len(self.users[each] - {each}) <= MOST, "IDs of a contact"
        assert len(known) <= MOST, "contacts of an ID"


def _are_one(groups: list[set[str]]) -> bool:
    """Whether groups of user IDs are one person's: each shares an ID with another, and so do all together."""
    if not groups:
        return True
    one, rest = set(groups[0]), groups[1:]
    while near := [group for group in rest if group & one]:
        one = one.union(*near)
        rest = [group for group in rest if group not in near]
    return not rest


async def send(url: str, batches: Sequence[Sequence[Raw]], plan: Plan, account: Account) -> None:
    """Take in these requests, one after the other, as an intake and its outbox do."""
    redis = open_redis(url)
    await redis.flushall()
    for batch in batches:
        readings = [read(event, orjson.dumps(event), plan) for event in batch]
        session = ProfileSession([reading.event for reading in readings], plan, "shop")
        session.load((await find_people(redis, {ACCOUNT: session.names}))[ACCOUNT])
        for place, reading in enumerate(readings):
            decided = session.decide(place, reading.event, partial(_decide, plan, reading), NOW)
            blocked = decided.updates and "block" in await update_profiles(redis, ACCOUNT, decided.updates)
            sent = decided.decision.deliveries if isinstance(decided.decision, Forward) else ()
            account.take(decided.instead if blocked else sent)
    await redis.aclose(close_connection_pool=True)


def _decide(plan: Plan, reading: Reading, profile: Mapping[str, str], unlinked: bool | None) -> Decision:
    return decide(reading, plan, source="shop", received_at=NOW, known=Known({"vip": "boolean"}, profile, unlinked))


@pytest.mark.parametrize("merges", ["send", "block"])
def test_no_sequence_of_events_links_too_many(url: str, merges: Literal["send", "block"]) -> None:
    @examples(60)
    @given(st.lists(REQUESTS, max_size=12))
    def holds(batches: list[list[Any]]) -> None:
        plan = Plan(merges=merges, profiles=ProfileRules(most_links=MOST))
        asyncio.run(send(url, batches, plan, Account(merges)))

    holds()


class TestAClientUserIdFromAnotherField:
    """Its value is what Attentive links, whatever the `userId` of the event is."""

    SHOP: Final = IdentityRules(client_user_id=(EventPath("traits.customer_id"), EventPath("userId")))

    async def links(self, url: str, *people: Raw, merges: Literal["send", "block"] = "send") -> list[str]:
        """The addresses that are linked to a client user ID."""
        plan = Plan(identity=self.SHOP, merges=merges, profiles=ProfileRules(most_links=MOST))
        account = Account("send")
        await send(url, [[{"type": "identify", "anonymousId": "b", **person}] for person in people], plan, account)
        return sorted(contact for user, contacts in account.contacts.items() for contact in contacts if "@" not in user)

    async def test_that_many_users_share_links_no_more_than_it_may(self, url: str) -> None:
        people = [
            {"userId": f"u-{n}", "traits": {"customer_id": "kiosk", "email": f"p{n}@shop.example"}} for n in range(5)
        ]
        assert await self.links(url, *people) == ["p0@shop.example", "p1@shop.example"]

    async def test_that_many_addresses_share_links_no_more_than_it_may(self, url: str) -> None:
        people = [{"traits": {"customer_id": "kiosk", "email": f"p{n}@shop.example"}} for n in range(5)]
        assert await self.links(url, *people) == ["p0@shop.example", "p1@shop.example"]

    async def test_that_is_the_user_id_of_another_person_merges_nobody_with_them(self, url: str) -> None:
        ada = {"userId": "u-1", "traits": {"email": "ada@shop.example"}}
        bea = {"userId": "u-2", "traits": {"email": "bea@shop.example"}}
        both = {"userId": "u-2", "traits": {"customer_id": "u-1", "email": "bea@shop.example"}}
        assert await self.links(url, ada, bea, both, merges="block") == ["ada@shop.example", "bea@shop.example"]

    async def test_may_be_repeated_by_its_person(self, url: str) -> None:
        ada = {"userId": "u-1", "traits": {"customer_id": "c-1", "email": "ada@shop.example"}}
        assert await self.links(url, ada, ada, merges="block") == ["ada@shop.example"]
