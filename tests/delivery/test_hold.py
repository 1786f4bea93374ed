"""Holds in a real Redis: who begins and ends them, and which ones an operator must decide about."""

from datetime import timedelta

from redis.asyncio import Redis

from app.delivery.hold import end_hold, hold_changed, hold_refused, hold_unverified, read_hold, read_holds
from app.delivery.lane import Lane
from app.delivery.outcome import HOLD_DESTINATION

VIEWS = Lane("acme", "product-view")


async def test_nothing_is_held_at_first(redis: Redis) -> None:
    assert await read_holds(redis, "acme", [VIEWS.endpoint]) == []
    assert await read_hold(redis, "acme") is None
    assert not await end_hold(redis, "acme")


async def test_a_refused_token_holds_the_destination_for_a_while(redis: Redis) -> None:
    await hold_refused(redis, "acme")
    hold = await read_hold(redis, "acme")
    assert hold is not None
    assert (hold.endpoint, hold.needs_decision) == (None, False)
    assert timedelta() < hold.ends_in <= HOLD_DESTINATION


async def test_a_changed_account_waits_for_an_operator_and_outranks_other_reasons(redis: Redis) -> None:
    await hold_unverified(redis, "acme", "HTTP 500")
    await hold_changed(redis, "acme", "its calls are for A, its token is of B")
    await hold_refused(redis, "acme")
    await hold_unverified(redis, "acme", "HTTP 500")
    hold = await read_hold(redis, "acme")
    assert hold is not None
    assert (hold.reason, hold.needs_decision) == ("account changed: its calls are for A, its token is of B", True)


async def test_an_endpoint_is_held_and_released_alone(redis: Redis) -> None:
    await redis.set(VIEWS.keys.hold, "403: no scope", px=5000)
    await hold_refused(redis, "acme")
    assert [each.endpoint for each in await read_holds(redis, "acme", [VIEWS.endpoint])] == [None, "product-view"]
    assert await end_hold(redis, "acme", VIEWS.endpoint)
    assert [each.endpoint for each in await read_holds(redis, "acme", [VIEWS.endpoint])] == [None]
