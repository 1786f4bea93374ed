"""The alerts of a worker: one evaluates, each reports, and a heartbeat tells that they live."""

import asyncio
from datetime import timedelta
from typing import Final

from redis.asyncio import Redis

from app.alerts.evaluation import EVALUATE_EVERY_MS
from app.alerts.observe import Watched
from app.alerts.plan import AlertPlan
from app.alerts.register import Side, read_states
from app.alerts.reports import ProcessReport, read_processes
from app.alerts.routing import Channel
from app.alerts.rules import RULES
from app.alerts.state import CLEAR_MS
from app.delivery.hold import end_hold, hold_refused
from app.delivery.lane import Lane
from app.delivery.retention import Retention
from app.store.keys import AlertKeys
from tests.alerts.receivers import http_receiver
from tests.waiting import until
from workers.alerts import AlertLoop

START: Final = 1_800_000_000_000
WATCHED: Final = Watched([Lane("acme", "purchase")], [], Retention(timedelta(days=10)))


class Clock:
    now = START

    def __call__(self) -> int:
        return self.now


def loop_on(redis: Redis, clock: Clock, plan: AlertPlan | None = None, usable: bool = True) -> AlertLoop:
    plan = plan or AlertPlan(RULES)
    process = ProcessReport(redis, "worker", lambda: (usable, []))
    return AlertLoop(redis, lambda: plan, lambda: WATCHED, process, clock=clock)


async def test_one_of_many_workers_evaluates_and_no_more_often_than_it_is_to(redis: Redis) -> None:
    clock = Clock()
    loops = [loop_on(redis, clock) for _ in range(3)]
    assert [await loop.tick() for loop in loops] == [True, False, False]
    clock.now += EVALUATE_EVERY_MS - 1000
    assert [await loop.tick() for loop in loops] == [False, False, False]
    clock.now += 1000
    assert [await loop.tick() for loop in loops] == [True, False, False]


async def test_a_worker_that_follows_a_dead_one_evaluates_when_it_is_time(redis: Redis) -> None:
    clock = Clock()
    dead, successor = loop_on(redis, clock), loop_on(redis, clock)
    assert await dead.tick()
    await redis.delete(AlertKeys.leader(Side.WORKERS))  # its lease has ended
    assert not await successor.tick()
    clock.now += EVALUATE_EVERY_MS
    assert await successor.tick()


async def test_each_worker_reports_whether_it_can_use_its_configuration(redis: Redis) -> None:
    clock = Clock()
    await loop_on(redis, clock, usable=False).tick()
    (process,) = await read_processes(redis, clock.now)
    assert not process.usable
    assert {alert.rule for alert in await read_states(redis, Side.WORKERS)} == {"config_bad"}


async def test_a_condition_reaches_the_channel_and_its_end_too(redis: Redis) -> None:
    clock = Clock()
    with http_receiver() as hook, http_receiver() as heartbeat:
        plan = AlertPlan(RULES, [Channel("hook")], {"hook": hook.webhook}, heartbeat=f"{heartbeat.url}/beat")
        loop = loop_on(redis, clock, plan)
        async with loop.running():
            await hold_refused(redis, "acme")
            clock.now += EVALUATE_EVERY_MS
            await until(lambda: len(hook.messages) == 1, "the hold is sent")
            await end_hold(redis, "acme")
            for _ in range(2 + CLEAR_MS // EVALUATE_EVERY_MS):
                evaluated = clock.now = clock.now + EVALUATE_EVERY_MS
                while await redis.get(AlertKeys.evaluated) != str(evaluated).encode():  # noqa: ASYNC110 - it is in Redis
                    await asyncio.sleep(0.01)
            await until(lambda: len(hook.messages) == 2, "its end is sent")
        assert "critical: Nothing is sent to acme" in hook.texts()[0]
        assert "resolved" in hook.texts()[1]
        assert [beat["path"] for beat in heartbeat.messages] == ["/beat"]
    assert await redis.get(AlertKeys.leader(Side.WORKERS)) is None, "another worker may lead at once"
