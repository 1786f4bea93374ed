"""A public write key can harm no one: attacks that once worked, against real processes, and uses that must work."""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from app.embedded import RedisBinary
from tests.local import local_client
from tests.stack import Stack, message_id, stack, wait_until

WEB: Final = "web-key"
IDENTITY, CUSTOM = "/v1/identity-resolution/user-identifiers", "/v1/events/custom"


@pytest.fixture(scope="module")
def gateway(redis_binary: RedisBinary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A gateway with a server's source, and a page's with default settings but for the memory of browsers."""
    with stack(
        tmp_path_factory.mktemp("trust"),
        redis_binary,
        destination={"subscriptions": {"opt_out": [{"event": "Left"}]}},
        sources={"web": {"write_key": WEB, "profiles": {"anonymous_id": True}}},
    ) as running:
        yield running


class Web:
    """One browser that knows the public write key."""

    def __init__(self, gateway: Stack) -> None:
        self.id = f"browser-{message_id()}"
        self._gateway = gateway

    def post(self, *events: dict[str, Any]) -> None:
        """Post events from this browser, in one batch."""
        batch = [{"messageId": message_id(), "anonymousId": self.id, **event} for event in events]
        with local_client(base_url=str(self._gateway.http.base_url), auth=(WEB, "")) as page:
            answer = page.post("/v1/batch", json={"batch": batch})
        assert answer.json() == {"success": True}


class Person:
    def __init__(self, number: int) -> None:
        self.id = f"customer-{message_id()}"
        self.email = f"{message_id()}@example.com"
        self.phone = f"+1415555{number:04}"


def identify(person: Person, **traits: str) -> dict[str, Any]:
    return {"type": "identify", "userId": person.id, "traits": traits}


def bought(user_id: str, name: str) -> dict[str, Any]:
    return {"type": "track", "userId": user_id, "event": name}


def server(gateway: Stack, *events: dict[str, Any]) -> None:
    batch = [{"messageId": message_id(), **event} for event in events]
    assert gateway.http.post("/v1/batch", json={"batch": batch}).status_code == 200


def users(gateway: Stack, name: str) -> list[dict[str, Any]]:
    """The users that custom events of this name were sent about, once there are some."""
    wait_until(lambda: bool(gateway.ledger(path=CUSTOM, contains=name)), f"{name} is sent")
    return [call["body"]["user"] for call in gateway.ledger(path=CUSTOM, contains=name)]


def settled(gateway: Stack) -> None:
    wait_until(lambda: gateway.waiting() == 0, "nothing waits")


def test_an_alias_takes_nobody_over(gateway: Stack) -> None:
    """Row 4: later events of the victims went out with the attacker's number and address."""
    victim, eve = Person(1), Person(2)
    server(gateway, identify(victim, email=victim.email, phone=victim.phone))
    browser = Web(gateway)
    browser.post(identify(eve, email=eve.email, phone=eve.phone))
    browser.post({"type": "alias", "previousId": victim.id, "userId": eve.id})
    name = f"Bought {message_id()}"
    server(gateway, bought(victim.id, name))
    assert users(gateway, name) == [
        {"email": victim.email, "phone": victim.phone, "externalIdentifiers": {"clientUserId": victim.id}}
    ]


def test_an_identify_call_links_nothing_to_somebody_else(gateway: Stack) -> None:
    victim, eve = Person(3), Person(4)
    server(gateway, identify(victim, email=victim.email))
    settled(gateway)
    Web(gateway).post(
        identify(victim, email=eve.email),
        identify(eve, email=victim.email, phone=eve.phone),
        {"type": "identify", "traits": {"email": victim.email, "phone": eve.phone}},
    )
    settled(gateway)
    links = gateway.ledger(path=IDENTITY, contains=eve.phone) + gateway.ledger(path=IDENTITY, contains=eve.email)
    assert links == []
    assert len(gateway.ledger(path=IDENTITY, contains=victim.email)) == 1  # the server's own


def test_an_event_names_one_identifier_and_so_links_none(gateway: Stack) -> None:
    victim, eve = Person(5), Person(6)
    name = f"Bought {message_id()}"
    traits = {"email": victim.email, "phone": eve.phone}
    Web(gateway).post({**bought(eve.id, name), "context": {"traits": traits}})
    assert users(gateway, name) == [{"email": victim.email}]


def test_a_visitor_is_known_by_their_own_identify_call(gateway: Stack) -> None:
    ada, browser, other = Person(7), Web(gateway), Web(gateway)
    browser.post(identify(ada, email=ada.email, phone=ada.phone))
    settled(gateway)
    name = f"Bought {message_id()}"
    browser.post(bought(ada.id, name))
    assert users(gateway, name) == [{"email": ada.email}]
    (link,) = gateway.ledger(path=IDENTITY, contains=ada.email)
    assert ada.phone in str(link["body"])
    name = f"Bought {message_id()}"
    other.post(bought(ada.id, name))
    assert users(gateway, name) == [{"externalIdentifiers": {"clientUserId": ada.id}}]


def test_a_message_id_that_a_server_is_going_to_use_drops_nothing_of_the_server(gateway: Stack) -> None:
    victim, eve = Person(11), Person(12)
    name, guessed = f"Bought {message_id()}", message_id()
    Web(gateway).post({**bought(eve.id, "Looked"), "messageId": guessed})
    settled(gateway)
    server(gateway, {**bought(victim.id, name), "messageId": guessed})
    assert users(gateway, name) == [{"externalIdentifiers": {"clientUserId": victim.id}}]


def test_no_consent_is_changed(gateway: Stack) -> None:
    """Row 9: a page's key unsubscribed anybody where there was a rule."""
    victim = Person(8)
    traits = {"context": {"traits": {"email": victim.email}}}
    Web(gateway).post({"type": "track", "event": "Left", **traits})
    settled(gateway)
    assert gateway.ledger(path="/v1/subscriptions/unsubscribe", contains=victim.email) == []
    server(gateway, {"type": "track", "event": "Left", **traits})
    path = "/v1/subscriptions/unsubscribe"
    wait_until(lambda: bool(gateway.ledger(path=path, contains=victim.email)), "the server may")


def test_nobody_is_erased(gateway: Stack) -> None:
    victim = Person(9)
    server(gateway, identify(victim, email=victim.email))
    before = gateway.ended("dropped", "erasure_not_allowed")
    Web(gateway).post({"type": "delete", "userId": victim.id})
    wait_until(lambda: gateway.ended("dropped", "erasure_not_allowed") == before + 1, "it is dropped")
    name = f"Bought {message_id()}"
    server(gateway, bought(victim.id, name))
    assert [user["email"] for user in users(gateway, name)] == [victim.email]
