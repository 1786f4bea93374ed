"""The commands that Redis gets: services refuse some, and scripts that use keys which they do not declare."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from arq.connections import ArqRedis
from redis.asyncio import Redis

from app.delivery.outbox import ARGUMENTS_PER_RUN, Outbox
from app.delivery.outbox_event import OutboxEvent, calls_of
from app.store.connection import open_redis
from app.store.keys import DestinationKeys
from benchmarks.scripts import ACCOUNT, SCENARIOS, Scenario, call
from tests.stack import Stack, message_id, wait_until

FEW: Final = 0.02
# ElastiCache Serverless takes 3,999 arguments in a request.
MOST_ARGUMENTS: Final = 3_500
# What MemoryDB refuses, from its developer guide. Words of one command come in one or in two parts.
FORBIDDEN: Final = frozenset(
    {"acl deluser", "acl load", "acl save", "acl setuser", "bgrewriteaof", "bgsave", "cluster addslot"}
    | {"cluster delslot", "cluster setslot", "config", "debug", "migrate", "module", "psync", "replicaof", "save"}
    | {"shutdown", "slaveof", "sync"}
)
_LINE: Final = re.compile(rb"^\S+ \[\d+ (\S+)\] ")
_PART: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_SCRIPTS: Final = {b"evalsha", b"eval"}


@dataclass(slots=True)
class Seen:
    """The commands that a server has got."""

    commands: list[tuple[bool, list[bytes]]] = field(default_factory=list)  # whether a script sent it, and its parts
    names: set[str] = field(default_factory=set)  # of all commands, also those that MONITOR does not show

    def forbidden(self) -> set[str]:
        """Commands that MemoryDB refuses."""
        return {name for name in self.names if FORBIDDEN & {name, name.partition(" ")[0]}}

    def most_arguments(self) -> int:
        """The number of arguments of the longest command."""
        return max(len(parts) for from_script, parts in self.commands if not from_script)


@asynccontextmanager
async def monitored(redis: Redis) -> AsyncIterator[Seen]:
    """Collect what the server gets until the context ends."""
    seen, marker, before = Seen(), message_id(), await _calls(redis)
    async with redis.monitor() as monitor:
        yield seen
        await redis.echo(marker)
        while True:
            line = await monitor.connection.read_response(disable_decoding=True)
            if (found := _LINE.match(line)) is None:
                continue
            parts = _PART.findall(line)
            if parts == [b"ECHO", marker.encode()]:
                break
            seen.commands.append((found[1] in {b"lua", b"script"}, parts))

    seen.names = {name for name, calls in (await _calls(redis)).items() if calls > before.get(name, 0)}


async def _calls(redis: Redis) -> dict[str, int]:
    """How often the server got each command."""
    info = await redis.info("commandstats")
    return {name.removeprefix("cmdstat_").replace("|", " "): facts["calls"] for name, facts in info.items()}


async def undeclared(redis: Redis, seen: Seen) -> set[tuple[bytes, bytes]]:
    """Keys that a script used and did not declare, each with the command."""
    found, declared, known = set(), frozenset[bytes](), {}
    for from_script, parts in seen.commands:
        name = parts[0].lower()
        if not from_script:
            declared = frozenset(parts[3 : 3 + int(parts[2])]) if name in _SCRIPTS else frozenset()
            continue
        shape = (name, len(parts), *parts[1:3])
        if shape not in known:
            known[shape] = await _keys_of(redis, parts)
        found |= {(name, key) for key in known[shape] if key not in declared}
    return found


async def _keys_of(redis: Redis, parts: Sequence[bytes]) -> list[bytes]:
    if parts[0].lower() == b"time":
        return []
    keys: list[Any] = await redis.command_getkeys(*parts)
    return [key if isinstance(key, bytes) else key.encode() for key in keys]


@pytest.fixture
async def client(url: str) -> AsyncIterator[ArqRedis]:
    """A client of an empty server."""
    redis = open_redis(url)
    await redis.flushall()
    yield redis
    await redis.aclose(close_connection_pool=True)


@pytest.mark.parametrize("scenario", [pytest.param(each, id=title) for title, each in SCENARIOS.items()])
async def test_scripts_declare_all_keys_and_use_what_services_allow(scenario: Scenario, client: ArqRedis) -> None:
    async with monitored(client) as seen:
        await scenario(client, FEW)
    assert await undeclared(client, seen) == set()
    assert seen.forbidden() == set()
    assert seen.most_arguments() <= MOST_ARGUMENTS


async def test_an_undeclared_key_is_found(client: ArqRedis) -> None:
    """So that the tests above can fail."""
    async with monitored(client) as seen:
        text = "redis.call('SET', '{a}:b', 1); return redis.call('GET', KEYS[1])"
        await client.execute_command("EVAL", text, 1, "{a}:a")  # type: ignore[no-untyped-call]
        await client.config_get("maxmemory")
    assert await undeclared(client, seen) == {(b"set", b"{a}:b")}
    assert seen.forbidden() == {"config get"}


async def test_a_large_batch_is_split_below_the_most_arguments_of_a_service(redis: Redis) -> None:
    events = [
        OutboxEvent(
            b"key-%d" % number, f"m-{number}", b"{}", calls=calls_of([call(number, size=10)] * 9), source="page"
        )
        for number in range(500)
    ]
    async with monitored(redis) as seen:
        await Outbox(redis, wake=lambda *_: None, journal_entries=1_000).submit(ACCOUNT, events)
    assert seen.most_arguments() <= ARGUMENTS_PER_RUN + 500 <= MOST_ARGUMENTS
    received = await redis.hget(DestinationKeys(ACCOUNT).counters, "received")  # type: ignore[misc]
    assert received == b"500"


async def test_processes_send_nothing_that_a_service_refuses(gateway: Stack) -> None:
    redis = open_redis(gateway.environment["GATEWAY_REDIS_URL"])
    names = [message_id() for _ in range(3)]
    async with monitored(redis) as seen:
        for name in names:
            event = {"event": "Signed Up", "userId": "u-1", "messageId": name}
            answer = await asyncio.to_thread(gateway.post, "/v1/track", event)
            assert answer.status_code == 200
        await asyncio.to_thread(wait_until, lambda: gateway.waiting() == 0, "all are delivered")
        for command in (("destinations", "list"), ("trace", names[0]), ("dead-letters", "list")):
            assert (await asyncio.to_thread(gateway.run, *command)).returncode == 0
    await redis.aclose(close_connection_pool=True)
    assert len(seen.commands) > len(names)
    assert seen.forbidden() == set()
