"""Opt-ins and opt-outs: configured ones are sent, and no person is texted twice, whatever fails on the way."""

import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from app.embedded import RedisBinary
from tests.stack import Stack, message_id, stack, wait_until

pytestmark = pytest.mark.timeout(180)  # each command is a process of its own
SUBSCRIBE, UNSUBSCRIBE = "POST /v1/subscriptions", "POST /v1/subscriptions/unsubscribe"
RULES = {
    "check_after_s": 0.2,
    "opt_in": [
        {"event": "Newsletter Joined", "sign_up_source": "sandbox-marketing"},
        {"event": "Club Joined", "locale": {"language": "en", "country": "US"}},
        {"trait": "sms_consent", "is": True, "channels": "text", "locale": {"language": "en", "country": "US"}},
    ],
    "opt_out": [{"event": "Newsletter Left"}],
}
_NUMBERS = itertools.count(random.randrange(2_000_000, 9_000_000))


@pytest.fixture(scope="module")
def running(redis_binary: RedisBinary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("consent"), redis_binary, destination={"subscriptions": RULES}) as started:
        yield started


@pytest.fixture
def gateway(running: Stack) -> Iterator[Stack]:
    running.heal()
    yield running
    running.heal()


@dataclass(frozen=True)
class Person:
    """Somebody no other test knows."""

    gateway: Stack
    phone: str
    email: str

    def says(self, event: str) -> str:
        """One event with all that is known of them; its message id."""
        traits = {"phone": self.phone, "email": self.email}
        body = {
            "event": event,
            "userId": f"customer-{self.phone[2:]}",
            "messageId": message_id(),
            "context": {"traits": traits},
        }
        assert self.gateway.post("/v1/track", body).status_code == 200
        return str(body["messageId"])

    def identifies(self, **traits: Any) -> None:
        body = {
            "userId": f"customer-{self.phone[2:]}",
            "messageId": message_id(),
            "traits": {"phone": self.phone, **traits},
        }
        assert self.gateway.post("/v1/identify", body).status_code == 200

    @property
    def known(self) -> dict[str, Any]:
        """What the sandbox knows of them."""
        url = f"{self.gateway.sandbox.url}/_sandbox/people"
        found = self.gateway.http.get(url, params={"contains": self.phone}).json()["people"]
        return dict(found[0]) if found else {"texts": 0, "subscriptions": []}

    @property
    def texts(self) -> int:
        """How often they were texted."""
        return int(self.known["texts"])

    @property
    def channels(self) -> set[str]:
        """What they are subscribed to."""
        return {each["channel"] for each in self.known["subscriptions"] if each["subscribed"]}


@pytest.fixture
def person(gateway: Stack) -> Person:
    number = next(_NUMBERS)
    return Person(gateway, f"+1415{number}", f"p{number}@example.com")


def settled(gateway: Stack) -> None:
    wait_until(lambda: gateway.waiting() == 0, "nothing waits", 30)


def held(gateway: Stack) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gateway.run("unknown-outcomes", "list", "--json").stdout.splitlines()]


