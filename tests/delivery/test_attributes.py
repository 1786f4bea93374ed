"""The registry of custom attributes: the first type stored wins, every process sees it, an operator can undo it."""

from collections.abc import Mapping, MutableMapping
from typing import Any

import pytest
from redis.asyncio import Redis

from app.delivery.accounts.attributes import MOST_KEPT, KnownAttributes, forget_attribute, read_attributes
from app.delivery.counters import read_counters
from app.delivery.outbox import Outbox
from app.delivery.outbox_event import OutboxEvent
from app.store.connection import QueueUnavailable
from app.store.keys import DestinationKeys


def outbox(redis: Redis) -> Outbox:
    return Outbox(redis, wake=lambda *_: None, journal_entries=100)


def arrival(number: int, attributes: Mapping[str, str], *counts: str) -> OutboxEvent:
    return OutboxEvent(b"key-%d" % number, f"m-{number}", b"{}", "dropped:no_content", (), None, counts, attributes)


async def stored(redis: Redis, destination: str = "acme") -> Mapping[str, str]:
    return (await read_attributes(redis, [destination]))[destination]


class TestTheFlush:
    async def test_stores_the_type_that_comes_first(self, redis: Redis) -> None:
        await outbox(redis).submit("acme", [arrival(1, {"tier": "string", "points": "number"})])
        await outbox(redis).submit("acme", [arrival(2, {"points": "string", "vip": "boolean"})])
        assert await stored(redis) == {"tier": "string", "points": "number", "vip": "boolean"}
        assert await stored(redis, "other") == {}

    async def test_stores_the_first_of_one_flush(self, redis: Redis) -> None:
        await outbox(redis).submit("acme", [arrival(1, {"points": "number"}), arrival(2, {"points": "string"})])
        assert await stored(redis) == {"points": "number"}

    async def test_lets_a_trusted_source_define_a_provisional_type(self, redis: Redis) -> None:
        for number, types in enumerate(({"points": "string?"}, {"points": "number"}, {"points": "boolean?"})):
            await outbox(redis).submit("acme", [arrival(number, types)])
        assert await stored(redis) == {"points": "number"}

    async def test_counts_what_was_left_out(self, redis: Redis) -> None:
        await outbox(redis).submit("acme", [arrival(1, {}, "left_out:type:points", "left_out:names", "left_out:names")])
        await outbox(redis).submit("acme", [arrival(2, {}, "left_out:type:points", "large:custom-event")])
        (counters,) = await read_counters(redis, ["acme"])
        assert counters.left_out == {"type:points": 2, "names": 2}
        assert counters.large == {"custom-event": 1}
        assert counters.waiting == 0

    async def test_learns_nothing_from_an_event_that_it_has_seen(self, redis: Redis) -> None:
        await outbox(redis).submit("acme", [arrival(1, {"points": "number"}, "left_out:names")])
        await outbox(redis).submit("acme", [arrival(1, {"tier": "string"}, "left_out:names")])
        assert await stored(redis) == {"points": "number"}
        assert (await read_counters(redis, ["acme"]))[0].left_out == {"names": 1}

    @pytest.mark.parametrize("name", ['quo"te', "back\\slash", "größe", "a\x00b", "a:b", "", "\U0001f600", "\x7f\t"])
    async def test_takes_any_name(self, redis: Redis, name: str) -> None:
        await outbox(redis).submit("acme", [arrival(1, {name: "string"}, f"left_out:type:{name}")])
        assert await stored(redis) == {name: "string"}
        assert (await read_counters(redis, ["acme"]))[0].left_out == {f"type:{name}": 1}

    async def test_keeps_no_more_names_than_can_be_looked_at_each_second(self, redis: Redis) -> None:
        many = {f"name {number}": "string" for number in range(MOST_KEPT + 50)}
        await outbox(redis).submit("acme", [arrival(1, many)])
        assert len(await stored(redis)) == MOST_KEPT


class TestWhatAProcessKnows:
    async def test_is_nothing_at_first(self, redis: Redis) -> None:
        assert KnownAttributes(redis, {"acme": 80}).of("acme") == {}

    async def test_is_what_is_stored_once_it_has_looked(self, redis: Redis) -> None:
        known = KnownAttributes(redis, {"acme": 80, "other": 80})
        await outbox(redis).submit("acme", [arrival(1, {"tier": "string"})])
        await known.look()
        assert (known.of("acme"), known.of("other")) == ({"tier": "string"}, {})

    async def test_is_at_once_what_it_has_sent_itself(self, redis: Redis) -> None:
        known = KnownAttributes(redis, {"acme": 80})
        known.learn("acme", {"tier": "string"})
        known.learn("acme", {"tier": "number", "points": "number"})
        assert known.of("acme") == {"tier": "string", "points": "number"}

    async def test_is_what_another_process_stored_before(self, redis: Redis) -> None:
        known = KnownAttributes(redis, {"acme": 80})
        known.learn("acme", {"tier": "string"})
        await outbox(redis).submit("acme", [arrival(1, {"tier": "number"})])
        await known.look()
        assert known.of("acme") == {"tier": "number"}

    async def test_is_what_it_is_about_to_store_until_it_must_have_been_stored(self, redis: Redis) -> None:
        known = KnownAttributes(redis, {"acme": 80})
        known.learn("acme", {"tier": "string"})
        await known.look()
        assert known.of("acme") == {"tier": "string"}, "its flush may be under way"
        await known.look()
        assert known.of("acme") == {}, "its flush has failed"

    async def test_stands_while_redis_is_away(self, redis: Redis) -> None:
        known = KnownAttributes(redis, {"acme": 80})
        known.learn("acme", {"tier": "string"})
        await redis.set(DestinationKeys("acme").attributes, b"no hash")
        with pytest.raises(Exception, match="WRONGTYPE"):
            await known.look()
        assert known.of("acme") == {"tier": "string"}

    async def test_warns_once_when_there_are_many(self, redis: Redis, logged: list[MutableMapping[str, Any]]) -> None:
        known = KnownAttributes(redis, {"acme": 3})
        await outbox(redis).submit("acme", [arrival(1, {"a": "string", "b": "string"})])
        await known.look()
        assert logged == []
        await outbox(redis).submit("acme", [arrival(2, {"c": "string"})])
        await known.look()
        await known.look()
        assert [(entry["event"], entry["destination"], entry["names"]) for entry in logged] == [
            ("attributes.many", "acme", 3)
        ]


async def test_a_forgotten_attribute_gets_its_type_anew(redis: Redis) -> None:
    await outbox(redis).submit("acme", [arrival(1, {"points": "string"})])
    assert await forget_attribute(redis, "acme", "points")
    assert not await forget_attribute(redis, "acme", "points")
    await outbox(redis).submit("acme", [arrival(2, {"points": "number"})])
    assert await stored(redis) == {"points": "number"}


async def test_nothing_is_learnt_when_the_events_are_not_kept(redis: Redis) -> None:
    await redis.config_set("maxmemory", 1)
    with pytest.raises(QueueUnavailable):
        await outbox(redis).submit("acme", [arrival(1, {"points": "number"})])
    await redis.config_set("maxmemory", 0)
    assert await stored(redis) == {}
