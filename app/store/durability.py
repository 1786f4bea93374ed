"""Whether a Redis keeps what it accepts, as far as it tells."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.store.connection import Redis
from app.store.shards import nodes_of


@dataclass(frozen=True, slots=True)
class Durability:
    """Whether a server keeps what it accepts. If not, `problems` holds sentences for an operator."""

    server: str  # its name and version, such as "Valkey 9.1.2"
    problems: tuple[str, ...]
    maxmemory: int  # bytes; 0: no limit; of a cluster, that of the smallest node


async def check_durability(redis: Redis, *, managed: bool = False) -> Durability:
    """Check whether Redis writes to disk or to a replica, and whether it may evict keys. Raises RedisError.

    Of a `managed` service, which keeps a log that it does not report, only the version and evictions are checked.
    """
    infos = [await node.info() for node in await nodes_of(redis)]
    problems = dict.fromkeys(problem for info in infos for problem in _problems(info, managed=managed))
    return Durability(_server(infos[0]), tuple(problems), min(int(info.get("maxmemory", 0)) for info in infos))


def _problems(info: Mapping[str, Any], *, managed: bool) -> Iterator[str]:
    if not managed and not info.get("aof_enabled") and not info.get("connected_slaves"):
        yield "it has neither an append-only file nor a replica: a restart loses what waits (appendonly yes)"
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield f"its maxmemory-policy is {policy}: under pressure it deletes events (use noeviction)"
    if _major_minor(str(info.get("redis_version"))) < (6, 2):
        yield f"it is {_server(info)}: Redis 6.2 is the oldest that works"


def _server(info: Mapping[str, Any]) -> str:
    """The server's name and version. Every Valkey also reports Redis 7.2.4, the version that it is compatible with."""
    if version := info.get("valkey_version"):
        return f"Valkey {version}"
    return f"Redis {info.get('redis_version', 'unknown')}"


def _major_minor(version: str) -> tuple[int, int]:
    parts = version.split(".")
    try:
        return int(parts[0]), int(parts[1])
    except (IndexError, ValueError):
        return (0, 0)
