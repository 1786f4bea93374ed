"""Cross-origin requests: a browser that cannot read an answer takes it for a broken network and sends the event again.

So every answer carries the headers, errors too, and a preflight is answered without a write key. Events that come
without an Origin, as all from servers do, pass untouched.
"""

from typing import Final

from starlette.types import Message, Receive, Scope, Send

from app.ingest.exchange import Reply, Request
from app.ingest.origins import Origins
from app.ingest.routes import TrackingRoutes
from app.value import changed

_ALLOWED_HEADERS: Final = (
    b"Authorization, Content-Type, Content-Encoding, X-Write-Key, X-Retry-Count, AnonymousId, SentAt"
)
_MAX_AGE: Final = b"7200"  # seconds; Chrome keeps a preflight no longer


class Cors:
    """ASGI middleware around everything. `origins` are those of all sources together: a preflight names no source."""

    def __init__(self, app: TrackingRoutes, *, origins: Origins) -> None:
        self._app = app
        self._origins = origins
        self.limits = app.limits

    def replace(self, origins: Origins) -> None:
        """From now on these."""
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        origin = header(scope, b"origin") if scope["type"] == "http" else None
        if origin is None and (scope["type"] != "http" or scope["method"] == "POST"):
            await self._app(scope, receive, send)
            return
        granted = self._grant(origin)
        if origin is not None and scope["method"] == "OPTIONS":
            await _preflight(send, granted, header(scope, b"access-control-request-headers"))
        else:

            async def send_granted(message: Message) -> None:
                if message["type"] == "http.response.start":
                    message["headers"] = [*message.get("headers", ()), *granted]
                await send(message)

            await self._app(scope, receive, send_granted)

    def serve(self, request: Request, reply: Reply) -> None:
        """The same for a whole tracking request, without ASGI: see TrackingRoutes."""
        origin = request.headers.get(b"origin")
        if origin is None:
            self._app.serve(request, reply)
        else:
            granted = self._grant(origin)
            self._app.serve(request, lambda answer: reply(changed(answer, headers=[*answer.headers, *granted])))

    def _grant(self, origin: bytes | None) -> list[tuple[bytes, bytes]]:
        vary = (b"vary", b"Origin")  # without an Origin too: what a cache keeps of that answer is not for browsers
        if origin is None or not self._origins.allow(origin.decode("latin-1")):
            return [vary]
        return [
            vary,
            (b"access-control-allow-origin", origin),  # echoed: a page that sends credentials does not take "*"
            (b"access-control-allow-credentials", b"true"),
            (b"access-control-expose-headers", b"Retry-After"),
        ]


async def _preflight(send: Send, granted: list[tuple[bytes, bytes]], asked: bytes | None) -> None:
    headers = _ALLOWED_HEADERS + b", " + asked if asked else _ALLOWED_HEADERS
    allowed = [
        (b"access-control-allow-methods", b"POST, GET, OPTIONS"),
        (b"access-control-allow-headers", headers),
        (b"access-control-max-age", _MAX_AGE),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": [*granted, *allowed]})
    await send({"type": "http.response.body"})


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first header of this (lower-case) name."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None
