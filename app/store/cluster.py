"""A client of a Redis cluster: each command goes to the node that owns the slot of its key.

redis-py's own cluster client cannot be used here: in the version that arq allows, its pipelines have neither scripts
nor transactions. So this client is a plain one whose commands and pipelines choose a node's pool of connections.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import structlog
from arq.connections import ArqRedis
from redis.asyncio import BlockingConnectionPool, ConnectionPool
from redis.asyncio.client import Pipeline
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    ReadOnlyError,
    RedisError,
    TryAgainError,
    WatchError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

Address = tuple[str, int]
Slots = Sequence[tuple[int, int, Address]]  # first slot, last slot and their owner
Redirect = (MovedError, AskError, TryAgainError)  # errors of a command that did nothing and may be repeated
STALE: Final = (MovedError, ReadOnlyError, ClusterDownError, RedisConnectionError, RedisTimeoutError)

_SLOTS: Final = 16384
_TRIES: Final = 16  # of a command that is redirected
TRY_AGAIN_S: Final = 0.05  # while a slot is being moved, a command for several keys finds some here, some there
_ASK_AGAIN_S: Final = 0.2  # nodes are asked for the slots at most this often
_POLL_S: Final = 0.1
# Commands without a key that each node must carry out. All others without a key are answered by any node.
_EVERYWHERE: Final = frozenset({"SCRIPT LOAD", "SCRIPT FLUSH", "FLUSHALL", "BGREWRITEAOF", "CONFIG SET"})
_KEYLESS: Final = frozenset(
    {"ACL", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DBSIZE", "INFO", "PING", "SCRIPT", "TIME", "SLOWLOG"}
    | {"MONITOR", "LATENCY", "UNWATCH", "LASTSAVE", "DEBUG", "KEYS", "WAIT", "MULTI", "EXEC"}
)
_KEY_AT: Final = {"EVAL": 3, "EVALSHA": 3, "FCALL": 3}
_SUBCOMMANDS: Final = frozenset({"XGROUP", "XINFO", "MEMORY", "OBJECT"})  # the key follows the subcommand

log = structlog.get_logger()


def slot_of(command: Sequence[Any]) -> int | None:
    """The slot of a command's first key, or None if it has no key."""
    name, _, subcommand = str(command[0]).upper().partition(" ")
    if name in _KEYLESS or name in _EVERYWHERE:
        return None
    if name == "SCAN":
        pattern = command[command.index(b"MATCH") + 1] if b"MATCH" in command else ""
        return slot(pattern) if tag_of(pattern) else None
    if name in {"XREAD", "XREADGROUP"}:
        at = next(at for at, part in enumerate(command) if part in {"STREAMS", b"STREAMS"}) + 1
    elif name in _SUBCOMMANDS and not subcommand:
        at = 2
    else:
        at = _KEY_AT.get(name, 1)
    if len(command) <= at or (at == 3 and not int(command[2])):
        return None
    return slot(command[at])


def slot(key: str | bytes | memoryview) -> int:
    """The slot of a key, or of a key pattern that has a hash tag."""
    return key_slot(key.encode() if isinstance(key, str) else bytes(key))


def tag_of(pattern: str | bytes) -> str | bytes:
    """The hash tag of a key pattern; empty if it has none."""
    opening, closing = ("{", "}") if isinstance(pattern, str) else (b"{", b"}")
    return pattern.partition(opening)[2].partition(closing)[0]  # type: ignore[arg-type]


