"""An httpx transport of our own, reduced to what calls to Attentive need: one HTTP/1.1 request with a body in memory.

It saves time: a call through httpx's own client takes 330 µs of processor time, and over aiohttp's client 130. Most of
that goes into cookies, redirects, credentials, proxies and streams, none of which are wanted here.
"""

import asyncio
import socket
import ssl
from collections import deque
from functools import lru_cache
from typing import Final, NamedTuple

import aiohappyeyeballs
import httpx

from app.attentive.connection import Connection

MOST_BYTES: Final = "most_bytes"  # the extension of a request that sets how much of its answer is read
_KEEPALIVE_S: Final = 4.0  # common servers close an idle connection after 5 s
_ADDRESSES_KEPT_S: Final = 10.0
_NEXT_ADDRESS_S: Final = 0.25  # without a connection after this, the next address is tried too. Source: RFC 8305
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """Where a connection leads."""

    scheme: str
    host: str
    port: int | None


class PooledTransport(httpx.AsyncBaseTransport):
    """Pools of connections, one for each origin. It keeps no cookies, follows no redirects, decompresses nothing and
    ignores proxies.

    Raises httpx.ConnectError, ConnectTimeout or PoolTimeout if the request was not sent, else another TransportError.
    """

    def __init__(self, *, connections: int, connect_s: float, read_s: float, total_s: float, most_bytes: int) -> None:
        """Up to `connections` at a time. Seconds to connect, of silence, and for a whole call. `most_bytes` of an
        answer's body are read.
        """
        self._connections = connections
        self._connect_s = connect_s
        self._read_s = read_s
        self._total_s = total_s
        self._most_bytes = most_bytes
        self._pools: dict[Origin, _Pool] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request, and return its whole answer. Adds `Host` and `Content-Length`."""
        body = b"".join(request.stream)  # type: ignore[arg-type]  # ours are whole, not streamed
        return await self.send(self.prepare(request), body)

    def prepare(self, request: httpx.Request) -> "Prepared":
        """Prepare a request that is sent with many bodies; its own counts for nothing. Raises ValueError for a header
        with a line break, which would begin another.
        """
        if self._loop is None:
            self._loop = asyncio.get_running_loop()  # once: asking costs a system call
        most = request.extensions.get(MOST_BYTES, self._most_bytes)
        return Prepared(self._pool(request.url, self._loop), _head(request), request.method != "GET", most)

    async def send(self, prepared: "Prepared", body: bytes) -> httpx.Response:
        """Send the request with this body, and return its whole answer."""
        pool = prepared.pool
        ends = pool.loop.time() + self._total_s
        connection = pool.take() or await pool.connect(ends)
        length = b"Content-Length: %d\r\n\r\n" % len(body) if body or prepared.has_length else b"\r\n"
        try:
            answer = await connection.ask(prepared.head + length + body, most=prepared.most_bytes, ends=ends)
        finally:
            pool.give_back(connection)
        return httpx.Response(answer.status, headers=answer.headers, stream=httpx.ByteStream(answer.body))

    async def aclose(self) -> None:
        """Close every connection; one that carries a call, once that has ended."""
        for pool in self._pools.values():
            pool.close()

    def _pool(self, url: httpx.URL, loop: asyncio.AbstractEventLoop) -> "_Pool":
        origin = Origin(url.scheme, url.host, url.port)
        pool = self._pools.get(origin)
        if pool is None:
            pool = _Pool(origin, loop, most=self._connections, connect_s=self._connect_s, read_s=self._read_s)
            self._pools[origin] = pool
        return pool


class Prepared(NamedTuple):
    """A request without its body."""

    pool: "_Pool"
    head: bytes  # up to the length of the body
    has_length: bool  # even if the body is empty
    most_bytes: int  # of the answer's body


def _head(request: httpx.Request) -> bytes:
    url, headers = request.url, request.headers.raw
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    if lines.count(b"\n") != len(headers) or lines.count(b"\r") != len(headers):
        raise ValueError("a header contains a line break")
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n%b" % (request.method.encode(), url.raw_path, url.netloc, lines)


class _Pool:
    """The connections to one origin."""

    def __init__(
        self, origin: Origin, loop: asyncio.AbstractEventLoop, *, most: int, connect_s: float, read_s: float
    ) -> None:
        self._origin = origin
        self.loop = loop
        self._most = most
        self._connect_s = connect_s
        self._read_s = read_s
        self._open = 0  # or being opened
        self._closed = False
        self._idle: list[Connection] = []  # the one that was used last is last
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._addresses: list[aiohappyeyeballs.AddrInfoType] = []
        self._addresses_until = 0.0
        self._tidying: asyncio.TimerHandle | None = None

    def take(self) -> Connection | None:
        """A connection that is open and not used, if there is one."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and self.loop.time() - connection.idle_since < _KEEPALIVE_S:
                return connection
            self._drop(connection)
        return None

    async def connect(self, ends: float) -> Connection:
        """A connection: a new one, or where there are too many, one that becomes free before `ends`."""
        try:
            while self._open >= self._most:
                await self._free(ends)
                if connection := self.take():
                    return connection
        except TimeoutError:
            raise httpx.PoolTimeout("no free connection in time") from None
        self._open += 1
        try:
            async with asyncio.timeout_at(min(ends, self.loop.time() + self._connect_s)):
                return await self._connected()
        except BaseException as failure:
            self._open -= 1
            self._addresses = []
            self._wake()
            if isinstance(failure, TimeoutError):
                raise httpx.ConnectTimeout("could not connect in time") from None
            if isinstance(failure, OSError):  # errors of TLS and of names are OSErrors too
                raise httpx.ConnectError("could not connect") from failure
            raise

    def give_back(self, connection: Connection) -> None:
        """Keep a connection for the next call, or close it if it cannot take one."""
        if connection.usable and not self._closed:
            connection.idle_since = self.loop.time()
            self._idle.append(connection)
            if self._tidying is None:
                self._tidying = self.loop.call_later(_KEEPALIVE_S, self._tidy)
        else:
            connection.abort()
            self._open -= 1
        self._wake()

    def close(self) -> None:
        """Close every connection, now or when it is given back."""
        self._closed = True
        while self._idle:
            self._drop(self._idle.pop())
        if self._tidying is not None:
            self._tidying.cancel()
            self._tidying = None

    def _drop(self, connection: Connection) -> None:
        connection.close()
        self._open -= 1

    async def _free(self, ends: float) -> None:
        """Return when a connection may be free."""
        waiter: asyncio.Future[None] = self.loop.create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout_at(ends):
                await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():  # it was this one's turn
                self._wake()
            raise

    def _wake(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def _connected(self) -> Connection:
        origin, loop = self._origin, self.loop
        now = loop.time()
        if not self._addresses or now > self._addresses_until:
            port = origin.port or _DEFAULT_PORTS[origin.scheme]
            found = await loop.getaddrinfo(origin.host, port, type=socket.SOCK_STREAM)
            self._addresses, self._addresses_until = list(found), now + _ADDRESSES_KEPT_S
        opened = await aiohappyeyeballs.start_connection(
            self._addresses, happy_eyeballs_delay=_NEXT_ADDRESS_S, interleave=1, loop=loop
        )
        try:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            tls, name = (trusted(), origin.host) if origin.scheme == "https" else (None, None)
            _, connection = await loop.create_connection(self._new, sock=opened, ssl=tls, server_hostname=name)
        except BaseException:
            opened.close()
            raise
        return connection

    def _new(self) -> Connection:
        return Connection(self.loop, read_s=self._read_s)

    def _tidy(self) -> None:
        """Close what has been idle for too long."""
        self._tidying = None
        oldest, idle, self._idle = self.loop.time() - _KEEPALIVE_S, self._idle, []
        for connection in idle:
            if connection.usable and connection.idle_since > oldest:
                self._idle.append(connection)
            else:
                self._drop(connection)
        if self._idle:
            self._tidying = self.loop.call_at(self._idle[0].idle_since + _KEEPALIVE_S, self._tidy)


@lru_cache(maxsize=1)  # it takes 20 ms
def trusted() -> ssl.SSLContext:
    """Verifies certificates by those of the system, or of SSL_CERT_FILE."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
