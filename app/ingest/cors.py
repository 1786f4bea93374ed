"""Cross-origin requests: a browser that cannot read a response assumes a network error and sends the event again.

So every response carries the headers, including errors, and a preflight is answered without a write key. Requests
without an Origin, such as those of servers, pass unchanged.
"""

from collections.abc import Mapping
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.ingest.exchange import Request, Respond, Serve
from app.ingest.origins import Origins
from app.value import changed

_ALLOWED_HEADERS: Final = (
    b"Authorization, Content-Type, Content-Encoding, X-Write-Key, X-Retry-Count, AnonymousId, SentAt"
)
_MAX_AGE: Final = b"7200"  # seconds; Chrome keeps a preflight no longer


class CorsPolicy:
    """Which origins may post. `origins` are those of all sources together, because a preflight names no source."""

    def __init__(self, origins: Origins) -> None:
        self._origins = origins

    def replace(self, origins: Origins) -> None:
        """Use these origins from now on."""
        self._origins = origins

    def around(self, serve: Serve) -> Serve:
        """Like `Cors`, for requests that an accelerator serves without ASGI."""

        def serve_granted(request: Request, respond: Respond) -> None:
            origin = request.headers.get(b"origin")
            if origin is None:
                serve(request, respond)
            else:
                granted = self.grant(origin)
                serve(request, lambda response: respond(changed(response, headers=[*response.headers, *granted])))

        return serve_granted

    def grant(self, origin: bytes | None) -> list[tuple[bytes, bytes]]:
        """The headers of a response to a page with this origin."""
        vary = (b"vary", b"Origin")  # even without an Origin: a cached copy must not reach browsers
        if origin is None or not self._origins.allow(origin.decode("latin-1")):
            return [vary]
        return [
            vary,
            (b"access-control-allow-origin", origin),  # echoed: a page that sends credentials does not accept "*"
            (b"access-control-allow-credentials", b"true"),
            (b"access-control-expose-headers", b"Retry-After"),
        ]


class Cors:
    """ASGI middleware around the whole app, including its errors."""

    def __init__(self, app: ASGIApp, policy: CorsPolicy) -> None:
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        origin = headers.get(b"origin")
        granted = self._policy.grant(origin)
        if origin is not None and scope["method"] == "OPTIONS":
            await _preflight(send, granted, headers)
            return

        async def send_granted(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *granted]
            await send(message)

        is_event_of_a_server = origin is None and scope["method"] == "POST"
        await self._app(scope, receive, send if is_event_of_a_server else send_granted)


async def _preflight(send: Send, granted: list[tuple[bytes, bytes]], headers: Mapping[bytes, bytes]) -> None:
    asked = headers.get(b"access-control-request-headers")
    allowed = [
        (b"access-control-allow-methods", b"POST, GET, OPTIONS"),
        (b"access-control-allow-headers", _ALLOWED_HEADERS + b", " + asked if asked else _ALLOWED_HEADERS),
        (b"access-control-max-age", _MAX_AGE),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": [*granted, *allowed]})
    await send({"type": "http.response.body"})
