"""A complete tracking request and its response, whether served by FastAPI or by an accelerator below it."""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Final

from app.ingest.paths import TrackingPath
from app.value import Value

Headers = Sequence[tuple[bytes, bytes]]
_JSON: Final = (b"content-type", b"application/json")


class Request(Value, frozen=True, gc=False):
    """A POST whose body has fully arrived."""

    personal: ClassVar = frozenset({"headers", "query", "wire"})

    path: TrackingPath
    headers: Mapping[bytes, bytes]  # by lower-case name
    query: bytes
    wire: bytes  # the body as received


class Response(Value, frozen=True, gc=False):
    """The response to the tracker."""

    status: int
    body: bytes  # JSON
    headers: Headers = ()  # in addition to the body's type and length

    @property
    def all_headers(self) -> Headers:
        """Every header, in the order in which they are sent."""
        return (_JSON, (b"content-length", b"%d" % len(self.body)), *self.headers)


SUCCEEDED: Final = Response(200, b'{"success": true}')
Respond = Callable[[Response], None]
Serve = Callable[[Request, Respond], None]  # calls Respond once, now or later


class Shortcut:
    """What an accelerator needs: how to serve a request without ASGI, and up to which size.

    `create_app` puts it into the lifespan state as "shortcut", where a server's protocol finds it, even if other
    middleware wraps the app. Without an accelerator, nothing reads it.
    """

    def __init__(self, serve: Serve, *, body_bytes: int) -> None:
        self.serve = serve
        self.body_bytes = body_bytes  # larger bodies go through FastAPI
        self.in_use: bool | None = None  # whether an accelerator uses it; None: not known yet
