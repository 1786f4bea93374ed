"""The connection to Redis, and the reasons why Redis does not take writes."""

import asyncio
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import hiredis
import orjson
from arq.connections import ArqRedis
from redis.asyncio import BlockingConnectionPool
from redis.asyncio import Redis as Redis  # other rooms import their client's type by this name
from redis.asyncio.cluster import ClusterParser
from redis.asyncio.connection import AbstractConnection, Connection, parse_url
from redis.asyncio.lock import Lock as Lock
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.credentials import CredentialProvider
from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from app.store.cluster import STALE, TRY_AGAIN_S, ClusterRedis, address_of, place, slot
from app.store.cluster import Redirect as Redirect
from app.store.keys import ARQ_QUEUE
from app.store.url import Cluster, Sentinels, parse_redis_url, without_password_file

CONNECT_S = 2.0
ANSWER_S = 5.0  # longer than any script here takes, shorter than trackers wait


class QueueUnavailable(Exception):  # noqa: N818 - it becomes a 503, after which the tracker sends again
    """Redis cannot take events now. `reason` is a stable code."""

    def __init__(self, reason: str) -> None:
        """`reason`: redis_unreachable, redis_denied (user, password or rights), redis_full, redis_read_only,
        redis_not_replicated, redis_loading, redis_busy (in a script), redis_cluster_down, redis_slot_moving or
        redis_error.
        """
        super().__init__(reason)
        self.reason = reason


def open_redis(url: str, *, connections: int = 64) -> ArqRedis:
    """A client for `url`, as url.py reads it. It does not connect yet."""
    address, credentials = sign_in_of(url)
    options: dict[str, Any] = {
        "max_connections": connections,
        "timeout": ANSWER_S,
        "socket_connect_timeout": CONNECT_S,
        "socket_timeout": ANSWER_S,
        "health_check_interval": 15,
    }
    if credentials is not None:
        options["credential_provider"] = credentials
    jobs: dict[str, Any] = {
        "job_serializer": orjson.dumps,
        "job_deserializer": orjson.loads,
        "default_queue_name": ARQ_QUEUE,
    }
    if isinstance(address, Cluster):
        return _cluster(address, options, jobs)
    if isinstance(address, Sentinels):
        pool: BlockingConnectionPool = _pool_behind(address, options)
    else:
        pool = BlockingConnectionPool.from_url(address, **options)
    pool.connection_class = _packing_in_c(pool.connection_class)
    return ArqRedis(pool, **jobs)


def _cluster(cluster: Cluster, options: Mapping[str, Any], jobs: Mapping[str, Any]) -> ClusterRedis:
    limits = {name: options[name] for name in ("max_connections", "timeout")}
    connections = {name: value for name, value in options.items() if name not in limits}
    connections |= parse_url(cluster.options)
    kind = _packing_in_c(connections.pop("connection_class", Connection))
    return ClusterRedis(cluster.nodes, kind, {**connections, "parser_class": ClusterParser}, limits, **jobs)


class FileCredentials(CredentialProvider):
    """Signs in with the password that a file holds at that moment, such as a token that is renewed again and again."""

    def __init__(self, password_file: Path, username: str | None) -> None:
        self._file, self._username = password_file, username

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """User and password. Called for each new connection. Raises RedisError for a file that cannot be read."""
        try:
            password = self._file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise AuthenticationError(f"password_file cannot be read: {type(error).__name__}") from None
        return (self._username, password) if self._username else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """As get_credentials. Reading a small file takes no time worth a thread."""
        return self.get_credentials()


def sign_in_of(url: str) -> tuple[Sentinels | Cluster | str, FileCredentials | None]:
    """The parsed address without `password_file` of its query, and what signs in with that file."""
    without, file, username = without_password_file(url)
    return parse_redis_url(without), None if file is None else FileCredentials(Path(file), username)


class FailoverPool(BlockingConnectionPool, SentinelConnectionPool):
    """Connections to the primary. Sentinel is asked for its address each time, so a failover needs no restart."""


def _pool_behind(sentinels: Sentinels, options: Mapping[str, Any]) -> FailoverPool:
    sign_in: dict[str, Any] = {}
    if "credential_provider" not in options:
        sign_in = {"username": sentinels.username, "password": sentinels.password}
    asking = {"socket_connect_timeout": CONNECT_S, "socket_timeout": CONNECT_S, "ssl": sentinels.tls}
    return FailoverPool(
        service_name=sentinels.service,
        sentinel_manager=Sentinel(  # type: ignore[no-untyped-call]
            sentinels.hosts, sentinel_kwargs={**asking, "password": sentinels.sentinel_password}
        ),
        connection_class=SentinelManagedSSLConnection if sentinels.tls else SentinelManagedConnection,
        db=sentinels.database,
        **{**sign_in, **options},
    )


def make_room(redis: Redis, connections: int) -> None:
    """Allow `redis` at least this many connections."""
    if isinstance(redis, ClusterRedis):
        redis.allow(connections)
        return
    pool = redis.connection_pool
    pool.max_connections = max(pool.max_connections, connections)


class Dedicated:
    """A connection for one writer that sends one request after another.

    Taking a connection from the pool for each request costs three turns of the event loop before a byte is sent, and
    in each of them other work comes first.
    """

    def __init__(self, redis: Redis) -> None:
        """Does not connect yet. The connection belongs to the client and is closed with it."""
        self._pool = redis.connection_pool
        self._connection: AbstractConnection | None = None

    async def ask(self, commands: Sequence[tuple[Any, ...]], sent: Callable[[], None]) -> list[Any]:
        """Redis's answer to each command, in one round trip. `sent` is called while Redis works on them.

        An error answer is returned as a value. Raises RedisError if Redis does not answer. On a connection that
        turns out to be closed, commands are sent once more, so it must be safe to run them twice.
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
        """Release the connection. Another is taken when needed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._pool.release(connection)


