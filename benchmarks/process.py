"""One server as one uvicorn process: started on a free port, ready when it answers, gone whatever happens."""

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from benchmarks.contenders import GATEWAY_ENVIRONMENT, Contender
from benchmarks.event import body
from benchmarks.failure import BenchmarkFailed
from benchmarks.wrk import AUTHORIZATION

_ROOT: Final = Path(__file__).parents[1]
_START_WITHIN_S: Final = 30.0
_STOP_WITHIN_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    port: int
    pid: int

    def cpu_s(self) -> float:
        """Processor time it has used so far."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)


@contextlib.contextmanager
def serving(contender: Contender, redis_url: str, log: Path) -> Iterator[Server]:
    """The server on 127.0.0.1, writing its log to `log`. Raises BenchmarkFailed."""
    port = _free_port()
    with (
        log.open("wb") as output,
        subprocess.Popen(
            _command(contender, port),
            env=_environment(redis_url),
            cwd=_ROOT,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C reaches us alone, and we stop it
        ) as process,
    ):
        try:
            _wait_until_ready(contender, process, port, log)
            yield Server(port, process.pid)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _command(contender: Contender, port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "uvicorn", contender.app, *(["--factory"] if contender.factory else [])),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"),
        *("--timeout-graceful-shutdown", "2"),
    ]


def _environment(redis_url: str) -> dict[str, str]:
    """Ours without any setting of a gateway that is installed here."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "ATTENTIVE_"))}
    return ours | GATEWAY_ENVIRONMENT | {"GATEWAY_REDIS_URL": redis_url}


def _free_port() -> int:
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
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    raise BenchmarkFailed(f"{contender.name} did not start: {''.join(lines[-1:]) or '(it printed nothing)'}")


def _post(port: int) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        headers = {"Content-Type": "application/json", "Authorization": AUTHORIZATION}
        connection.request("POST", "/v1/track", body(0, "ready?"), headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
