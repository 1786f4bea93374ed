"""A change of state and its messages are one step: exactly one message for each change, even if a process dies."""

from collections.abc import Mapping
from typing import Any, Final

import pytest
from redis.asyncio import Redis

from app.alerts.evaluation import evaluate
from app.alerts.messages import Message
from app.alerts.plan import AlertPlan
from app.alerts.register import (
    Register,
    Side,
    mute,
    read_history,
    read_mutes,
    unmute,
    waiting_messages,
)
from app.alerts.routing import Channel
from app.alerts.rules import RULES, AlertId
from app.alerts.state import Kind, Level
from app.store.keys import AlertKeys

HELD: Final = AlertId("held", ("acme", "purchase"))
OTHER: Final = AlertId("held", ("other", "purchase"))
START: Final = 1_800_000_000_000
PLAN: Final = AlertPlan(
    RULES, [Channel("team"), Channel("acme", destinations=frozenset({"acme"})), Channel("sms", Level.CRITICAL)]
)


async def sent(redis: Redis, channel: str) -> list[Kind]:
    return [each.kind for each in await messages(redis, channel)]


async def messages(redis: Redis, channel: str) -> list[Message]:
    return [message for _, message in await waiting_messages(redis, Side.WORKERS, channel, 100)]


async def led(redis: Redis) -> Register:
    register = Register(redis, Side.WORKERS)
    assert await register.lead()
    return register


async def look(register: Register, observed: Mapping[AlertId, float], seconds: float, plan: AlertPlan = PLAN) -> None:
    await evaluate(register, plan, observed, START + int(seconds * 1000))


async def test_each_channel_gets_one_message_for_each_change(redis: Redis) -> None:
    register = await led(redis)
    for second in (0, 5, 10):
        await look(register, {HELD: 1.0, OTHER: 1.0}, second)
    assert await sent(redis, "team") == [Kind.TRIGGER, Kind.TRIGGER]
    assert await sent(redis, "acme") == [Kind.TRIGGER]
    for second in (15, 20, 25, 30):
        await look(register, {OTHER: 1.0}, second)
    assert await sent(redis, "acme") == [Kind.TRIGGER, Kind.RECOVERY]
    assert await sent(redis, "sms") == [Kind.TRIGGER, Kind.TRIGGER, Kind.RECOVERY]


async def test_one_process_leads_and_another_takes_over(redis: Redis) -> None:
    first, second = Register(redis, Side.WORKERS), Register(redis, Side.WORKERS)
    assert await first.lead()
    assert not await second.lead()
    assert await first.lead()
    await first.step_down()
    assert await second.lead()


async def test_a_process_that_has_lost_the_lease_changes_nothing(redis: Redis) -> None:
    late = await led(redis)
    await redis.delete(AlertKeys.leader(Side.WORKERS))
    successor = await led(redis)
    await look(late, {HELD: 1.0}, 0)
    assert await sent(redis, "team") == []
    await look(successor, {HELD: 1.0}, 1)
    assert await sent(redis, "team") == [Kind.TRIGGER]


class Dies(Exception):  # noqa: N818
    """The process ends here."""


class Mortal:
    """A client of Redis that dies at its n-th command, before or after Redis has carried it out."""

    def __init__(self, redis: Redis, dies_at: int, after: bool) -> None:
        self._redis, self._left, self._after = redis, dies_at, after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._redis, name)
        if name not in ("execute_command", "hgetall", "hdel", "xadd"):
            return found

        async def call(*args: Any, **options: Any) -> Any:
            self._left -= 1
            if self._left == 0 and not self._after:
                raise Dies
            answer = await found(*args, **options)
            if self._left == 0:
                raise Dies
            return answer

        return call


