"""A source too fast, a backlog too long, a Redis too full: trackers are put off for a while, and come back."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
import redis

from app.embedded import RedisBinary
from tests.stack import DESTINATION, SOURCE, Stack, message_id, stack, wait_until

CEILING: Final = 25
SOURCES: Final = {
    "slow": {"write_key": "slow-key", "events_per_second": 0.5},
    "app": {"write_keys": [{"key": "new-app-key"}, {"key": "old-app-key", "retiring": True}]},
}
PERSON: Final = {"traits": {"email": "ada@example.com"}}
BALLAST: Final = 20_000_000  # bytes, next to which what the processes themselves need is little


def event(**fields: Any) -> dict[str, Any]:
    return {"type": "track", "event": "Signed Up", "messageId": message_id(), "context": PERSON, **fields}


@pytest.fixture(scope="module")
def running(redis_binary: RedisBinary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A gateway with a low ceiling, a slow source, and a source whose key is being replaced."""
    low = {"GATEWAY_MAX_BACKLOG_EVENTS": str(CEILING)}
    with stack(tmp_path_factory.mktemp("pressure"), redis_binary, environment=low, sources=SOURCES) as started:
        yield started


@pytest.fixture
def gateway(running: Stack) -> Iterator[Stack]:
    yield running
    running.heal()


def post(gateway: Stack, *events: dict[str, Any], key: str) -> httpx.Response:
    return gateway.http.post("/v1/batch", json={"batch": events}, auth=(key, ""))


def arrived(gateway: Stack, event: dict[str, Any]) -> int:
    return len(gateway.ledger(message_id=event["messageId"]))


def assert_put_off(answer: httpx.Response, status: int, code: str) -> int:
    """In the form that trackers survive, for a whole number of seconds: that many."""
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert {"message", "error"} <= set(answer.json())
    assert answer.headers["retry-after"].isdecimal()
    assert int(answer.headers["retry-after"]) >= 1
    return int(answer.headers["retry-after"])


def test_a_source_that_is_too_fast_is_put_off_and_its_event_arrives_once_all_the_same(gateway: Stack) -> None:
    burst, late = [event(), event()], event()
    assert post(gateway, *burst, key="slow-key").status_code == 200
    while (refusal := post(gateway, late, key="slow-key")).status_code == 200:  # a slow machine is not too fast
        burst.append(late)
        late = event()
    wait_s = assert_put_off(refusal, 429, "rate_limited")
    assert wait_s <= 4
    assert gateway.post("/v1/track", event()).status_code == 200, "its neighbour is not put off"
    time.sleep(wait_s)
    assert post(gateway, late, key="slow-key").status_code == 200, "Retry-After is long enough"
    for one in (*burst, late):
        wait_until(lambda one=one: arrived(gateway, one) == 1, "it arrives")  # type: ignore[misc]
    assert gateway.metrics()['gateway_refused_total{code="rate_limited"}'] >= 1


@pytest.mark.timeout(180)
def test_a_backlog_that_is_too_long_puts_trackers_off_until_it_is_shorter(gateway: Stack) -> None:
    gateway.fault(kind="status", status=503, path="/v1/events/custom")
    taken = [event() for _ in range(CEILING + 5)]
    assert gateway.post("/v1/batch", {"batch": taken}).status_code == 200
    refused: list[httpx.Response] = []

    def put_off() -> bool:
        one = event()
        answer = gateway.post("/v1/track", one)
        if answer.status_code == 200:
            taken.append(one)
        else:
            refused.append(answer)
        return answer.status_code != 200

    wait_until(put_off, "the ceiling is seen")
    assert_put_off(refused[0], 429, "backlog_full")
    assert gateway.http.get("/readyz").status_code == 200, "a full backlog is no reason to take the gateway away"

    gateway.heal()
    wait_until(lambda: not put_off(), "the backlog is shorter", 90)
    wait_until(lambda: gateway.waiting() == 0, "nothing waits", 90)
    assert [arrived(gateway, one) for one in taken] == [1] * len(taken)
    # Once the whole is shorter, its source may still have more than its share.
    assert {answer.json()["code"] for answer in refused} <= {"backlog_full", "source_backlog_full"}


@contextlib.contextmanager
def nearly_full(gateway: Stack) -> Iterator[None]:
    """Redis with 94 % of its memory taken. It still takes writes."""
    with redis.Redis(port=gateway.redis_port) as client:
        client.setrange("ballast", BALLAST, b"x")
        client.config_set("maxmemory", int(client.info("memory")["used_memory"] / 0.94))
        try:
            yield
        finally:
            client.config_set("maxmemory", 0)
            client.delete("ballast")


def test_a_redis_that_is_nearly_full_puts_trackers_off_before_it_refuses_anything(gateway: Stack) -> None:
    before, late = gateway.metrics(), event()
    with nearly_full(gateway):
        wait_until(lambda: gateway.post("/v1/track", event()).status_code == 503, "the pressure is seen")
        answer = gateway.post("/v1/track", late)
        assert_put_off(answer, 503, "redis_full")
        assert "nearly" in answer.json()["message"]
        assert gateway.http.get("/readyz").status_code == 200, "Redis itself still takes writes"
    wait_until(lambda: gateway.post("/v1/track", late).status_code == 200, "the same is taken later")
    wait_until(lambda: arrived(gateway, late) == 1, "it arrives")
    assert "outbox.refused" not in gateway.log("gateway"), "no write has failed"
    unavailable = 'gateway_http_requests_total{path="/v1/track",status="503"}'
    assert gateway.metrics()[unavailable] - before.get(unavailable, 0) >= 2


def test_metrics_tell_who_still_uses_a_key_that_is_being_replaced(gateway: Stack) -> None:
    def accepted(source: str, key: int, retiring: str) -> float:
        name = f'gateway_events_accepted_total{{key="{key}",retiring="{retiring}",source="{source}"}}'
        return gateway.metrics().get(name, 0)

    both = [event(), event()]
    assert post(gateway, *both, key="new-app-key").status_code == 200
    assert (accepted("app", 1, "false"), accepted("app", 2, "true")) == (2, 0)
    one = event()
    assert post(gateway, one, key="old-app-key").status_code == 200
    assert (accepted("app", 1, "false"), accepted("app", 2, "true")) == (2, 1)

    usual = accepted(SOURCE, 1, "false")
    assert gateway.post("/v1/track", event()).status_code == 200
    assert accepted(SOURCE, 1, "false") == usual + 1
    page = str(gateway.metrics())
    assert [key for key in ("new-app-key", "old-app-key", "slow-key") if key in page] == []
    assert f'destination="{DESTINATION}"' in page


def test_keys_of_one_source_are_one_source_to_the_duplicate_filter(gateway: Stack) -> None:
    """A tracker may send the same again after its key was replaced."""
    same, before = event(), gateway.ended("dropped", "duplicate")
    assert post(gateway, same, key="old-app-key").status_code == 200
    assert post(gateway, same, key="new-app-key").status_code == 200
    wait_until(lambda: arrived(gateway, same) == 1, "it arrives")
    wait_until(lambda: gateway.ended("dropped", "duplicate") == before + 1, "its repeat is dropped")
