"""The pages for operators, on their own port: metrics, scaling, detailed readiness, and the API description.

They have no CORS headers and must not be exposed to the internet. Every process of `serve` serves them; the processes
of one gateway share this port, like the public one.
"""

import asyncio
import contextlib
import multiprocessing
import socket
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Any, Final

import structlog
import uvicorn
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from app.health import Observed, health_router
from app.openapi import GatewayAPI

_ASSETS: Final = "/docs/assets"
_STOP_WITHIN_S: Final = 1

log = structlog.get_logger()


class OperatorsAPI(GatewayAPI):
    """Its document also describes the public paths: it is the one place where the API can be read."""

    def __init__(self, public: FastAPI, **options: Any) -> None:
        super().__init__(**options)
        self._public = public

    def described(self) -> dict[str, Any]:
        """The document of both ports."""
        public, routes = self._public, [*self._public.routes, *self.routes]
        return get_openapi(
            title=public.title,
            version=public.version,
            summary=public.summary,
            description=public.description,
            routes=routes,
        )


def operators_api(observed: Observed, public: FastAPI) -> FastAPI:
    """The pages for the operators of the gateway that serves `public`."""
    api = OperatorsAPI(public, title=f"{public.title} operations", docs_url=None, redoc_url=None)
    api.include_router(health_router(observed))
    api.mount(_ASSETS, StaticFiles(directory=str(files("fastapi_offline") / "static")))

    @api.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=public.title,
            swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{_ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{_ASSETS}/favicon.png",
        )

    return api


@contextlib.asynccontextmanager
async def serving_operators(api: FastAPI, host: str, port: int) -> AsyncIterator[None]:
    """Serve the pages until the context ends. A port in use is only logged: events are more important."""
    try:
        listening = _listen(host, port)
    except OSError as failure:
        hint = "set GATEWAY_ADMIN_PORT to a free port"
        log.error("gateway.no_operators_pages", address=f"{host}:{port}", error=failure.strerror, hint=hint)
        yield
        return
    config = uvicorn.Config(
        api, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=_STOP_WITHIN_S
    )
    server = uvicorn.Server(config)
    with listening:
        task = asyncio.create_task(server._serve([listening]))  # `serve` would handle the gateway's signals
        try:
            yield
        finally:
            server.should_exit = True
            await task


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if multiprocessing.parent_process() is not None:  # one of several processes of `serve`
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listening.bind((host, port))
    except OSError:
        listening.close()
        raise
    return listening
