"""How quick the console is, and that its live view misses no row: in Chromium, and over a kill and ten reconnects.

It needs Node.js, Chromium and the packages of tests/clients: `make bench-console` installs them.
"""

import argparse
import asyncio
import contextlib
import gzip
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
import psutil
import yaml
from redis.asyncio import Redis

from app.embedded import embedded_redis
from app.store.connection import open_redis
from app.store.keys import DestinationKeys
from app.subprocesses import start_child, stop_child
from benchmarks.event_search import fill
from benchmarks.failure import BenchmarkFailed, ends_with_a_line
from benchmarks.machine import machine
from benchmarks.tables import markdown

ROOT: Final = Path(__file__).parents[1]
ENTRIES: Final = 100_000
ROWS: Final = 100_000
TABS: Final = 10
KEPT: Final = 500  # rows that a page of the live view keeps
RATE: Final = 300  # calls a second
SECONDS: Final = 20
BREAKS: Final = 10
_NAME: Final = "acme"
_BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
_WAIT_S: Final = 60.0
_PAGES: Final = ("/", "/live", "/events", "/lanes", "/dead-letters", "/mapping")
_SEARCHES: Final = (
    "/events/message-31313",
    "/events?message_id=message-500",
    "/events?event=Order+Completed",
    "/events?outcome=dropped",
    "/events?event=Order+Completed&outcome=retry",
)
_ROW_ID: Final = re.compile(r'<tr id=\\?"acme:([0-9]+-[0-9]+)')


