"""httpx's transport over aiohttp's connections, cut down to what calls to Attentive need.

Time is what it saves: a call through httpx's own client and the transport of `httpx-aiohttp` cost 330 µs of processor
time; this one takes 130. The rest went into cookies, redirects, credentials and proxies, all of which we want off.
"""

from collections.abc import AsyncIterator
from typing import Final

import aiohttp
import httpx

_KEEPALIVE_S: Final = 4.0  # below the 5 s after which common servers close an idle connection under our feet


class AiohttpTransport(httpx.AsyncBaseTransport):
    """A pool of connections. It keeps no cookie, follows no redirect, unpacks nothing and passes the proxies by.

    Raises what aiohttp raises: httpx's names are too coarse to tell whether a request had been sent.
    """

    def __init__(self, *, connections: int, connect_s: float, read_s: float, total_s: float) -> None:
        """Up to `connections` at a time; seconds to connect, to wait for bytes, and for a whole call."""
        self._connections = connections
        self._timeout = aiohttp.ClientTimeout(sock_connect=connect_s, sock_read=read_s, total=total_s)
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it, and return when the head of the answer has come. `Host` and `Content-Length` are added here."""
        if self._session is None:  # it belongs to the running event loop
            self._session = self._open()
        assert isinstance(request.stream, httpx.ByteStream)  # noqa: S101 - ours are whole, not streamed
        answer = await self._session.request(
            request.method,
            str(request.url),
            headers=request.headers.multi_items(),
            data=b"".join(request.stream) or None,
            allow_redirects=False,
        )
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=_Body(answer))

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=_KEEPALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            auto_decompress=False,
        )


class _Body(httpx.AsyncByteStream):
    """The bytes of an answer, as they come."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._answer.content.iter_any()

    async def aclose(self) -> None:
        """Give the connection back; one with bytes still to come is closed."""
        self._answer.release()
