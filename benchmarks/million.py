"""A million requests, many of them hostile: no answer is a 5xx, none hangs, memory stays level, the counters add up.

Run it from the repository's root: `python -m benchmarks.million`. It posts to a gateway of its own on 127.0.0.1, with a
Redis and a worker of its own, and ends with them.
"""

import argparse
import asyncio
import contextlib
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson

from app.settings import DEFAULT_DESTINATION
from app.store.keys import DestinationKeys
from benchmarks.contenders import GATEWAY, SINK
from benchmarks.failure import BenchmarkFailed, ends_with_a_line
from benchmarks.process import Running, Store, gateway_worker, serving, store
from benchmarks.tables import markdown
from benchmarks.wrk import AUTHORIZATION
from tests.builders import Raw
from tests.hostile.corpus import ATTACKS, plain

REQUESTS: Final = 1_000_000
CONNECTIONS: Final = 32
HOSTILE_SHARE: Final = 0.25
SIZES: Final = (300, 600, 1_200)  # bytes of an event, about
PIPELINED: Final = 16  # requests that a connection sends before it reads their answers
HANG_S: Final = 60.0
SAMPLE_EVERY_S: Final = 10.0
_ENVIRONMENT: Final = {"GATEWAY_DEAD_LETTER_BYTES": str(2**22), "GATEWAY_MAX_BACKLOG_EVENTS": "200000"}


@dataclass
class Seen:
    """What the answers and the processes showed."""

    statuses: Counter[int] = field(default_factory=Counter)
    hung: int = 0
    gateway_bytes: list[int] = field(default_factory=list)
    redis_bytes: list[int] = field(default_factory=list)

    @property
    def answered(self) -> int:
        """All requests that got an answer."""
        return sum(self.statuses.values())


def requests(seed: int) -> Iterator[bytes]:
    """Requests without end, of which a part is hostile. Each event has a message id of its own."""
    chance = random.Random(seed)
    events = [plain(size) for size in SIZES]
    hostile = [attack.event(size) for attack in ATTACKS for size in SIZES]
    kinds = {True: [_posted(event) for event in hostile], False: [_posted(event) for event in events]}
    broken = [
        b"[" * 500,
        b'{"batch":[[],NaN]}',
        b'{"type":"track","event":' + b"9" * 400 + b"}",
        b"\xff\x1f\x8b" * 50,
        b"",
    ]
    number = 0
    while True:
        number += 1
        path, body = chance.choice(kinds[chance.random() < HOSTILE_SHARE])
        body = body.replace(b'"message-1"', b'"m-%d-%d"' % (seed, number), 1)
        if chance.random() < 0.02:
            body = chance.choice(broken)
        yield (
            b"POST %b HTTP/1.1\r\nHost: gateway\r\nAuthorization: %b\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (path, AUTHORIZATION.encode(), len(body), body)
        )


def _posted(event: Raw) -> tuple[bytes, bytes]:
    """The path that an event is posted to, and its JSON."""
    return f"/v1/{event['type']}".encode(), orjson.dumps(event)


async def attack(server: Running, kept: Store, total: int, most_s: float) -> Seen:
    """Post them all, or as many as this time allows. Raises BenchmarkFailed where a connection ends early."""
    seen = Seen()
    each, until = total // CONNECTIONS, time.monotonic() + most_s
    sampling = asyncio.create_task(_sample(server, kept, seen))
    await asyncio.gather(*(_connection(server.port, number, each, until, seen) for number in range(CONNECTIONS)))
    sampling.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await sampling
    return seen


async def _connection(port: int, number: int, count: int, until: float, seen: Seen) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    stream, left = requests(number), count
    while left and time.monotonic() < until:
        group = min(PIPELINED, left)
        writer.write(b"".join(next(stream) for _ in range(group)))
        for _ in range(group):
            try:
                status, closes = await asyncio.wait_for(_answer(reader), HANG_S)
            except TimeoutError:
                seen.hung += 1
                return
            seen.statuses[status] += 1
            if closes:
                raise BenchmarkFailed(f"a connection was closed after {status}")
        left -= group
    writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
    await reader.readexactly(length)
    return int(head[9:12]), b"connection: close" in lines


async def _sample(server: Running, kept: Store, seen: Seen) -> None:
    while True:
        seen.gateway_bytes.append(server.memory_bytes())
        seen.redis_bytes.append(kept.memory_bytes())
        await asyncio.sleep(SAMPLE_EVERY_S)


def counted(kept: Store) -> tuple[int, int]:
    """Events received, and events that have ended, when nothing waits any more. Raises BenchmarkFailed."""
    until = time.monotonic() + 300
    while True:
        page = kept.redis.hgetall(DestinationKeys(DEFAULT_DESTINATION).counters)
        counters = {name.decode(): int(value) for name, value in page.items()}  # type: ignore[union-attr]
        received = counters.get("received", 0)
        ends = [
            value
            for name, value in counters.items()
            if name == "delivered" or name.startswith(("dropped:", "dead:", "unknown:"))
        ]
        if received == sum(ends):
            return received, sum(ends)
        if time.monotonic() > until:
            raise BenchmarkFailed(f"{received - sum(ends)} of {received} events have not ended")
        time.sleep(1)


@ends_with_a_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Run it, print the table, and return 1 where something is not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.million", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--most-seconds", type=float, default=3600.0)
    args = parser.parse_args(arguments)
    with (
        store() as kept,
        serving(SINK, kept) as sink,
        serving(GATEWAY, kept, environment=_ENVIRONMENT) as server,
        gateway_worker(kept, sink),
    ):
        started = time.monotonic()
        before, _ = counted(kept)  # what asked whether the gateway is ready
        seen = asyncio.run(attack(server, kept, args.requests, args.most_seconds))
        took_s = time.monotonic() - started
        received, ended = counted(kept)
    level = seen.gateway_bytes[len(seen.gateway_bytes) // 4 :]
    rows = [
        ("requests answered", f"{seen.answered:,} in {took_s:,.0f} s"),
        *((f"answered with {status}", f"{number:,}") for status, number in sorted(seen.statuses.items())),
        ("requests that hung", f"{seen.hung:,}"),
        ("memory of the gateway: after a quarter, at the end, at most", " / ".join(
            f"{size / 2**20:,.0f} MiB" for size in (level[0], level[-1], max(level))
        )),
        ("memory of Redis at the end", f"{seen.redis_bytes[-1] / 2**20:,.0f} MiB"),
        ("events received and ended", f"{received - before:,} and {ended - before:,}"),
    ]  # fmt: skip
    print(markdown(("What", "Figure"), rows))
    good = not seen.hung and not any(status >= 500 for status in seen.statuses)
    return 0 if good and received == ended == before + seen.statuses[200] else 1


if __name__ == "__main__":
    sys.exit(main())
