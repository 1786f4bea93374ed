"""An erasure: Redis no longer names the person, Attentive is asked in order, and a receipt proves it."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import redis

from app.delivery.delivery import in_full
from app.embedded import RedisBinary
from tests.stack import DESTINATION, Stack, message_id, stack, wait_until

UNSUBSCRIBE, DELETE = "/v1/subscriptions/unsubscribe", "/v1/privacy/delete-request"
CUSTOM, VIEW = "/v1/events/custom", "/v1/events/ecommerce/product-view"
BACK_OFFICE = "back-office-key"


@pytest.fixture(scope="module")
def gateway(redis_binary: RedisBinary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A gateway that tells Attentive of erasures, with a source that may ask for them."""
    with stack(
        tmp_path_factory.mktemp("forget"),
        redis_binary,
        destination={"erasure": {"unsubscribe": True, "request": True}},
        sources={"back-office": {"write_key": BACK_OFFICE, "trust": "server", "erasures": True}},
    ) as running:
        yield running


class Person:
    """Somebody no other test knows."""

    def __init__(self, gateway: Stack, number: int) -> None:
        self.id = f"customer-{message_id()}"
        self.email = f"{message_id()}@example.com"
        self.phone = f"+1415555{number:04}"
        self._gateway = gateway

    @property
    def traces(self) -> list[bytes]:
        return [self.id.encode(), self.email.encode(), self.phone.encode(), self.phone[2:].encode()]

    def identify(self) -> None:
        traits = {"email": self.email, "phone": self.phone, "first_name": "Ada"}
        self._post({"type": "identify", "traits": traits})

    def track(self, name: str, **properties: Any) -> None:
        self._post({"type": "track", "event": name, "properties": properties})

    def _post(self, event: dict[str, Any]) -> None:
        answer = self._gateway.post("/v1/batch", {"batch": [{**event, "userId": self.id, "messageId": message_id()}]})
        assert answer.json() == {"success": True}


def everything_in_redis(gateway: Stack) -> bytes:
    """All keys with all that is under them, nothing packed."""
    held = []
    with redis.Redis(port=gateway.redis_port) as client:
        for key in client.scan_iter():
            match client.type(key):
                case b"string":
                    content: Any = client.get(key)
                case b"hash":
                    content = client.hgetall(key)
                case b"set":
                    content = client.smembers(key)
                case b"zset":
                    content = [in_full(member) for member in client.zrange(key, 0, -1)]
                case b"list":
                    content = client.lrange(key, 0, -1)
                case b"stream":
                    content = [[*map(in_full, fields.values())] for _, fields in client.xrange(key)]
                case b"none":  # it has expired meanwhile
                    content = b""
                case kind:
                    raise AssertionError(f"{key!r} is a {kind!r}")
            held.append(key + b" " + repr(content).encode())
    return b"\n".join(held)


def has(gateway: Stack, key: str) -> bool:
    """Whether anything is in one of the destination's keys."""
    with redis.Redis(port=gateway.redis_port) as client:
        return bool(client.exists(f"{{{DESTINATION}}}:{key}"))


def retries(gateway: Stack) -> int:
    """How many product views wait for another attempt."""
    with redis.Redis(port=gateway.redis_port) as client:
        number: Any = client.zcard(f"{{{DESTINATION}}}:lane:product-view:retry")
        return int(number)


def state(gateway: Stack, erasure: str) -> str:
    """How far an erasure is."""
    with redis.Redis(port=gateway.redis_port) as client:
        return (client.hget(f"{{{DESTINATION}}}:erasure:{erasure}", "state") or b"").decode()


def receipt(gateway: Stack, erasure: str) -> dict[str, Any]:
    shown = gateway.run("forget", "--status", erasure)
    assert shown.returncode == 0, shown.stderr
    found: dict[str, Any] = orjson.loads(shown.stdout)
    return found


def sent_about_erasure(gateway: Stack, person: Person) -> list[str]:
    return [call["path"] for call in gateway.ledger(contains=person.email) if call["path"] in (UNSUBSCRIBE, DELETE)]


