"""The servers that are measured, and how to count what each has kept in its Redis."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from arq.constants import default_queue_name
from redis import Redis

from app.attentive.endpoints import CUSTOM_EVENT, PRODUCT_VIEW
from app.settings import DEFAULT_DESTINATION
from app.store.keys import DestinationKeys, LaneKeys
from benchmarks.servers.grouped import STREAM

Count = Callable[[Redis], int]


@dataclass(frozen=True, slots=True)
class Contender:
    """One server. `count` says how many events its Redis holds; None for the one that keeps nothing."""

    letter: str
    name: str
    start: tuple[str, ...]  # what Python is told, before the address
    count: Count | None


def in_arq(redis: Redis) -> int:
    """Jobs that wait or run."""
    return cast(int, redis.zcard(default_queue_name))


def in_lanes(redis: Redis) -> int:
    """Deliveries that wait or are under way, in the lanes that the benchmarks use."""
    shared = DestinationKeys(DEFAULT_DESTINATION)
    lanes = (LaneKeys(shared, endpoint.name) for endpoint in (PRODUCT_VIEW, CUSTOM_EVENT))
    return sum(cast(int, redis.xlen(stream)) for lane in lanes for stream in lane.streams)


def _in_stream(redis: Redis) -> int:
    return cast(int, redis.xlen(STREAM))


def _uvicorn(server: str) -> tuple[str, ...]:
    """A server of ours, as uvicorn runs one at its fastest."""
    fast = ("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning")
    return ("-m", "uvicorn", f"benchmarks.servers.{server}:app", *fast, "--timeout-graceful-shutdown", "2")


BARE: Final = Contender("a", "bare ASGI, keeps nothing", _uvicorn("bare"), None)
GROUPED: Final = Contender("b", "bare ASGI + group commit of the body", _uvicorn("grouped"), _in_stream)
OBVIOUS: Final = Contender("c", "FastAPI + pydantic + one arq job per event", _uvicorn("obvious"), in_arq)
GATEWAY: Final = Contender("d", "this gateway", ("-m", "app.cli", "serve"), in_lanes)
CEILING: Final = Contender("e", "bare ASGI + one write of all events", _uvicorn("ceiling"), _in_stream)
SINK: Final = Contender("f", "takes every call", _uvicorn("sink"), None)
