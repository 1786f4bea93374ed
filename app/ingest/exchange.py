"""A whole tracking request and its answer, however they travel: by ASGI, or straight from the server's protocol."""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Final

from app.ingest.paths import TrackingPath
from app.value import Value

Headers = Sequence[tuple[bytes, bytes]]
_JSON: Final = (b"content-type", b"application/json")


class Request(Value, frozen=True, gc=False):
    """A POST whose body is there to its end."""

    personal: ClassVar = frozenset({"headers", "query", "wire"})

    path: TrackingPath
    headers: Mapping[bytes, bytes]  # by lower-case name
    query: bytes
    wire: bytes  # the body as it came


class Answer(Value, frozen=True, gc=False):
    """What the tracker is told."""

    status: int
    body: bytes  # JSON
    headers: Headers = ()  # besides those that say so, and how long it is

    @property
    def all_headers(self) -> Headers:
        """What stands above the body."""
        return (_JSON, (b"content-length", b"%d" % len(self.body)), *self.headers)


Reply = Callable[[Answer], None]
