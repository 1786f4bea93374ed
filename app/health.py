"""/healthz, /readyz, /metrics and /scaling, the same on the gateway and on every worker."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app import metrics
from app.delivery.backlog import Lane, LaneDepth, lane_depths
from app.delivery.connection import why_unavailable
from app.delivery.pace import Pace
from app.delivery.retention import Retention
from app.delivery.workload import WINDOW_S, LaneWork, read_workload, seconds_of_work
from app.gauges import (
    book_families,
    deletion_families,
    lane_families,
    letter_families,
    people_family,
    redis_families,
)

_PROBE_KEY = "gateway:probe"
_PROBE_LIFE_MS = 60_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Observed:
    """What the pages speak of."""

    redis: Redis
    paces: Callable[[], Mapping[Lane, Pace]]  # of every lane there is now
    registry: CollectorRegistry
    one_worker: float  # calls per second
    retention: Retention  # of letters
    memories: Callable[[], Mapping[tuple[str, str], timedelta]] = dict  # destination and source: how long

    @property
    def destinations(self) -> list[str]:
        """Their names, once each."""
        return list(dict.fromkeys(lane.destination for lane in self.paces()))

    async def lanes(self) -> tuple[list[LaneDepth], list[LaneWork]]:
        """What waits in each lane, and what of it could be sent now. Raises RedisError."""
        paces = self.paces()
        depths = await lane_depths(self.redis, list(paces))
        return depths, await read_workload(self.redis, depths, paces)


def health_router(observed: Observed) -> APIRouter:
    """The four pages."""
    router = APIRouter(tags=["operations"])

    @router.get("/healthz", summary="Is the process alive?")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get(
        "/readyz",
        summary="Can it do its work: is Redis reachable and writable?",
        responses={503: {"description": "Redis is away, full or read-only; `reason` says which"}},
    )
    async def readyz(response: Response) -> dict[str, str]:
        try:
            await observed.redis.set(_PROBE_KEY, b"1", px=_PROBE_LIFE_MS)
        except RedisError as failure:
            return _unavailable(response, failure)
        return {"status": "ready"}

    @router.get("/metrics", summary="Prometheus metrics", response_class=Response)
    async def metrics_page() -> Response:
        try:
            families = await _read_families(observed)
        except RedisError as failure:
            log.warning("metrics.incomplete", reason=why_unavailable(failure))
            families = [metrics.redis_up(False)]
        return Response(metrics.page(observed.registry, families), media_type=metrics.CONTENT_TYPE)

    @router.get(
        "/scaling",
        summary="How much work is there for workers?",
        responses={503: {"description": "Redis is away; `reason` says why"}},
    )
    async def scaling(response: Response) -> dict[str, Any]:
        try:
            _, work = await observed.lanes()
        except RedisError as failure:
            return _unavailable(response, failure)
        return _work_page(work, observed.one_worker)

    return router


def _unavailable(response: Response, failure: RedisError) -> dict[str, Any]:
    response.status_code = 503
    return {"status": "unavailable", "reason": why_unavailable(failure)}


async def _read_families(observed: Observed) -> list[Metric]:
    depths, work = await observed.lanes()
    return [
        metrics.redis_up(True),
        *await redis_families(observed.redis),
        *await book_families(observed.redis, observed.destinations),
        *await deletion_families(observed.redis, observed.destinations),
        *await letter_families(observed.redis, observed.destinations, observed.retention),
        await people_family(observed.redis, observed.memories()),
        *await lane_families(observed.redis, depths, work, observed.one_worker),
    ]


def _work_page(work: list[LaneWork], one_worker: float) -> dict[str, Any]:
    """What /scaling answers; lanes with nothing to send are left out."""
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
