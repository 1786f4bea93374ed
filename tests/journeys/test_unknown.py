"""Unknown outcomes: counted separately, handled by the configured policy, and kept whole for review."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from app.embedded import RedisBinary
from tests.stack import DESTINATION, Stack, message_id, stack, wait_until

pytestmark = pytest.mark.timeout(180)  # each command is a process of its own
PURCHASE, CUSTOM, VIEW = "/v1/events/ecommerce/purchase", "/v1/events/custom", "/v1/events/ecommerce/product-view"
POLICIES = {"purchase": "review", "product-view": "give_up"}


@pytest.fixture(scope="module")
def running(redis_binary: RedisBinary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("unknown")
    with stack(folder, redis_binary, destination={"unknown_outcomes": POLICIES}) as started:
        yield started


@pytest.fixture
def gateway(running: Stack) -> Iterator[Stack]:
    yield running
    running.heal()
    running.run("unknown-outcomes", "resolve", "--discard", "--all", "--yes")


def track(event: str, **fields: Any) -> dict[str, Any]:
    traits = {"email": "ada@example.com"}
    return {"event": event, "userId": "u-1", "messageId": message_id(), "context": {"traits": traits}} | fields


def order() -> dict[str, Any]:
    product = {"product_id": "p-1", "price": 19.99}
    return track("Order Completed", properties={"order_id": message_id(), "products": [product]})


def sent(gateway: Stack, path: str, event: dict[str, Any]) -> int:
    """How often Attentive acted on it."""
    text = event["properties"]["order_id"] if path == PURCHASE else event["messageId"]
    return len(gateway.ledger(path=path, contains=text))


def held(gateway: Stack) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gateway.run("unknown-outcomes", "list", "--json").stdout.splitlines()]


def unknown(gateway: Stack, endpoint: str, then: str) -> float:
    labels = f'destination="{DESTINATION}",endpoint="{endpoint}",then="{then}"'
    return gateway.metrics().get(f"gateway_unknown_outcomes_total{{{labels}}}", 0)


def settled(gateway: Stack, within_s: float = 30) -> None:
    wait_until(lambda: gateway.waiting() == 0, "nothing waits", within_s)


def test_an_order_cut_after_processing_is_held_and_counted_once_when_discarded(gateway: Stack) -> None:
    before, ended = unknown(gateway, "purchase", "review"), gateway.ended("unknown", "review")
    gateway.fault(kind="cut", path=PURCHASE, count=1)
    event = order()
    gateway.post("/v1/track", event)
    settled(gateway)
    (call,) = held(gateway)
    assert (call["message_id"], call["endpoint"], call["reason"]) == (event["messageId"], "purchase", "unknown_outcome")
    assert unknown(gateway, "purchase", "review") == before + 1
    assert gateway.ended("unknown", "review") == ended + 1
    kept = f'gateway_unknown_outcomes_in_review{{destination="{DESTINATION}"}}'
    assert gateway.metrics()[kept] == 1
    assert gateway.run("dead-letters", "list").stdout.strip() == "No dead letters match."
    assert "ada@example.com" not in gateway.run("unknown-outcomes", "show", call["id"]).stdout
    assert "ada@example.com" in gateway.run("unknown-outcomes", "show", call["id"], "--reveal").stdout
    assert "In review as call" in gateway.run("trace", event["messageId"]).stdout

    discarded = gateway.run("unknown-outcomes", "resolve", call["id"], "--discard", "--yes")
    assert (discarded.returncode, discarded.stdout.strip()) == (0, "1 discarded")
    assert (held(gateway), gateway.metrics()[kept]) == ([], 0)
    assert sent(gateway, PURCHASE, event) == 1
    assert "discarded" in gateway.run("trace", event["messageId"]).stdout


def test_an_order_that_never_arrived_is_sent_when_an_operator_says_so(gateway: Stack) -> None:
    gateway.fault(kind="reset", path=PURCHASE, count=1)
    event = order()
    gateway.post("/v1/track", event)
    settled(gateway)
    (call,) = held(gateway)
    by_hand = unknown(gateway, "purchase", "sent_by_hand")
    resolved = gateway.run("unknown-outcomes", "resolve", call["id"], "--send")
    assert (resolved.returncode, resolved.stdout.strip()) == (0, "1 sent again")
    settled(gateway)
    assert (sent(gateway, PURCHASE, event), held(gateway)) == (1, [])
    assert unknown(gateway, "purchase", "sent_by_hand") == by_hand + 1
    assert "Possible duplicates since counting began: 1. At most" in gateway.run("unknown-outcomes", "list").stdout


def test_what_is_given_up_is_neither_sent_again_nor_kept(gateway: Stack) -> None:
    before, ended = unknown(gateway, "product-view", "give_up"), gateway.ended("unknown", "given_up")
    gateway.fault(kind="status", status=502, path=VIEW, count=1)
    gateway.post("/v1/track", track("Product Viewed", properties={"product_id": message_id(), "price": 5}))
    settled(gateway)
    assert unknown(gateway, "product-view", "give_up") == before + 1
    assert gateway.ended("unknown", "given_up") == ended + 1
    assert held(gateway) == []


def test_what_was_under_way_when_its_worker_was_killed_is_of_unknown_outcome(gateway: Stack) -> None:
    again, holds = unknown(gateway, "custom-event", "send_again"), unknown(gateway, "purchase", "review")
    for path in (CUSTOM, PURCHASE):
        gateway.fault(kind="hang", when="after", path=path, count=1)
    event, bought = track("Signed Up"), order()
    gateway.post("/v1/batch", {"batch": [{"type": "track", **each} for each in (event, bought)]})
    wait_until(lambda: sent(gateway, CUSTOM, event) + sent(gateway, PURCHASE, bought) == 2, "both are under way")
    gateway.kill("worker")
    gateway.start("worker")
    settled(gateway)
    assert sent(gateway, CUSTOM, event) == 2, "sent again: Attentive tells it by its id"
    assert sent(gateway, PURCHASE, bought) == 1
    assert [call["message_id"] for call in held(gateway)] == [bought["messageId"]]
    assert unknown(gateway, "custom-event", "send_again") == again + 1
    assert unknown(gateway, "purchase", "review") == holds + 1
    assert "its worker stopped" in gateway.run("trace", event["messageId"]).stdout


def test_every_mistake_is_told_in_a_line(gateway: Stack) -> None:
    for arguments, said in (
        (["resolve", "1-1"], "Choose what to do with them"),
        (["resolve", "1-1", "--send"], "There is no call in review 1-1"),
        (["resolve", "nonsense", "--discard"], "There is no call in review nonsense"),
        (["resolve", "--discard"], "Nothing is selected"),
        (["list", "--destination", "nobody"], "There is no destination 'nobody'"),
    ):
        run = gateway.run("unknown-outcomes", *arguments)
        assert run.returncode != 0
        assert said in run.stderr
        assert "Traceback" not in run.stderr
