"""What gateways tell of: that Redis is away, that no worker runs."""

from collections.abc import AsyncIterator
from typing import Any, Final, cast

import pytest
from redis.asyncio import Redis

from app.alerts.gateway_watch import GatewayWatch
from app.alerts.plan import AlertPlan
from app.alerts.register import Side, read_states, waiting_messages
from app.alerts.reports import ProcessReport, RequestReport
from app.alerts.routing import Channel
from app.alerts.rules import RULES
from app.alerts.state import Kind
from app.store.connection import open_redis
from app.store.keys import AlertKeys
from tests.alerts.receivers import PAGERDUTY_URL, http_receiver, play_slack_and_pagerduty
from tests.ports import free_port
from tests.waiting import until

START: Final = 1_800_000_000_000


class Clock:
    now = START

    def __call__(self) -> int:
        return self.now


def watch_on(redis: Redis, plan: AlertPlan, clock: Clock) -> GatewayWatch:
    requests, process = RequestReport(redis, dict), ProcessReport(redis, "gateway", lambda: (True, []))
    return GatewayWatch(redis, lambda: plan, requests, process, clock=clock)


@pytest.fixture
async def away() -> AsyncIterator[Redis]:
    """A Redis that is not there."""
    client = open_redis(f"redis://127.0.0.1:{free_port()}/0")
    yield client
    await client.aclose(close_connection_pool=True)


async def states(redis: Redis) -> dict[str, str]:
    return {alert.rule: stored.state.name for alert, stored in (await read_states(redis, Side.GATEWAYS)).items()}


async def test_that_no_worker_has_evaluated_for_a_minute_is_an_alert(redis: Redis) -> None:
    clock = Clock()
    watch = watch_on(redis, AlertPlan(RULES, [Channel("team")]), clock)
    for second in range(0, 76, 5):
        clock.now = START + second * 1000
        if second < 10:
            await redis.set(AlertKeys.evaluated, clock.now - 500_000)  # the clock of the worker is behind
        await watch.look()
        assert await states(redis) == ({"workers_gone": "critical"} if second > 65 else {})
    for second in (80, 85, 90):
        clock.now = START + second * 1000
        await redis.set(AlertKeys.evaluated, clock.now)
        await watch.look()
    sent = await waiting_messages(redis, Side.GATEWAYS, "team", 10)
    assert [message.kind for _, message in sent] == [Kind.TRIGGER, Kind.RECOVERY]
    await watch.stop()


async def test_one_gateway_tells_of_it(redis: Redis) -> None:
    clock = Clock()
    watches = [watch_on(redis, AlertPlan(RULES, [Channel("team")]), clock) for _ in range(3)]
    for second in range(0, 91, 5):
        clock.now = START + second * 1000
        for watch in watches:
            await watch.look()
    assert len(await waiting_messages(redis, Side.GATEWAYS, "team", 10)) == 1
    for watch in watches:
        await watch.stop()


class Switched:
    """A client of a Redis that is away, until it is back."""

    def __init__(self, away: Redis, back: Redis) -> None:
        self.client, self.back = away, back

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)


async def test_that_redis_is_away_is_sent_without_it_and_is_one_incident(away: Redis, redis: Redis) -> None:
    clock, switched = Clock(), Switched(away, redis)
    with http_receiver() as pagerduty, http_receiver() as hook:
        play_slack_and_pagerduty(pagerduty=pagerduty.url)
        addresses = {"on-call": PAGERDUTY_URL, "hook": hook.webhook}
        plan = AlertPlan(RULES, [Channel("on-call"), Channel("hook")], addresses)
        watches = [watch_on(cast(Redis, switched), plan, clock) for _ in range(2)]

        async def look(*seconds: int) -> None:
            for second in seconds:
                clock.now = START + second * 1000
                for watch in watches:
                    await watch.look()

        await look(0, 20, 35)
        await until(lambda: len(pagerduty.messages) == len(hook.messages) == 2, "both gateways told of it")
        assert "does not reach Redis" in hook.texts()[0]
        switched.client = switched.back
        await look(40, 45, 52)
        await until(lambda: len(pagerduty.messages) == len(hook.messages) == 4, "both told that it is over")
        assert "resolved" in hook.texts()[3]
        assert len({each["dedup_key"] for each in pagerduty.messages}) == 1
        for watch in watches:
            await watch.stop()


async def test_a_short_outage_is_no_alert(away: Redis) -> None:
    clock = Clock()
    with http_receiver() as hook:
        watch = watch_on(away, AlertPlan(RULES, [Channel("hook")], {"hook": hook.webhook}), clock)
        for second in (0, 29):
            clock.now = START + second * 1000
            await watch.look()
        await watch.stop()
        assert hook.attempts == 0


async def test_an_error_of_ours_ends_no_watch(redis: Redis, logged: list[Any]) -> None:
    def broken() -> AlertPlan:
        raise ZeroDivisionError

    process = ProcessReport(redis, "gateway", lambda: (True, []))
    await GatewayWatch(redis, broken, RequestReport(redis, dict), process).look()
    assert [line["event"] for line in logged] == ["alerts.crashed"]
