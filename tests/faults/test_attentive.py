"""Attentive strict, silent or refusing: the gateway keeps limits, stops hammering, and comes back by itself."""

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import redis

from app.delivery.lane import Lane
from app.embedded import RedisBinary
from app.sandbox import SandboxConfig, running_sandbox
from app.sandbox.keys import DEFAULT_KEY
from tests.local import local_client
from tests.ports import free_port
from tests.stack import DESTINATION, WRITE_KEY, Stack, message_id, stack, wait_until
from tests.waiting import patient

PATH = "/v1/events/custom"


@pytest.fixture
def gateway(tmp_path: Path, redis_binary: RedisBinary, request: pytest.FixtureRequest) -> Iterator[Stack]:
    config = SandboxConfig.model_validate(getattr(request, "param", {}))
    with stack(tmp_path, redis_binary, sandbox=config) as running:
        yield running


def send(gateway: Stack, number: int) -> list[str]:
    """Post that many events; their message ids."""
    batch: list[dict[str, Any]] = [
        {"type": "track", "event": "Signed Up", "userId": "u-1", "messageId": message_id()} for _ in range(number)
    ]
    assert gateway.post("/v1/batch", {"batch": batch}).status_code == 200
    return [event["messageId"] for event in batch]


def all_arrive_once(gateway: Stack, ids: list[str], within_s: float = 40) -> None:
    wait_until(lambda: gateway.waiting() == 0, "nothing waits", within_s)
    assert Counter(call["body"]["externalEventId"] for call in gateway.ledger(path=PATH)) == Counter(ids)


@pytest.mark.parametrize("gateway", [{"limits": {PATH: 40}}], indirect=True, ids=["a quarter of the documented limit"])
def test_a_lower_limit_is_learned_from_the_headers(gateway: Stack) -> None:
    ids = send(gateway, 200)
    all_arrive_once(gateway, ids)
    refused = gateway.summary()["rate_limited"]
    late = 40 * gateway.standstill.worst_s
    assert refused <= 30 + late, "only what was under way before the first answer may be refused"


@pytest.mark.parametrize(
    "gateway", [{"limits": {PATH: 20}, "rate_headers": False}], indirect=True, ids=["no header tells the limit"]
)
def test_a_limit_that_no_header_tells_is_found_by_halving(gateway: Stack) -> None:
    ids = send(gateway, 150)
    all_arrive_once(gateway, ids)
    refused, late = gateway.summary()["rate_limited"], 150 * gateway.standstill.worst_s
    assert refused < 150 + late, "most calls are accepted at once: without halving, 500 would be refused"


class OtherProgram(threading.Thread):
    """Posts with the same token, so many a second, and knows no limit."""

    def __init__(self, url: str, per_second: float) -> None:
        super().__init__(daemon=True)
        self._url, self._per_second = url + PATH, per_second
        self.stop = threading.Event()
        self.refused = 0

    def run(self) -> None:
        body = {"type": "Foreign", "user": {"email": "jo@example.com"}}
        due = time.monotonic()
        with local_client(headers={"Authorization": f"Bearer {DEFAULT_KEY.token}"}, timeout=patient(10)) as client:
            while not self.stop.wait(max(0.0, due - time.monotonic())):
                self.refused += client.post(self._url, json=body).status_code == 429
                due = max(due + 1 / self._per_second, time.monotonic() - 0.2)  # it makes up for short delays


def test_what_another_program_uses_of_the_limit_is_left_to_it(tmp_path: Path, redis_binary: RedisBinary) -> None:
    sandbox = SandboxConfig.model_validate({"limits": {PATH: 60}})
    with stack(tmp_path, redis_binary, sandbox=sandbox, limits={"custom-event": 60}) as gateway:
        other = OtherProgram(gateway.sandbox.url, per_second=25)
        other.start()
        ids = send(gateway, 250)
        lane = Lane(DESTINATION, "custom-event").keys
        with redis.Redis(port=gateway.redis_port) as client:

            def is_seen() -> bool:
                if sum(map(client.xlen, lane.streams)) < 60:  # an idle lane sees no other program
                    ids.extend(send(gateway, 60))
                return float(client.hget(lane.pace, "others") or 0) > 10

            wait_until(is_seen, "the other one is seen", 30)
        wait_until(lambda: gateway.waiting() == 0, "nothing waits", 50)
        other.stop.set()
        other.join()
        refused = gateway.summary()["rate_limited"] - other.refused
        arrived = Counter(call["body"].get("externalEventId") for call in gateway.ledger(path=PATH))
    assert all(arrived[one] == 1 for one in ids)
    assert refused <= 30 + 60 * gateway.standstill.worst_s, "what is sent before the other one is seen"


