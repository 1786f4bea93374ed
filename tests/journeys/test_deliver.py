"""From test people to everybody: what is not delivered ends by name, at once and for what waits, and is never sent."""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from app.embedded import RedisBinary
from tests.stack import DESTINATION, WRITE_KEY, Stack, message_id, stack, wait_until

TESTER: Final = "tess@shop-a.example"
STRANGER: Final = "ada@shop-b.example"
LIMITED: Final = {"deliver": "test_people", "test_people": [TESTER]}


@pytest.fixture(scope="module")
def gateway(redis_binary: RedisBinary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(
        tmp_path_factory.mktemp("deliver"),
        redis_binary,
        destination={**LIMITED, "title": "Shop [EU]", "description": "The European shop", "erasure": {"request": True}},
    ) as running:
        yield running


def post(gateway: Stack, email: str) -> str:
    event = {
        "event": "Checkout Started",
        "messageId": message_id(),
        "context": {"traits": {"email": email}},
        "properties": {"order_id": "1"},
    }
    assert gateway.post("/v1/track", event).status_code == 200
    return str(event["messageId"])


def deliver(gateway: Stack, *processes: str, **settings: Any) -> None:
    """Change the destination's settings, and wait until these processes use them."""
    before = [gateway.log(name).count('"config.reloaded"') for name in processes]
    account = {"api_token": "sandbox-token", "base_url": gateway.sandbox.url, **settings}
    source = {"write_key": WRITE_KEY, "trust": "server", "destination": DESTINATION}
    gateway.configure({"destinations": {DESTINATION: account}, "sources": {"shop": source}})
    wait_until(
        lambda: all(
            gateway.log(name).count('"config.reloaded"') > times for name, times in zip(processes, before, strict=True)
        ),
        "the new settings are used",
    )


def promote(gateway: Stack) -> str:
    """What `destinations promote` prints."""
    result = gateway.run("destinations", "promote", DESTINATION)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.timeout(240)
def test_a_destination_is_promoted_from_test_people_to_all(gateway: Stack) -> None:
    for_stranger, for_tester = post(gateway, STRANGER), post(gateway, TESTER)
    wait_until(lambda: bool(gateway.ledger(message_id=for_tester)), "the tester's event is sent")
    assert gateway.ended("dropped", "not_delivered") == 1
    trace = gateway.run("trace", for_stranger).stdout
    assert "not_delivered" in trace
    assert "test people only" in trace
    listed = gateway.run("destinations", "list").stdout
    assert "Shop [EU]" in listed
    assert "The European shop" in listed
    assert "test people only (1 contact)" in listed

    plan = promote(gateway)
    assert "delivers to test people only" in plan
    assert "It would deliver to all people." in plan
    assert "Events not delivered so far: 1." in plan
    assert "Checkout Started 1" in plan
    assert "deliver: all" in plan

    deliver(gateway, "gateway", "worker", deliver="all")
    gateway.fault(kind="status", status=503)
    waiting = post(gateway, STRANGER)
    wait_until(lambda: gateway.struck() > 0, "the call was attempted and waits")
    gateway.stop("worker")
    deliver(gateway, "gateway", **LIMITED)
    promoted = promote(gateway)
    gateway.heal()
    gateway.start("worker")
    wait_until(lambda: gateway.ended("dropped", "not_delivered") == 2, "what waited has ended")
    assert "Calls that wait now and would be sent: 1." in promoted

    deliver(gateway, "gateway", "worker", deliver="all")
    last = post(gateway, STRANGER)
    wait_until(lambda: bool(gateway.ledger(message_id=last)), "all people's events are sent")
    wait_until(lambda: gateway.waiting() == 0, "nothing waits")
    assert gateway.ledger(message_id=for_stranger) == gateway.ledger(message_id=waiting) == []
