"""The connection to Redis, and whether that Redis keeps what it is given."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import hiredis
import orjson
from arq.connections import ArqRedis
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from app.redis_url import Sentinels, parse_redis_url

CONNECT_S = 2.0
ANSWER_S = 5.0  # longer than any script here takes, shorter than trackers wait


class QueueUnavailable(Exception):  # noqa: N818 - it becomes a 503, after which the tracker sends again
    """Redis cannot take events now. `reason` is a stable code."""

    def __init__(self, reason: str) -> None:
        """`reason`: redis_unreachable, redis_denied (who we say we are), redis_full, redis_read_only,
        redis_not_replicated or redis_error.
        """
        super().__init__(reason)
        self.reason = reason


def open_redis(url: str, *, connections: int = 64) -> ArqRedis:
    """A client for `url`, as redis_url.py reads it. Nothing is connected yet."""
    address = parse_redis_url(url)
    options: dict[str, Any] = {
        "max_connections": connections,
        "timeout": ANSWER_S,
        "socket_connect_timeout": CONNECT_S,
        "socket_timeout": ANSWER_S,
        "health_check_interval": 15,
    }
    if isinstance(address, Sentinels):
        pool: BlockingConnectionPool = _pool_behind(address, options)
    else:
        pool = BlockingConnectionPool.from_url(address, **options)
    pool.connection_class = _packing_in_c(pool.connection_class)
    return ArqRedis(pool, job_serializer=orjson.dumps, job_deserializer=orjson.loads)


class FailoverPool(BlockingConnectionPool, SentinelConnectionPool):
    """Connections to the primary, whose address is asked of Sentinel for each new one: a failover needs no restart."""


def _pool_behind(sentinels: Sentinels, options: Mapping[str, Any]) -> FailoverPool:
    asking = {"socket_connect_timeout": CONNECT_S, "socket_timeout": CONNECT_S, "ssl": sentinels.tls}
    return FailoverPool(
        service_name=sentinels.service,
        sentinel_manager=Sentinel(  # type: ignore[no-untyped-call]
            sentinels.hosts, sentinel_kwargs={**asking, "password": sentinels.sentinel_password}
        ),
        connection_class=SentinelManagedSSLConnection if sentinels.tls else SentinelManagedConnection,
        db=sentinels.database,
        username=sentinels.username,
        password=sentinels.password,
        **options,
    )


def make_room(redis: Redis, connections: int) -> None:
    """Let `redis` have at least this many connections from now on."""
    pool = redis.connection_pool
    pool.max_connections = max(pool.max_connections, connections)


class Dedicated:
    """A connection for one writer, who always asks one thing after the other.

    To take one from the pool for each question costs three turns of the event loop before a byte is sent, and in each
    of them other work comes first.
    """

    def __init__(self, redis: Redis) -> None:
        """Nothing is connected yet. The connection is one of the client's, and is closed with all of these."""
        self._pool = redis.connection_pool
        self._connection: AbstractConnection | None = None

    async def ask(self, commands: Sequence[tuple[Any, ...]], sent: Callable[[], None]) -> list[Any]:
        """What Redis answers to each command, in one round trip; `sent` is called while it works on them.

        An error that it answers is a value. Raises RedisError when it does not answer. What is asked of a connection
        that turns out to be closed is asked once more, so all commands must bear to be run twice.
        """
        if self._connection is None:
            self._connection = await self._pool.get_connection()
        connection = self._connection
        was_open = connection.is_connected
        try:
            return await _asked(connection, commands, sent)
        except RedisConnectionError:
            if not was_open:
                raise
        return await _asked(connection, commands, sent)

    async def release(self) -> None:
        """Give the connection back; another is taken when it is needed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._pool.release(connection)


async def _asked(
    connection: AbstractConnection, commands: Sequence[tuple[Any, ...]], sent: Callable[[], None]
) -> list[Any]:
    try:
        try:
            await connection.send_packed_command(connection.pack_commands(commands))
        except RuntimeError as closed:  # uvloop's word for a transport that is closed already
            raise RedisConnectionError(str(closed)) from closed
        sent()
        answers: list[Any] = []
        for _ in commands:
            try:
                answers.append(await connection.read_response(disable_decoding=True))
            except ResponseError as error:
                answers.append(error)
    except BaseException:  # an answer that nobody read would be taken for the next one's
        await connection.disconnect(nowait=True)
        raise
    return answers


def _packing_in_c(connection: type[AbstractConnection]) -> type[AbstractConnection]:
    """The same connection, writing commands with hiredis: redis-py's asyncio side does it in Python, 4 µs each."""

    class Packing(connection):  # type: ignore[misc, valid-type]
        def pack_command(self, *args: Any) -> list[bytes]:
            return [_packed(args)]

        def pack_commands(self, commands: Iterable[Iterable[Any]]) -> list[bytes]:
            return [_packed(tuple(command)) for command in commands]

    return Packing


def _packed(command: tuple[Any, ...]) -> bytes:
    """One command for the wire. redis-py writes names of two words as one: "XGROUP CREATE"."""
    packed: bytes = hiredis.pack_command((*command[0].split(), *command[1:]))
    return packed


def why_unavailable(failure: RedisError) -> str:
    """The stable code for a failed write."""
    match failure:
        case AuthenticationError() | AuthorizationError() | NoPermissionError():  # the first two are ConnectionErrors
            return "redis_denied"
        case RedisError(__cause__=AuthenticationError()):  # as redis-py tells it of a Unix socket
            return "redis_denied"
        case OutOfMemoryError():
            return "redis_full"
        case ReadOnlyError():
            return "redis_read_only"
        case ResponseError() if str(failure).startswith(("MISCONF", "NOREPLICAS")):  # it cannot write to its disk
            return "redis_read_only"
        case ResponseError():
            return "redis_error"
        case _:
            return "redis_unreachable"


@dataclass(frozen=True, slots=True)
class Durability:
    """What Redis says of itself. `problems` are sentences for an operator; none means that accepted events are kept."""

    version: str
    problems: tuple[str, ...]
    maxmemory: int  # bytes; 0: no limit


async def check_durability(redis: Redis) -> Durability:
    """Ask whether Redis writes to disk or to a replica, and whether it may throw keys away. Raises RedisError."""
    info = await redis.info()
    problems = []
    if not info.get("aof_enabled") and not info.get("connected_slaves"):
        problems.append("it has neither an append-only file nor a replica: a restart loses what waits (appendonly yes)")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        problems.append(f"its maxmemory-policy is {policy}: under pressure it deletes events (use noeviction)")
    version = str(info.get("redis_version", "unknown"))
    if _major_minor(version) < (6, 2):
        problems.append(f"it is version {version}: 6.2 is the oldest that works")
    return Durability(version, tuple(problems), int(info.get("maxmemory", 0)))


def _major_minor(version: str) -> tuple[int, int]:
    parts = version.split(".")
    try:
        return int(parts[0]), int(parts[1])
    except (IndexError, ValueError):
        return (0, 0)
