"""create_app(): the one place that sees everything in `app`, builds it once, and wires it together."""

import gc
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, cast

import structlog
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app import __version__
from app.config.topology import Topology
from app.config.values import BadSettings
from app.delivery.attributes import KnownAttributes
from app.delivery.backlog import calls_waiting
from app.delivery.connection import check_durability, open_redis, why_unavailable
from app.delivery.memory import Recall
from app.delivery.outbox import Outbox
from app.delivery.pressure import PressureGauge
from app.delivery.wake import Waker
from app.delivery.watch import watching
from app.health import Observed, health_router
from app.ingest.admission import Admission, Ceilings
from app.ingest.auth import WriteKeys
from app.ingest.cors import Cors
from app.ingest.documents import documents_router
from app.ingest.refusal import Refused
from app.ingest.routes import Limits, TrackingRoutes
from app.logs import set_up_logging
from app.metrics import ConfigMetrics, IngestMetrics
from app.openapi import describe_tracking
from app.reload import Reload, ignore_hang_ups
from app.settings import Settings, load_settings
from app.topology import (
    all_lanes,
    all_memories,
    all_origins,
    all_paces,
    all_senders,
    all_warnings,
    lanes_of,
    rate_limits,
    retention_of,
)

log = structlog.get_logger()

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_app(settings: Settings) -> ASGIApp:
    """The gateway's ASGI app. Redis is connected on first use, and looked at when the app starts.

    Raises BadSettings.
    """
    loaded = settings.loaded()
    redis = open_redis(settings.redis_url.get_secret_value())
    registry = CollectorRegistry()
    rate_limit = rate_limits()
    waker = Waker(redis)
    outbox = Outbox(
        redis,
        wake=waker.hint,
        journal_entries=settings.journal_entries,
        replicas=settings.wait_for_replicas,
    )
    gauge = PressureGauge(redis, lambda: all_lanes(reload.running.topology))
    attributes = KnownAttributes(redis, all_warnings(loaded.topology))
    write_keys = WriteKeys(all_senders(loaded.topology, rate_limit))

    def use(topology: Topology) -> None:
        senders, origins = all_senders(topology, rate_limit), all_origins(topology)
        write_keys.replace(senders)
        gateway.replace(origins)
        attributes.replace(all_warnings(topology))

    reload = Reload(
        loaded,
        load=settings.loaded_again,
        use=use,
        waiting=lambda names: calls_waiting(redis, lanes_of(names)),
        metrics=ConfigMetrics(registry),
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await warn_unless_durable(redis, required=False)
        calm_garbage_collection()
        started = {"destinations": len(loaded.topology.destinations), "config": loaded.sha256[:12]}
        log.info("gateway.started", version=__version__, **started)
        async with watching(gauge.look), watching(attributes.look), reload.watching():
            yield
        await outbox.close()
        await waker.close()
        await redis.aclose(close_connection_pool=True)
        log.info("gateway.stopped")

    observed = Observed(
        redis,
        lambda: all_paces(reload.running.topology),
        registry,
        settings.worker_calls_per_second,
        retention_of(settings),
        lambda: all_memories(reload.running.topology),
    )
    api = create_api(observed, write_keys, lifespan)
    tracking = TrackingRoutes(
        _behind_proxies(api),
        write_keys=write_keys,
        outbox=outbox,
        recall=Recall(redis),
        admission=Admission(
            Ceilings(settings.max_backlog_events, settings.max_backlog_bytes, settings.max_memory_share), gauge.now
        ),
        limits=Limits(settings.max_body_bytes, settings.max_event_bytes, settings.max_batch_events),
        metrics=IngestMetrics(registry),
        attributes=attributes,
    )
    gateway = Cors(tracking, origins=all_origins(loaded.topology))
    return gateway


def create_api(observed: Observed, write_keys: WriteKeys, lifespan: Lifespan | None = None) -> FastAPI:
    """All pages but the tracking routes, which it describes."""
    api = FastAPI(
        title="attentive-gateway",
        version=__version__,
        summary="Segment-style events in, Attentive calls out.",
        lifespan=lifespan,
        redirect_slashes=False,
        exception_handlers={HTTPException: _refuse, Exception: _apologise},
    )
    api.include_router(health_router(observed))
    api.include_router(documents_router(write_keys))
    describe_tracking(api)
    return api


def _behind_proxies(api: FastAPI) -> ASGIApp:
    """The pages, told by a trusted proxy what it was asked for, as uvicorn does it for a whole app.

    Trackers' settings say by which scheme to come back. The tracking routes ask for nothing of it, and save 2 µs.
    """
    trusted = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1")
    return cast(ASGIApp, ProxyHeadersMiddleware(cast(Any, api), trusted_hosts=trusted))


def calm_garbage_collection() -> None:
    """Take what lives as long as the process out of the collector's rounds, which stalled all requests for 40 ms.

    And let it look seldom: a request makes hundreds of short-lived objects that need no collector, and by default every
    second request would set it off. Not too seldom: at 50,000 a worker had grown by 7.6 MiB after a million events,
    at 10,000 by 6.0.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def app_from_environment() -> ASGIApp:
    """What uvicorn calls in each of its processes."""
    ignore_hang_ups()
    settings = load_settings()
    set_up_logging(settings.log_level, settings.log_format, component="gateway")
    return create_app(settings)


async def warn_unless_durable(redis: Redis, *, required: bool) -> None:
    """Say loudly when this Redis may lose events. Raises BadSettings when `required` forbids that."""
    try:
        durability = await check_durability(redis)
    except RedisError as failure:
        reason, error = why_unavailable(failure), str(failure)[:200]
        if required:
            raise BadSettings(f"GATEWAY_REQUIRE_DURABLE_REDIS: Redis cannot be asked ({reason}: {error})") from None
        log.error("redis.unreachable_at_start", reason=reason, error=error, hint="is GATEWAY_REDIS_URL right?")
        return
    for problem in durability.problems:
        log.warning("redis.not_durable", problem=problem, version=durability.version)
    if not durability.maxmemory:
        log.warning("redis.no_maxmemory", hint="set it, so that events are refused before its machine is out of memory")
    if durability.problems and required:
        raise BadSettings("GATEWAY_REQUIRE_DURABLE_REDIS: Redis may lose events: " + "; ".join(durability.problems))


async def check_redis(settings: Settings) -> None:
    """The same check before the processes start, so that a refusal is one line. Raises BadSettings."""
    redis = open_redis(settings.redis_url.get_secret_value())
    try:
        await warn_unless_durable(redis, required=settings.require_durable_redis)
    finally:
        await redis.aclose()


async def _refuse(_request: Request, error: Exception) -> JSONResponse:
    """Unknown paths and methods, in the body shape that trackers survive."""
    assert isinstance(error, HTTPException)  # noqa: S101 - Starlette calls it with nothing else
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
    told = "there is nothing at this path; /docs tells what there is" if error.status_code == 404 else str(error.detail)
    answer = _json(Refused(error.status_code, code, told))
    answer.headers.update(error.headers or {})
    return answer


async def _apologise(_request: Request, error: Exception) -> JSONResponse:
    log.error("request.failed", error=type(error).__name__)
    return _json(Refused(500, "internal_error", "the gateway failed to answer; its log says more"))


def _json(refusal: Refused) -> JSONResponse:
    return JSONResponse(refusal.content(), refusal.status)
