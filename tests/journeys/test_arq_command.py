"""A worker that is started by arq's own command, as those do who have arq workers already."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import redis

from app.embedded import RedisBinary
from app.subprocesses import start_child, stop_child
from tests.local import HTTP
from tests.stack import Stack, message_id, stack, wait_until

ARQ: Final = [str(Path(sys.executable).parent / "arq"), "workers.worker.WorkerSettings"]


def test_it_delivers_logs_no_line_for_each_look_and_stops_on_sigterm(redis_binary: RedisBinary, tmp_path: Path) -> None:
    with stack(tmp_path, redis_binary) as running:
        running.stop("worker")
        log = tmp_path / "arq.log"
        worker = start_child(ARQ, log=log, environment=running.environment)
        status = None
        try:
            deliver_one(running)
            deliver_one(running)  # the first look of its cron jobs is over
            ready = HTTP.get(f"http://127.0.0.1:{running.worker_port}/readyz")
            metrics = HTTP.get(f"http://127.0.0.1:{running.worker_port}/metrics").text
        finally:
            status = stop_child(worker)
        said = log.read_text()
        assert (status, "Traceback" in said) == (0, False), said
        assert (ready.status_code, "gateway_attempts_total{" in metrics) == (200, True)
        assert events(said) >= {"worker.started", "destination.token_works", "redis.no_maxmemory", "worker.stopped"}
        assert [line for line in said.splitlines() if "sweep()" in line or "drain(" in line] == []


def test_it_does_not_start_on_a_redis_that_may_lose_events_where_that_is_forbidden(
    redis_binary: RedisBinary, tmp_path: Path
) -> None:
    with stack(tmp_path, redis_binary) as running:
        running.stop("worker")
        with redis.Redis(port=running.redis_port) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
        log = tmp_path / "arq.log"
        worker = start_child(ARQ, log=log, environment={**running.environment, "GATEWAY_REQUIRE_DURABLE_REDIS": "1"})
        try:
            wait_until(lambda: worker.poll() is not None, "it ends by itself")
        finally:
            stop_child(worker)
        assert (worker.returncode, events(log.read_text()) & {"worker.not_started"}) == (2, {"worker.not_started"})


def test_a_bad_setting_is_one_line(tmp_path: Path) -> None:
    bad = {"GATEWAY_CONFIG": str(tmp_path / "missing.yaml"), "PATH": ""}
    run = subprocess.run(ARQ, env=bad, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert (run.returncode, "Traceback" in run.stderr, "missing.yaml" in run.stderr) == (1, False, True)


def events(log: str) -> set[str]:
    """The names of what was logged."""
    return {json.loads(line)["event"] for line in log.splitlines() if line.startswith("{")}


def deliver_one(running: Stack) -> None:
    """Post an event and wait until Attentive has it."""
    message = message_id()
    assert running.post("/v1/track", {"event": "Signed Up", "userId": "u-1", "messageId": message}).status_code == 200
    wait_until(lambda: bool(running.ledger(message_id=message)), "it arrives")
    wait_until(lambda: running.waiting() == 0, "it is settled")