def test_a_ceiling_over_all_endpoints_is_kept_and_shared(tmp_path: Path, redis_binary: RedisBinary) -> None:
    ceiling = {"delivery": {"calls_per_second": 40}}
    with stack(tmp_path, redis_binary, destination=ceiling) as gateway:
        person = {"userId": "u-1", "context": {"traits": {"email": "jo@example.com"}}}
        names = [("Product Viewed", {"product_id": "p", "price": 1}), ("Signed Up", {})] * 60
        batch = [
            {"type": "track", "event": name, "properties": properties, "messageId": message_id(), **person}
            for name, properties in names
        ]
        assert gateway.post("/v1/batch", {"batch": batch}).status_code == 200
        wait_until(lambda: len(gateway.ledger()) == len(batch), "all arrive", 40)
        calls = gateway.ledger()
    first, last = (datetime.fromisoformat(calls[place]["received_at"]) for place in (0, -1))
    assert (last - first).total_seconds() >= (len(batch) - 3) / 38, "95 % of the ceiling, and two saved up"
    halfway = Counter(call["path"] for call in calls[: len(calls) // 2])
    assert min(halfway.values()) >= 20, halfway


def test_a_silent_attentive_is_not_hammered_and_everything_arrives_later(gateway: Stack) -> None:
    gateway.fault(kind="reset", path=PATH)
    ids = send(gateway, 300)
    wait_until(lambda: "Attentive does not answer" in gateway.run("destinations", "list").stdout, "the lane stops")
    asked = gateway.summary()["calls"][PATH]["unanswered"]
    assert asked < 150, "a run of failures stops the lane long before all 300 are tried"
    gateway.heal()
    all_arrive_once(gateway, ids, 60)


@contextmanager
def black_hole() -> Iterator[str]:
    """An Attentive that takes connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1000)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def nobody() -> Iterator[str]:
    """An Attentive that is not there."""
    yield f"http://127.0.0.1:{free_port()}"


@pytest.mark.parametrize("elsewhere", [black_hole, nobody], ids=["hangs", "refuses connections"])
def test_one_account_whose_attentive_is_down_slows_no_other(
    tmp_path: Path, redis_binary: RedisBinary, elsewhere: Callable[[], AbstractContextManager[str]]
) -> None:
    with elsewhere() as url, running_sandbox(SandboxConfig(limits_enabled=False)) as sandbox, ExitStack() as cleanup:
        gateway = Stack(tmp_path, redis_binary, sandbox)
        cleanup.push(gateway)
        account = {"api_token": "sandbox-token", "limits": {"custom-event": 100}}
        accounts = {DESTINATION: account | {"base_url": gateway.sandbox.url}, "down": account | {"base_url": url}}
        keys = {DESTINATION: WRITE_KEY, "down": "key-of-the-other"}
        sources = {name: {"write_key": key, "destination": name} for name, key in keys.items()}
        gateway.configure({"destinations": accounts, "sources": sources})
        gateway.start("redis")
        gateway.start("gateway", "worker")
        more = [{"type": "track", "event": "Signed Up", "userId": "u-1", "messageId": message_id()} for _ in range(400)]
        answer = gateway.http.post("/v1/batch", json={"batch": more}, auth=("key-of-the-other", ""))
        assert answer.status_code == 200
        ids = send(gateway, 300)
        all_arrive_once(gateway, ids)  # waiting for the other, it would never end: that one answers none of its calls
        assert gateway.metrics()['gateway_events_waiting{destination="down"}'] == 400, (
            "the other account's events wait all the while"
        )


def test_a_token_that_works_again_ends_the_hold_by_itself(gateway: Stack) -> None:
    sandbox = gateway.sandbox.url
    assert gateway.http.patch(f"{sandbox}/_sandbox/keys/sandbox", json={"revoked": True}).status_code == 200
    ids = send(gateway, 5)
    wait_until(lambda: "401: Attentive refuses" in gateway.run("destinations", "list").stdout, "it is held")
    tested = gateway.run("destinations", "test")
    assert (tested.returncode, "does not work" in tested.stdout) == (1, True)
    assert gateway.http.patch(f"{sandbox}/_sandbox/keys/sandbox", json={"revoked": False}).status_code == 200
    all_arrive_once(gateway, ids)
    assert gateway.run("destinations", "test").returncode == 0


def test_a_missing_scope_holds_only_its_endpoint_until_an_operator_resumes(gateway: Stack) -> None:
    gateway.fault(kind="status", status=403, path=PATH, count=1)
    ids = send(gateway, 1)
    wait_until(lambda: "403: the API token lacks" in gateway.run("destinations", "list").stdout, "it is held")
    page = {"type": "identify", "userId": "u-9", "traits": {"email": "jo@example.com"}, "messageId": message_id()}
    assert gateway.post("/v1/identify", page).status_code == 200
    wait_until(lambda: len(gateway.ledger(contains="jo@example.com")) == 1, "other endpoints go on")
    resumed = gateway.run("destinations", "resume", "acme")
    assert resumed.stdout.strip() == "1 hold ended."
    all_arrive_once(gateway, ids)


def test_a_token_that_is_refused_when_a_worker_starts_is_told_and_stops_nothing(gateway: Stack) -> None:
    key = f"{gateway.sandbox.url}/_sandbox/keys/sandbox"
    gateway.stop("worker")
    assert gateway.http.patch(key, json={"revoked": True}).status_code == 200
    gateway.start("worker")
    wait_until(lambda: "destination.token_refused" in gateway.log("worker"), "it is told")
    assert gateway.http.patch(key, json={"revoked": False}).status_code == 200
    all_arrive_once(gateway, send(gateway, 3))


def test_a_scope_that_is_needed_and_missing_fails_the_test_of_the_token(gateway: Stack) -> None:
    key = f"{gateway.sandbox.url}/_sandbox/keys/sandbox"
    scopes = gateway.http.patch(key, json={}).json()["scopes"]
    try:
        for lost, status in (("identity:write", 1), ("privacy_requests:write", 0)):
            gateway.http.patch(key, json={"scopes": [scope for scope in scopes if scope != lost]})
            tested = gateway.run("destinations", "test", "--json")
            found = {each["scope"]: each for each in json.loads(tested.stdout)["scopes"]}
            assert (tested.returncode, found[lost]["found"]) == (status, "missing")
            assert {scope for scope, each in found.items() if each["found"] != "yes"} == {lost}
        assert found["identity:write"]["needed_for"] == ["identity"]
        assert found["privacy_requests:write"]["needed_for"] == []
    finally:
        gateway.http.patch(key, json={"scopes": scopes})