@dataclass
class Console:
    """The console in a process of its own, which can be killed and started again."""

    folder: Path
    redis_url: str
    port: int = 0
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def base(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it, and wait until it answers. Raises BenchmarkFailed."""
        self.port = self.port or _free_port()
        file = self.folder / "gateway.yaml"
        destination = {"api_token": "token", "base_url": "http://127.0.0.1:9"}
        source = {"write_key": "dev", "destination": _NAME}
        file.write_text(yaml.safe_dump({"destinations": {_NAME: destination}, "sources": {"shop": source}}))
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")},
            "GATEWAY_REDIS_URL": self.redis_url,
            "GATEWAY_CONFIG": str(file),
        }
        command = [sys.executable, "-m", "app.cli", "console", "--port", str(self.port)]
        self.process = start_child(command, log=self.folder / "console.log", environment=environment)
        async with httpx.AsyncClient(trust_env=False) as http:
            async with asyncio.timeout(_WAIT_S):
                while True:
                    with contextlib.suppress(httpx.HTTPError):
                        if (await http.get(f"{self.base}/readyz")).status_code == 200:
                            return
                    await asyncio.sleep(0.05)

    def kill(self) -> None:
        """End it as a crash does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            stop_child(self.process)

    def memory_mb(self) -> float:
        """Its resident memory."""
        assert self.process is not None
        return float(psutil.Process(self.process.pid).memory_info().rss) / 2**20


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def console(folder: Path, redis_url: str) -> AsyncIterator[Console]:
    """A console that runs until the context ends."""
    running = Console(folder, redis_url)
    try:
        await running.start()
        yield running
    finally:
        running.stop()


@dataclass
class Seen:
    """What a browser has seen: the first paints, and what each tab has shown when."""

    paints: list[dict[str, Any]] = field(default_factory=list)
    written: Sequence[str] = ()  # the IDs of the rows
    frames: list[list[tuple[int, int]]] = field(default_factory=list)  # of each tab: when, and how many rows by then
    kept: list[list[str]] = field(default_factory=list)  # of each tab: the rows that can be read in it at the end
    before_mb: float = 0.0  # of the console after each page was opened
    memory_mb: float = 0.0  # with all tabs open

    @property
    def missed(self) -> int:
        """Rows that a tab did not count, or of the newest ones cannot show, over all tabs."""
        newest = set(self.written[-KEPT:])
        uncounted = sum(abs(len(self.written) - (frames[-1][1] if frames else 0)) for frames in self.frames)
        return uncounted + sum(len(newest - set(each)) for each in self.kept)

    @property
    def lags_ms(self) -> list[float]:
        """How long each row took until a frame showed it: in the list, or counted where newer ones fill the screen."""
        return sorted(lag for frames in self.frames for lag in _lags_ms(self.written, frames))


def _lags_ms(written: Sequence[str], frames: Sequence[tuple[int, int]]) -> Iterator[float]:
    shown = 0
    for at, count in frames:
        yield from (at - int(row.partition("-")[0]) for row in written[shown:count])
        shown = count


async def settle(redis: Redis, numbers: range, rate: float | None = None) -> list[str]:
    """Write the rows of settled calls as workers do, `rate` a second or at once. Their IDs."""
    ids: list[str] = []
    begun = asyncio.get_running_loop().time()
    step = 3 if rate else 100
    for start in range(numbers.start, numbers.stop, step):
        async with redis.pipeline(transaction=False) as pipeline:
            for number in range(start, min(start + step, numbers.stop)):
                facts = {"endpoint": "purchase", "attempt": 1, "outcome": "delivered", "status": 200, "took_ms": 9.5}
                facts |= {"source": "shop", "event": "Order Completed"}
                entry: Any = {"m": f"live-{number}", "s": "attempt", "d": orjson.dumps(facts)}
                pipeline.xadd(DestinationKeys(_NAME).journal, entry)
            ids += [each.decode() for each in await pipeline.execute()]
        if rate:
            ahead = begun + (start - numbers.start + step) / rate - asyncio.get_running_loop().time()
            await asyncio.sleep(max(0.0, ahead))
    return ids


async def on_screen(running: Console, redis: Redis, packages: Path, chromium: str, *, tabs: int, rows: int) -> Seen:
    """Open the live view in some tabs, and let calls settle at RATE. Raises BenchmarkFailed."""
    facts = {"BASE": running.base, "CHROMIUM": chromium, "PLAYWRIGHT": str(packages), "TABS": str(tabs)}
    process = await asyncio.create_subprocess_exec(
        "node",
        str(ROOT / "benchmarks" / "console.mjs"),
        env={**os.environ, **facts, "PAGES": json.dumps(_PAGES)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=2**26,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        seen = Seen(paints=await _line(process), before_mb=running.memory_mb())
        if await _line(process) != "live":
            raise BenchmarkFailed("The tabs did not open.")
        seen.written = await settle(redis, range(rows), RATE)
        seen.memory_mb = running.memory_mb()
        process.stdin.write(f"{len(seen.written)}\n".encode())
        seen.frames, seen.kept = await _line(process), await _line(process)
        async with asyncio.timeout(_WAIT_S):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return seen


async def _line(process: asyncio.subprocess.Process) -> Any:
    assert process.stdout is not None
    assert process.stderr is not None
    line = await process.stdout.readline()
    if not line:
        raise BenchmarkFailed((await process.stderr.read()).decode()[-2000:])
    return json.loads(line)


async def missed(running: Console, redis: Redis, rows: int) -> tuple[int, int]:
    """Follow the live view over BREAKS breaks, and a kill of the console in the middle. Rows that were missed, and
    rows that came twice.
    """
    stream = DestinationKeys(_NAME).journal
    newest = await redis.xrevrange(stream, count=1)
    position = f"{_NAME}={newest[0][0].decode() if newest else '0-0'}"
    writing = asyncio.create_task(settle(redis, range(rows)))
    found: list[str] = []
    breaks = iter(range(rows // (BREAKS + 1), rows * 2, max(1, rows // (BREAKS + 1))))
    next_break, number = next(breaks), 0
    async with asyncio.timeout(_WAIT_S * 10):
        while len(found) < rows:
            with contextlib.suppress(httpx.HTTPError):
                async for ids, where in _batches(running.base, position):
                    position = where
                    found += ids
                    if len(found) >= next_break or len(found) >= rows:
                        break
            if len(found) >= next_break:
                next_break, number = next(breaks), number + 1
                if number == BREAKS // 2:
                    running.kill()
                    await running.start()
    written = await writing
    return len(set(written) - set(found)), len(found) - len(set(found))


async def _batches(base: str, position: str) -> AsyncIterator[tuple[list[str], str]]:
    """The IDs of the rows of each whole batch, and the position after it."""
    address = f"{base}/live/stream?outcome=delivered&after={position}"
    ids: list[str] = []
    where = ""
    timeout = httpx.Timeout(_WAIT_S)
    async with httpx.AsyncClient(timeout=timeout, trust_env=False) as http, http.stream("GET", address) as answer:
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "data" and value.startswith("["):
                ids += _ROW_ID.findall(value)
            elif name == "id":
                where = value
            elif not line and where:  # a message without a position is a part of a batch
                yield ids, where
                ids, where = [], ""


async def searches(running: Console) -> dict[str, float]:
    """The median time of each search page, in ms."""
    times: dict[str, float] = {}
    async with httpx.AsyncClient(base_url=running.base, timeout=_WAIT_S, trust_env=False) as http:
        for path in _SEARCHES:
            taken = []
            for _ in range(5):
                answer = await http.get(path)
                if answer.status_code != 200:
                    raise BenchmarkFailed(f"{path} answers with {answer.status_code}.")
                taken.append(answer.elapsed.total_seconds() * 1000)
            times[path] = statistics.median(taken)
    return times


def script_bytes() -> int:
    """The script as browsers download it."""
    return len(gzip.compress((ROOT / "app" / "console" / "static" / "console.js").read_bytes()))


async def measure(folder: Path, redis_url: str, packages: Path, chromium: str) -> Iterator[tuple[str, str, str, str]]:
    """The table: what was measured, the figure, what is to be reached, and whether it was."""
    redis = open_redis(redis_url)
    try:
        await redis.flushall()
        async with console(folder, redis_url) as running:
            await asyncio.sleep(2)
            idle = running.memory_mb()
            await fill(redis, ENTRIES, 20)
            seen = await on_screen(running, redis, packages, chromium, tabs=TABS, rows=RATE * SECONDS)
            times = await searches(running)
            await redis.flushall()
            lost, twice = await missed(running, redis, ROWS)
    finally:
        await redis.aclose(close_connection_pool=True)
    lags = seen.lags_ms
    slowest = max(times, key=lambda path: times[path])
    paints = {path: statistics.median(each["ms"] for each in seen.paints if each["path"] == path) for path in _PAGES}
    return iter(
        [
            _row(f"row on screen, {RATE} calls/s, {TABS} tabs, p50", _at(lags, 0.5), 100, "ms"),
            _row("the same, p99", _at(lags, 0.99), 500, "ms"),
            _row(f"rows missed by the tabs, of {len(seen.written) * TABS:,}", seen.missed, 0, ""),
            _row(f"rows missed over a kill and {BREAKS} reconnects, of {ROWS:,}", lost, 0, ""),
            _row("rows that came twice", twice, 0, ""),
            _row("first contentful paint, slowest page", max(paints.values()), 300, "ms"),
            _row("script, gzipped", script_bytes() / 1024, 20, "KB"),
            _row("memory, idle", idle, 90, "MB"),
            _row("memory, each open tab", (seen.memory_mb - seen.before_mb) / TABS, 0.5, "MB"),
            _row(f"search among {ENTRIES:,} entries, slowest ({slowest})", times[slowest], 200, "ms"),
        ]
    )


def _at(values: Sequence[float], share: float) -> float:
    return values[int(share * (len(values) - 1))] if values else float("inf")


def _row(what: str, figure: float, reach: float, unit: str) -> tuple[str, str, str, str]:
    verdict = "reached" if figure <= reach else "missed"
    return what, f"{figure:,.1f} {unit}".replace(".0 ", " ").strip(), f"at most {reach:g} {unit}".strip(), verdict


@ends_with_a_line
def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.console", description=__doc__)
    packages = ROOT / "tests" / "clients" / "node_modules"
    parser.add_argument("--packages", type=Path, default=packages, help="the folder of playwright-core")
    parser.add_argument("--chromium", help="the browser; by default, the first on the PATH")
    given = parser.parse_args()
    chromium = given.chromium or next(filter(None, map(shutil.which, _BROWSERS)), None)
    if chromium is None:
        sys.exit("There is no Chromium. Install one, or name it with --chromium.")
    where = machine()
    with tempfile.TemporaryDirectory() as folder, embedded_redis(Path(folder)) as url:
        rows = list(asyncio.run(measure(Path(folder), url, given.packages, chromium)))
    print(markdown(("measured", "figure", "reach", "verdict"), rows))
    print(f"\n{where}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
