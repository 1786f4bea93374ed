"""Every tracking path as a FastAPI route: the reference way of an event into the gateway.

FastAPI describes each route by its signature and passes requests to the intake. The intake also reads bodies that
FastAPI would refuse: mislabelled, compressed, or not quite JSON.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import structlog
from fastapi import APIRouter, Body
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from app.ingest.body import Disconnected, read_body
from app.ingest.exchange import SUCCEEDED, Request, Response, Serve, Shortcut
from app.ingest.paths import BY_PATH, TRACKING_PATHS, TrackingPath
from app.ingest.schemas import (
    BATCH_EXAMPLES,
    EXAMPLES,
    OR_IN_THE_BODY,
    RESPONSES,
    RESPONSES_TO_DISCARDED,
    WRITE_KEY,
    Batch,
    Event,
    EventList,
    TrackEvent,
    TypedEvent,
)

log = structlog.get_logger()

ALLOWED_METHODS: Final = "POST, OPTIONS"
_SLASHES: Final = re.compile("/{2,}")
_OPTIONS: Final = Response(200, SUCCEEDED.body, [(b"allow", ALLOWED_METHODS.encode())])


def _example(kind: str) -> Any:
    return Body(openapi_examples={kind: {"value": EXAMPLES[kind]}})


# Signatures for FastAPI's description. TrackingRoute answers instead.
async def _track(event: Annotated[TrackEvent, _example("track")]) -> None: ...
async def _identify(event: Annotated[Event, _example("identify")]) -> None: ...
async def _page(event: Annotated[Event, _example("page")]) -> None: ...
async def _screen(event: Annotated[Event, _example("screen")]) -> None: ...
async def _group(event: Annotated[Event, _example("group")]) -> None: ...
async def _alias(event: Annotated[Event, _example("alias")]) -> None: ...
async def _delete(event: Annotated[Event, _example("delete")]) -> None: ...
async def _batch(
    events: Annotated[Batch | TypedEvent | EventList, Body(openapi_examples=dict(BATCH_EXAMPLES))],
) -> None: ...
async def _anything(
    content: Annotated[dict[str, Any] | None, Body(openapi_examples={"metrics": {"value": {"series": []}}})] = None,
) -> None: ...


_SIGNATURES: Final[Mapping[str, Callable[..., Any]]] = {
    "track": _track,
    "identify": _identify,
    "page": _page,
    "screen": _screen,
    "group": _group,
    "alias": _alias,
    "delete": _delete,
}


def _description(form: TrackingPath) -> dict[str, Any]:
    described: dict[str, Any] = {
        "description": f"Used by {form.who}.",
        "operation_id": "post" + form.path.replace("/", "_"),
    }
    if form.discard:
        described |= {"endpoint": _anything, "summary": "Discard it", "openapi_extra": {"security": []}}
        return described | {"responses": RESPONSES_TO_DISCARDED}
    return described | {
        "endpoint": _batch if form.type is None else _SIGNATURES[form.type],
        "summary": "Take many events in one request" if form.type is None else f"Take one {form.type} call",
        "dependencies": WRITE_KEY,
        "responses": RESPONSES,
        "openapi_extra": OR_IN_THE_BODY,
    }


class TrackingRoute(APIRoute):
    """A FastAPI route whose requests the intake answers, whatever their method.

    `app.state.serve` is the intake's method, and `app.state.shortcut` has the size limit of a body.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["method"] == "OPTIONS":
            await _send(send, _OPTIONS)
            return
        if scope["method"] != "POST":
            raise HTTPException(405, "tracking calls are POST requests", {"Allow": ALLOWED_METHODS})
        state = scope["app"].state
        _tell_of_missing_accelerator(state.shortcut)
        try:
            wire = await read_body(receive, most=state.shortcut.body_bytes)
        except Disconnected:
            return
        request = Request(BY_PATH[scope["path"]], dict(scope["headers"]), scope["query_string"], wire)
        await _send(send, await _served(state.serve, request))


def _tracking_router() -> APIRouter:
    router = APIRouter(tags=["tracking"], route_class=TrackingRoute)
    for form in TRACKING_PATHS:
        router.add_api_route(form.path, methods=["POST"], **_description(form))
    return router


class CleanPath:
    """ASGI middleware: treats consecutive slashes as one, and removes one at the end of the path.

    A redirect would not work, because most trackers follow one with a GET.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and ("//" in (path := scope["path"]) or path.endswith("/")):
            scope = {**scope, "path": _SLASHES.sub("/", path).rstrip("/") or "/"}
        await self._app(scope, receive, send)


def _tell_of_missing_accelerator(shortcut: Shortcut) -> None:
    """Log once that requests go through FastAPI because the server has no accelerator."""
    if shortcut.in_use is None:
        shortcut.in_use = False
        log.info("intake.accelerator", in_use=False)


async def _served(serve: Serve, request: Request) -> Response:
    answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

    def respond(response: Response) -> None:
        if not answered.done():  # else the tracker has disconnected
            answered.set_result(response)

    serve(request, respond)
    return await answered


async def _send(send: Send, response: Response) -> None:
    await send({"type": "http.response.start", "status": response.status, "headers": [*response.all_headers]})
    await send({"type": "http.response.body", "body": response.body})


TRACKING: Final = _tracking_router()  # a constant: FastAPI takes a while to describe this many routes
