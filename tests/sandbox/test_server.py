"""The sandbox behind a real socket: connections that are really cut, and the command line."""

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from app.sandbox import RunningSandbox, running_sandbox
from app.sandbox.__main__ import main
from tests.local import HTTP, local_client
from tests.ports import free_port
from tests.sandbox.calls import CUSTOM, body_for
from tests.waiting import hear_interrupts, patient, wait_until

HEADERS = {"authorization": "Bearer sandbox-token"}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def client(server: RunningSandbox) -> Iterator[httpx.Client]:
    with local_client(base_url=server.url, headers=HEADERS, timeout=patient(10)) as client:
        client.post("/_sandbox/reset").raise_for_status()
        yield client


def kept(client: httpx.Client) -> int:
    total: int = client.get("/_sandbox/ledger").json()["total"]
    return total


@pytest.mark.parametrize(
    ("rule", "error", "processed"),
    [
        pytest.param({"kind": "reset"}, httpx.ReadError, 0, id="a reset before processing"),
        pytest.param({"kind": "reset", "when": "after"}, httpx.ReadError, 1, id="a reset after processing"),
        pytest.param({"kind": "cut"}, httpx.RemoteProtocolError, 1, id="a 200 whose connection is cut"),
        pytest.param({"kind": "truncated_body"}, httpx.RemoteProtocolError, 1, id="a truncated body"),
    ],
)
def test_the_connection_is_really_cut(
    client: httpx.Client, rule: dict[str, str], error: type[Exception], processed: int
) -> None:
    client.post("/_sandbox/faults", json=rule | {"count": 1})
    with pytest.raises(error):
        client.post(CUSTOM, json=body_for(CUSTOM))
    assert kept(client) == processed
    assert client.get("/_sandbox/summary").json()["calls"] == {CUSTOM: {"unanswered": 1}}
    assert client.post(CUSTOM, json=body_for(CUSTOM)).status_code == 200


def test_a_cut_answer_had_begun_with_200(client: httpx.Client) -> None:
    client.post("/_sandbox/faults", json={"kind": "cut"})
    with client.stream("POST", CUSTOM, json=body_for(CUSTOM)) as reply:
        assert reply.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            reply.read()


def test_a_client_gives_up_on_a_hanging_call(client: httpx.Client) -> None:
    client.post("/_sandbox/faults", json={"kind": "hang", "when": "after", "count": 1})
    with pytest.raises(httpx.ReadTimeout):
        client.post(CUSTOM, json=body_for(CUSTOM), timeout=0.2)
    wait_until(lambda: kept(client) == 1, "the call is processed")


def test_a_stopping_server_hangs_up_on_hanging_calls() -> None:
    failures: list[Exception] = []

    def call(url: str) -> None:
        try:
            HTTP.post(url + CUSTOM, json=body_for(CUSTOM), headers=HEADERS, timeout=patient(30))
        except httpx.TransportError as error:
            failures.append(error)

    with running_sandbox() as running:
        HTTP.post(f"{running.url}/_sandbox/faults", json={"kind": "hang"})
        caller = threading.Thread(target=call, args=(running.url,))
        caller.start()
        while not HTTP.get(f"{running.url}/_sandbox/faults").json()["faults"][0]["struck"]:
            pass
    caller.join(patient(10))
    assert len(failures) == 1


def test_a_sandbox_that_went_away_comes_back_with_all_it_knew() -> None:
    port = free_port()
    with running_sandbox(port=port) as first:
        assert HTTP.post(first.url + CUSTOM, json=body_for(CUSTOM), headers=HEADERS).status_code == 200
    with pytest.raises(httpx.ConnectError):
        HTTP.get(first.url)
    with running_sandbox(port=port, sandbox=first.sandbox) as second:
        assert HTTP.get(f"{second.url}/_sandbox/ledger").json()["total"] == 1
        HTTP.post(f"{second.url}/_sandbox/faults", json={"kind": "hang"})
        with pytest.raises(httpx.ReadTimeout):
            HTTP.get(f"{second.url}/v1/me", timeout=0.2)


@contextmanager
def sandbox_process(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "app.sandbox", "--port", "0", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hear_interrupts
    ) as process:
        assert process.stdout is not None
        url = next(word for word in process.stdout.readline().split() if word.startswith("http")).rstrip(",")
        try:
            yield process, url
        finally:
            process.kill()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_and_stops_cleanly(stop: signal.Signals) -> None:
    arguments = ("--token", "other", "--unlimited", "--summary-only", "--latency-ms", "1:2")
    with sandbox_process(*arguments) as (process, url):
        config = HTTP.get(f"{url}/_sandbox/config").json()
        assert (config["limits_enabled"], config["summary_only"]) == (False, True)
        assert config["latency"] == {"*": {"kind": "uniform", "min_ms": 1.0, "max_ms": 2.0}}
        assert HTTP.get(f"{url}/v1/me", headers={"authorization": "Bearer other"}).status_code == 200
        process.send_signal(stop)
        assert process.wait(patient(10)) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_port_in_use_is_one_readable_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--port", str(port)]) == 1
    problem = capsys.readouterr().err
    assert problem == f"attentive sandbox: port {port} on 127.0.0.1 is in use; choose another with --port\n"


def test_a_latency_that_makes_no_sense_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--latency-ms", "fast"])
    assert "'fast' is not MIN:MAX in milliseconds" in capsys.readouterr().err
