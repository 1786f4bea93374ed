"""Property names of event types are counted over the whole life of an account, each once."""

import tracemalloc
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from app.delivery.accounts import event_keys
from app.delivery.accounts.event_keys import EventKeys, read_event_keys


def body(kind: str, properties: dict[str, Any]) -> bytes:
    return orjson.dumps({"type": kind, "user": {"email": "a@b.co"}, "properties": properties})


async def counted(redis: Redis) -> dict[str, int]:
    return dict((await read_event_keys(redis, ["acme"]))["acme"])


async def test_each_name_counts_once_whatever_worker_sees_it(redis: Redis) -> None:
    for worker in (EventKeys(), EventKeys()):
        worker.note("acme", body("Quiz", {"score": 1, "answers": [{"text": "a"}, {"text": "b", "score": 2}]}))
        worker.note("acme", body("Quiz", {"score": 2}))
        worker.note("acme", body("Joined", {"list": "news"}))
        worker.note("acme", body("Left", {}))
        await worker.flush(redis)
    assert await counted(redis) == {"Quiz": 4, "Joined": 1}
    assert list(await counted(redis)) == ["Quiz", "Joined"]


async def test_types_are_masked_and_names_are_not_stored(redis: Redis) -> None:
    worker = EventKeys()
    worker.note("acme", body("Mail to jane@shop-a.example", {"jane@shop-a.example": 1}))
    await worker.flush(redis)
    assert await counted(redis) == {"Mail to j***@shop-a.example": 1}
    stored = [await redis.dump(key) for key in await redis.keys("*")]
    assert not any(b"jane" in each for each in stored if each)


async def test_what_is_kept_is_bounded(redis: Redis) -> None:
    worker = EventKeys()
    for number in range(150):
        names = {f"name-{number}-{each}": 1 for each in range(1000)}
        worker.note("acme", body(f"Type {number}", names))
    await worker.flush(redis)
    assert max((await counted(redis)).values()) == event_keys.MOST_OF_A_TYPE
    assert event_keys.MOST_KEPT <= sum((await counted(redis)).values()) < event_keys.MOST_KEPT + 1000


async def test_long_names_take_no_memory_of_a_worker(redis: Redis) -> None:
    worker, long_name = EventKeys(), "a" * 10_000
    tracemalloc.start()
    try:
        for number in range(5):
            worker.note("acme", body(f"Type {number}", {long_name: {f"name-{each}": 1 for each in range(199)}}))
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 1_000_000  # the names below the long one make ten million characters
    await worker.flush(redis)
    assert set((await counted(redis)).values()) == {200}


@pytest.mark.parametrize("destination", ["acme", "other"])
async def test_destinations_are_apart(redis: Redis, destination: str) -> None:
    worker = EventKeys()
    worker.note(destination, body("Quiz", {"score": 1}))
    await worker.flush(redis)
    assert await counted(redis) == ({"Quiz": 1} if destination == "acme" else {})
