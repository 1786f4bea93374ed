"""/healthz, /readyz, /metrics and /scaling, on the gateway and on every worker."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

import structlog
from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, Field

from app import metrics
from app.delivery.backlog import LaneDepth, lane_depths, read_workload
from app.delivery.lag import Objectives
from app.delivery.lane import Lane
from app.delivery.pace import Pace
from app.delivery.retention import Retention
from app.delivery.workload import WINDOW_S, LaneWork, seconds_of_work
from app.gauges import (
    read_counts,
    read_dead_letters,
    read_erasures,
    read_growth,
    read_lags,
    read_lanes,
    read_people,
    read_redis,
)
from app.store.connection import Redis, why_unavailable
from app.store.errors import StoreError
from app.store.shards import by_shard, each_shard, is_cluster

_PROBE_KEY = "gateway:probe"
_PROBE_LIFE_MS = 60_000
_FRESH_S: Final = 1.0

log = structlog.get_logger()
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Observed:
    """What the pages report on."""

    redis: Redis
    paces: Callable[[], Mapping[Lane, Pace]]  # of every current lane
    registry: CollectorRegistry
    one_worker: float  # calls per second
    retention: Retention  # of dead letters
    memories: Callable[[], Mapping[tuple[str, str], timedelta]] = dict  # destination and source → expiry of profiles
    objectives: Callable[[], Mapping[str, Objectives]] = dict  # for lag, by destination

    @property
    def destinations(self) -> list[str]:
        """Their names, without repeats."""
        return list(dict.fromkeys(lane.destination for lane in self.paces()))

    async def lanes(self, destinations: Sequence[str]) -> tuple[list[LaneDepth], list[LaneWork]]:
        """The depth of each lane of these destinations, and the part that could be sent now. Raises StoreError."""
        paces = self.paces()
        depths = await lane_depths(self.redis, [lane for lane in paces if lane.destination in destinations])
        return depths, await read_workload(self.redis, depths, paces)


class Health(BaseModel):
    """Whether a process is able to work."""

    status: Literal["ok", "ready", "unavailable"]
    reason: Annotated[str | None, Field(description="a stable code, if it cannot")] = None


class Scaling(BaseModel):
    """The work that could be done now."""

    sendable_work_seconds: Annotated[
        float, Field(description="time that one worker needs for what the lanes' limits allow within the window")
    ]
    window_seconds: float
    worker_calls_per_second: Annotated[float, Field(description="the expected calls per second of one worker")]
    lanes: Annotated[list[dict[str, Any]], Field(description="the lanes that have something to send")]


_AWAY: Final[dict[int | str, dict[str, Any]]] = {
    503: {"model": Health, "description": "Redis is unreachable, full or read-only"}
}


class EachSecond(Generic[T]):
    """Creates a value at most once a second, however many callers request it."""

    def __init__(self, make: Callable[[], Awaitable[T]], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._make, self._clock = make, clock
        self._made_at = float("-inf")
        self._making: asyncio.Future[T] | None = None

    async def get(self) -> T:
        """The value, created from less than a second ago on. Raises what `make` raises, for all callers."""
        if self._making is None or self._clock() - self._made_at >= _FRESH_S:
            self._made_at = self._clock()
            self._making = asyncio.ensure_future(self._make())
        return await asyncio.shield(self._making)


async def _probe(observed: Observed) -> str | None:
    """Why Redis takes no writes; None if it does, or at least one shard of a cluster."""
    redis = observed.redis

    async def write(destinations: Sequence[str]) -> None:
        key = f"{{{destinations[0]}}}:probe" if is_cluster(redis) else _PROBE_KEY
        await redis.set(key, b"1", px=_PROBE_LIFE_MS)

    try:
        await each_shard(redis, observed.destinations, write)
    except StoreError as failure:
        return why_unavailable(failure)
    return None


def probes_router(observed: Observed) -> APIRouter:
    """Readiness for load balancers on the public port: without details, and it asks Redis at most once a second."""
    router = APIRouter(include_in_schema=False)  # health_router describes them
    probe = EachSecond(lambda: _probe(observed))

    @router.get("/healthz")
    async def healthz() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        unavailable = await probe.get() is not None
        return JSONResponse({"status": "unavailable" if unavailable else "ready"}, 503 if unavailable else 200)

    return router


def health_router(observed: Observed) -> APIRouter:
    """The four pages. /metrics is read from Redis at most once a second."""
    router = APIRouter(tags=["operations"])
    pages = EachSecond(lambda: _metrics_page(observed))

    @router.get("/healthz", summary="Is the process alive?", operation_id="healthz", responses={200: {"model": Health}})
    async def healthz() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    @router.get(
        "/readyz",
        summary="Can it do its work: is Redis reachable and writable?",
        description="Without `reason` on the public port.",
        operation_id="readyz",
        responses={200: {"model": Health}, **_AWAY},
    )
    async def readyz() -> JSONResponse:
        reason = await _probe(observed)
        return JSONResponse({"status": "ready"}) if reason is None else _unavailable(reason)

    @router.get(
        "/metrics",
        summary="Prometheus metrics",
        operation_id="metrics",
        response_class=PlainTextResponse,
        response_description="Counters, gauges and histograms",
    )
    async def metrics_page() -> Response:
        page, read_at = await pages.get()
        return Response(page, media_type=metrics.CONTENT_TYPE, headers={"X-Read-At": f"{read_at:.3f}"})

    @router.get(
        "/scaling",
        summary="How much work is there for workers?",
        description="For an autoscaler: the number of workers should follow `sendable_work_seconds`.",
        operation_id="scaling",
        responses={200: {"model": Scaling}, **_AWAY},
    )
    async def scaling() -> JSONResponse:
        try:
            shards = await each_shard(observed.redis, observed.destinations, observed.lanes)
        except StoreError as failure:
            return _unavailable(why_unavailable(failure))
        work = [lane for _, lanes in shards for lane in lanes]
        return JSONResponse(_work_page(work, observed.one_worker))

    return router


def _unavailable(reason: str) -> JSONResponse:
    return JSONResponse({"status": "unavailable", "reason": reason}, 503)


async def _metrics_page(observed: Observed) -> tuple[bytes, float]:
    """The page, and when it was read (s since the epoch)."""
    read_at = time.time()
    readings = metrics.Readings()
    try:
        shards = await by_shard(observed.redis, observed.destinations)
        await read_redis(readings, observed.redis)
        results = await asyncio.gather(*(_read(readings, observed, shard) for shard in shards), return_exceptions=True)
        away = [failure for failure in results if isinstance(failure, BaseException)]
        for failure in away:
            if len(away) == len(results) or not isinstance(failure, StoreError):
                raise failure
            log.warning("metrics.incomplete", reason=why_unavailable(failure))
        readings.add(metrics.Family.REDIS_UP, 0 if away else 1)
    except StoreError as failure:
        log.warning("metrics.incomplete", reason=why_unavailable(failure))
        readings = metrics.Readings([metrics.Family.REDIS_UP])
        readings.add(metrics.Family.REDIS_UP, 0)
    return metrics.page(observed.registry, readings), read_at


async def _read(page: metrics.Readings, observed: Observed, destinations: Sequence[str]) -> None:
    redis = observed.redis
    depths, work = await observed.lanes(destinations)
    await read_counts(page, redis, destinations)
    await read_growth(page, redis, destinations)
    await read_erasures(page, redis, destinations)
    await read_dead_letters(page, redis, destinations, observed.retention)
    objectives = observed.objectives()
    await read_lags(page, redis, {name: objectives[name] for name in objectives if name in destinations})
    memories = observed.memories()
    await read_people(page, redis, {place: life for place, life in memories.items() if place[0] in destinations})
    await read_lanes(page, redis, depths, work, observed.one_worker)


def _work_page(work: list[LaneWork], one_worker: float) -> dict[str, Any]:
    """The response of /scaling. Lanes with nothing to send are left out."""
    return {
        "sendable_work_seconds": round(seconds_of_work(work, one_worker=one_worker), 3),
        "window_seconds": WINDOW_S,
        "worker_calls_per_second": one_worker,
        "lanes": [
            {
                "destination": each.lane.destination,
                "endpoint": each.lane.endpoint,
                "due": each.due,
                "calls_per_second": each.rate,
                "sendable_work_seconds": round(seconds_of_work([each], one_worker=one_worker), 3),
            }
            for each in work
            if each.due
        ],
    }
