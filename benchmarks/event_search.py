"""How long a search of the journal takes: by each thing that an operator may know, and the trace of one event.

Run it from the repository's root: `python -m benchmarks.event_search`. It needs a Redis server.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import orjson
from redis.asyncio import Redis

from app.delivery.journal.event_rows import EventFilter, RowOutcome
from app.delivery.journal.event_search import search_events, search_rows, stories_of
from app.delivery.outbox import Outbox
from app.embedded import embedded_redis
from app.ingest.arrivals import outbox_event_of
from app.pipeline import Plan, decide, read
from app.store.connection import open_redis
from benchmarks.failure import ends_with_a_line
from benchmarks.machine import machine
from benchmarks.tables import markdown

ENTRIES: Final = 100_000
AT_ONCE: Final = (1, 20)  # events of one flush: of a quiet gateway, and of a busy one
ROUNDS: Final = 5
ALLOWED_MS: Final = 200
_NAME: Final = "acme"


@ends_with_a_line
def main() -> int:
    """Print the table of both gateways."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=ENTRIES, help="entries of the journal")
    entries = parser.parse_args().entries
    with tempfile.TemporaryDirectory() as folder, embedded_redis(Path(folder)) as url:
        rows = asyncio.run(measure(url, entries))
    print(machine())
    print(markdown(("search", *(f"{count} at once, ms" for count in AT_ONCE)), rows))
    return 0


async def measure(url: str, entries: int) -> list[tuple[str, ...]]:
    """The median time of each search, for each way in which the events came in."""
    columns = []
    for at_once in AT_ONCE:
        redis = open_redis(url)
        await redis.flushall()
        await fill(redis, entries, at_once)
        columns.append([f"{await _median_ms(search(redis)):.0f}" for _, search in SEARCHES])
        await redis.aclose(close_connection_pool=True)
    return [(name, *times) for (name, _), *times in zip(SEARCHES, *columns, strict=True)]


async def fill(redis: Redis, entries: int, at_once: int) -> None:
    """Events as the gateway takes them in, of a tenth as many people, every 50th without an identity."""
    outbox = Outbox(redis, wake=lambda *_: None, journal_entries=entries)
    plan = Plan()
    for start in range(0, entries, at_once):
        await outbox.submit(_NAME, [_arrival(number, plan) for number in range(start, start + at_once)])
    await outbox.close()
    for key in await redis.keys(f"{{{_NAME}}}:lane:*"):
        await redis.unlink(key)


def _arrival(number: int, plan: Plan) -> Any:
    now = datetime.now(UTC)
    person = number % (ENTRIES // 10)
    traits = {"email": f"person-{person}@example.com"} if number % 50 else {}
    raw = {
        "type": "track",
        "event": ("Order Completed", "Product Viewed", "Product Added", "Signed Up")[number % 4],
        "messageId": f"message-{number}",
        "timestamp": now.isoformat(),
        "anonymousId": f"browser-{person}",
        "context": {"traits": traits},
        "properties": {"order_id": f"order-{number}", "product_id": "p", "name": "Mug", "price": 5, "currency": "USD"},
    }
    reading = read(raw, orjson.dumps(raw), plan)
    decision = decide(reading, plan, source="shop", received_at=now)
    return outbox_event_of(reading.event, decision, original=reading.original, source="shop", received_at=now)


Search = Callable[[Redis], Callable[[], Awaitable[object]]]


def _events(**wanted: Any) -> Search:
    return lambda redis: lambda: search_events(redis, [_NAME], EventFilter(**wanted), limit=50)


SEARCHES: Final[tuple[tuple[str, Search], ...]] = (
    ("the trace of one event", lambda redis: lambda: stories_of(redis, [_NAME], "message-31313")),
    ("the newest rows", lambda redis: lambda: search_rows(redis, [_NAME], EventFilter(), limit=50)),
    ("the newest events", _events()),
    ("message ID", _events(message_id="message-500")),
    ("order ID", _events(order_id="order-777")),
    ("e-mail address", _events(email="person-321@example.com")),
    ("event name", _events(event="Order Completed")),
    ("endpoint", _events(endpoint="purchase")),
    ("outcome", _events(outcomes=frozenset({RowOutcome.DROPPED}))),
    ("event name and outcome, of none", _events(event="Order Completed", outcomes=frozenset({RowOutcome.RETRY}))),
    ("the last minute", _events(since=datetime.now(UTC) - timedelta(minutes=1))),
)


async def _median_ms(search: Callable[[], Awaitable[object]]) -> float:
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        await search()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


if __name__ == "__main__":
    sys.exit(main())
