"""create_console(): the one place that builds the console and wires it together."""

import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog
import uvicorn
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from app import __version__
from app.console.guard import SAFE, Guard
from app.console.jobs import Jobs
from app.console.live import Live
from app.console.oidc import OidcSignIn
from app.console.passwords import Passwords
from app.console.rates import RecentRates
from app.console.rendering import STATIC, render
from app.console.revisions import Revisions
from app.console.routes import (
    access,
    alerts,
    dead_letters,
    events,
    mapping,
    mapping_edit,
    operations,
    overview,
    people,
    signing,
    syncs,
)
from app.console.sessions import Sessions
from app.console.sign_in import SignIns
from app.console.sync_runs import SyncRuns
from app.console.visit import NotSignedIn, Parts
from app.console.web import link
from app.operations.audit import AuditLog
from app.operations.operator import BadRequest, NotFound, OperationError
from app.settings import Settings
from app.store.connection import Redis, open_redis, why_unavailable
from app.store.errors import StoreError
from app.traces.fastapi import NO_TELEMETRY
from app.wiring.reloading import reload_of

if TYPE_CHECKING:
    import httpx

log = structlog.get_logger()
_STOP_WITHIN_S: Final = 2
_PARTS: Final = (
    *(signing, overview, events, operations, syncs, alerts),
    *(dead_letters, mapping, mapping_edit, people, access),
)


class Assets(StaticFiles):
    """Style sheet, script and icon: their addresses change with their content, so browsers keep them."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """One asset."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def create_console(settings: Settings, *, host: str | None = None, http: "httpx.AsyncClient | None" = None) -> Guard:
    """The console's ASGI app. Raises BadSettings, also for a sign-in that is too weak for the address.

    `http` speaks to the identity provider in place of a client of its own.
    """
    loaded = settings.loaded()
    redis = open_redis(settings.redis_url.get_secret_value())
    sign_ins = SignIns(settings, loaded.topology, host or settings.console_host)
    reload = reload_of(settings, loaded, redis, CollectorRegistry(), sign_ins.replace)
    jobs, oidc, sync_runs = Jobs(redis), OidcSignIn(redis, http), SyncRuns(redis)
    live = Live(redis, lambda: reload.running.topology.destinations, events.row_html)
    parts = Parts(
        settings,
        redis,
        reload,
        sign_ins,
        Sessions(redis),
        Passwords(redis),
        oidc,
        AuditLog(redis),
        jobs,
        live,
        Revisions(redis),
        RecentRates(redis),
        sync_runs,
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        log.info("console.started", version=__version__, sign_in=sign_ins.now.way)
        async with reload.watching():
            yield
        await live.close()
        await jobs.close()
        await sync_runs.close()
        await oidc.close()
        await redis.aclose(close_connection_pool=True)
        log.info("console.stopped")

    app = FastAPI(
        title="attentive-gateway console",
        telemetry=NO_TELEMETRY,
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        exception_handlers=_HANDLERS,
    )
    app.state.parts = parts
    for part in _PARTS:
        app.include_router(part.router)
    app.mount("/static", Assets(directory=STATIC))

    app.include_router(_health(redis))
    return Guard(app, lambda: sign_ins.now.way == "none")


def _health(redis: Redis) -> APIRouter:
    """Whether the process runs, and whether it can do its work."""
    router = APIRouter()

    @router.get("/healthz")
    async def healthz() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        try:
            await redis.ping()
        except StoreError as failure:
            return JSONResponse({"status": "unavailable", "reason": why_unavailable(failure)}, 503)
        return JSONResponse({"status": "ready"})

    return router


def serve_console(settings: Settings, host: str, port: int) -> None:
    """Serve the console until a signal ends the process. Raises BadSettings."""
    app = create_console(settings, host=host)
    uvicorn.run(
        app,
        host=host,
        port=port,
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # a proxy that signs users in is known by its own address
        timeout_graceful_shutdown=_STOP_WITHIN_S,
    )


async def _sign_in_first(request: Request, _error: Exception) -> Response:
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    # After a form was sent, there is no address to come back to.
    after = here if request.method in SAFE and here != "/" else None
    if request.headers.get("accept") == "text/event-stream":
        return Response(status_code=401)
    return RedirectResponse(link("sign-in", after=after), 303)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, OperationError)  # noqa: S101 - registered for this class
    status = 404 if isinstance(error, NotFound) else 400 if isinstance(error, BadRequest) else 409
    return _error(request, status, "This was not done", str(error))


async def _away(request: Request, error: Exception) -> Response:
    assert isinstance(error, StoreError)  # noqa: S101
    reason = why_unavailable(error)
    log.warning("console.unavailable", reason=reason, path=_route_of(request))
    text = f"Redis does not answer ({reason}). Nothing was changed. Check GATEWAY_REDIS_URL and whether Redis runs."
    return _error(request, 503, "Redis does not answer", text)


_TEXTS: Final = {
    403: ("You may not see this", "Your rights do not include this page or act. Ask an admin of the console."),
    404: ("There is no such page", "The address is wrong, or what was here is gone."),
    405: ("This address takes no such request", "Go back and use the form of the page."),
}


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    title, text = _TEXTS.get(error.status_code, ("The request was refused", str(error.detail)))
    return _error(request, error.status_code, title, text)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    first: Any = error.errors()[0]
    field, rule = ".".join(map(str, first["loc"][1:])), first["msg"]
    return _error(request, 400, "The request is not valid", f"{field}: {rule}.")


async def _bug(request: Request, error: Exception) -> Response:
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    log.error("console.request_failed", error=type(error).__name__, at=where, path=_route_of(request))
    return _error(request, 500, "The console failed", "This is an error of the console; its log has more.")


def _error(request: Request, status: int, title: str, text: str) -> Response:
    return render(request, "error.html", status=status, title=title, text=text, code=status)


def _route_of(request: Request) -> str:
    """The pattern of the path, which holds no id."""
    return getattr(request.scope.get("route"), "path", "?")


_HANDLERS: Final[Any] = {
    NotSignedIn: _sign_in_first,
    OperationError: _refused,
    StoreError: _away,
    HTTPException: _http_error,
    RequestValidationError: _invalid,
    Exception: _bug,
}
