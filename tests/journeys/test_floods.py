"""A public source that floods: it fills its own shares, and what servers send is kept and sent as before."""

import random
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
import redis

from app.embedded import RedisBinary
from tests.stack import DESTINATION, Stack, message_id, stack, wait_until

WEB: Final = "web-key"
SHARE: Final = 2**20  # bytes of dead letters for each source
BATCHES: Final = 48  # of about 260 KB: twelve times as much as the share, and more than Redis may have
ROOM: Final = 12 * 2**20  # bytes that Redis may take beside what it has already
PERSON: Final = {"traits": {"email": "ada@example.com"}}


@pytest.fixture(scope="module")
def gateway(redis_binary: RedisBinary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A gateway with a server's source and a page's, and a lane for custom events that sends two calls a second."""
    with stack(
        tmp_path_factory.mktemp("floods"),
        redis_binary,
        limits={"custom-event": 2},
        environment={"GATEWAY_DEAD_LETTER_BYTES": str(SHARE), "GATEWAY_MAX_BACKLOG_EVENTS": "200"},
        sources={"web": {"write_key": WEB, "events_per_second": 1_000_000}},  # shares are the point here, not the rate
    ) as running:
        yield running


def post(gateway: Stack, key: str, *events: dict[str, Any]) -> httpx.Response:
    return gateway.http.post("/v1/batch", json={"batch": events}, auth=(key, "") if key else httpx.USE_CLIENT_DEFAULT)


def unmappable(note: str) -> dict[str, Any]:
    """An order without products, which Attentive's endpoint for purchases needs."""
    properties = {"order_id": message_id(), "note": note}
    return {
        "type": "track", "event": "Order Completed", "messageId": message_id(), "context": PERSON,
        "properties": properties,
    }  # fmt: skip


def custom(name: str) -> dict[str, Any]:
    return {"type": "track", "event": name, "messageId": message_id(), "context": PERSON}


def test_junk_fills_neither_redis_nor_the_share_of_another_source(gateway: Stack) -> None:
    orders = [unmappable("an order of a server") for _ in range(3)]
    assert post(gateway, "", *orders).status_code == 200
    client: Any = redis.Redis(port=gateway.redis_port)
    client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + ROOM)
    chance = random.Random(7)
    for _ in range(BATCHES):
        junk = [unmappable(chance.randbytes(500).hex()) for _ in range(220)]  # which no packing makes small
        answer = post(gateway, WEB, *junk)
        assert (answer.status_code, answer.json()) == (200, {"success": True})
    kept: Any = client.hgetall(f"{{{DESTINATION}}}:dead_kept")
    assert int(kept[b"letters:shop"]) == len(orders)
    assert int(kept[b"letters:web"]) < 2 * SHARE / 500
    assert int(kept[b"bytes:web"]) <= SHARE
    assert client.memory_usage(f"{{{DESTINATION}}}:dead") < 2 * SHARE
    listed = gateway.run("dead-letters", "list", "--limit", "3", "--json").stdout
    assert all(order["messageId"] in listed for order in orders)
    client.config_set("maxmemory", 0)
    seen = gateway.metrics()
    evicted = [value for name, value in seen.items() if "letters_evicted" in name and 'source="web"' in name]
    assert sum(evicted) > BATCHES * 220 - 2 * SHARE / 500
    assert not any("letters_evicted" in name and 'source="shop"' in name for name in seen)


def test_a_flood_delays_nothing_that_a_server_sends(gateway: Stack) -> None:
    """The lane sends two calls a second: what the page has queued would take minutes."""
    flood = [custom("Flood") for _ in range(150)]
    assert post(gateway, WEB, *flood).status_code == 200
    order = custom("Order of a server")
    assert post(gateway, "", order).status_code == 200
    wait_until(lambda: bool(gateway.ledger(message_id=order["messageId"])), "the server's event is sent")
    waiting = gateway.metrics()[f'gateway_source_backlog{{destination="{DESTINATION}",source="web"}}']
    assert waiting > 50

    def put_off() -> bool:
        code: str | None = post(gateway, WEB, custom("Flood")).json().get("code")
        return code == "source_backlog_full"

    wait_until(put_off, "the page has its share of the backlog")
    assert post(gateway, "", custom("Order of a server")).status_code == 200
