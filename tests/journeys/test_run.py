"""`attentive-gateway run`, as a newcomer meets it."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.commands.run import Ports
from app.sandbox import running_sandbox
from app.sandbox.keys import DEFAULT_KEY
from tests.forking import run_forked, start_forked
from tests.local import HTTP, local_client
from tests.ports import free_port
from tests.stack import COMMAND, message_id, wait_until
from tests.waiting import hear_interrupts, patient

FROM_NOTHING = [sys.executable, "-m", "app.cli", "run"]
FORKING_RUN = "tests.journeys.forking_run:main"
ROOT = Path(__file__).parent.parent.parent


class Run:
    """One `run` in a folder of its own. Its processes are forked: see tests/forking.py."""

    def __init__(self, folder: Path, *arguments: str, **variables: str) -> None:
        self.port = free_port()
        self.output = folder / "output.txt"
        self.output.write_text("")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("GATEWAY_", "ATTENTIVE_"))}
        self.environment = {**clean, "COLUMNS": "120", **self._ports(), **variables}
        self.process = self._start("--data", str(folder / "data"), "--port", str(self.port), *arguments)

    def _start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        return start_forked(FORKING_RUN, ("run", *arguments), environment=self.environment, log=self.output)

    @staticmethod
    def _ports() -> dict[str, str]:
        return {name: str(free_port()) for name in ("GATEWAY_WORKER_PORT", "GATEWAY_CONSOLE_PORT")}

    def text(self) -> str:
        return self.output.read_text()

    def up(self) -> "Run":
        wait_until(lambda: "Ctrl-C stops" in self.text() or self.process.poll() is not None, "it is up", 50)
        assert self.process.poll() is None, self.text()
        return self

    def __enter__(self) -> "Run":
        return self.up()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(patient(20))

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(patient(20))

    def post(self, path: str, event: Mapping[str, object]) -> httpx.Response:
        url = f"http://127.0.0.1:{self.port}{path}"
        return HTTP.post(url, json=event, auth=("dev", ""), timeout=patient(10))


class RunFromNothing(Run):
    """As a newcomer's shell starts it."""

    def _start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        with self.output.open("w") as output:
            return subprocess.Popen(
                [*FROM_NOTHING, *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.environment,
                cwd=ROOT,
                preexec_fn=hear_interrupts,
            )


def calls_of(sandbox: str, event: Mapping[str, object]) -> list[dict[str, Any]]:
    """What the sandbox got of an event."""
    query = {"message_id": str(event["messageId"])}
    answer = HTTP.get(f"{sandbox}/_sandbox/ledger", params=query, timeout=patient(10))
    calls: list[dict[str, Any]] = answer.json()["calls"]
    return calls


def sandbox_of(run: Run) -> str:
    """The address of the sandbox, as the last table shows it."""
    found = re.search(r"(http://\S+)/_sandbox/ledger", run.text())
    assert found is not None, run.text()
    return found[1]


def children_of(folder: Path) -> list[str]:
    """Processes that still name this folder, or its Redis."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(folder) in line]


ROWS = {
    "Product Viewed": "product-view",
    "Product Added": "add-to-cart",
    "Order Completed": "purchase",
    **dict.fromkeys(
        (
            *("Checkout Started", "Order Updated", "Order Refunded", "Order Cancelled", "Order Canceled"),
            *("Cart Viewed", "Payment Info Entered", "Product Removed", "Coupon Entered"),
            *("Product Added to Wishlist", "Product List Viewed", "Products Searched", "Product Clicked"),
            *("Promotion Viewed", "Promotion Clicked", "Back In Stock Requested"),
        ),
        "custom-event",
    ),
    "identify": "identity",
}


@pytest.mark.timeout(120)
def test_it_shows_every_catalogue_row_delivered_and_stops_cleanly(tmp_path: Path) -> None:
    with RunFromNothing(tmp_path) as run:
        table = run.text()
        row = re.compile(r"^ ?(\S.{5,28}?)  +forward +(\S+) +20\d delivered", re.MULTILINE)
        rows = {match[1].strip(): match[2] for match in row.finditer(table)}
        assert ROWS.items() <= rows.items(), table
        assert re.search(r"user-attributes +202 delivered", table)
        assert "drop: no_identity" in table
        link = re.search(r"^  (http://127.0.0.1:\d+/sign-in\?token=\S+)$", table, re.MULTILINE)
        assert link is not None
        with local_client(follow_redirects=True) as browser:
            assert "Balanced" in browser.get(link[1], timeout=patient(10)).text
        curl = re.search(r"^  (curl .*)$", table, re.MULTILINE)
        assert curl is not None
        answer = subprocess.run(curl[1], shell=True, capture_output=True, text=True, check=True)
        assert answer.stdout == '{"success": true}'
        assert run.interrupt() == 0
    assert "Stopped." in run.text()
    wait_until(lambda: not children_of(tmp_path), "all of it is gone", 10)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", run.port))


@pytest.mark.timeout(120)
def test_a_second_run_delivers_what_the_first_could_not(tmp_path: Path) -> None:
    port = free_port()
    account = {"ATTENTIVE_API_TOKEN": DEFAULT_KEY.token, "ATTENTIVE_BASE_URL": f"http://127.0.0.1:{port}"}
    event = {"event": "Signed Up", "userId": "u-1", "messageId": message_id()}
    with Run(tmp_path, "--no-console", **account) as first:
        assert "not posted to a real Attentive account" in first.text()
        assert "attentive: does not work, could not connect" in first.text(), "which stops nothing"
        assert first.post("/v1/track", event).status_code == 200
        assert first.interrupt() == 0

    with ExitStack() as stack:
        attentive = stack.enter_context(running_sandbox(port=port))
        second = stack.enter_context(Run(tmp_path, "--no-console", "--no-samples", GATEWAY_HOST="0.0.0.0", **account))
        assert "1 events of earlier runs were still waiting" in second.text()
        assert f"The gateway listens on http://127.0.0.1:{second.port}." in second.text()
        elsewhere = f"http://127.0.0.2:{second.port}/healthz"  # as in a container, where the world comes from outside
        assert HTTP.get(elsewhere).status_code == 200
        wait_until(lambda: len(calls_of(attentive.url, event)) == 1, "it arrives", 30)
        assert second.interrupt() == 0


@pytest.mark.timeout(180)
def test_a_trial_posts_its_samples_once_and_keeps_its_data_apart_for_its_owner_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)  # as an older version made it
    with Run(tmp_path, "--no-console") as first:
        assert "Sample events" in first.text()
        assert first.interrupt() == 0
    open_to_others = [path for path in (data, *data.rglob("*")) if path.stat().st_mode & 0o077]
    assert open_to_others == []
    assert list(data.glob("sandbox/append*"))
    assert not list(data.glob("append*")), "a run with a real account finds nothing of the trial"

    with Run(tmp_path, "--no-console") as second:
        assert "were posted by an earlier run, and are not posted again" in second.text()
        assert "drop: no_identity" not in second.text()
        assert second.interrupt() == 0


TWO_ACCOUNTS = """
destinations:
  shoes: {api_token: {env: SHOES_TOKEN}}
  hats: {api_token: {env: HATS_TOKEN}}
sources:
  shoes: {write_key: dev, destination: shoes, trust: server}
  hats: {write_key: other, destination: hats, trust: server}
"""


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("arguments", "tokens"),
    [
        pytest.param((), {}, id="no token is set"),
        pytest.param(("--sandbox",), {"SHOES_TOKEN": "real-token"}, id="it is asked for"),
    ],
)
def test_a_sandbox_takes_the_place_of_every_account_of_a_file(
    tmp_path: Path, arguments: tuple[str, ...], tokens: dict[str, str]
) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text(TWO_ACCOUNTS)
    event = {"event": "Signed Up", "userId": "u-1", "messageId": message_id()}
    with Run(tmp_path, "--no-console", "--no-samples", "--config", str(config), *arguments, **tokens) as run:
        assert run.post("/v1/track", event).status_code == 200
        wait_until(lambda: len(calls_of(sandbox_of(run), event)) == 1, "it arrives", 30)
        assert "Nothing leaves this machine" in run.text()
        assert run.interrupt() == 0


def test_a_file_that_lacks_some_tokens_starts_nothing_and_offers_the_sandbox(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text(TWO_ACCOUNTS)
    run = Run(tmp_path, "--config", str(config), SHOES_TOKEN="real-token")
    assert run.process.wait(patient(60)) == 2
    assert (
        run.text()
        .replace("\n", " ")
        .startswith("attentive-gateway: The API tokens of these destinations are not set: hats.")
    )
    assert "--sandbox" in run.text()


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        pytest.param(("--samples", "nothing.ndjson"), {}, "There is no file nothing.ndjson", id="no such samples"),
        pytest.param((), {"GATEWAY_LOG_LEVEL": "LOUD"}, "GATEWAY_LOG_LEVEL", id="a bad setting"),
    ],
)
def test_what_stops_it_is_said_in_one_line(
    tmp_path: Path, arguments: tuple[str, ...], variables: dict[str, str], said: str
) -> None:
    run = Run(tmp_path, *arguments, **variables)
    assert run.process.wait(patient(60)) != 0
    lines = [line for line in run.text().splitlines() if line.startswith("attentive-gateway: ")]
    assert len(lines) == 1
    assert said in lines[0]
    assert "Traceback" not in run.text()


def test_a_folder_that_cannot_be_written_is_said_in_one_line(tmp_path: Path, url: str) -> None:
    """Also where nothing is kept in it but the logs, for Redis is elsewhere."""
    (tmp_path / "data").touch()
    run = Run(tmp_path, GATEWAY_REDIS_URL=url)
    assert run.process.wait(patient(60)) == 1
    assert run.text().startswith(f"attentive-gateway: nothing can be written in {tmp_path / 'data'} (")
    assert "Traceback" not in run.text()


@pytest.mark.timeout(120)
def test_in_another_terminal_the_sandboxs_token_can_be_tested_and_a_real_one_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(run: Run, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        environment = run.environment | variables
        for secret in ("ATTENTIVE_API_TOKEN", "ATTENTIVE_BASE_URL"):
            environment.pop(secret, None)
        return run_forked(COMMAND, ("destinations", *arguments), environment=environment, timeout=patient(60))

    monkeypatch.chdir(tmp_path)
    with Run(tmp_path, "--no-console", "--no-samples") as run:
        answer = told(run, "test")
        assert answer.stdout.startswith("attentive: works, the token belongs to sandbox-company"), answer.stderr
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        with monkeypatch.context() as there:
            there.chdir(elsewhere)
            listed = told(run, "list", GATEWAY_DATA=str(tmp_path / "data"))
        assert "attentive" in listed.stdout, listed.stderr
        assert run.interrupt() == 0
    nobody = f"http://127.0.0.1:{free_port()}"
    with Run(tmp_path, "--no-console", ATTENTIVE_API_TOKEN="real-token", ATTENTIVE_BASE_URL=nobody) as run:
        assert "real-token" not in (tmp_path / "data" / "running.json").read_text()
        assert "Set ATTENTIVE_API_TOKEN here too" in told(run, "test").stderr
        assert run.interrupt() == 0


def test_a_port_in_use_is_passed_over_and_each_part_has_one_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken, Ports() as ports:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        gateway = ports.choose("gateway", port, "127.0.0.1")
        worker = ports.choose("worker", gateway, "127.0.0.1")
    ports.announce()
    assert port < gateway < worker
    assert ports.moved == {"gateway": port, "worker": gateway}
    assert capsys.readouterr().out.splitlines() == [
        f"Port {port} is in use: port {gateway} is for the gateway.",
        f"Port {gateway} is in use: port {worker} is for the worker.",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no names that end with a process")
def test_two_runs_that_start_at_once_choose_other_ports() -> None:
    """None of their parts listens yet."""
    port = free_port()
    with Ports() as first, Ports() as second:
        assert first.choose("sandbox", port, "127.0.0.1") == port
        assert second.choose("sandbox", port, "127.0.0.1") > port
    with Ports() as third:
        assert third.choose("sandbox", port, "127.0.0.1") == port


def test_an_address_that_is_not_ours_is_said_in_one_line(tmp_path: Path) -> None:
    answer = subprocess.run(
        [*FROM_NOTHING, "--data", str(tmp_path), "--host", "192.0.2.1"], capture_output=True, text=True
    )
    assert answer.returncode == 1
    (line,) = answer.stderr.splitlines()
    assert line.startswith("attentive-gateway: Cannot listen on 192.0.2.1:8080: ")


@pytest.mark.timeout(120)
def test_a_hang_up_signal_makes_all_parts_read_the_configuration_again(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    account = f"{{api_token: x, base_url: 'http://127.0.0.1:{free_port()}'}}"
    config.write_text(f"destinations: {{acme: {account}}}\nsources: {{web: {{write_key: dev, destination: acme}}}}\n")
    with Run(tmp_path, "--no-console", "--no-samples", GATEWAY_CONFIG=str(config)) as run:
        run.process.send_signal(signal.SIGHUP)
        logs = [tmp_path / "data" / f"{part}.log" for part in ("gateway", "worker")]
        wait_until(lambda: all("config.reloaded" in log.read_text() for log in logs), "both have heard it", 10)
        assert run.post("/v1/track", {"event": "x", "userId": "u-1"}).status_code == 200
        assert run.interrupt() == 0
