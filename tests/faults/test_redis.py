"""Redis away, full, forgetful or holding rubbish: nothing is lost, both processes carry on by themselves."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from app.embedded import RedisBinary
from app.sandbox import SandboxConfig
from app.subprocesses import start_child, stop_child
from tests.clusters import NO_REPLICAOF
from tests.ports import free_port
from tests.stack import DESTINATION, Stack, message_id, stack, wait_until
from tests.waiting import patient

LANE = f"{{{DESTINATION}}}:lane:custom-event"


@pytest.fixture(scope="module")
def gateway(redis_binary: RedisBinary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("redis-faults"), redis_binary, fsync="always") as running:
        yield running


@pytest.fixture
def client(gateway: Stack) -> Iterator[redis.Redis]:
    gateway.heal()
    with redis.Redis(port=gateway.redis_port) as connected:
        yield connected
    gateway.heal()


def track(**fields: Any) -> dict[str, Any]:
    return {"event": "Signed Up", "userId": "u-1", "messageId": message_id(), **fields}


def arrives(gateway: Stack, event: dict[str, Any], within_s: float = 20) -> None:
    wait_until(lambda: len(gateway.ledger(message_id=event["messageId"])) == 1, "the event arrives", within_s)


def test_trackers_get_503_while_redis_is_away_and_all_recovers_by_itself(gateway: Stack) -> None:
    gateway.kill("redis")
    answer = gateway.post("/v1/track", track())
    assert answer.status_code == 503
    assert answer.json()["code"] == "redis_unreachable"
    assert int(answer.headers["retry-after"]) >= 1
    for port in (gateway.admin_port, gateway.worker_port):
        ready = gateway.http.get(f"http://127.0.0.1:{port}/readyz")
        assert (ready.status_code, ready.json()["reason"]) == (503, "redis_unreachable")
        assert gateway.http.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    gateway.start("redis")
    event = track()
    wait_until(lambda: gateway.post("/v1/track", event).status_code == 200, "the gateway takes events again")
    arrives(gateway, event)
    assert gateway.processes["worker"].poll() is None


def test_a_hundred_trackers_at_once_all_hear_that_redis_is_away(gateway: Stack) -> None:
    """More than the outbox takes ahead: those who wait for room in it must not wait for a flush that never leaves."""
    gateway.kill("redis")
    try:
        with ThreadPoolExecutor(100) as trackers:
            answers = [trackers.submit(gateway.post, "/v1/track", track()) for _ in range(300)]
            assert {answer.result(timeout=patient(30)).status_code for answer in answers} == {503}
    finally:
        gateway.start("redis")
    wait_until(lambda: gateway.post("/v1/track", track()).status_code == 200, "the gateway takes events again")


def test_a_full_redis_is_a_503_with_nothing_half_written_and_workers_go_on(gateway: Stack, client: redis.Redis) -> None:
    gateway.fault(kind="status", status=503, path="/v1/events/custom")
    waiting = [track() for _ in range(5)]
    for event in waiting:
        assert gateway.post("/v1/track", event).status_code == 200
    received = client.hget(f"{{{DESTINATION}}}:counters", "received")
    client.config_set("maxmemory", 1)
    try:
        answer = gateway.post("/v1/batch", {"batch": [{"type": "track", **track()} for _ in range(10)]})
        assert (answer.status_code, answer.json()["code"]) == (503, "redis_full")
        ready = gateway.http.get(f"http://127.0.0.1:{gateway.admin_port}/readyz")
        assert ready.json()["reason"] == "redis_full"
        assert client.hget(f"{{{DESTINATION}}}:counters", "received") == received
        gateway.heal()
        for event in waiting:
            arrives(gateway, event, 40)
    finally:
        client.config_set("maxmemory", 0)
    event = track()
    wait_until(lambda: gateway.post("/v1/track", event).status_code == 200, "the gateway sees that there is room")
    arrives(gateway, event)


@NO_REPLICAOF
def test_a_redis_that_may_only_be_read_is_a_503_that_says_so(gateway: Stack, client: redis.Redis) -> None:
    """As the old primary after a failover."""
    client.replicaof("127.0.0.1", "1")
    try:
        for port in (gateway.admin_port, gateway.worker_port):
            ready = gateway.http.get(f"http://127.0.0.1:{port}/readyz")
            assert (ready.status_code, ready.json()["reason"]) == (503, "redis_read_only")
        answer = gateway.post("/v1/track", track())
        assert (answer.status_code, answer.json()["code"]) == (503, "redis_read_only")
    finally:
        client.replicaof("NO", "ONE")
    event = track()
    assert gateway.post("/v1/track", event).status_code == 200
    arrives(gateway, event, 40)
    assert [gateway.processes[name].poll() for name in ("gateway", "worker")] == [None, None]


@pytest.mark.parametrize(
    "forget",
    [
        pytest.param(lambda client: client.script_flush(), id="scripts"),
        pytest.param(lambda client: client.xgroup_destroy(f"{LANE}:normal", "workers"), id="a consumer group"),
        pytest.param(lambda client: client.flushall(), id="everything"),
    ],
)
def test_a_redis_that_forgot_is_set_up_again_on_the_fly(gateway: Stack, client: redis.Redis, forget: Any) -> None:
    before = track()
    assert gateway.post("/v1/track", before).status_code == 200
    arrives(gateway, before)
    forget(client)
    event = track()
    assert gateway.post("/v1/track", event).status_code == 200
    arrives(gateway, event)


def test_what_cannot_be_read_is_a_dead_letter_and_never_a_loop(gateway: Stack, client: redis.Redis) -> None:
    for garbage in (b"", b"\xff\x00", b"[]", b'{"v":99}', b'{"v":1}'):
        client.xadd(f"{LANE}:high", {"d": garbage})
    event = track()
    assert gateway.post("/v1/track", event).status_code == 200
    arrives(gateway, event)
    wait_until(lambda: gateway.ended("dead_lettered", "unreadable") >= 5, "the rubbish is buried")
    assert client.xlen(f"{LANE}:high") == 0


def test_a_worker_that_is_told_to_stop_finishes_and_doubles_nothing(tmp_path: Path, redis_binary: RedisBinary) -> None:
    slow = SandboxConfig.model_validate({"limits_enabled": False, "latency": {"*": {"kind": "fixed", "ms": 150}}})
    with stack(tmp_path, redis_binary, sandbox=slow, limits={"custom-event": 300}, fsync="always") as running:
        batch = [{"type": "track", **track()} for _ in range(600)]
        assert running.post("/v1/batch", {"batch": batch}).status_code == 200
        ledger = running.sandbox.sandbox.world.ledger
        for sent in (100, 250):
            wait_until(partial(lambda sent: len(ledger) >= sent, sent), "it is under way")
            running.stop("worker")
            running.start("worker")
        wait_until(lambda: running.waiting() == 0, "nothing waits", 30)
        arrived = Counter(call["body"]["externalEventId"] for call in running.ledger())
        assert arrived == Counter(event["messageId"] for event in batch)
        running.stop("gateway")


def test_another_worker_takes_over_the_lanes_of_one_that_was_killed(tmp_path: Path, redis_binary: RedisBinary) -> None:
    with stack(tmp_path, redis_binary, sandbox=SandboxConfig(limits_enabled=False), fsync="always") as running:
        batch = [{"type": "track", **track()} for _ in range(300)]
        running.post("/v1/batch", {"batch": batch})
        wait_until(lambda: len(running.sandbox.sandbox.world.ledger) >= 50, "it is under way")
        running.kill("worker")
        done = len(running.sandbox.sandbox.world.ledger)
        running.start("worker")
        wait_until(lambda: len(running.sandbox.sandbox.world.ledger) > done, "the lane runs again")
        wait_until(lambda: running.waiting() == 0, "nothing waits", 30)
        assert {call["body"]["externalEventId"] for call in running.ledger()} == {event["messageId"] for event in batch}


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_redis_that_may_lose_events_is_refused_when_the_settings_say_so(
    tmp_path: Path, redis_binary: RedisBinary, command: str
) -> None:
    port = free_port()
    server = start_child([str(redis_binary.path), "--port", str(port), "--save", "", "--dir", str(tmp_path)])
    environment = {
        "PATH": "/usr/bin:/bin",
        "GATEWAY_REDIS_URL": f"redis://127.0.0.1:{port}",
        "GATEWAY_WRITE_KEY": "k",
        "ATTENTIVE_API_TOKEN": "t",
        "GATEWAY_PORT": str(free_port()),
        "GATEWAY_WORKER_PORT": str(free_port()),
        "GATEWAY_REQUIRE_DURABLE_REDIS": "true",
    }
    try:
        with redis.Redis(port=port) as client:
            wait_until(lambda: _answers(client), "Redis is up")
        run = subprocess.run(
            [sys.executable, "-m", "app.cli", command],
            env=environment,
            capture_output=True,
            text=True,
            timeout=patient(40),
            cwd=Path(__file__).parent.parent.parent,
        )
    finally:
        stop_child(server)
    assert run.returncode != 0
    assert "append-only" in run.stderr
    assert "Traceback" not in run.stderr


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
