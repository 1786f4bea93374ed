"""Load by wrk: start it, wait for it with a limit, and read what load.lua prints at its end."""

import base64
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from benchmarks.event import MESSAGE_ID, WRITE_KEY, Requests
from benchmarks.failure import BenchmarkFailed

THREADS: Final = 1  # the other processors are for the server and its Redis
AUTHORIZATION: Final = "Basic " + base64.b64encode(f"{WRITE_KEY}:".encode()).decode()
_SCRIPT: Final = Path(__file__).with_name("load.lua")
_MARK: Final = "figures "
_GRACE_S: Final = 20.0
_TIMEOUT_S: Final = 10  # an answer that takes longer counts as failed


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of wrk saw. All answers were 2xx or 3xx and none was lost, or there would be no Load."""

    requests: int  # answered
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def per_second(self) -> float:
        """Requests answered per second."""
        return self.requests / self.seconds


def find_wrk() -> str:
    """Its path. Raises BenchmarkFailed."""
    if path := shutil.which("wrk"):
        return path
    raise BenchmarkFailed("wrk is not installed: apt-get install wrk")


def load(port: int, requests: Requests, *, seconds: int, rate: float | None = None) -> Load:
    """Kept-alive connections, each sending its next request when the last is answered.

    With a `rate` (requests per second), each pauses before its next one, for as long as makes about that many together.
    Raises BenchmarkFailed.
    """
    run = str(uuid.uuid4())  # with its dashes, as in trackers' ids: without, some would look like card numbers
    pause_ms = 0 if rate is None else max(1, round(requests.connections / rate * 1000))
    with tempfile.NamedTemporaryFile(prefix="benchmark-") as file:
        file.write(requests.lines)
        file.flush()
        return read_output(
            _run(port, requests, seconds, [file.name, MESSAGE_ID, run, AUTHORIZATION, requests.path, str(pause_ms)])
        )


def _run(port: int, requests: Requests, seconds: int, arguments: Sequence[str]) -> str:
    command = [
        find_wrk(),
        *("--threads", str(THREADS), "--connections", str(requests.connections), "--duration", f"{seconds}s"),
        *("--timeout", f"{_TIMEOUT_S}s", "--script", str(_SCRIPT), f"http://127.0.0.1:{port}"),
        *("--", *arguments),
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as wrk:
        try:
            output, _ = wrk.communicate(timeout=seconds + _GRACE_S)
        except subprocess.TimeoutExpired:
            raise BenchmarkFailed(f"wrk did not end within {seconds + _GRACE_S:.0f} s") from None
        finally:
            if wrk.poll() is None:
                wrk.kill()
    if wrk.returncode:
        raise BenchmarkFailed(f"wrk ended with status {wrk.returncode}: {_last_line(output)}")
    return output


def read_output(output: str) -> Load:
    """The figures at the end of wrk's output. Raises BenchmarkFailed when they are missing or name a failed request."""
    lines = [line for line in output.splitlines() if line.startswith(_MARK)]
    if not lines:
        raise BenchmarkFailed(f"wrk printed no figures: {_last_line(output)}")
    figures: dict[str, int] = orjson.loads(lines[-1].removeprefix(_MARK))
    kinds = {
        "status": "answers other than 200",
        "connect": "failed connects",
        "read": "failed reads",
        "write": "failed writes",
        "timeout": f"requests without an answer in {_TIMEOUT_S} s",
    }
    failures = [f"{figures[kind]:,} {words}" for kind, words in kinds.items() if figures[kind]]
    if failures:
        raise BenchmarkFailed(f"{', '.join(failures)} (of {figures['requests']:,} requests)")
    if not figures["requests"]:
        raise BenchmarkFailed("no request was answered")
    return Load(
        figures["requests"], figures["micros"] / 1_000_000, figures["p50_us"] / 1_000, figures["p99_us"] / 1_000
    )


def _last_line(output: str) -> str:
    return "".join(output.strip().splitlines()[-1:]) or "(it printed nothing)"
