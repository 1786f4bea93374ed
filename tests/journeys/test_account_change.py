"""A token of another Attentive company is put into a destination while calls wait: they must not reach that company."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from app.embedded import RedisBinary
from app.sandbox import SandboxConfig
from app.sandbox.keys import DEFAULT_KEY, ApiKey
from tests.stack import DESTINATION, WRITE_KEY, Stack, message_id, stack, wait_until

CUSTOM: Final = "/v1/events/custom"
OTHER: Final = ApiKey(token="other-token", name="other", company="Other Shop", company_id="other-id")
ROTATED: Final = ApiKey(token="rotated-token", name="rotated", app="Second app")


@pytest.fixture
def running(redis_binary: RedisBinary, tmp_path: Path) -> Iterator[Stack]:
    with stack(tmp_path, redis_binary, sandbox=SandboxConfig(keys=(DEFAULT_KEY, OTHER, ROTATED))) as started:
        started.fault(kind="status", status=503, path=CUSTOM)
        yield started


def send(running: Stack, name: str = "Signed Up") -> str:
    event = {"event": name, "userId": "u-1", "messageId": message_id(), "context": {"traits": {"email": "a@b.co"}}}
    assert running.post("/v1/track", event).status_code == 200
    return str(event["messageId"])


def use_token(running: Stack, token: str) -> None:
    account = {"api_token": token, "base_url": running.sandbox.url}
    source = {"write_key": WRITE_KEY, "destination": DESTINATION}
    running.configure({"destinations": {DESTINATION: account}, "sources": {"shop": source}})


def is_held(running: Stack) -> bool:
    return "account changed" in running.run("destinations", "list").stdout


def received_by(running: Stack, message: str) -> list[str]:
    return [call["key"] for call in running.ledger(message_id=message)]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("keep", [pytest.param(True, id="kept"), pytest.param(False, id="discarded")])
def test_what_waits_for_one_account_reaches_another_only_when_an_operator_keeps_it(running: Stack, keep: bool) -> None:
    old = send(running)
    wait_until(lambda: running.struck() > 0, "it was tried")
    use_token(running, OTHER.token)
    wait_until(lambda: is_held(running), "the destination is held")
    running.heal()
    new = send(running)
    refused = running.run("destinations", "resume", DESTINATION)
    assert (refused.returncode, "destinations keep acme" in refused.stderr) == (2, True), refused
    listed = running.run("destinations", "list").stdout
    assert "sandbox-company" in listed
    assert "Other Shop" in listed
    assert (received_by(running, old), received_by(running, new)) == ([], [])

    decided = running.run("destinations", "keep" if keep else "discard", DESTINATION, "--yes")
    assert (decided.returncode, "now sends to Other Shop" in decided.stdout) == (0, True), decided
    wait_until(lambda: received_by(running, new) == ["other"], "what came in since is sent to the new account")
    wait_until(lambda: running.waiting() == 0, "nothing waits")
    assert received_by(running, old) == (["other"] if keep else [])
    assert running.ended("dropped", "account_changed") == (0 if keep else 1)
    again = running.run("destinations", "keep", DESTINATION, "--yes")
    assert (again.returncode, "has not changed" in again.stderr) == (2, True)


@pytest.mark.timeout(120)
def test_another_token_of_the_same_company_is_used_and_another_app_is_pointed_out(running: Stack) -> None:
    message = send(running)
    wait_until(lambda: running.struck() > 0, "it was tried")
    use_token(running, ROTATED.token)
    wait_until(lambda: "config.reloaded" in running.log("worker"), "the worker has the new token")
    running.heal()
    wait_until(lambda: received_by(running, message) == ["rotated"], "it is sent with the new token")
    assert not is_held(running)
    wait_until(lambda: "destination.app_changed" in running.log("worker"), "the other app is noticed")
    shown = running.run("destinations", "show", DESTINATION).stdout
    assert "the token belongs to the app 'Second app'" in shown
    kept = running.run("destinations", "keep", DESTINATION, "--yes")
    assert (kept.returncode, "with the app Second app" in kept.stdout) == (0, True), kept


@pytest.mark.timeout(120)
def test_a_worker_that_was_down_during_the_change_sends_nothing_either(running: Stack) -> None:
    message = send(running)
    wait_until(lambda: running.struck() > 0, "it was tried")
    running.stop("worker")
    use_token(running, OTHER.token)
    running.heal()
    running.start("worker")
    wait_until(lambda: is_held(running), "the destination is held")
    assert received_by(running, message) == []
    use_token(running, DEFAULT_KEY.token)
    wait_until(lambda: received_by(running, message) == ["sandbox"], "with the first token again, it is sent")
