"""The whole gateway as real processes, for tests that send HTTP in and watch what the sandbox gets."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import httpx
import redis
import yaml

from app.embedded import RedisBinary
from app.sandbox import RunningSandbox, SandboxConfig, running_sandbox
from app.subprocesses import start_child, stop_child
from tests.clusters import IN_CLUSTER_MODE, SCHEME, cluster_options, own_all_slots
from tests.forking import run_forked, start_forked
from tests.local import HTTP, local_client
from tests.ports import free_port
from tests.waiting import Standstill, patient
from tests.waiting import wait_until as wait_until

WRITE_KEY = "journey-key"
API_TOKEN: Final = "sandbox-token"
DESTINATION = "acme"
SOURCE = "shop"
COMMAND: Final = "app.cli:main"  # attentive-gateway


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
        fsync: str = "no",
        sources: Mapping[str, Mapping[str, Any]] | None = None,  # beside the usual one: write key and options
        attentive_url: str | None = None,  # in place of the sandbox's own
        gateways: int = 1,  # processes
    ) -> None:
        self.folder = folder
        self.sandbox = sandbox
        self.redis = redis
        # With `no`, all that was acknowledged is written, and outlives the process, though not the machine. With
        # `everysec`, a process that is killed may lose what it acknowledged while an fsync was under way.
        self._fsync = fsync
        self.redis_port, self.gateway_port, self.worker_port = free_port(), free_port(), free_port()
        self.admin_port = free_port()
        self.redis_prefix: list[str] = []  # of the command that starts Redis
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.standstill = Standstill()  # of the sandbox
        self.config = folder / "gateway.yaml"
        self._gateways = gateways
        account = {"api_token": API_TOKEN, "base_url": attentive_url or sandbox.url, "limits": dict(limits or {})}
        account |= destination or {}
        senders = {
            name: {**source, "destination": DESTINATION}
            for name, source in {SOURCE: {"write_key": WRITE_KEY, "trust": "server"}, **(sources or {})}.items()
        }
        self.configure({"destinations": {DESTINATION: account}, "sources": senders})
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "ATTENTIVE_"))},
            "GATEWAY_REDIS_URL": f"{SCHEME}://127.0.0.1:{self.redis_port}/0",
            "GATEWAY_CONFIG": str(self.config),
            "GATEWAY_WORKER_PORT": str(self.worker_port),
            "GATEWAY_ADMIN_PORT": str(self.admin_port),
            **(environment or {}),
        }
        # No limit of connections: httpx closes those above it, also one that another thread begins to use just then.
        self.http = local_client(
            base_url=f"http://127.0.0.1:{self.gateway_port}",
            auth=(WRITE_KEY, ""),
            timeout=patient(15),
            limits=httpx.Limits(),
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
            self.processes[name] = self._start(name, self.folder / f"{name}.log")
        for name in names:
            wait_until(ready[name], f"{name} is ready; see its log:\n{self.log(name)[-2000:]}", 30)

    def _start(self, name: str, log: Path) -> "subprocess.Popen[bytes]":
        if name == "redis":
            command = [
                *self.redis_prefix,
                str(self.redis.path),
                *("--port", str(self.redis_port), "--bind", "127.0.0.1", "--dir", str(self.folder)),
                *("--appendonly", "yes", "--appendfsync", self._fsync, "--save", ""),
                *(cluster_options(self.folder) if IN_CLUSTER_MODE else ()),
            ]
            return start_child(command, log=log, environment=self.environment)
        options = ("--port", str(self.gateway_port), "--workers", str(self._gateways))
        arguments = ("serve", *options) if name == "gateway" else (name,)
        return start_forked(COMMAND, arguments, log=log, environment=self.environment)

    def configure(self, content: Any) -> None:
        """Put this in the configuration file, whole and in one step."""
        new = self.folder / "new.yaml"
        new.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        new.rename(self.config)

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait()

    def stop(self, name: str) -> None:
        """SIGTERM; the process must end by itself, and in order, as it promises to within 10 s."""
        status = stop_child(self.processes[name], within_s=patient(10))
        assert status == 0, f"{name} ended with {status}: {self.log(name)[-2000:]}"

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """One `attentive-gateway` command, to its end."""
        environment = {**self.environment, "COLUMNS": "200"}
        return run_forked(COMMAND, arguments, environment=environment, timeout=patient(60))

    def log(self, name: str) -> str:
        """What a process has said so far."""
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def post(self, path: str, body: Any) -> httpx.Response:
        """One request of a tracker."""
        return self.http.post(path, content=json.dumps(body))

    def ledger(self, **query: str | int) -> list[dict[str, Any]]:
        """The calls the sandbox accepted."""
        answer = HTTP.get(f"{self.sandbox.url}/_sandbox/ledger", params={"limit": 100_000, **query})
        calls: list[dict[str, Any]] = answer.json()["calls"]
        return calls

    def summary(self) -> dict[str, Any]:
        """The sandbox's counts."""
        answer: dict[str, Any] = HTTP.get(f"{self.sandbox.url}/_sandbox/summary").json()
        return answer

    def fault(self, **rule: Any) -> None:
        """Make the sandbox misbehave."""
        answer = HTTP.post(f"{self.sandbox.url}/_sandbox/faults", json=rule)
        assert answer.status_code == 201, answer.text

    def struck(self) -> int:
        """How many calls the faults in force have spoiled."""
        faults = HTTP.get(f"{self.sandbox.url}/_sandbox/faults").json()["faults"]
        return sum(fault["struck"] for fault in faults)

    def heal(self) -> None:
        """End all faults."""
        HTTP.delete(f"{self.sandbox.url}/_sandbox/faults")

    def release_holds(self) -> None:
        """End all holds, as their time would."""
        with redis.Redis(port=self.redis_port) as client:
            for key in client.scan_iter("*:hold"):
                client.delete(key)

    def metrics(self, port: int | None = None) -> dict[str, float]:
        """The gateway's metrics page, by full name with labels."""
        asked_at, read_at, page = time.time(), 0.0, ""
        while read_at < asked_at:  # a page is up to a second old
            answer = HTTP.get(f"http://127.0.0.1:{port or self.admin_port}/metrics")
            read_at, page = float(answer.headers["x-read-at"]), answer.text
            time.sleep(0.05)
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
            return HTTP.get(f"http://127.0.0.1:{port}/readyz", timeout=patient(2)).status_code == 200
        except httpx.HTTPError:
            return False

    def _redis_answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.redis_port), timeout=patient(1)) as connection:
                connection.sendall(b"PING\r\n")
                answers = connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False
        return answers and (not IN_CLUSTER_MODE or own_all_slots(self.redis_port))


@contextmanager
def stack(folder: Path, redis: RedisBinary, *, sandbox: SandboxConfig | None = None, **options: Any) -> Iterator[Stack]:
    """A running stack, stopped at the end."""
    with running_sandbox(sandbox) as running, Stack(folder, redis, running, **options) as started, started.standstill:
        yield started


def message_id() -> str:
    """One that no other test uses."""
    return f"test-{uuid.uuid4()}"
