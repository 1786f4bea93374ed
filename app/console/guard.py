"""What every request and response of the console passes, below all pages: CSRF, host and size; security headers."""

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from app.config.values import LOOPBACK

MOST_BODY_BYTES: Final = 1_048_576
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """Wraps the console's app. `local_only`: whether requests must name this machine, asked for each request."""

    def __init__(self, app: FastAPI, local_only: Callable[[], bool]) -> None:
        self.app, self._local_only = app, local_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if refusal := self._refusal(scope["method"], headers):
            await _refused(refusal)(scope, receive, _secured(send))
            return
        await self.app(scope, _bounded(receive), _secured(send))

    def _refusal(self, method: str, headers: Headers) -> tuple[int, str] | None:
        # A page of another site may have a name of its own lead to this machine (DNS rebinding).
        if self._local_only() and host_of(headers) not in LOOPBACK:
            return 421, "Without a sign-in, the console is served under 127.0.0.1 and localhost only."
        if method not in SAFE and not same_origin(headers):
            return 403, "This form was sent by another site. Open the console and try again."
        if int(headers.get("content-length") or 0) > MOST_BODY_BYTES:
            return 413, "The form is larger than 1 MiB."
        return None


def same_origin(headers: Headers) -> bool:
    """Whether a request was made by a page of the console, or by no page at all."""
    if (site := headers.get("sec-fetch-site")) is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is None or (origin != "null" and urlsplit(origin).netloc == headers.get("host"))


def host_of(headers: Headers) -> str:
    """The host that a request names, without its port."""
    try:
        return urlsplit(f"//{headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""


def _refused(refusal: tuple[int, str]) -> PlainTextResponse:
    status, text = refusal
    return PlainTextResponse(f"{text}\n", status)


def _bounded(receive: Receive) -> Receive:
    """Without a length that was announced, what arrives is counted."""
    left = MOST_BODY_BYTES

    async def bounded() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        return {"type": "http.disconnect"} if left < 0 else message

    return bounded


def _secured(send: Send) -> Send:
    async def secured(message: Message) -> None:
        if message["type"] == "http.response.start":
            message.setdefault("headers", [])
            headers = MutableHeaders(scope=message)
            headers.update(SECURITY_HEADERS)
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return secured
