"""The whole gateway as real processes, for tests that send HTTP in and watch what the sandbox gets."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import redis
import yaml

from app.children import start_child, stop_child
from app.embedded import RedisBinary
from app.sandbox import RunningSandbox, SandboxConfig, running_sandbox

WRITE_KEY = "journey-key"
DESTINATION = "acme"
SOURCE = "shop"


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(true: Callable[[], bool], what: str, within_s: float = 20) -> None:
    """Return once `true()`; fail with `what` when it never is."""
    ends = time.monotonic() + within_s
    while not true():
        if time.monotonic() > ends:
            raise AssertionError(f"not within {within_s:g} s: {what}")
        time.sleep(0.02)


class Stack:
    """Redis, gateway and worker as processes, the sandbox as a thread. Each can be stopped, killed, started again."""

    def __init__(
        self,
        folder: Path,
        redis: RedisBinary,
        sandbox: RunningSandbox,
        *,
        limits: Mapping[str, float] | None = None,
        destination: Mapping[str, Any] | None = None,  # more of the destination's settings
        environment: Mapping[str, str] | None = None,
        fsync: str = "always",
        sources: Mapping[str, Mapping[str, Any]] | None = None,  # beside the usual one: write key and options
        attentive_url: str | None = None,  # in place of the sandbox's own
        gateways: int = 1,  # processes
    ) -> None:
        self.folder = folder
        self.sandbox = sandbox
        self._redis = redis
        self._fsync = fsync  # everysec may lose what was acknowledged while an fsync was under way
        self.redis_port, self.gateway_port, self.worker_port = free_port(), free_port(), free_port()
        self.redis_prefix: list[str] = []  # of the command that starts Redis
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.config = folder / "gateway.yaml"
        self._gateways = gateways
        account = {"api_token": "sandbox-token", "base_url": attentive_url or sandbox.url, "limits": dict(limits or {})}
        account |= destination or {}
        senders = {
            name: {**source, "destination": DESTINATION}
            for name, source in {SOURCE: {"write_key": WRITE_KEY}, **(sources or {})}.items()
        }
        self.configure({"destinations": {DESTINATION: account}, "sources": senders})
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "ATTENTIVE_"))},
            "GATEWAY_REDIS_URL": f"redis://127.0.0.1:{self.redis_port}/0",
            "GATEWAY_CONFIG": str(self.config),
            "GATEWAY_WORKER_PORT": str(self.worker_port),
            **(environment or {}),
        }
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.gateway_port}", auth=(WRITE_KEY, ""), timeout=15, trust_env=False
        )

    def __enter__(self) -> Self:
        self.start("redis")
        self.start("gateway", "worker")
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        for name in ("gateway", "worker", "redis"):
            if name in self.processes:
                stop_child(self.processes[name])

    def start(self, *names: str) -> None:
        """Start some of redis, gateway and worker at the same time, and wait until they are ready."""
        ready = {
            "redis": self._redis_answers,
            "gateway": self.gateway_ready,
            "worker": lambda: self._ready(self.worker_port),
        }
        for name in names:
            self.processes[name] = start_child(
                self._command_of(name), log=self.folder / f"{name}.log", environment=self.environment
            )
        for name in names:
            wait_until(ready[name], f"{name} is ready; see its log:\n{self.log(name)[-2000:]}", 30)

    def _command_of(self, name: str) -> list[str]:
        match name:
            case "redis":
                return [
                    *self.redis_prefix,
                    str(self._redis.path),
                    *("--port", str(self.redis_port), "--bind", "127.0.0.1", "--dir", str(self.folder)),
                    *("--appendonly", "yes", "--appendfsync", self._fsync, "--save", ""),
                ]
            case "gateway":
                return self.command("serve", "--port", str(self.gateway_port), "--workers", str(self._gateways))
            case _:
                return self.command(name)

    def configure(self, content: Any) -> None:
        """Put this in the configuration file, whole and in one step."""
        new = self.folder / "new.yaml"
        new.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        new.rename(self.config)

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait()

    def stop(self, name: str) -> float:
        """SIGTERM; how many seconds it took to go."""
        started = time.monotonic()
        status = stop_child(self.processes[name], within_s=20)
        assert status == 0, f"{name} ended with {status}: {self.log(name)[-2000:]}"
        return time.monotonic() - started

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """One `attentive-gateway` command, to its end."""
        return subprocess.run(
            self.command(*arguments),
            env={**self.environment, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def log(self, name: str) -> str:
        """What a process has said so far."""
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def post(self, path: str, body: Any) -> httpx.Response:
        """One request of a tracker."""
        return self.http.post(path, content=json.dumps(body))

    def ledger(self, **query: str | int) -> list[dict[str, Any]]:
        """The calls the sandbox accepted."""
        answer = httpx.get(f"{self.sandbox.url}/_sandbox/ledger", params={"limit": 100_000, **query}, trust_env=False)
        calls: list[dict[str, Any]] = answer.json()["calls"]
        return calls

    def summary(self) -> dict[str, Any]:
        """The sandbox's counts."""
        answer: dict[str, Any] = httpx.get(f"{self.sandbox.url}/_sandbox/summary", trust_env=False).json()
        return answer

    def fault(self, **rule: Any) -> None:
        """Make the sandbox misbehave."""
        answer = httpx.post(f"{self.sandbox.url}/_sandbox/faults", json=rule, trust_env=False)
        assert answer.status_code == 201, answer.text

    def struck(self) -> int:
        """How many calls the faults in force have spoiled."""
        faults = httpx.get(f"{self.sandbox.url}/_sandbox/faults", trust_env=False).json()["faults"]
        return sum(fault["struck"] for fault in faults)

    def heal(self) -> None:
        """End all faults."""
        httpx.delete(f"{self.sandbox.url}/_sandbox/faults", trust_env=False)

    def release_holds(self) -> None:
        """End all holds, as their time would."""
        with redis.Redis(port=self.redis_port) as client:
            for key in client.scan_iter("*:hold"):
                client.delete(key)

    def metrics(self, port: int | None = None) -> dict[str, float]:
        """The gateway's metrics page, by full name with labels."""
        page = httpx.get(f"http://127.0.0.1:{port or self.gateway_port}/metrics", trust_env=False).text
        lines = (line.rpartition(" ") for line in page.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    def waiting(self) -> float:
        """Events that have not ended."""
        return self.metrics()[f'gateway_events_waiting{{destination="{DESTINATION}"}}']

    def ended(self, ending: str, reason: str = "") -> float:
        """Events that ended so."""
        labels = f'destination="{DESTINATION}",ending="{ending}",reason="{reason}"'
        return self.metrics().get(f"gateway_events_ended_total{{{labels}}}", 0)

    def command(self, *arguments: str) -> list[str]:
        """How one `attentive-gateway` command is started."""
        return [sys.executable, "-m", "app.cli", *arguments]

    def gateway_ready(self) -> bool:
        """Whether the gateway would take events."""
        return self._ready(self.gateway_port)

    def _ready(self, port: int) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def _redis_answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.redis_port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


@contextmanager
def stack(folder: Path, redis: RedisBinary, *, sandbox: SandboxConfig | None = None, **options: Any) -> Iterator[Stack]:
    """A running stack, stopped at the end."""
    with running_sandbox(sandbox) as running, Stack(folder, redis, running, **options) as started:
        yield started


def message_id() -> str:
    """One that no other test uses."""
    return f"test-{uuid.uuid4()}"
