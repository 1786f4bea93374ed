"""The servers that are measured, and how to count what each has kept in its Redis."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from arq.constants import default_queue_name
from redis import Redis

from app.attentive.endpoints import CUSTOM_EVENT, PRODUCT_VIEW
from app.delivery.keys import DestinationKeys, LaneKeys
from app.settings import DEFAULT_DESTINATION
from benchmarks.servers.grouped import STREAM

Count = Callable[[Redis], int]


@dataclass(frozen=True, slots=True)
class Contender:
    """One server. `count` says how many events its Redis holds; None for the one that keeps nothing."""

    letter: str
    name: str
    app: str  # as uvicorn takes it
    count: Count | None
    factory: bool = False


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


BARE: Final = Contender("a", "bare ASGI, keeps nothing", "benchmarks.servers.bare:app", None)
GROUPED: Final = Contender("b", "bare ASGI + group commit of the body", "benchmarks.servers.grouped:app", _in_stream)
OBVIOUS: Final = Contender("c", "FastAPI + pydantic + one arq job per event", "benchmarks.servers.obvious:app", in_arq)
GATEWAY: Final = Contender("d", "this gateway", "app.main:app_from_environment", in_lanes, factory=True)
CEILING: Final = Contender("e", "bare ASGI + one write of all events", "benchmarks.servers.ceiling:app", _in_stream)
SINK: Final = Contender("f", "takes every call", "benchmarks.servers.sink:app", None)
