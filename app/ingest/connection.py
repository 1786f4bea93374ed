"""The limits of one HTTP connection: how much it may send, and for how long, before its request is known.

Without them, a client could hold a connection forever with half a request, or keep a process busy with headers. It
builds on uvicorn's protocol, as protocol.py does, and answers uvicorn's own refusals in the form that trackers expect.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, Final, NoReturn, cast
from weakref import WeakKeyDictionary

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from app.ingest.limits import LimitMonitor
from app.ingest.refusal import Refused

URL_BYTES: Final = 8_192
HEAD_BYTES: Final = 32_768  # of a request: its first line and its headers
MOST_HEADERS: Final = 100
HEAD_WITHIN_S: Final = 10.0  # from the first byte of a request
BODY_WITHIN_S: Final = 60.0  # from the end of its head: 1 MiB at 17 KB/s
IDLE_S: Final = 75.0  # before the first request; uvicorn's `timeout_keep_alive` counts between requests
# Honest clients reach only this time limit, so it is neither counted nor logged.
_BETWEEN_REQUESTS: Final = "keep_alive"
SWEEP_EVERY_S: Final = 1.0
_HOP_BY_HOP: Final = frozenset({b"upgrade", b"connection", b"http2-settings"})
_NOT_HTTP: Final = Refused(400, "bad_request", "this is not an HTTP/1.1 request")


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """The limits of a process, which `create_app` puts into the lifespan state as "connection_limits"."""

    connections: int
    monitor: LimitMonitor


class Connection(HttpToolsProtocol):
    """Uvicorn's HTTP protocol with limits on headers, URL, connections and time."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._limits: ConnectionLimits | None = self.app_state.get("connection_limits")
        self._refusal: Refused | None = None  # why the parser was stopped
        self._reading = ""  # the time limit that applies to the current read
        self._in_head = False
        self._head_bytes = 0  # of the current request, in the earlier chunks; then of its trailers
        self._body_came = False  # in the current chunk
        self._request_ended = False  # in the current chunk
        self._half_closed = False  # the client has sent all that it will send, and waits for responses
        self._chunk_bytes = 0
        self.deadline: float | None = None  # s, by the loop's clock: when the expected data must have come
        self._expected = "idle_time"  # the limit that the deadline belongs to

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection, or refuse it if there are too many."""
        super().connection_made(transport)
        self._expect("idle_time", IDLE_S)
        _sweeper(self.server_state, self.loop).start()
        if self._limits is not None and len(self.connections) > self._limits.connections:
            self._refuse("connections", Refused(503, "overloaded", "too many connections", retry_after_s=2))

    def data_received(self, data: bytes) -> None:
        """Read a chunk, which may hold a part of a request or several requests."""
        self._chunk_bytes, self._request_ended = len(data), False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._read_on_without_upgrade(data[cast(int, upgrade.args[0]) :])
        except httptools.HttpParserError:
            if self._refusal is None:
                self._refuse("", _NOT_HTTP)
            return
        if self._in_head or (self._reading and not self._has_body_in_chunk()):
            # Behind the end of another request, only what the parser has passed on is certain to belong to this head.
            self._head_bytes += self._known_head_bytes() if self._request_ended else len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse("head_bytes", Refused(431, "headers_too_large", "the headers are too large"))
                return
        if self._reading and (self.deadline is None or self._expected != self._reading):  # most come in one chunk
            self._expect(self._reading, HEAD_WITHIN_S if self._in_head else BODY_WITHIN_S)

    def _known_head_bytes(self) -> int:
        """The size of the address and of the headers read so far, with a byte that tells of a head in two chunks."""
        return 1 + len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _has_body_in_chunk(self) -> bool:
        """Whether the last chunk held a part of a body. Without one, it belongs to trailers or to their like."""
        came, self._body_came = self._body_came, False
        if came:
            self._head_bytes = 0
        return came

    def on_body(self, body: bytes) -> None:
        """Read a part of a body."""
        self._body_came = True
        super().on_body(body)

    def _read_on_without_upgrade(self, rest: bytes) -> None:
        """Ignore `Upgrade`, as RFC 9110 allows: read the request again without it, and then the bytes after it.

        The parser stops after the head of such a request, and would take its body for the next one.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse("", _NOT_HTTP)
            return
        head = [method, b" ", self.url, b" HTTP/1.1\r\n"]
        for name, value in self.headers:
            if name not in _HOP_BY_HOP:
                head += (name, b": ", value, b"\r\n")
            elif name == b"connection" and b"close" in value.lower():
                head.append(b"connection: close\r\n")
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received(b"".join((*head, b"\r\n", rest)))

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._in_head, self._head_bytes, self._reading = True, 0, "head_time"

    def on_headers_complete(self) -> None:
        """Check the head of a request, then begin to serve it."""
        self._in_head, self._reading = False, "body_time"
        if len(self.headers) > MOST_HEADERS:
            self._stop("headers", Refused(431, "headers_too_large", f"more than {MOST_HEADERS} headers"))
        if len(self.url) > URL_BYTES:
            self._stop("url_bytes", Refused(414, "url_too_long", f"the address is longer than {URL_BYTES:,} bytes"))
        # The chunk may include the body, or another request before this head.
        if (self._head_bytes or self._chunk_bytes > HEAD_BYTES) and self._known_head_bytes() > HEAD_BYTES:
            self._stop("head_bytes", Refused(431, "headers_too_large", "the headers are too large"))
        if self.parser.should_upgrade():
            return  # see _read_on_without_upgrade
        self.on_request()

    def on_request(self) -> None:
        """Start to serve a request whose head has arrived."""
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Handle the end of a request."""
        if self.parser.should_upgrade():
            return
        self.deadline, self._reading, self._request_ended = None, "", True
        self.on_request_complete()

    def on_request_complete(self) -> None:
        """Serve a complete request."""
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request, or serve one that has already arrived: like uvicorn, without a timer for each."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._half_closed:
            self.transport.close()
        elif not self._reading:
            self._expect(_BETWEEN_REQUESTS, self.timeout_keep_alive)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection open until all responses are written, if only the client's half of it has closed.

        TLS has no such half, and a request that has not fully arrived never will.
        """
        due = self.cycle is not None and not self.cycle.response_complete
        self._half_closed = due and not self._reading and self.scheme == "http"
        return self._half_closed

    def _expect(self, limit: str, within_s: float) -> None:
        self._expected, self.deadline = limit, self.loop.time() + within_s

    def time_out(self) -> None:
        """End the connection: its deadline has passed."""
        if self._expected in ("idle_time", _BETWEEN_REQUESTS):
            if self._expected == "idle_time":
                self._reached("idle_time")
            self.deadline = None
            self.transport.close()
        else:
            self._refuse(self._expected, Refused(408, "timeout", "the request did not arrive in time"))

    def _stop(self, limit: str, refusal: Refused) -> NoReturn:
        """Refuse a request in the middle of parsing it."""
        self._refuse(limit, refusal)
        raise refusal

    def _refuse(self, limit: str, refusal: Refused) -> None:
        """Write a refusal and close the connection: later bytes on it cannot be read."""
        self.deadline, self._refusal = None, refusal
        if limit:
            self._reached(limit)
        if self.transport.is_closing():
            return
        body = refusal.body()
        head = [STATUS_LINE[refusal.status], b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body)]
        if refusal.retry_after_s is not None:
            head.append(b"retry-after: %d\r\n" % refusal.retry_after_s)
        self.transport.write(b"".join((*head, b"connection: close\r\n\r\n", body)))
        self.transport.close()

    def _reached(self, limit: str) -> None:
        if self._limits is not None:
            self._limits.monitor.reached(limit)


class _Sweeper:
    """Checks every second for connections past their deadline: a timer for each request would cost more."""

    def __init__(self, server_state: ServerState, loop: asyncio.AbstractEventLoop) -> None:
        self._connections, self._loop = server_state.connections, loop
        self._next: asyncio.TimerHandle | None = None

    def start(self) -> None:
        if self._next is None:
            self._next = self._loop.call_later(SWEEP_EVERY_S, self._sweep)

    def _sweep(self) -> None:
        self._next = None
        now = self._loop.time()
        for connection in tuple(self._connections):
            if isinstance(connection, Connection) and connection.deadline is not None and now > connection.deadline:
                connection.time_out()
        if self._connections:
            self.start()


_SWEEPERS: Final[WeakKeyDictionary[ServerState, _Sweeper]] = WeakKeyDictionary()


def _sweeper(server_state: ServerState, loop: asyncio.AbstractEventLoop) -> _Sweeper:
    sweeper = _SWEEPERS.get(server_state)
    if sweeper is None:
        sweeper = _SWEEPERS[server_state] = _Sweeper(server_state, loop)
    return sweeper
