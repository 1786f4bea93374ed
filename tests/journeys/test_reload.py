"""The configuration changes while everything runs: two gateway processes, and a worker."""

import hashlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from app.embedded import RedisBinary
from tests.local import HTTP
from tests.stack import DESTINATION, WRITE_KEY, Stack, message_id, stack, wait_until
from tests.waiting import patient

GATEWAYS: Final = 2
BETA_KEY: Final = "beta-key"


@pytest.fixture
def running(redis_binary: RedisBinary, tmp_path: Path) -> Iterator[Stack]:
    with stack(tmp_path, redis_binary, gateways=GATEWAYS) as started:
        # One is enough to be ready. A change that comes before the other has started would be no change to it.
        wait_until(lambda: len(lines(started, "gateway", "gateway.started")) == GATEWAYS, "both gateways have started")
        yield started


def lines(running: Stack, process: str, event: str) -> list[dict[str, Any]]:
    """What a process (or the two gateways together) has said under this name."""
    whole = running.log(process).rpartition("\n")[0]  # the last line may not be written to its end
    told = (json.loads(line) for line in whole.splitlines() if line.startswith("{"))
    return [line for line in told if line["event"] == event]


def told(running: Stack, event: str, times: int = 1) -> bool:
    """Whether all processes have said this so often."""
    gateways, workers = lines(running, "gateway", event), lines(running, "worker", event)
    return len(gateways) >= GATEWAYS * times and len(workers) >= times


def hang_up(running: Stack) -> None:
    """Have all processes read the configuration, and wait until they have.

    They may read it once more because its file has changed.
    """

    def heard(name: str) -> int:
        return sum(line["why"] == "SIGHUP" for line in lines(running, name, "config.reloaded"))

    expected = {name: heard(name) + number for name, number in (("gateway", GATEWAYS), ("worker", 1))}
    for name in expected:
        running.processes[name].send_signal(signal.SIGHUP)
    wait_until(lambda: all(heard(name) == number for name, number in expected.items()), "all have heard the signal")


def post(running: Stack, name: str, key: str = WRITE_KEY) -> str:
    """One event over a connection of its own, so that either process may get it: its message id."""
    event = {"event": name, "userId": "u-1", "messageId": message_id(), "context": {"traits": {"email": "a@b.co"}}}
    url = f"http://127.0.0.1:{running.gateway_port}/v1/track"
    answer = HTTP.post(url, json=event, auth=(key, ""), timeout=patient(10))
    return str(event["messageId"]) if answer.status_code == 200 else str(answer.status_code)


def types(running: Stack, message: str) -> list[str]:
    return [call["body"]["type"] for call in running.ledger(message_id=message)]


@pytest.mark.timeout(180)
def test_a_change_is_used_by_every_process_and_a_mistake_by_none(running: Stack) -> None:
    account: dict[str, Any] = {"api_token": "sandbox-token", "base_url": running.sandbox.url}
    token = running.folder / "token"
    token.write_text("revoked-token")
    quiz = {"mapping": {"events": {"Quiz Finished": {"type": {"constant": "Quiz"}}}}}
    web = {"write_key": WRITE_KEY, "destination": DESTINATION}
    both = {
        "destinations": {
            DESTINATION: account | quiz,
            "beta": {"api_token_file": str(token), "base_url": running.sandbox.url},
        },
        "sources": {"web": web, "app": {"write_key": BETA_KEY, "destination": "beta"}},
    }
    before = post(running, "Quiz Finished")
    assert post(running, "x", BETA_KEY) == "401"
    processes = {child.pid for child in psutil.Process(running.processes["gateway"].pid).children()}

    running.configure(both)
    wait_until(lambda: told(running, "config.reloaded"), "all have read the new file")
    after = post(running, "Quiz Finished")
    wait_until(lambda: types(running, before) == ["Quiz Finished"], "what came before is mapped as before")
    wait_until(lambda: types(running, after) == ["Quiz"], "what came after is mapped as the new file says")

    held = [post(running, "Held", BETA_KEY) for _ in range(3)]
    assert "401" not in held
    token.write_text("sandbox-token")
    wait_until(lambda: told(running, "config.reloaded", 2), "all have read the new secret")
    assert [types(running, wait_for(running, message)) for message in held] == [["Held"]] * 3

    running.configure(running.config.read_text() + "sauces: {}\n")
    wait_until(lambda: told(running, "config.reload_failed"), "all have found the mistake")
    mistake = lines(running, "gateway", "config.reload_failed")[0]["mistake"]
    assert f"{running.config}, line" in mistake
    assert "sauces: is unknown here; did you mean sources?" in mistake
    assert types(running, wait_for(running, post(running, "Quiz Finished"))) == ["Quiz"]
    for port in (running.admin_port, running.worker_port):
        assert running.metrics(port)["gateway_config_last_reload_successful"] == 0
    listed = running.run("destinations", "list")
    assert listed.returncode == 0, "commands go on with what the gateway runs"
    assert "beta" in listed.stdout
    assert "sauces: is unknown here" in listed.stderr

    running.configure(both)
    hang_up(running)
    digest = hashlib.sha256(running.config.read_bytes()).hexdigest()
    for port in (running.admin_port, running.worker_port):
        metrics = running.metrics(port)
        assert metrics[f'gateway_config_info{{sha256="{digest}"}}'] == 1
        assert metrics["gateway_config_last_reload_successful"] == 1

    token.write_text("revoked-token")
    hang_up(running)
    kept = post(running, "Kept", BETA_KEY)
    running.configure({"destinations": {DESTINATION: account}, "sources": {"web": web}})
    hang_up(running)
    wait_until(lambda: told(running, "config.destination_removed"), "all say what waits for beta")
    assert post(running, "x", BETA_KEY) == "401"
    assert lines(running, "worker", "config.destination_removed")[0]["calls_waiting"] == 1
    token.write_text("sandbox-token")
    running.configure(both)
    hang_up(running)
    assert types(running, wait_for(running, kept)) == ["Kept"]

    assert {child.pid for child in psutil.Process(running.processes["gateway"].pid).children()} == processes
    for name in ("gateway", "worker"):
        running.stop(name)


def wait_for(running: Stack, message: str) -> str:
    """The same message id, once its event has arrived."""
    wait_until(lambda: bool(running.ledger(message_id=message)), "it arrives")
    return message