def test_an_event_asks_for_it_where_its_source_may(gateway: Stack) -> None:
    ada, bea = Person(gateway, 103), Person(gateway, 104)
    for person in (ada, bea):
        person.identify()
    wait_until(lambda: gateway.waiting() == 0, "the identifies have arrived")
    public = gateway.post("/v1/delete", {"userId": bea.id, "messageId": message_id()})
    assert public.json() == {"success": True}
    asked = {"batch": [{"type": "delete", "userId": ada.id, "messageId": message_id()}]}
    answer = gateway.http.post("/v1/batch", json=asked, auth=(BACK_OFFICE, ""))
    assert answer.json() == {"success": True}
    wait_until(lambda: sent_about_erasure(gateway, ada) == [UNSUBSCRIBE, DELETE], "Attentive is asked to delete")
    wait_until(
        lambda: not any(trace in everything_in_redis(gateway) for trace in ada.traces), "nothing names the person"
    )
    assert (gateway.ended("dropped", "erasure"), gateway.ended("dropped", "erasure_not_allowed")) == (1, 1)
    assert sent_about_erasure(gateway, bea) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param([], "No person is named", id="nobody"),
        pytest.param(["--email", "ada"], "e-mail address cannot be read", id="no address"),
        pytest.param(["--phone", "n/a"], "phone number cannot be read", id="no number"),
        pytest.param(["--user-id", " "], "blank", id="a blank"),
        pytest.param(["--user-id", "7", "--destination", "amce"], "amce", id="no such destination"),
        pytest.param(["--status", "7f"], "7f", id="no such erasure"),
    ],
)
def test_a_mistake_is_told_in_a_line(gateway: Stack, arguments: list[str], said: str) -> None:
    refused = gateway.run("forget", *arguments)
    assert refused.returncode != 0
    assert said in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_a_killed_workers_erasure_is_taken_up(gateway: Stack) -> None:
    ada = Person(gateway, 105)
    ada.identify()
    wait_until(lambda: gateway.waiting() == 0, "the identify has arrived")
    gateway.fault(kind="hang", path=UNSUBSCRIBE)
    asked = gateway.run("forget", "--user-id", ada.id)
    erasure = asked.stdout.split("erasure ")[1].split()[0]
    wait_until(lambda: state(gateway, erasure) == "unsubscribing", "it waits for an answer")
    gateway.kill("worker")
    gateway.heal()
    gateway.start("worker")
    wait_until(lambda: state(gateway, erasure) == "done", "another worker is through", 60)
    sent = sent_about_erasure(gateway, ada)
    assert sent[-2:] == [UNSUBSCRIBE, DELETE]
    held = everything_in_redis(gateway)
    assert [trace for trace in ada.traces if trace in held] == []


def test_a_person_in_every_place_is_gone_from_all(gateway: Stack) -> None:
    ada, bea = Person(gateway, 101), Person(gateway, 102)
    for person in (ada, bea):
        person.identify()
        person.track("Product Viewed", product_id="a", price="free")  # a dead letter
    wait_until(lambda: gateway.waiting() == 0, "the identifies have arrived")
    gateway.fault(kind="status", status=403, path=CUSTOM)
    gateway.fault(kind="status", status=503, path=VIEW, retry_after="60")  # they still wait when they are erased
    for person in (ada, bea):
        person.track("Coupon Entered", code="A")
        person.track("Product Viewed", product_id="a", price=1)
    wait_until(lambda: has(gateway, "lane:custom-event:hold"), "the custom events are held")
    wait_until(lambda: retries(gateway) == 2, "both product views wait for another attempt")
    held = everything_in_redis(gateway)
    assert [trace for trace in ada.traces[:3] if trace not in held] == []

    asked = gateway.run("forget", "--user-id", ada.id, "--reference", "ticket 7", "--wait", "--rewrite-aof")
    assert asked.returncode == 0, asked.stderr
    erasure = asked.stdout.split("erasure ")[1].split()[0]
    held = everything_in_redis(gateway)
    assert [trace for trace in ada.traces if trace in held] == []
    assert held.count(bea.email.encode()) >= 3
    assert ada.email not in gateway.log("worker") + gateway.log("gateway") + asked.stdout + asked.stderr

    wait_until(lambda: state(gateway, erasure) == "done", "Attentive has deleted the person")
    shown = receipt(gateway, erasure)
    assert sent_about_erasure(gateway, ada) == [UNSUBSCRIBE, DELETE]
    assert (shown["unsubscribed"], shown["delete_request"], shown["reference"]) == ("done", "processed", "ticket 7")
    assert all(
        shown["removed"][place] for place in ("profiles", "lanes", "retries", "dead_letters", "journal", "last_sent")
    )
    assert [trace for trace in ada.traces if trace in orjson.dumps(shown)] == []
    assert gateway.ended("dropped", "erased") == 2
    assert erasure in gateway.run("receipts", "list").stdout
    assert orjson.loads(gateway.run("receipts", "export").stdout.splitlines()[0]) == shown
    assert gateway.waiting() == 2, "the other's two"
    assert gateway.metrics()[f'gateway_erasures_open{{destination="{DESTINATION}"}}'] == 0