@pytest.mark.parametrize("after", [pytest.param(False, id="before"), pytest.param(True, id="after")])
@pytest.mark.parametrize("dies_at", range(1, 7))
async def test_a_death_at_any_command_neither_loses_nor_doubles_a_message(
    redis: Redis, dies_at: int, after: bool
) -> None:
    mortal: Any = Mortal(redis, dies_at, after)
    doomed = Register(mortal, Side.WORKERS)

    async def live() -> None:
        assert await doomed.lead()
        await look(doomed, {HELD: 1.0, OTHER: 1.0}, 0)
        await mortal.hgetall("the sixth command")

    with pytest.raises(Dies):
        await live()
    await redis.delete(AlertKeys.leader(Side.WORKERS))
    successor = await led(redis)
    await look(successor, {HELD: 1.0, OTHER: 1.0}, 5)
    keys = [message.key for message in await messages(redis, "team")]
    assert sorted(keys) == [
        "attentive-gateway:attentive-gateway:held:acme/purchase",
        "attentive-gateway:attentive-gateway:held:other/purchase",
    ]


async def test_history_has_every_change_with_those_who_were_told(redis: Redis) -> None:
    register = await led(redis)
    await look(register, {HELD: 1.0}, 0)
    await look(register, {}, 5)
    await look(register, {}, 15)
    newest, oldest = await read_history(redis, 10)
    assert (oldest.alert, oldest.before, oldest.level) == (HELD, Level.OK, Level.CRITICAL)
    assert set(oldest.sent_to) == {"team", "acme", "sms"}
    assert (newest.before, newest.level) == (Level.CRITICAL, Level.OK)


async def test_a_muted_rule_sends_nothing_until_the_mute_ends(redis: Redis) -> None:
    register = await led(redis)
    await mute(redis, AlertId("held"), START + 60_000)
    await look(register, {HELD: 1.0}, 0)
    assert await sent(redis, "team") == []
    await look(register, {HELD: 1.0}, 61)
    assert await sent(redis, "team") == [Kind.TRIGGER]
    assert await read_mutes(redis, 0) == {}, "it is removed"


async def test_one_alert_can_be_muted_alone_and_unmuted(redis: Redis) -> None:
    register = await led(redis)
    await mute(redis, HELD, START + 60_000)
    await look(register, {HELD: 1.0, OTHER: 1.0}, 0)
    assert [message.key.rpartition(":")[2] for message in await messages(redis, "team")] == ["other/purchase"]
    assert await unmute(redis, HELD)
    assert not await unmute(redis, HELD)
    await look(register, {HELD: 1.0, OTHER: 1.0}, 5)
    assert len(await messages(redis, "team")) == 2


async def test_a_channel_that_is_new_hears_of_what_is_open(redis: Redis) -> None:
    register = await led(redis)
    await look(register, {HELD: 1.0}, 0, AlertPlan(RULES))
    await look(register, {HELD: 1.0}, 5)
    assert await sent(redis, "team") == [Kind.TRIGGER]


async def test_an_alert_whose_rule_is_switched_off_ends(redis: Redis) -> None:
    register = await led(redis)
    await look(register, {HELD: 1.0}, 0)
    without = AlertPlan({name: rule for name, rule in RULES.items() if name != "held"}, PLAN.channels)
    await look(register, {HELD: 1.0}, 5, without)
    await look(register, {HELD: 1.0}, 20, without)
    assert await sent(redis, "team") == [Kind.TRIGGER, Kind.RECOVERY]


async def test_states_of_another_release_are_dropped(redis: Redis) -> None:
    register = await led(redis)
    await redis.hset(AlertKeys.states(Side.WORKERS), "of_the_future|acme", "?")  # type: ignore[misc]
    await look(register, {}, 0)
    assert await register.states() == {}


async def test_an_alert_that_is_over_leaves_no_state(redis: Redis) -> None:
    register = await led(redis)
    for second in (0, 5, 10, 20, 700):
        await look(register, {HELD: 1.0} if second == 0 else {}, second)
    assert await register.states() == {}
