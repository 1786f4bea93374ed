"""The live views: one reader for all of them, and each has every row that it wants, once."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import orjson
import pytest
from redis.asyncio import Redis

from app.console.live import Live, LiveBatch
from app.delivery.journal.event_rows import EventFilter, EventRow, RowOutcome
from app.delivery.journal.event_search import newest
from app.store.errors import StoreError
from app.store.keys import DestinationKeys
from tests.console.opened import arrive, happen

NAMES = ["acme", "acme-uk"]
ARRIVALS = EventFilter(outcomes=frozenset({RowOutcome.ACCEPTED}))


@asynccontextmanager
async def reading(redis: Redis, names: Sequence[str] = NAMES, queued: int = 100) -> AsyncIterator[Live]:
    live = Live(redis, lambda: names, lambda found: (found.message_id, ""), queued=queued)
    try:
        yield live
    finally:
        await live.close()


async def happened(redis: Redis, numbers: range, destination: str = "acme") -> list[str]:
    """Many arrivals at once. Their message IDs."""
    named = [f"{destination}-{number}" for number in numbers]
    async with redis.pipeline(transaction=False) as pipeline:
        for message_id in named:
            entry = {"m": message_id, "s": "received", "d": orjson.dumps({"decision": "forward"})}
            pipeline.xadd(DestinationKeys(destination).journal, entry)  # type: ignore[arg-type]
        await pipeline.execute()
    return named


class View:
    """What one view has received."""

    def __init__(self, live: Live, after: dict[str, str], wanted: EventFilter = ARRIVALS) -> None:
        self.position, self.seen, self.batches = dict(after), list[str](), live.follow(wanted, after)

    async def step(self) -> LiveBatch:
        batch = await anext(self.batches)
        self.seen += [each.html[0] for each in batch.rows]
        self.position = dict(batch.position)
        return batch

    async def has(self, rows: int) -> None:
        while len(self.seen) < rows:
            await self.step()

    async def ended(self) -> None:
        while True:
            await self.step()


async def readers(redis: Redis) -> int:
    return sum(each["cmd"] == "xread" for each in await redis.client_list())


async def test_one_reader_serves_all_views(redis: Redis) -> None:
    async with AsyncExitStack() as stack:
        live = await stack.enter_async_context(reading(redis))
        begin = await newest(redis, NAMES)
        views = [View(live, begin) for _ in range(10)]
        for view in views:
            await stack.enter_async_context(aclosing(view.batches))
            await view.step()
        sent = await happened(redis, range(50)) + await happened(redis, range(50), "acme-uk")
        for view in views:
            await view.has(len(sent))
        assert [sorted(view.seen) for view in views] == [sorted(sent)] * 10
        assert await readers(redis) == 1


async def test_the_html_of_a_row_is_made_once_for_all_views(redis: Redis) -> None:
    made: list[str] = []

    def show(found: EventRow) -> tuple[str, str]:
        made.append(found.message_id)
        return found.message_id, ""

    live = Live(redis, lambda: NAMES, show)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(live.close)
        views = [View(live, await newest(redis, NAMES)) for _ in range(5)]
        for view in views:
            await stack.enter_async_context(aclosing(view.batches))
            await view.step()
        sent = await happened(redis, range(20))
        for view in views:
            await view.has(20)
    assert made == sent


async def test_a_view_has_the_rows_of_its_destinations_that_match_its_filter(redis: Redis) -> None:
    async with AsyncExitStack() as stack:
        live = await stack.enter_async_context(reading(redis))
        begin = await newest(redis, NAMES)
        narrow = View(live, {"acme": begin["acme"]}, EventFilter(event="Order Completed"))
        wide = View(live, begin, EventFilter())
        for view in (narrow, wide):
            await stack.enter_async_context(aclosing(view.batches))
            await view.step()
        await arrive(redis, "m-1", event="Order Completed")
        await arrive(redis, "m-2", event="Product Viewed")
        await happen(redis, "m-3", "received", "acme-uk", event="Order Completed")
        await wide.has(5)
        while narrow.position["acme"] != wide.position["acme"]:
            await narrow.step()
        assert narrow.seen == ["m-1"]


async def test_a_view_that_is_too_slow_misses_nothing(redis: Redis) -> None:
    """Its queue takes 100 rows; what comes beyond is read again."""
    async with AsyncExitStack() as stack:
        live = await stack.enter_async_context(reading(redis))
        begin = await newest(redis, ["acme"])
        slow, quick = View(live, begin), View(live, begin)
        for view in (slow, quick):
            await stack.enter_async_context(aclosing(view.batches))
            await view.step()
        sent = []
        for start in range(0, 3000, 300):
            sent += await happened(redis, range(start, start + 300))
            await quick.has(len(sent))
            await slow.step()
        await slow.has(len(sent))
        assert slow.seen == sent
        assert quick.seen == sent


async def test_a_view_that_comes_back_while_rows_come_has_each_once(redis: Redis) -> None:
    begin = await newest(redis, NAMES)
    sent: list[str] = []
    seen: list[str] = []
    async with reading(redis) as live:

        async def come() -> None:
            for start in range(0, 2000, 20):
                sent.extend(await happened(redis, range(start, start + 20)))
                sent.extend(await happened(redis, range(start, start + 20), "acme-uk"))

        coming = asyncio.create_task(come())
        keeps = View(live, begin)
        while not (coming.done() and len(seen) >= len(sent)):
            view = View(live, begin)
            async with aclosing(view.batches):
                for _ in range(3):
                    await view.step()
            begin = view.position
            seen += view.seen
        async with aclosing(keeps.batches):
            await keeps.has(len(sent))
    assert sorted(seen) == sorted(sent)
    assert sorted(keeps.seen) == sorted(sent)
    assert [each for each in seen if each.startswith("acme-uk")] == [f"acme-uk-{number}" for number in range(2000)]


async def test_when_redis_fails_the_views_end_and_the_next_ones_go_on(redis: Redis) -> None:
    async with reading(redis) as live:
        first = View(live, await newest(redis, NAMES))
        await first.step()
        sent = await happened(redis, range(10))
        await first.has(10)
        await redis.set(DestinationKeys("acme").journal, "not a stream")
        with pytest.raises(StoreError):
            await first.ended()
        await redis.delete(DestinationKeys("acme").journal)
        second = View(live, first.position)
        async with aclosing(second.batches):
            await second.step()
            sent += await happened(redis, range(10, 20))
            await second.has(10)
    assert first.seen + second.seen == sent


async def test_a_destination_that_is_added_is_read_and_one_that_is_removed_ends_its_views(redis: Redis) -> None:
    names = ["acme"]
    async with AsyncExitStack() as stack:
        live = await stack.enter_async_context(reading(redis, names))
        old = View(live, await newest(redis, ["acme"]))
        await old.step()
        names[:] = ["acme-uk"]
        new = View(live, await newest(redis, ["acme-uk"]))
        await stack.enter_async_context(aclosing(new.batches))
        sent = await happened(redis, range(3), "acme-uk")
        await new.has(3)
        with pytest.raises(StopAsyncIteration):
            await old.ended()
        assert new.seen == sent


async def test_rows_that_were_trimmed_before_they_were_read_are_reported(redis: Redis) -> None:
    journal = DestinationKeys("acme").journal
    await happen(redis, "m-0", "received")
    begin = await newest(redis, ["acme"])
    await happened(redis, range(10))
    await redis.xtrim(journal, maxlen=3, approximate=False)
    async with reading(redis) as live:
        view = View(live, begin)
        async with aclosing(view.batches):
            batch = await view.step()
    assert batch.missed == {"acme"}
    assert view.seen == ["acme-7", "acme-8", "acme-9"]


async def test_views_with_one_filter_are_one_watcher_and_the_last_ends_it(redis: Redis) -> None:
    tap = DestinationKeys("acme").tap
    async with reading(redis) as live:
        views = [View(live, await newest(redis, ["acme"]), wanted) for wanted in (ARRIVALS, ARRIVALS, EventFilter())]
        watchers = []
        for view in views:
            await view.step()
        watchers.append(len(orjson.loads(await redis.get(tap))))
        for view in views:
            await view.batches.aclose()
            watchers.append(len(orjson.loads(await redis.get(tap) or "[]")))
    assert watchers == [2, 2, 1, 0]
