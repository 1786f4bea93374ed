"""SIGKILL of worker, gateway and Redis in the middle of 5,000 events: every accepted one arrives."""

import itertools
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.embedded import RedisBinary
from app.sandbox import SandboxConfig
from tests.local import HTTP
from tests.stack import WRITE_KEY, Stack, message_id, stack, wait_until
from tests.waiting import patient

EVENTS = 5_000
BATCH = 20
SENDERS = 4
CONCURRENCY = 8  # calls under way per lane: what a crash may repeat
LANES = ("product-view", "add-to-cart", "purchase", "custom-event")
LETTERS = str.maketrans("0123456789", "ghijklmnop")  # an id without digits is in no guard's eyes a card
LIMIT = 400.0  # calls a second and lane, so that the test is over in a minute


def events(number: int) -> Iterator[dict[str, Any]]:
    """`number` events over all four lanes. Each call names its event's message id somewhere in its body."""
    names = ("Product Viewed", "Product Added", "Order Completed", "Loyalty Points Earned")
    for index, name in zip(range(number), itertools.cycle(names)):
        event_id = message_id().translate(LETTERS)
        product = {"product_id": event_id, "price": 19.99}
        properties = {"Order Completed": {"order_id": event_id, "products": [product]}}.get(name, product)
        yield {
            "type": "track",
            "event": name,
            "messageId": event_id,
            "userId": f"customer-{index % 50}",
            "context": {"traits": {"email": f"customer-{index % 50}@example.com"}},
            "properties": properties,
        }


class Tracker:
    """Sends batches and, as trackers do, sends a batch again until it is acknowledged."""

    def __init__(self, gateway: Stack) -> None:
        self._url = f"http://127.0.0.1:{gateway.gateway_port}/v1/batch"
        self.acknowledged = 0
        self.refused: Counter[str] = Counter()
        self._lock = threading.Lock()

    def send(self, batch: list[dict[str, Any]]) -> None:
        ends = time.monotonic() + patient(40)
        while time.monotonic() < ends:
            try:
                answer = HTTP.post(self._url, json={"batch": batch}, auth=(WRITE_KEY, ""), timeout=patient(10))
            except httpx.TransportError as failure:
                outcome = type(failure).__name__
            else:
                if answer.status_code == 200:
                    with self._lock:
                        self.acknowledged += len(batch)
                    return
                assert answer.status_code == 503, answer.text
                assert int(answer.headers["retry-after"]) >= 1
                outcome = "503"
            with self._lock:
                self.refused[outcome] += 1
            time.sleep(0.1)
        raise AssertionError("a batch was never acknowledged")


def ids_in(call: dict[str, Any]) -> str:
    body = call["body"]
    return str(body.get("externalEventId") or body.get("orderId") or body["items"][0]["productId"])


@pytest.mark.timeout(120)
def test_nothing_accepted_is_lost_when_everything_is_killed(tmp_path: Path, redis_binary: RedisBinary) -> None:
    limits = dict.fromkeys(LANES, LIMIT)
    unlimited = SandboxConfig(limits_enabled=False)
    environment = {"GATEWAY_CONCURRENCY": str(CONCURRENCY)}
    with stack(
        tmp_path, redis_binary, sandbox=unlimited, limits=limits, environment=environment, fsync="always"
    ) as gateway:
        todo = list(events(EVENTS))
        batches = [todo[start : start + BATCH] for start in range(0, EVENTS, BATCH)]
        tracker = Tracker(gateway)
        with ThreadPoolExecutor(SENDERS) as senders:
            sending = [senders.submit(tracker.send, batch) for batch in batches]
            for share, victim in ((0.2, "worker"), (0.4, "gateway"), (0.6, "redis")):
                wait_until(
                    partial(lambda share: tracker.acknowledged >= share * EVENTS, share), f"{share:.0%} sent", 40
                )
                gateway.kill(victim)
                gateway.start(victim)
            for sent in sending:
                sent.result()
        assert tracker.acknowledged == EVENTS
        wanted = {event["messageId"] for event in todo}
        wait_until(lambda: len(gateway.sandbox.sandbox.world.ledger) >= EVENTS, "all calls arrive", 60)
        wait_until(lambda: gateway.waiting() == 0, "nothing waits", 30)
        arrived = Counter(ids_in(call) for call in gateway.ledger())
    lost = wanted - set(arrived)
    twice = arrived.total() - len(arrived)
    sys.stdout.write(
        f"accepted {EVENTS}, lost {len(lost)}, sent twice {twice}, refused on the way {dict(tracker.refused)}\n"
    )
    assert not lost
    assert set(arrived) == wanted
    in_flight = CONCURRENCY * len(LANES)
    assert twice <= 2 * in_flight, "the worker's death and Redis' may each repeat what was under way"
