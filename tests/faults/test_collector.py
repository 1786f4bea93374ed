"""A collector that hangs, refuses or is gone harms nothing: no request, no delivery, no stop."""

from collections import Counter
from collections.abc import Iterator

import pytest

from app.embedded import RedisBinary
from app.traces.exporting import AT_ONCE, MOST_WAITING
from tests.stack import Stack, message_id, stack, wait_until
from tests.traces.collector import Collector, Mood, running_collector

pytestmark = pytest.mark.timeout(180)
EVENTS = 40
BATCHES = 30  # of 100 events: each process makes more spans of them than may wait


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


def test_more_spans_than_may_wait_are_dropped_and_counted_while_everything_is_delivered(
    gateway: Stack, collector: Collector
) -> None:
    """As in an outage of the collector that lasts: no export ends, until all events are delivered."""
    collector.mood = "hangs"
    before, spans = len(gateway.ledger()), spans_by_result(gateway)
    for _ in range(BATCHES):
        batch = [
            {"type": "track", "event": "Signed Up", "userId": "u-1", "messageId": message_id()} for _ in range(100)
        ]
        assert gateway.post("/v1/batch", {"batch": batch}).status_code == 200
    wait_until(lambda: len(gateway.ledger()) == before + 100 * BATCHES, "every event is delivered", 60)
    wait_until(lambda: gateway.waiting() == 0, "all are settled")

    for process, made in (("gateway", 101 * BATCHES), ("worker", 200 * BATCHES)):
        lost = spans_by_result(gateway)[process] - spans[process]
        assert set(lost) <= {"dropped", "failed"}
        assert lost["dropped"] > 0
        # Besides those that are lost, some wait: in the queue, and in the export that hangs.
        assert made - MOST_WAITING - AT_ONCE <= lost.total() <= made + MOST_WAITING + AT_ONCE


def spans_by_result(gateway: Stack) -> dict[str, "Counter[str]"]:
    """What became of the spans of both processes."""
    found = {}
    for process, port in (("gateway", gateway.admin_port), ("worker", gateway.worker_port)):
        rows = gateway.metrics(port)
        found[process] = Counter(
            {
                result: int(rows.get(f'gateway_trace_spans_total{{result="{result}"}}', 0))
                for result in ("exported", "failed", "dropped")
            }
        )
    return found
