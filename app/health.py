"""/healthz, /readyz and /metrics, the same on the gateway and on every worker."""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app import metrics
from app.delivery.backlog import Lane, lane_depths
from app.delivery.books import read_books
from app.delivery.connection import why_unavailable

_PROBE_KEY = "gateway:probe"
_PROBE_LIFE_MS = 60_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Observed:
    """What the pages speak of."""

    redis: Redis
    lanes: Sequence[Lane]
    registry: CollectorRegistry

    @property
    def destinations(self) -> list[str]:
        """Their names, once each."""
        return list(dict.fromkeys(lane.destination for lane in self.lanes))


def health_router(observed: Observed) -> APIRouter:
    """The three pages."""
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
            response.status_code = 503
            return {"status": "unavailable", "reason": why_unavailable(failure)}
        return {"status": "ready"}

    @router.get("/metrics", summary="Prometheus metrics", response_class=Response)
    async def metrics_page() -> Response:
        try:
            families = await _read_families(observed)
        except RedisError as failure:
            log.warning("metrics.incomplete", reason=why_unavailable(failure))
            families = []
        return Response(metrics.page(observed.registry, families), media_type=metrics.CONTENT_TYPE)

    return router


async def _read_families(observed: Observed) -> list[Metric]:
    """The sums and depths kept in Redis, the same whichever process is asked."""
    received, replayed, ended, waiting = metrics.events_family()
    unchanged = metrics.unchanged_family()
    for books in await read_books(observed.redis, observed.destinations):
        labels = [books.destination]
        received.add_metric(labels, books.received)
        replayed.add_metric(labels, books.replayed)
        ended.add_metric([*labels, "delivered", ""], books.delivered)
        for reason, count in books.dropped.items():
            ended.add_metric([*labels, "dropped", reason], count)
        for reason, count in books.dead.items():
            ended.add_metric([*labels, "dead_lettered", reason], count)
        waiting.add_metric(labels, books.waiting)
        unchanged.add_metric(labels, books.unchanged)
    depth = metrics.depth_family()
    for lane in await lane_depths(observed.redis, observed.lanes):
        where = [lane.lane.destination, lane.lane.endpoint]
        for priority, count in zip(("high", "normal", "low"), lane.by_priority, strict=True):
            depth.add_metric([*where, priority], count)
        depth.add_metric([*where, "retry"], lane.retries)
    return [received, replayed, ended, waiting, unchanged, depth]
