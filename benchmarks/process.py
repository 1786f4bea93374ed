"""The processes of a benchmark: each on a free port of 127.0.0.1, ready when it answers, gone whatever happens."""

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
import yaml
from redis import Redis

from app.embedded import embedded_redis
from app.settings import DEFAULT_DESTINATION, DEFAULT_SOURCE
from app.subprocesses import start_child, stop_child
from benchmarks.contenders import Contender
from benchmarks.event import WRITE_KEY, body
from benchmarks.failure import BenchmarkFailed
from benchmarks.wrk import AUTHORIZATION

_ROOT: Final = Path(__file__).parents[1]
_START_WITHIN_S: Final = 30.0
_NO_LIMIT: Final = 1_000_000  # calls per second


@dataclass(frozen=True, slots=True)
class Store:
    """A Redis of our own, with an append-only file, and a folder for what else a measurement needs."""

    url: str
    redis: Redis
    folder: Path

    def cpu_s(self) -> float:
        """Processor time that Redis has used so far."""
        info: dict[str, float] = self.redis.info("cpu")  # type: ignore[assignment]
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])

    def memory_bytes(self) -> int:
        """What Redis has allocated."""
        info: dict[str, int] = self.redis.info("memory")  # type: ignore[assignment]
        return int(info["used_memory"])


@dataclass(frozen=True, slots=True)
class Running:
    """A process under measurement, with the processes it has started. `port` is 0 for one that serves nothing."""

    port: int
    process: psutil.Process

    def cpu_s(self) -> float:
        """Processor time used so far."""
        times = [process.cpu_times() for process in self._family()]
        return float(sum(one.user + one.system for one in times))

    def memory_bytes(self) -> int:
        """Memory of its own: what it would give back on its end."""
        return int(sum(process.memory_full_info().uss for process in self._family()))

    def _family(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


@contextlib.contextmanager
def store() -> Iterator[Store]:
    """A fresh Redis."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        with embedded_redis(folder / "redis", fsync="everysec") as url:
            redis: Redis = Redis.from_url(url)
            # Redis rewrites a grown append-only file now and then: that would fall into some measurements, not others.
            redis.config_set("auto-aof-rewrite-percentage", 0)
            try:
                yield Store(url, redis, folder)
            finally:
                redis.close()


@contextlib.contextmanager
def serving(
    contender: Contender, store: Store, *, processes: int = 1, environment: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """The server. Raises BenchmarkFailed when it does not start."""
    port = free_port()
    command = [sys.executable, *contender.start]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", str(processes)]
    log = store.folder / f"server-{contender.letter}.log"
    with _running(command, _environment(store, environment), log) as process:
        _wait_until_ready(contender, process, port, log)
        yield Running(port, psutil.Process(process.pid))


@contextlib.contextmanager
def gateway_worker(store: Store, sink: Running, *, environment: Mapping[str, str] | None = None) -> Iterator[Running]:
    """One worker of the gateway, sending to `sink` without a limit."""
    settings = _environment(store, environment, to=sink)
    with _running([sys.executable, "-m", "workers"], settings, store.folder / "worker.log") as one:
        yield Running(0, psutil.Process(one.pid))


@contextlib.contextmanager
def arq_worker(store: Store, sink: Running, settings: str) -> Iterator[Running]:
    """One arq worker with these settings of benchmarks/servers/jobs.py."""
    command = [sys.executable, "-m", "benchmarks.servers.jobs", settings]
    environment = _environment(store, {"SINK_URL": f"http://127.0.0.1:{sink.port}"})
    with _running(command, environment, store.folder / "arq.log") as one:
        yield Running(0, psutil.Process(one.pid))


@contextlib.contextmanager
def _running(command: list[str], environment: dict[str, str], log: Path) -> "Iterator[subprocess.Popen[bytes]]":
    process = start_child(command, log=log, environment=environment | {"PYTHONPATH": str(_ROOT)})
    try:
        yield process
        if process.poll() is not None:
            raise BenchmarkFailed(f"{' '.join(command[1:4])} ended by itself: {_last_line(log)}")
    finally:
        stop_child(process)


def _environment(store: Store, more: Mapping[str, str] | None = None, *, to: Running | None = None) -> dict[str, str]:
    """Ours without any setting of a gateway that is installed here. `to` is where calls go; by default nowhere."""
    endpoints = ("product-view", "custom-event")
    destination = {
        "api_token": "x",
        "base_url": f"http://127.0.0.1:{to.port if to else 9}",
        "limits": dict.fromkeys(endpoints, _NO_LIMIT),
    }
    source = {"write_key": WRITE_KEY, "destination": DEFAULT_DESTINATION, "trust": "server"}  # no rate
    config = store.folder / ("sending.yaml" if to else "taking.yaml")
    config.write_text(
        yaml.safe_dump({"destinations": {DEFAULT_DESTINATION: destination}, "sources": {DEFAULT_SOURCE: source}})
    )
    return {
        **own_environment(),
        "GATEWAY_REDIS_URL": store.url,
        "GATEWAY_CONFIG": str(config),
        "GATEWAY_WORKER_PORT": "0",
        "GATEWAY_LOG_LEVEL": "WARNING",
        "GATEWAY_MAX_BACKLOG_EVENTS": "10000000",
        "GATEWAY_MAX_BACKLOG_BYTES": str(2**36),
        **(more or {}),
    }


def own_environment() -> dict[str, str]:
    """Ours without any setting of a gateway that is installed here."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "ATTENTIVE_"))}


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(contender: Contender, process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    """Return when it answers one event the way it should."""
    ends = time.monotonic() + _START_WITHIN_S
    while time.monotonic() < ends and process.poll() is None:
        try:
            status, answer = _post(port)
        except OSError:
            time.sleep(0.05)
            continue
        if status != 200 or b"true" not in answer:
            raise BenchmarkFailed(f"{contender.name} answered {status}: {answer[:200].decode(errors='replace')}")
        return
    raise BenchmarkFailed(f"{contender.name} did not start: {_last_line(log)}")


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return "".join(lines[-1:]) or "(it printed nothing)"


def _post(port: int) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        headers = {"Content-Type": "application/json", "Authorization": AUTHORIZATION}
        connection.request("POST", "/v1/track", body(0, "ready?"), headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
