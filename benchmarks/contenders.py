"""The four servers, and how to count what each has kept in its Redis."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from arq.constants import default_queue_name
from redis import Redis

from app.attentive.endpoints import PRODUCT_VIEW
from app.delivery.keys import DestinationKeys, LaneKeys
from app.settings import DEFAULT_DESTINATION
from benchmarks.event import WRITE_KEY
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


GATEWAY_ENVIRONMENT: Final = {
    "GATEWAY_WRITE_KEY": WRITE_KEY,
    "ATTENTIVE_API_TOKEN": "x",
    "ATTENTIVE_BASE_URL": "http://127.0.0.1:9",  # nothing is sent: no worker runs
}


def _in_stream(redis: Redis) -> int:
    return cast(int, redis.xlen(STREAM))


def _in_arq(redis: Redis) -> int:
    return cast(int, redis.zcard(default_queue_name))


def _in_lane(redis: Redis) -> int:
    lane = LaneKeys(DestinationKeys(DEFAULT_DESTINATION), PRODUCT_VIEW.name)
    return sum(cast(int, redis.xlen(stream)) for stream in lane.streams)


CONTENDERS: Final = (
    Contender("a", "bare ASGI, keeps nothing", "benchmarks.servers.bare:app", None),
    Contender("b", "bare ASGI + group commit of the raw body", "benchmarks.servers.grouped:app", _in_stream),
    Contender("c", "FastAPI + pydantic + one arq job per event", "benchmarks.servers.obvious:app", _in_arq),
    Contender("d", "this gateway", "app.main:app_from_environment", _in_lane, factory=True),
)