class Topology:
    """Who owns which slot. The nodes are asked again after errors that show that the answer is out of date.

    Meanwhile, only commands for a node that failed wait for the new answer. They fail if no node answers, lest each
    waits for that node once more.
    """

    def __init__(self, ask: Callable[[Address], Awaitable[Slots]], seeds: Sequence[Address]) -> None:
        self._ask_node = ask
        self._seeds = tuple(seeds)
        self._nodes = list(seeds)
        self._owners: list[Address | None] = []
        self._suspects: set[Address] = set()  # nodes that have failed since the last answer
        self._is_stale = True
        self._asked_at = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    def suspect(self, node: Address) -> None:
        """Ask for the slots before the next command for a slot of this node."""
        self._is_stale = True
        self._suspects.add(node)

    def moved(self, slot: int, owner: Address) -> None:
        """Note the new owner of one slot, and ask for the others."""
        self._is_stale = True
        if self._owners:
            self._owners[slot] = owner

    async def owner(self, slot: int | None) -> Address:
        """The owner of a slot, or any node. Raises RedisError."""
        if self._is_stale and time.monotonic() - self._asked_at >= _ASK_AGAIN_S:
            self._ask_once()
        address = self._known(slot)
        if self._asking is not None and (address is None or address in self._suspects):
            await asyncio.shield(self._asking)
            address = self._known(slot)
        if address is None:
            self._is_stale = True
            raise _down(f"Hash slot {slot} has no owner")
        return address

    async def nodes(self) -> list[Address]:
        """The nodes that own slots. Raises RedisError."""
        await self.owner(None)
        return self._primaries()

    def _known(self, slot: int | None) -> Address | None:
        if slot is not None:
            return self._owners[slot] if self._owners else None
        nodes = self._primaries()
        return next((node for node in nodes if node not in self._suspects), nodes[0] if nodes else None)

    def _primaries(self) -> list[Address]:
        return list(dict.fromkeys(address for address in self._owners if address is not None))

    def _ask_once(self) -> None:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
            self._asking.add_done_callback(lambda asking: asking.cancelled() or asking.exception())

    async def _ask(self) -> None:
        """Ask one node after the other, until one answers: first another one than last time, which may be isolated."""
        failure: Exception = _down("No node owns a slot")
        self._asked_at = time.monotonic()
        turns = (*self._nodes[1:], *self._nodes[:1])
        for node in dict.fromkeys((*(node for node in turns if node not in self._suspects), *turns, *self._seeds)):
            try:
                slots = await self._ask_node(node)
            except RedisError as error:
                failure = error
            else:
                if slots:
                    self._use(slots, node)
                    return
        raise failure

    def _use(self, slots: Slots, answered: Address) -> None:
        owners: list[Address | None] = [None] * _SLOTS
        for first, last, owner in slots:
            owners[first : last + 1] = [owner] * (last + 1 - first)
        self._owners, self._is_stale = owners, False
        self._suspects.clear()
        self._nodes = [answered, *(node for node in self._primaries() if node != answered)]


def _down(message: str) -> RedisError:
    return ClusterDownError(message)  # type: ignore[no-untyped-call]


