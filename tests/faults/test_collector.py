"""A collector that hangs, refuses or is gone harms nothing: no request, no delivery, no stop."""

from collections.abc import Iterator

import pytest

from app.embedded import RedisBinary
from tests.stack import Stack, message_id, stack, wait_until
from tests.traces.collector import Collector, Mood, running_collector

pytestmark = pytest.mark.timeout(180)
EVENTS = 40


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with running_collector() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(
    redis_binary: RedisBinary, tmp_path_factory: pytest.TempPathFactory, collector: Collector
) -> Iterator[Stack]:
    environment = {"GATEWAY_TRACES_ENDPOINT": collector.url, "GATEWAY_TRACES_SHARE": "1"}
    with stack(tmp_path_factory.mktemp("collector"), redis_binary, environment=environment) as running:
        yield running


@pytest.mark.parametrize("mood", ["hangs", "refuses", "closes"])
def test_it_harms_nothing(gateway: Stack, collector: Collector, mood: Mood) -> None:
    collector.mood = mood
    before = len(gateway.ledger())
    for _ in range(EVENTS):
        event = {"event": "Signed Up", "userId": "u-1", "messageId": message_id()}
        assert gateway.post("/v1/track", event).status_code == 200
    wait_until(lambda: len(gateway.ledger()) == before + EVENTS, "every event is delivered")
    asked = collector.asked
    wait_until(lambda: collector.asked > asked or mood == "hangs", "the collector is asked")

    gateway.stop("gateway")  # which fails if it takes more than 10 s
    gateway.stop("worker")

    gateway.start("gateway", "worker")
