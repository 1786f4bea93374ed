"""create_app(): the only function that sees everything in `app`. It builds the parts and connects them."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.types import ASGIApp

from app import __version__
from app.config.topology import Loaded, Topology
from app.delivery.accounts.attributes import KnownAttributes
from app.delivery.pressure import PressureGauge
from app.delivery.wakeup import Waker
from app.health import Observed, probes_router
from app.identity.recent import FORGOTTEN_AFTER_S, forget_recent
from app.ingest.auth import WriteKeys
from app.ingest.connection import ConnectionLimits
from app.ingest.cors import Cors, CorsPolicy
from app.ingest.documents import documents_router
from app.ingest.exchange import Serve, Shortcut
from app.ingest.limits import LimitMonitor
from app.ingest.refusal import Refused
from app.ingest.routes import TRACKING, CleanPath
from app.logs import set_up_logging
from app.metrics import IngestMetrics
from app.openapi import ABOUT, GatewayAPI
from app.operators import operators_api, serving_operators
from app.process import ignore_sighup, most_connections, repeating, tune_gc
from app.settings import Settings, load_settings
from app.store.connection import Redis, open_redis
from app.store.errors import StoreError
from app.store.polling import watching
from app.wiring.durability import warn_unless_durable
from app.wiring.gateway import all_origins, all_senders, all_warnings, outbox_of, rate_limits
from app.wiring.intake import gateway_watch_of, intake_of, refusals_of
from app.wiring.pages import observed
from app.wiring.reloading import reload_of
from app.wiring.shared import all_lanes
from app.wiring.traces import Tracing, tracing_of

log = structlog.get_logger()

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any]]]


def create_app(settings: Settings) -> ASGIApp:
    """The gateway's ASGI app. It connects to Redis on first use, and checks Redis when the app starts.

    Raises BadSettings.
    """
    loaded = settings.loaded()
    redis = open_redis(settings.redis_url.get_secret_value())
    registry = CollectorRegistry()
    rate_limit = rate_limits()
    waker = Waker(redis)
    tracing = tracing_of(settings, registry, service="attentive-gateway")
    outbox = outbox_of(settings, redis, waker, None if tracing is None else tracing.emit)
    gauge = PressureGauge(redis, lambda: all_lanes(reload.running.topology))
    attributes = KnownAttributes(redis, all_warnings(loaded.topology))
    write_keys = WriteKeys(all_senders(loaded.topology, rate_limit))

    def use(topology: Topology) -> None:
        senders, origins = all_senders(topology, rate_limit), all_origins(topology)
        write_keys.replace(senders)
        cors.replace(origins)
        attributes.replace(all_warnings(topology))

    reload = reload_of(settings, loaded, redis, registry, use)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        await _start(settings, loaded, redis, tracing)
        async with (
            serving_operators(operators_api(pages, api), settings.admin_host, settings.admin_port),
            watching(gauge.look),
            watching(attributes.look),
            watching(refusals.flush),
            watching(alerts.look),
            reload.watching(),
            repeating(forget_recent, every_s=FORGOTTEN_AFTER_S),
        ):
            yield {"shortcut": shortcut, "connection_limits": limits}
        await outbox.close()
        with suppress(StoreError):
            await refusals.flush()
        await waker.close()
        await alerts.stop()
        await _stop(redis, tracing)

    pages = observed(settings, redis, registry, lambda: reload.running.topology)
    metrics = IngestMetrics(registry)
    monitor = LimitMonitor(metrics)
    refusals = refusals_of(settings, redis, lambda: reload.running.topology)
    alerts = gateway_watch_of(redis, reload, metrics)
    limits = ConnectionLimits(most_connections(settings.max_connections), monitor)
    intake = intake_of(
        settings,
        redis,
        tracing,
        write_keys=write_keys,
        outbox=outbox,
        gauge=gauge,
        metrics=metrics,
        monitor=monitor,
        attributes=attributes,
        refusals=refusals,
    )
    cors = CorsPolicy(all_origins(loaded.topology))
    shortcut = Shortcut(cors.around(intake.serve), body_bytes=intake.limits.body_bytes)
    api = create_api(intake.serve, shortcut, pages, write_keys, lifespan)
    api.state.refusals = refusals
    return Cors(api, cors)


async def _start(settings: Settings, loaded: Loaded, redis: Redis, tracing: Tracing | None) -> None:
    await warn_unless_durable(redis, required=False, managed=settings.is_managed)
    tune_gc()
    started = {"destinations": len(loaded.topology.destinations), "config": loaded.sha256[:12]}
    log.info("gateway.started", version=__version__, **started)
    if tracing is not None:
        tracing.start()


async def _stop(redis: Redis, tracing: Tracing | None) -> None:
    await redis.aclose(close_connection_pool=True)
    if tracing is not None:
        await tracing.stop()
    log.info("gateway.stopped")


def create_api(
    serve: Serve, shortcut: Shortcut, observed: Observed, write_keys: WriteKeys, lifespan: Lifespan | None = None
) -> FastAPI:
    """Every path that the gateway serves. `serve` is the intake's method."""
    api = GatewayAPI(
        title="attentive-gateway",
        version=__version__,
        summary="Segment-style events in, Attentive calls out.",
        description=ABOUT,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,  # see operators.py
        redirect_slashes=False,
        middleware=[Middleware(CleanPath)],
        exception_handlers={HTTPException: _refuse, Exception: _internal_error},
    )
    api.state.serve, api.state.shortcut = serve, shortcut
    api.router.routes.extend(TRACKING.routes)  # if included, each would be described again by the first request
    api.include_router(documents_router(write_keys))
    api.include_router(probes_router(observed))
    return api


def app_from_environment() -> ASGIApp:
    """The app factory that uvicorn calls in each of its processes."""
    ignore_sighup()
    settings = load_settings()
    set_up_logging(settings.log_level, settings.log_format, component="gateway")
    return create_app(settings)


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    """Answer unknown paths and methods in the form that trackers expect."""
    assert isinstance(error, HTTPException)  # noqa: S101 - Starlette calls it with nothing else
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
    message = (
        "this path does not exist; docs/trackers.md lists the paths" if error.status_code == 404 else str(error.detail)
    )
    refusal = Refused(error.status_code, code, message)
    if (refusals := getattr(request.app.state, "refusals", None)) is not None:
        refusals.note(refusal, request.url.path)
    answer = _json(refusal)
    answer.headers.update(error.headers or {})
    return answer


async def _internal_error(_request: Request, error: Exception) -> JSONResponse:
    log.error("request.failed", error=type(error).__name__)
    return _json(Refused(500, "internal_error", "the gateway failed to answer; see its log"))


def _json(refusal: Refused) -> JSONResponse:
    return JSONResponse(refusal.content(), refusal.status)