def test_who_joins_is_subscribed_once_and_who_leaves_is_not_any_more(gateway: Stack, person: Person) -> None:
    person.says("Newsletter Joined")
    person.says("Newsletter Joined")
    settled(gateway)
    assert (person.channels, person.texts) == ({"TEXT", "EMAIL"}, 1)
    (call,) = gateway.ledger(path="/v1/subscriptions", contains=person.phone)
    assert call["body"]["externalIdentifiers"] == {"clientUserId": f"customer-{person.phone[2:]}"}
    assert len(gateway.ledger(path="/v1/events/custom", contains=person.phone)) == 2, "besides the normal calls"
    person.says("Newsletter Left")
    settled(gateway)
    assert (person.channels, person.texts) == (set(), 2)
    person.says("Newsletter Joined")
    settled(gateway)
    assert (person.channels, person.texts) == ({"TEXT", "EMAIL"}, 3), "who changes their mind is heard"


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"kind": "cut"}, id="an answer cut after processing"),
        pytest.param({"kind": "reset", "when": "after"}, id="a connection reset after processing"),
        pytest.param({"kind": "status", "status": 502, "when": "after"}, id="a server's error after processing"),
        pytest.param({"kind": "reset", "when": "before"}, id="a connection reset before processing"),
        pytest.param({"kind": "status", "status": 503, "when": "before"}, id="a server's error before processing"),
    ],
)
def test_nobody_is_texted_twice_or_never_when_an_answer_is_lost(
    gateway: Stack, person: Person, fault: dict[str, Any]
) -> None:
    gateway.fault(path=SUBSCRIBE, count=1, **fault)
    person.says("Newsletter Joined")
    settled(gateway)
    assert (person.channels, person.texts) == ({"TEXT", "EMAIL"}, 1)
    gateway.fault(path=UNSUBSCRIBE, count=1, **fault)
    person.says("Newsletter Left")
    settled(gateway)
    assert (person.channels, person.texts) == (set(), 2)


@pytest.mark.parametrize("when", ["after", "before"])
def test_a_worker_that_is_killed_in_the_middle_texts_nobody_twice(gateway: Stack, person: Person, when: str) -> None:
    gateway.fault(kind="hang", when=when, path=SUBSCRIBE, count=1)
    story = person.says("Newsletter Joined")
    wait_until(lambda: gateway.struck() == 1, "it is under way")
    gateway.kill("worker")
    gateway.heal()
    gateway.start("worker")
    settled(gateway)
    assert (person.channels, person.texts) == ({"TEXT", "EMAIL"}, 1)
    assert "its worker stopped" in gateway.run("trace", story).stdout


def test_what_cannot_be_asked_about_is_held_until_an_operator_decides(gateway: Stack, person: Person) -> None:
    key = f"{gateway.sandbox.url}/_sandbox/keys/sandbox"
    scopes = gateway.http.patch(key, json={}).json()["scopes"]
    gateway.http.patch(key, json={"scopes": [scope for scope in scopes if scope != "subscriptions:read"]})
    try:
        gateway.fault(kind="reset", path=SUBSCRIBE, count=1)
        person.says("Newsletter Joined")
        settled(gateway)
        (call,) = held(gateway)
        assert (call["endpoint"], "subscriptions:read" in call["detail"]) == ("subscribe", True)
        assert person.texts == 0
        assert gateway.run("unknown-outcomes", "resolve", call["id"], "--send").stdout.strip() == "1 sent again"
        settled(gateway)
        assert (person.texts, held(gateway)) == (1, [])
    finally:
        gateway.http.patch(key, json={"scopes": scopes})


def test_a_trait_that_every_page_repeats_texts_nobody_who_is_subscribed(gateway: Stack, person: Person) -> None:
    for page in range(3):
        person.identifies(sms_consent=True, page=page)
    settled(gateway)
    assert (person.channels, person.texts) == ({"TEXT"}, 1)
    known = Person(gateway, f"+1415{next(_NUMBERS)}", "known@example.com")
    known.says("Newsletter Joined")
    settled(gateway)
    known.identifies(sms_consent=True)
    settled(gateway)
    assert known.texts == 1, "Attentive was asked first"


@pytest.mark.parametrize("answer", ["conflict", "refuse"])
def test_who_is_subscribed_already_counts_as_done(gateway: Stack, person: Person, answer: str) -> None:
    config = f"{gateway.sandbox.url}/_sandbox/config"
    person.says("Newsletter Joined")
    settled(gateway)
    gateway.http.patch(config, json={"subscribed_again": answer})
    try:
        delivered = gateway.ended("delivered")
        person.says("Club Joined")
        settled(gateway)
        assert gateway.ended("delivered") == delivered + 1
    finally:
        gateway.http.patch(config, json={"subscribed_again": "accept"})