class ClusterRedis(ArqRedis):
    """A client whose commands follow the owners of slots. A pipeline may hold commands for several nodes.

    A transaction, and each script, stays within one slot.
    """

    def __init__(
        self,
        seeds: Sequence[Address],
        connection_class: type[Any],
        connections: Mapping[str, Any],
        limits: Mapping[str, Any],
        **options: Any,
    ) -> None:
        """`connections` are the options of every connection, `limits` those of every node's pool."""
        self._connections = dict(connections)
        self._limits = dict(limits)
        self._connection_class = connection_class
        self._pools: dict[Address, BlockingConnectionPool] = {}
        self.topology = Topology(self._read_slots, seeds)
        super().__init__(self.pool(seeds[0]), **options)

    def pool(self, address: Address) -> BlockingConnectionPool:
        """The connections to one node."""
        if (pool := self._pools.get(address)) is None:
            host, port = address
            pool = self._pools[address] = BlockingConnectionPool(
                connection_class=self._connection_class, host=host, port=port, **self._limits, **self._connections
            )
        return pool

    async def pool_of(self, slot: int | None) -> BlockingConnectionPool:
        """The connections to the owner of a slot, or to any node. Raises RedisError."""
        return self.pool(await self.topology.owner(slot))

    def allow(self, connections: int) -> None:
        """Allow at least this many connections to each node."""
        self._limits["max_connections"] = max(self._limits["max_connections"], connections)
        for pool in self._pools.values():
            pool.max_connections = max(pool.max_connections, connections)

    def reserve(self) -> None:
        """Allow each node one connection more, for a writer that keeps one."""
        self.allow(self._limits["max_connections"] + 1)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """The answer of the owner of the command's key. Raises RedisError."""
        if str(args[0]).upper() in _EVERYWHERE:
            return await self._everywhere(args, options)
        slot = slot_of(args)
        pool = await self.pool_of(slot)
        for tried in range(1, _TRIES + 1):
            try:
                return await self._on(pool, args, options)
            except Redirect as redirect:
                if tried == _TRIES:
                    raise
                if isinstance(redirect, MovedError | AskError):
                    asked = await self._follow(redirect, pool, args, options)
                    if asked is not None:
                        return asked[0]
                await _pause(redirect, tried)
                pool = await self.pool_of(slot)
        raise AssertionError

    async def _follow(
        self, redirect: AskError, pool: ConnectionPool, args: Sequence[Any], options: Mapping[str, Any]
    ) -> tuple[Any] | None:
        """The answer of the node that a slot is moving to. None if the command must be repeated."""
        address = place(redirect, pool)
        if isinstance(redirect, MovedError):
            self.topology.moved(redirect.slot_id, address)
            return None
        pipeline = Pipeline(self.pool(address), self.response_callbacks, False, None)
        pipeline.execute_command("ASKING")
        pipeline.execute_command(*args, **options)
        _, answer = await pipeline.execute(raise_on_error=False)
        if isinstance(answer, TryAgainError | AskError):
            return None
        if isinstance(answer, RedisError):
            raise answer
        return (answer,)

    async def _on(self, pool: ConnectionPool, args: Sequence[Any], options: Mapping[str, Any]) -> Any:
        """The answer of one node."""
        connection = None
        try:
            connection = await pool.get_connection()
            return await connection.retry.call_with_retry(
                lambda: self._send_command_parse_response(connection, args[0], *args, **options),  # type: ignore[no-untyped-call]
                lambda error: self._disconnect_raise(connection, error),
            )
        except STALE:
            self.topology.suspect(address_of(pool))
            raise
        finally:
            if connection is not None:
                await pool.release(connection)

    async def _everywhere(self, args: Sequence[Any], options: Mapping[str, Any]) -> Any:
        answers = [await self._on(self.pool(node), args, options) for node in await self.topology.nodes()]
        return answers[0]

    async def xread(self, streams: Any, count: int | None = None, block: int | None = None) -> Any:
        """As usual for streams of one slot. Several slots are read in turns: no command may name them together."""
        if len({slot(key) for key in streams}) < 2:
            return await super().xread(streams, count=count, block=block)
        ends = time.monotonic() + (block or 0) / 1000
        while True:
            async with self.pipeline(transaction=False) as pipeline:
                for key, after in streams.items():
                    pipeline.xread({key: after}, count=count)
                found = [entries for answer in await pipeline.execute() for entries in answer]
            if found or time.monotonic() > ends:
                return found
            await asyncio.sleep(_POLL_S)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> "ClusterPipeline":
        """A pipeline. Without a transaction, its commands may belong to several nodes."""
        return ClusterPipeline(self, transaction)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close the connections to all nodes."""
        for pool in list(self._pools.values()):
            await pool.disconnect()

    async def by_shard(self, tags: Sequence[str]) -> list[list[str]]:
        """These hash tags, those of one node together. Raises RedisError."""
        shards: dict[Address, list[str]] = {}
        for tag in tags:
            shards.setdefault(await self.topology.owner(slot(tag)), []).append(tag)
        return list(shards.values())

    async def _read_slots(self, address: Address) -> Slots:
        """Ask one node who owns which slot. Raises RedisError."""
        answer = await self._on(self.pool(address), ("CLUSTER", "SLOTS"), {})
        return [(int(first), int(last), _address(owner, address)) for first, last, owner, *_ in answer]


def _address(node: Sequence[Any], asked: Address) -> Address:
    """The address of a node. It may lack a host that the node does not know: it is then the one that was asked."""
    host, port = (node[0] or b"").decode(), int(node[1])
    return (host if host and host != "?" else asked[0]), port


def address_of(pool: ConnectionPool) -> Address:
    """The node that a pool's connections lead to."""
    return pool.connection_kwargs["host"], pool.connection_kwargs["port"]


def place(redirect: AskError, pool: ConnectionPool) -> Address:
    """The node that an error names. An error without a host means the host that it came from."""
    return redirect.host or address_of(pool)[0], redirect.port


async def _pause(redirect: Exception, tried: int) -> None:
    """Wait before the next try, but for the first after MOVED. For a moment, two nodes may each name the other."""
    if tried > 1 or not isinstance(redirect, MovedError):
        await asyncio.sleep(TRY_AGAIN_S)


