"""What an autoscaler and an operator's alerts look at: work that could be done, what is held, and how old it is."""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from app.embedded import RedisBinary
from tests.local import HTTP
from tests.stack import DESTINATION, Stack, message_id, stack, wait_until

CUSTOM: Final = 'destination="acme",endpoint="custom-event"'
WHOLE: Final = 'destination="acme",endpoint=""'


@pytest.fixture(scope="module")
def gateway(redis_binary: RedisBinary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Its workers are taken away and come back."""
    with stack(tmp_path_factory.mktemp("scaling"), redis_binary) as running:
        yield running


def track() -> dict[str, Any]:
    return {"type": "track", "event": "Signed Up", "userId": "u-1", "messageId": message_id()}


def identify() -> dict[str, Any]:
    who = f"u-{message_id()}"
    return {"type": "identify", "messageId": message_id(), "userId": who, "traits": {"email": f"{who}@example.com"}}


def post(gateway: Stack, events: list[dict[str, Any]]) -> None:
    assert gateway.post("/v1/batch", {"batch": events}).status_code == 200


def scaling(gateway: Stack, port: int | None = None) -> dict[str, Any]:
    page: dict[str, Any] = HTTP.get(f"http://127.0.0.1:{port or gateway.admin_port}/scaling").json()
    return page


def of_lane(gateway: Stack, endpoint: str) -> dict[str, Any]:
    lane: dict[str, Any]
    (lane,) = [lane for lane in scaling(gateway)["lanes"] if lane["endpoint"] == endpoint]
    return lane


def test_the_work_grows_with_the_backlog_but_not_for_a_lane_that_is_at_its_limit(gateway: Stack) -> None:
    gateway.stop("worker")
    assert scaling(gateway)["sendable_work_seconds"] == 0
    post(gateway, [track() for _ in range(200)])
    assert scaling(gateway)["sendable_work_seconds"] == 0.1
    post(gateway, [track() for _ in range(400)])
    assert scaling(gateway)["sendable_work_seconds"] == 0.3

    post(gateway, [identify() for _ in range(150)])  # each is an identity link, 9.5 of which may be sent in a second
    links = of_lane(gateway, "identity")
    assert (links["due"], links["calls_per_second"], links["sendable_work_seconds"]) == (150, 9.5, 0.048)
    post(gateway, [identify() for _ in range(150)])
    assert of_lane(gateway, "identity") == links | {"due": 300}

    figure = f'gateway_sendable_work_seconds{{destination="{DESTINATION}"}}'
    assert gateway.metrics()[figure] == pytest.approx(scaling(gateway)["sendable_work_seconds"], abs=0.001)
    gateway.start("worker")
    wait_until(lambda: not any(lane["endpoint"] == "custom-event" for lane in scaling(gateway)["lanes"]), "it is sent")
    assert scaling(gateway, gateway.worker_port)["sendable_work_seconds"] <= 0.1, "links alone are left"


def test_a_hold_is_seen_and_what_it_holds_grows_old_and_is_no_work(gateway: Stack) -> None:
    gateway.fault(kind="status", status=401)
    post(gateway, [track()])
    wait_until(lambda: gateway.metrics()[f"gateway_held{{{WHOLE}}}"] == 1, "the destination is held")
    wait_until(lambda: gateway.metrics()[f"gateway_oldest_waiting_seconds{{{CUSTOM}}}"] > 1, "it grows old")
    page = gateway.metrics()
    assert page[f"gateway_lane_rate{{{CUSTOM}}}"] == 0
    assert page[f'gateway_sendable_work_seconds{{destination="{DESTINATION}"}}'] == 0
    assert page[f"gateway_held{{{CUSTOM}}}"] == 0, "the whole is held, not this endpoint"
    gateway.heal()
    wait_until(lambda: gateway.metrics()[f"gateway_oldest_waiting_seconds{{{CUSTOM}}}"] == 0, "its token works again")
    assert gateway.metrics()[f"gateway_held{{{WHOLE}}}"] == 0


def test_dead_letters_and_redis_are_seen_too(gateway: Stack) -> None:
    dead_letters = f'gateway_dead_letters{{destination="{DESTINATION}"}}'
    before = gateway.metrics()[dead_letters]
    post(gateway, [{**track(), "timestamp": "2020-01-01T00:00:00Z"}])
    page = gateway.metrics()
    assert page[dead_letters] == before + 1
    assert page["gateway_redis_memory_used_bytes"] > 0
    assert page["gateway_redis_memory_max_bytes"] == 0
    assert page["gateway_redis_up"] == 1

    gateway.kill("redis")
    wait_until(lambda: gateway.metrics()["gateway_redis_up"] == 0, "Redis is away")
    for port in (gateway.admin_port, gateway.worker_port):
        answer = HTTP.get(f"http://127.0.0.1:{port}/scaling")
        assert (answer.status_code, answer.json()["reason"]) == (503, "redis_unreachable")
        assert dead_letters not in gateway.metrics(port), "what is not known is not said"
