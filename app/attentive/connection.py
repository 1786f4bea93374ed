"""One HTTP/1.1 connection to Attentive, which carries one call at a time.

httptools parses the answers, the parser that uvicorn uses for requests.
"""

import asyncio
from typing import Final, NamedTuple, cast

import httptools
import httpx

MOST_HEAD_BYTES: Final = 64 * 1024  # status line and headers: a longer head is not an answer of Attentive's
_SIZED: Final = frozenset({b"content-length", b"transfer-encoding"})  # an answer with neither ends with its connection

Headers = list[tuple[bytes, bytes]]


class Answer(NamedTuple):
    """A whole answer. A body that is longer than wanted is cut."""

    status: int
    headers: Headers
    body: bytes


class Connection(asyncio.Protocol):
    """A connection that is open or was. Give it one request after another while `usable`.

    A call fails with httpx's errors: ReadError when the connection was cut, ReadTimeout when time ran out,
    RemoteProtocolError when the answer is incomplete or not HTTP. In each case the request may have been processed.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, read_s: float) -> None:
        """`read_s` is the longest silence during a call, in seconds."""
        self.idle_since = 0.0  # by the loop's clock; for the pool
        self._loop = loop
        self._read_s = read_s
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None  # of the call under way
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = self._silent_at = self._ends = 0.0
        self._most = 0
        self._head_bytes = 0
        self._head_ended = False
        self._headers: Headers = []
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._reusable = True

    @property
    def usable(self) -> bool:
        """Whether it can take a request now."""
        transport = self._transport
        return self._reusable and self._answer is None and transport is not None and not transport.is_closing()

    def ask(self, request: bytes, *, most: int, ends: float) -> "asyncio.Future[Answer]":
        """Send a request. Its answer is read up to `most` bytes of body, until `ends` by the loop's clock.

        Whoever cancels the future must close the connection. Raises ConnectError if it is closed: nothing is sent then.
        """
        if not self.usable:
            raise httpx.ConnectError("connection cut before the call")
        transport = cast(asyncio.Transport, self._transport)
        self._answer = answer = self._loop.create_future()
        self._most, self._ends = most, ends
        self._silent_at = self._loop.time() + self._read_s
        self._begin_answer()
        transport.write(request)
        # A timer outlives its call: the next call takes it over, and moves on only what it compares the time with.
        if self._timer is None or self._timer_at > min(self._silent_at, ends):
            self._set_timer()
        return answer

    def close(self) -> None:
        """Close it. A call under way fails."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close it without waiting for the other side."""
        self._reusable = False
        if self._transport is not None:
            self._transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:  # noqa: D102
        if self._answer is None:  # nothing was asked
            self.abort()
            return
        self._silent_at = self._loop.time() + self._read_s
        if not self._head_ended:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:  # a bug of ours
            raise
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(httpx.RemoteProtocolError("the answer is not HTTP"))
        if not self._head_ended and self._head_bytes > MOST_HEAD_BYTES:
            self._fail(httpx.RemoteProtocolError("the answer is not HTTP"))
        if not self._reusable:
            self.abort()

    def eof_received(self) -> None:  # noqa: D102
        self._reusable = False  # from now on, what is written goes nowhere

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102
        self._reusable, self._transport = False, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._head_ended:
            self._fail(httpx.ReadError("connection cut"))
        elif exc is None and not any(name.lower() in _SIZED for name, _ in self._headers):
            self._complete()
        else:
            self._fail(httpx.RemoteProtocolError("answer cut short"))

    # What the parser calls.

    def on_message_begin(self) -> None:  # noqa: D102
        if self._answer is None:  # more than one answer to one request
            self._reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:  # noqa: D102
        if not self._head_ended:  # trailers are not read
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:  # noqa: D102
        self._head_ended = True

    def on_body(self, body: bytes) -> None:  # noqa: D102
        self._body.append(body)
        self._body_bytes += len(body)
        if self._body_bytes >= self._most:
            self._reusable = False
            self._complete()

    def on_message_complete(self) -> None:  # noqa: D102
        if 100 <= self._parser.get_status_code() < 200:  # the answer itself is still to come
            self._begin_answer()
            return
        if not self._parser.should_keep_alive() or self._writing:
            self._reusable = False
        self._complete()

    @property
    def _writing(self) -> bool:
        """Whether a part of the request still waits to be sent."""
        return self._transport is not None and self._transport.get_write_buffer_size() > 0

    def _begin_answer(self) -> None:
        self._head_bytes, self._head_ended, self._headers = 0, False, []
        self._body, self._body_bytes = [], 0

    def _complete(self) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
            answer.set_result(Answer(self._parser.get_status_code(), self._headers, body[: self._most]))

    def _fail(self, failure: Exception) -> None:
        self._reusable = False
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(failure)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = min(self._silent_at, self._ends)
        self._timer = self._loop.call_at(self._timer_at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._answer is None:
            return
        now = self._loop.time()
        if self._writing:  # silence counts once the whole request is sent
            self._silent_at = max(self._silent_at, now + self._read_s)
        if now >= self._ends:
            self._fail(httpx.ReadTimeout("no whole answer in time"))
            self.abort()
        elif now >= self._silent_at:
            self._fail(httpx.ReadTimeout("no answer in time"))
            self.abort()
        else:
            self._set_timer()