class ClusterPipeline(Pipeline):
    """Commands that each go to their key's node: together where a node is the same, at the same time elsewhere."""

    def __init__(self, cluster: ClusterRedis, transaction: bool) -> None:
        super().__init__(cluster.connection_pool, cluster.response_callbacks, transaction, None)
        self._cluster = cluster

    async def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        """Run a command now, on the node of the first key of the transaction. Raises RedisError."""
        if self.connection is not None:
            return await super().immediate_execute_command(*args, **options)  # type: ignore[no-untyped-call]
        for tried in range(1, _TRIES + 1):
            self.connection_pool = await self._cluster.pool_of(slot_of(args))
            try:
                return await super().immediate_execute_command(*args, **options)  # type: ignore[no-untyped-call]
            except MovedError as moved:
                self._cluster.topology.moved(moved.slot_id, place(moved, self.connection_pool))
                await self.reset()  # type: ignore[no-untyped-call]
                if tried == _TRIES:
                    raise
                await _pause(moved, tried)
            except STALE:
                self._cluster.topology.suspect(address_of(self.connection_pool))
                raise
        raise AssertionError

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """The answers, in the order of the commands.

        Where a node does not answer, the other nodes have carried out their commands. Without `raise_on_error`, the
        error is then the answer of each command of that node.
        """
        if self.is_transaction or self.explicit_transaction:
            return await self._transaction(raise_on_error)
        commands = list(self.command_stack)
        await self.reset()  # type: ignore[no-untyped-call]
        answers = await self._split(commands)
        if raise_on_error:
            for number, (answer, (command, _)) in enumerate(zip(answers, commands, strict=True), start=1):
                if isinstance(answer, RedisError):
                    if not isinstance(answer, RedisConnectionError | RedisTimeoutError):
                        self.annotate_exception(answer, number, command)
                    raise answer
        return answers

    async def _split(self, commands: Sequence[tuple[Any, Any]]) -> list[Any]:
        answers: list[Any] = [None] * len(commands)
        shards: dict[BlockingConnectionPool, list[int]] = {}
        for at, (command, _) in enumerate(commands):
            try:
                shards.setdefault(await self._cluster.pool_of(slot_of(command)), []).append(at)
            except RedisError as failure:
                answers[at] = failure
        runs = (self._on_shard(pool, [commands[at] for at in places]) for pool, places in shards.items())
        for places, shard in zip(shards.values(), await asyncio.gather(*runs), strict=True):
            for at, answer in zip(places, shard, strict=True):
                answers[at] = answer
        for at, answer in enumerate(answers):
            if isinstance(answer, Redirect):
                answers[at] = await self._again(*commands[at])
        return answers

    async def _on_shard(self, pool: ConnectionPool, commands: Sequence[tuple[Any, Any]]) -> list[Any]:
        pipeline = Pipeline(pool, self.response_callbacks, False, None)
        pipeline.command_stack = list(commands)
        try:
            answers = await pipeline.execute(raise_on_error=False)
        except RedisError as failure:
            self._cluster.topology.suspect(address_of(pool))
            return [failure] * len(commands)
        if any(isinstance(answer, STALE) for answer in answers):
            self._cluster.topology.suspect(address_of(pool))
        return answers

    async def _again(self, command: Sequence[Any], options: Mapping[str, Any]) -> Any:
        try:
            return await self._cluster.execute_command(*command, **options)
        except RedisError as failure:
            return failure

    async def _transaction(self, raise_on_error: bool) -> list[Any]:
        commands = list(self.command_stack)
        if not commands and not self.watching:
            return []
        for tried in range(1, _TRIES + 1):
            if self.connection is None:
                self.connection_pool = await self._cluster.pool_of(slot_of(commands[0][0]))
                self.command_stack = list(commands)
            began_watching = self.watching
            try:
                return await super().execute(raise_on_error)
            except Redirect as redirect:
                if isinstance(redirect, MovedError):
                    self._cluster.topology.moved(redirect.slot_id, place(redirect, self.connection_pool))
                if began_watching:
                    raise WatchError("The watched key is moving to another node") from redirect
                if tried == _TRIES:
                    raise
                await _pause(redirect, tried)
            except STALE:
                self._cluster.topology.suspect(address_of(self.connection_pool))
                raise
        raise AssertionError
