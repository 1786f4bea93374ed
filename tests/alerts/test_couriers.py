"""Couriers deliver until a channel took a message; a dead channel delays no other; many messages become one."""

import asyncio
import time
from dataclasses import replace
from typing import Any, Final

from redis.asyncio import Redis

from app.alerts.channels import Post
from app.alerts.couriers import DIGEST_ABOVE, DIGEST_S, GIVEN_UP_AFTER_MS, Courier, Couriers, MemoryQueue, StoredQueue
from app.alerts.messages import Message
from app.alerts.plan import AlertPlan
from app.alerts.register import Register, Side, count_waiting, read_channels
from app.alerts.routing import Channel
from app.alerts.state import Kind, Level
from app.store.keys import AlertKeys
from tests.alerts.receivers import PAGERDUTY_URL, http_receiver, play_slack_and_pagerduty
from tests.waiting import until

NOW: Final = time.time_ns() // 1_000_000


def message(number: int = 1, kind: Kind = Kind.TRIGGER, at: int = NOW) -> Message:
    return Message(kind, Level.WARNING, f"[acme] warning: number {number}", "Do this.", f"key-{number}", at)


def queued(*messages: Message) -> MemoryQueue:
    queue = MemoryQueue()
    for each in messages:
        queue.add(each)
    return queue


async def test_a_message_is_tried_again_with_growing_pauses_until_it_is_taken() -> None:
    queue = queued(message())
    with http_receiver("refuses") as receiver:
        courier = Courier(Channel("hook"), Post(receiver.webhook), queue)
        assert [await courier.deliver() for _ in range(3)] == [2, 4, 8]
        receiver.heal()
        assert await courier.deliver() == 0
        assert queue.is_empty
        assert len(receiver.messages) == 1


async def test_a_channel_that_is_dead_delays_no_other(redis: Redis) -> None:
    with http_receiver("hangs") as dead, http_receiver() as good:
        plan = AlertPlan({}, [Channel("dead"), Channel("good")], {"dead": dead.webhook, "good": good.webhook})
        register = Register(redis, Side.WORKERS)
        couriers = Couriers(lambda channel: StoredQueue(register, channel))
        for channel in ("dead", "good"):
            await redis.xadd(AlertKeys.queue(Side.WORKERS, channel), {b"d": message().to_json()})
        await couriers.use(plan)
        await until(
            lambda: len(good.messages) == 1 and dead.attempts == 1, "the good one has it, the dead one does not"
        )
        assert await count_waiting(redis, ["dead"]) == [1]
        dead.heal()
        await couriers.stop()


async def test_how_a_channel_fares_is_stored_without_its_address(redis: Redis) -> None:
    queue = StoredQueue(Register(redis, Side.WORKERS), "hook")
    await redis.xadd(AlertKeys.queue(Side.WORKERS, "hook"), {b"d": message().to_json()})
    with http_receiver("refuses") as receiver:
        courier = Courier(Channel("hook"), Post(receiver.webhook), queue)
        await courier.deliver()
        failed = (await read_channels(redis))["hook"]
        assert failed.failure
        assert "secret-path" not in str(await redis.hgetall(AlertKeys.channels))  # type: ignore[misc]
        receiver.heal()
        await courier.deliver()
    assert (await read_channels(redis))["hook"].failure == ""
    assert await count_waiting(redis, ["hook"]) == [0]


async def test_more_than_five_messages_become_one() -> None:
    queue = queued(*(message(number) for number in range(8)))
    with http_receiver() as receiver:
        await Courier(Channel("hook"), Post(receiver.webhook), queue).deliver()
        (text,) = receiver.texts()
    assert "8 alerts changed" in text
    assert all(f"number {number}" in text for number in range(8))
    assert queue.is_empty


async def test_five_messages_within_30_s_are_sent_as_they_come_and_further_ones_wait() -> None:
    now = 0.0
    queue = MemoryQueue()
    with http_receiver() as receiver:
        courier = Courier(Channel("hook"), Post(receiver.webhook), queue, clock=lambda: now)
        for number in range(DIGEST_ABOVE):
            queue.add(message(number))
            await courier.deliver()
        queue.add(message(6))
        queue.add(message(7))
        assert await courier.deliver() > 0
        assert len(receiver.messages) == DIGEST_ABOVE
        now = DIGEST_S
        await courier.deliver()
        await courier.deliver()
    assert len(receiver.messages) == DIGEST_ABOVE + 2
    assert queue.is_empty


async def test_pagerduty_gets_every_message_for_itself() -> None:
    queue = queued(*(message(number) for number in range(8)))
    with http_receiver() as receiver:
        play_slack_and_pagerduty(pagerduty=receiver.url)
        courier = Courier(Channel("on-call"), Post(PAGERDUTY_URL), queue)
        while not queue.is_empty:
            await courier.deliver()
    assert len({each["dedup_key"] for each in receiver.messages}) == 8


async def test_a_message_of_yesterday_is_given_up(logged: list[Any]) -> None:
    queue = queued(message(1, at=NOW - GIVEN_UP_AFTER_MS - 60_000), message(2))
    with http_receiver() as receiver:
        courier = Courier(Channel("hook"), Post(receiver.webhook), queue)
        await courier.deliver()
        await courier.deliver()
        (text,) = receiver.texts()
    assert "number 2" in text
    assert [line["event"] for line in logged] == ["alerts.given_up", "alerts.sent"]


async def test_a_process_that_has_lost_the_lease_sends_nothing(redis: Redis) -> None:
    await redis.xadd(AlertKeys.queue(Side.WORKERS, "hook"), {b"d": message().to_json()})
    late = Register(redis, Side.WORKERS)
    assert await late.lead()
    await redis.delete(AlertKeys.leader(Side.WORKERS))
    assert await Register(redis, Side.WORKERS).lead()
    with http_receiver() as receiver:
        assert await Courier(Channel("hook"), Post(receiver.webhook), StoredQueue(late, "hook")).deliver() > 0
        assert receiver.attempts == 0


async def test_what_another_release_stored_is_left_out(redis: Redis) -> None:
    key = AlertKeys.queue(Side.WORKERS, "hook")
    await redis.xadd(key, {b"d": b"?"})
    await redis.xadd(key, {b"d": message().to_json()})
    assert [each.title for _, each in await StoredQueue(Register(redis, Side.WORKERS), "hook").waiting()] == [
        message().title
    ]
    assert await redis.xlen(key) == 1


async def test_a_plan_without_addresses_sends_nothing(redis: Redis) -> None:
    register = Register(redis, Side.WORKERS)
    couriers = Couriers(lambda channel: StoredQueue(register, channel))
    await couriers.use(AlertPlan({}, [Channel("hook")], {}))
    await asyncio.sleep(0)
    await couriers.use(None)


def test_a_message_survives_its_stored_form() -> None:
    assert Message.from_json(message().to_json()) == message()
    assert replace(message(), at=1) != message()