class DedicatedToShard(Dedicated):
    """A connection to the node that owns a destination. It follows the destination to another node."""

    def __init__(self, redis: ClusterRedis, destination: str) -> None:
        """Does not connect yet. The connection belongs to the client and is closed with it."""
        super().__init__(redis)
        redis.reserve()  # other commands for its node must not wait for this one to end
        self._cluster, self._slot = redis, slot(destination)
        self._pause_s = 0.0  # before the next commands

    async def ask(self, commands: Sequence[tuple[Any, ...]], sent: Callable[[], None]) -> list[Any]:
        """As Dedicated.ask. A command that another node should have got is answered with a Redirect."""
        if self._pause_s:
            await asyncio.sleep(self._pause_s)
            self._pause_s = 0.0
        pool = await self._cluster.pool_of(self._slot)
        if pool is not self._pool:
            await self.release()
            self._pool = pool
        try:
            answers = await super().ask(commands, sent)
        except STALE:
            self._cluster.topology.suspect(address_of(pool))
            await self.release()
            raise
        for answer in answers:
            if isinstance(answer, MovedError):
                self._cluster.topology.moved(self._slot, place(answer, pool))
            elif isinstance(answer, Redirect):
                self._pause_s = TRY_AGAIN_S
            elif isinstance(answer, STALE):
                self._cluster.topology.suspect(address_of(pool))
        return answers


def dedicated(redis: Redis, destination: str | None = None) -> Dedicated:
    """A connection for one writer. In a cluster, it writes to one destination."""
    if isinstance(redis, ClusterRedis) and destination is not None:
        return DedicatedToShard(redis, destination)
    return Dedicated(redis)


async def _asked(
    connection: AbstractConnection, commands: Sequence[tuple[Any, ...]], sent: Callable[[], None]
) -> list[Any]:
    try:
        try:
            await connection.send_packed_command(connection.pack_commands(commands))
        # If the transport is already closed, uvloop raises the first, asyncio of Python 3.12 and 3.13 the second.
        except (RuntimeError, AttributeError) as closed:
            raise RedisConnectionError(str(closed)) from closed
        sent()
        answers: list[Any] = []
        for _ in commands:
            try:
                answers.append(await connection.read_response(disable_decoding=True))
            except ResponseError as error:
                answers.append(error)
    except BaseException:  # an unread answer would be taken for the next one's
        await connection.disconnect(nowait=True)
        raise
    return answers


def _packing_in_c(connection: type[AbstractConnection]) -> type[AbstractConnection]:
    """The same connection with commands written by hiredis: redis-py's asyncio side uses Python, 4 µs per command."""

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


# How refusals by Redis and Valkey begin, and our code for each. For some of them redis-py removes these words and
# raises a class of its own. For a pipeline it puts the command in front, as Redis 6.2 does with the line in a script.
# If a script's user lacks a right, the refusal is a sentence without such a word.
_REFUSALS: Final = {
    "OOM": "redis_full",
    "READONLY": "redis_read_only",
    "MASTERDOWN": "redis_read_only",  # a replica whose primary is unreachable
    "MISCONF": "redis_read_only",  # it cannot write to its disk
    "NOREPLICAS": "redis_not_replicated",
    "LOADING": "redis_loading",
    "BUSY": "redis_busy",
    "CLUSTERDOWN": "redis_cluster_down",
    "MOVED": "redis_slot_moving",
    "ASK": "redis_slot_moving",
    "TRYAGAIN": "redis_slot_moving",
    "NOPERM": "redis_denied",
    "NOAUTH": "redis_denied",
    "WRONGPASS": "redis_denied",
    "ACL failure in script": "redis_denied",
    "The user executing the script can't": "redis_denied",
}
_WORDS: Final = re.compile(rf"(?:^|: -?|\(['\"])({'|'.join(_REFUSALS)})\b")
_CONNECTING: Final = re.compile(r"Error (-?\d+) connecting to (\S+)\.(?: (.*))?", re.DOTALL)
_PIPELINED: Final = re.compile(r"^Command # \d+ \(.*\) of pipeline caused error: ", re.DOTALL)
_CLASSES: Final[Mapping[type[RedisError], str]] = {
    OutOfMemoryError: "redis_full",
    ReadOnlyError: "redis_read_only",
    MasterDownError: "redis_read_only",
    BusyLoadingError: "redis_loading",  # a ConnectionError, like the next two
    AuthenticationError: "redis_denied",
    AuthorizationError: "redis_denied",
    NoPermissionError: "redis_denied",
    ClusterDownError: "redis_cluster_down",
    AskError: "redis_slot_moving",  # MovedError is one
    TryAgainError: "redis_slot_moving",
}


def why_unavailable(failure: RedisError) -> str:
    """The stable code for an error of Redis or of the connection: see QueueUnavailable."""
    if isinstance(failure.__cause__, RedisError):  # redis-py wraps errors that come while it connects
        return why_unavailable(failure.__cause__)
    for kind, reason in _CLASSES.items():
        if isinstance(failure, kind):
            return reason
    if not isinstance(failure, ResponseError):
        return "redis_unreachable"
    refusal = _WORDS.search(str(failure))
    return _REFUSALS[refusal[1]] if refusal else "redis_error"


def explain(failure: RedisError) -> str:
    """The code and the server's own message for a terminal, without the command of a pipeline, which names people."""
    message = _PIPELINED.sub("", str(failure))
    if found := _CONNECTING.fullmatch(message):
        code, where, reason = found.groups()
        message = f"{where}, {os.strerror(int(code)) if int(code) > 0 else reason}"
    return f"{why_unavailable(failure)}: {message.rstrip('.')}"
