"""`attentive-gateway run`, as a newcomer meets it."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from tests.stack import free_port, message_id, wait_until

COMMAND = [sys.executable, "-m", "app.cli", "run"]
ROOT = Path(__file__).parent.parent.parent


def hear_interrupts() -> None:
    """What runs in a shell's background is deaf to Ctrl-C, and so are its children: tests may run there."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Run:
    """One `run` in a folder of its own."""

    def __init__(self, folder: Path, *arguments: str, **variables: str) -> None:
        self.port = free_port()
        self.output = folder / "output.txt"
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("GATEWAY_", "ATTENTIVE_"))}
        self.environment = {**clean, "COLUMNS": "120", "GATEWAY_WORKER_PORT": str(free_port()), **variables}
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [*COMMAND, "--data", str(folder / "data"), "--port", str(self.port), *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.environment,
                cwd=ROOT,
                preexec_fn=hear_interrupts,
            )

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
            self.process.wait(20)

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(20)

    def post(self, path: str, event: Mapping[str, object]) -> httpx.Response:
        url = f"http://127.0.0.1:{self.port}{path}"
        return httpx.post(url, json=event, auth=("dev", ""), timeout=10, trust_env=False)


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
    with Run(tmp_path) as run:
        table = run.text()
        row = re.compile(r"^ ?(\S.{5,28}?)  +forward +(\S+) +20\d delivered", re.MULTILINE)
        rows = {match[1].strip(): match[2] for match in row.finditer(table)}
        assert ROWS.items() <= rows.items(), table
        assert re.search(r"user-attributes +202 delivered", table)
        assert "drop: no_identity" in table
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
    nobody = f"http://127.0.0.1:{free_port()}"
    event = {"event": "Signed Up", "userId": "u-1", "messageId": message_id()}
    with Run(tmp_path, ATTENTIVE_API_TOKEN="real-token", ATTENTIVE_BASE_URL=nobody) as first:
        assert "not posted to a real Attentive account" in first.text()
        assert "attentive: does not work, could not connect" in first.text(), "which stops nothing"
        assert first.post("/v1/track", event).status_code == 200
        assert first.interrupt() == 0

    with Run(tmp_path, "--no-samples", GATEWAY_HOST="0.0.0.0") as second:
        assert "1 events of earlier runs were still waiting" in second.text()
        assert f"The gateway listens on http://127.0.0.1:{second.port}." in second.text()
        elsewhere = f"http://127.0.0.2:{second.port}/healthz"  # as in a container, where the world comes from outside
        assert httpx.get(elsewhere, trust_env=False).status_code == 200
        ledger = re.search(r"(http://\S+/_sandbox/ledger)", second.text())
        assert ledger is not None
        query = {"message_id": event["messageId"]}
        wait_until(lambda: httpx.get(ledger[1], params=query, trust_env=False).json()["total"] == 1, "it arrives", 30)
        assert second.interrupt() == 0


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        pytest.param(("--samples", "nothing.ndjson"), {}, "there is no file nothing.ndjson", id="no such samples"),
        pytest.param((), {"GATEWAY_LOG_LEVEL": "LOUD"}, "GATEWAY_LOG_LEVEL", id="a bad setting"),
    ],
)
def test_what_stops_it_is_said_in_one_line(
    tmp_path: Path, arguments: tuple[str, ...], variables: dict[str, str], said: str
) -> None:
    run = Run(tmp_path, *arguments, **variables)
    assert run.process.wait(60) != 0
    lines = [line for line in run.text().splitlines() if line.startswith("attentive-gateway: ")]
    assert len(lines) == 1
    assert said in lines[0]
    assert "Traceback" not in run.text()


def test_a_folder_that_cannot_be_written_is_said_in_one_line(tmp_path: Path, url: str) -> None:
    """Also where nothing is kept in it but the logs, for Redis is elsewhere."""
    (tmp_path / "data").touch()
    run = Run(tmp_path, GATEWAY_REDIS_URL=url)
    assert run.process.wait(60) == 1
    assert run.text().startswith(f"attentive-gateway: nothing can be written in {tmp_path / 'data'} (")
    assert "Traceback" not in run.text()


@pytest.mark.timeout(120)
def test_in_another_terminal_the_sandboxs_token_can_be_tested_and_a_real_one_is_not_told(tmp_path: Path) -> None:
    def test_tokens(run: Run) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "app.cli", "destinations", "test"]
        environment = run.environment | {"PYTHONPATH": str(ROOT)}
        for secret in ("ATTENTIVE_API_TOKEN", "ATTENTIVE_BASE_URL"):
            environment.pop(secret, None)
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    with Run(tmp_path, "--no-samples") as run:
        answer = test_tokens(run)
        assert answer.stdout.startswith("attentive: works, the token belongs to sandbox-company"), answer.stderr
        assert run.interrupt() == 0
    nobody = f"http://127.0.0.1:{free_port()}"
    with Run(tmp_path, ATTENTIVE_API_TOKEN="real-token", ATTENTIVE_BASE_URL=nobody) as run:
        assert "real-token" not in (tmp_path / "data" / "running.json").read_text()
        assert "set ATTENTIVE_API_TOKEN in this terminal too" in test_tokens(run).stderr
        assert run.interrupt() == 0


def test_a_port_in_use_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        answer = subprocess.run([*COMMAND, "--data", str(tmp_path), "--port", port], capture_output=True, text=True)
    assert answer.returncode == 1
    assert answer.stderr.splitlines() == [
        f"attentive-gateway: cannot listen on 127.0.0.1:{port}: Address already in use; choose another with --port"
    ]


@pytest.mark.timeout(120)
def test_a_hang_up_signal_makes_all_parts_read_the_configuration_again(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    account = f"{{api_token: x, base_url: 'http://127.0.0.1:{free_port()}'}}"
    config.write_text(f"destinations: {{acme: {account}}}\nsources: {{web: {{write_key: dev, destination: acme}}}}\n")
    with Run(tmp_path, "--no-samples", GATEWAY_CONFIG=str(config)) as run:
        run.process.send_signal(signal.SIGHUP)
        logs = [tmp_path / "data" / f"{part}.log" for part in ("gateway", "worker")]
        wait_until(lambda: all("config.reloaded" in log.read_text() for log in logs), "both have heard it", 10)
        assert run.post("/v1/track", {"event": "x", "userId": "u-1"}).status_code == 200
        assert run.interrupt() == 0
