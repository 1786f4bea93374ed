"""The way into Redis: repeats are found, the connection is replaced, and the next events are made while Redis works."""

import asyncio
from collections.abc import Sequence
from typing import Final

import pytest
from redis.asyncio import Redis

from app.delivery.counters import read_counters
from app.delivery.delivery import event_key
from app.delivery.outbox import EVENTS_AHEAD, EVENTS_PER_FLUSH, Outbox
from app.delivery.outbox_event import OutboxEvent
from app.store.connection import QueueUnavailable, open_redis

MORE_THAN_LUA_TAKES_AT_ONCE: Final = 2_500


@pytest.fixture
def outbox(redis: Redis) -> Outbox:
    return Outbox(redis, wake=lambda *_: None, journal_entries=10_000)


def arrival(message_id: str) -> OutboxEvent:
    return OutboxEvent(event_key("shop", message_id), message_id, b"{}", "dropped:no_content")


def arrivals(numbers: Sequence[int]) -> list[OutboxEvent]:
    return [arrival(f"m-{number}") for number in numbers]


async def taken(redis: Redis) -> tuple[int, int]:
    """How many events came in, and how many of them were repeats."""
    (counters,) = await read_counters(redis, ["acme"])
    return counters.received, counters.dropped.get("duplicate", 0)


class TestARepeat:
    @pytest.mark.parametrize(
        ("flushes", "repeats"),
        [
            pytest.param([[1, 2], [3]], 0, id="is no other event"),
            pytest.param([[1, 2], [2, 3, 1]], 2, id="of an earlier flush"),
            pytest.param([[1, 2, 1, 1]], 2, id="within one flush"),
            pytest.param([[1], [1], [1, 1]], 3, id="is one again and again"),
            pytest.param([[*range(MORE_THAN_LUA_TAKES_AT_ONCE), 0, 1_001, 2_499]], 3, id="far behind the first"),
            pytest.param([[*range(MORE_THAN_LUA_TAKES_AT_ONCE)], [2_499, 0, 1_000, 9_999]], 3, id="of a large flush"),
        ],
    )
    async def test_is_dropped(self, redis: Redis, outbox: Outbox, flushes: list[list[int]], repeats: int) -> None:
        for numbers in flushes:
            await outbox.submit("acme", arrivals(numbers))
        assert await taken(redis) == (sum(map(len, flushes)), repeats)


class TestTheConnection:
    async def kill(self, redis: Redis) -> None:
        """Close the connections that a script was run by."""
        for client in await redis.client_list():
            if client["cmd"].startswith("eval"):
                await redis.client_kill_filter(_id=client["id"])

    async def test_is_replaced_when_it_was_closed_meanwhile(self, redis: Redis, outbox: Outbox) -> None:
        for number in range(3):
            await outbox.submit("acme", arrivals([number]))
            await self.kill(redis)
        assert await taken(redis) == (3, 0)

    async def test_may_break_while_redis_answers(self, redis: Redis, outbox: Outbox) -> None:
        """It is asked again, and finds the events there or not: they are kept once."""
        killing: list[asyncio.Task[None]] = []
        outbox.on_capacity(lambda: killing.append(asyncio.create_task(self.kill(redis))))
        for number in range(20):
            await outbox.submit("acme", arrivals([number]))
            await killing[-1]
        received, repeats = await taken(redis)
        assert received - repeats == 20


class TestTheOutboxIsFull:
    async def test_when_enough_waits_for_the_next_flush(self, redis: Redis, outbox: Outbox) -> None:
        answers: list[BaseException | None] = []
        full = []
        for numbers in (range(EVENTS_AHEAD - 1), [99]):
            outbox.hand_in("acme", arrivals(numbers), answers.append)
            full.append(outbox.at_capacity)
        await outbox.flush()
        assert ([*full, outbox.at_capacity], answers) == ([False, True, False], [None, None])
        assert await taken(redis) == (EVENTS_AHEAD, 0)

    async def test_until_a_flush_has_left_which_it_tells_before_redis_answers(self, outbox: Outbox) -> None:
        answers: list[BaseException | None] = []
        told: list[tuple[bool, int]] = []
        outbox.on_capacity(lambda: told.append((outbox.at_capacity, len(answers))))
        outbox.hand_in("acme", arrivals(range(EVENTS_AHEAD)), answers.append)
        await outbox.flush()
        assert told[-1] == (False, 0)

    async def test_as_long_as_more_waits_than_a_flush_takes(self, outbox: Outbox) -> None:
        answers: list[BaseException | None] = []
        told: list[int] = []
        outbox.on_capacity(lambda: told.append(len(answers)))
        for first in range(0, 3 * EVENTS_PER_FLUSH, EVENTS_PER_FLUSH):
            outbox.hand_in("acme", arrivals(range(first, first + EVENTS_PER_FLUSH)), answers.append)
        await outbox.flush()
        assert told == [2]  # with the third flush, once the others were answered

    async def test_no_longer_when_a_flush_could_not_leave_or_who_waits_for_room_would_wait_for_ever(self) -> None:
        nobody = Outbox(open_redis("redis://127.0.0.1:1"), wake=lambda *_: None, journal_entries=100)
        answers: list[BaseException | None] = []
        told: list[bool] = []
        nobody.on_capacity(lambda: told.append(nobody.at_capacity))
        nobody.hand_in("acme", arrivals(range(EVENTS_AHEAD)), answers.append)
        await nobody.flush()
        assert (told, [type(answer) for answer in answers]) == ([False], [QueueUnavailable])

    async def test_while_what_it_tells_of_fails_nothing_is_lost(self, redis: Redis, outbox: Outbox) -> None:
        def fail() -> None:
            outbox.on_capacity(lambda: None)
            raise LookupError

        answers: list[BaseException | None] = []
        await outbox.submit("acme", arrivals([1]))
        outbox.on_capacity(fail)
        outbox.hand_in("acme", arrivals([2]), answers.append)
        await outbox.flush()
        assert isinstance(answers[0], LookupError)
        await outbox.submit("acme", arrivals([2, 3]))
        assert (await taken(redis))[0] - (await taken(redis))[1] == 3
