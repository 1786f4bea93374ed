"""The gateway as it runs in production: a Redis, a gateway process, some workers, and the sandbox as Attentive."""

import contextlib
import http.client
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from app.embedded import embedded_redis
from app.sandbox.keys import DEFAULT_KEY
from app.subprocesses import start_child, stop_child
from benchmarks.failure import BenchmarkFailed
from benchmarks.process import free_port, own_environment

WRITE_KEY: Final = "benchmark-write-key"
DESTINATION: Final = "acme"
_READY_WITHIN_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """All of it, running."""

    url: str  # of the gateway
    sandbox: httpx.Client

    def summary(self) -> dict[str, Any]:
        """The sandbox's counts."""
        return dict(self.sandbox.get("/_sandbox/summary").json())

    def calls(self) -> list[dict[str, Any]]:
        """Every call that the sandbox accepted."""
        return list(self.sandbox.get("/_sandbox/ledger", params={"limit": 200_000}).json()["calls"])


@contextlib.contextmanager
def fleet(
    folder: Path,
    *,
    workers: int,
    limits: Mapping[str, float],
    sandbox: Mapping[str, Any],
    delivery: Mapping[str, Any] | None = None,
) -> Iterator[Fleet]:
    """Start everything, and stop it at the end. Raises BenchmarkFailed.

    `limits` are calls per second by endpoint, `sandbox` are switches of the sandbox, and `delivery` are settings of the
    destination.
    """
    with contextlib.ExitStack() as started:
        environment = own_environment()

        def start(name: str, ready: str, *arguments: str, **more: str) -> str:
            port = free_port()
            log = folder / f"{name}.log"
            command = [sys.executable, "-m", "app.cli", *(part.format(port=port) for part in arguments)]
            child = start_child(command, log=log, environment={**environment, **more, "GATEWAY_WORKER_PORT": str(port)})
            started.callback(stop_child, child)
            _wait_until_ready(name, child, port, ready, log)
            return f"http://127.0.0.1:{port}"

        attentive = start("sandbox", "/_sandbox/healthz", "sandbox", "--port", "{port}")
        control = started.enter_context(httpx.Client(base_url=attentive, trust_env=False, timeout=30))
        control.patch("/_sandbox/config", json=dict(sandbox)).raise_for_status()
        account = {
            "api_token": DEFAULT_KEY.token,
            "base_url": attentive,
            "limits": dict(limits),
            "delivery": dict(delivery or {}),
        }
        source = {"write_key": WRITE_KEY, "destination": DESTINATION, "trust": "server"}  # no rate
        config = folder / "gateway.yaml"
        config.write_text(yaml.safe_dump({"destinations": {DESTINATION: account}, "sources": {"shop": source}}))
        environment["GATEWAY_REDIS_URL"] = started.enter_context(embedded_redis(folder / "redis"))
        environment["GATEWAY_CONFIG"] = str(config)
        gateway = start("gateway", "/readyz", "serve", "--port", "{port}")
        for number in range(1, workers + 1):
            start(f"worker {number}", "/readyz", "worker")
        yield Fleet(gateway, control)


def _wait_until_ready(name: str, child: "subprocess.Popen[bytes]", port: int, path: str, log: Path) -> None:
    ends = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < ends and child.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        with contextlib.suppress(OSError), contextlib.closing(connection):
            connection.request("GET", path)
            if connection.getresponse().status == http.HTTPStatus.OK:
                return
        time.sleep(0.05)
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    raise BenchmarkFailed(f"the {name} did not start: {''.join(lines[-1:]) or '(it printed nothing)'}")
