"""The only code that talks to Attentive. Networks fail, so failing is a value: a Reply, or Unreachable."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import ClassVar, Final
from urllib.parse import quote, urlencode

import aiohttp
import httpx

from app.attentive.endpoints import ELIGIBILITY, ENDPOINTS, PRIVACY_DELETE, Endpoint
from app.attentive.transport import AiohttpTransport
from app.value import Value

ANSWER_BYTES: Final = 64 * 1024  # more of an answer is never read
LONGEST_RETRY_AFTER: Final = timedelta(minutes=15)


class Reply(Value, frozen=True, gc=False):
    """What Attentive answered. `body` is the first 64 KiB and may echo personal data: redact before showing it."""

    personal: ClassVar = frozenset({"body"})

    status: int
    body: bytes = b""
    retry_after: timedelta | None = None
    limit: float | None = None  # x-ratelimit-limit: calls a second this endpoint allows now
    remaining: float | None = None  # x-ratelimit-remaining
    took: timedelta = timedelta()


class Unreachable(Value, frozen=True, gc=False):
    """No whole answer came. `ambiguous`: the request had been sent, so Attentive may have acted on it."""

    reason: str
    ambiguous: bool
    took: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to connect, to wait for bytes of the answer, and for the whole call."""

    connect_s: float = 3.0
    read_s: float = 10.0
    total_s: float = 15.0


class AttentiveClient:
    """One account's connection pool, for up to `connections` calls at the same time. Close it when done."""

    def __init__(
        self, base_url: str, token: str, *, user_agent: str, timeouts: Timeouts | None = None, connections: int = 100
    ) -> None:
        """`base_url` is scheme and host, without the version; `token` is sent as the bearer key and nowhere else."""
        self._timeouts = timeouts or Timeouts()
        self._base_url = base_url.rstrip("/")
        self._headers = httpx.Headers(
            {
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/json",
                "Accept": "*/*",
                "Accept-Encoding": "identity",  # answers are small, and shown to operators as they came
                "User-Agent": user_agent,
            }
        )
        self._transport = AiohttpTransport(
            connections=connections,
            connect_s=self._timeouts.connect_s,
            read_s=self._timeouts.read_s,
            total_s=self._timeouts.total_s,
        )
        self._urls = {endpoint.path: httpx.URL(self._base_url + endpoint.path) for endpoint in ENDPOINTS}

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.aclose()

    async def send(self, endpoint: Endpoint, body: bytes) -> Reply | Unreachable:
        """POST one JSON body. Never raises for the network's or the server's sake; redirects are not followed."""
        return await self._call("POST", endpoint.path, body)

    async def delete_request(self, request_id: str) -> Reply | Unreachable:
        """Ask how far a delete request is: 200 with `processed` in its JSON."""
        return await self._call("GET", f"{PRIVACY_DELETE.path}/{quote(request_id, safe='')}", None)

    async def who_am_i(self) -> Reply | Unreachable:
        """Ask whose token this is: 200 with the company as JSON, or 401. It says nothing about the token's scopes."""
        return await self._call("GET", "/v1/me", None)

    async def probe(self, method: str, path: str, body: bytes | None) -> Reply | Unreachable:
        """Make a call that can never be acted on, to see how it is refused; see token.py."""
        return await self._call(method, path, body)

    async def subscriptions(self, contact: str, value: str) -> Reply | Unreachable:
        """Ask what a `contact` ("phone" or "email") is subscribed to. Nobody is written to."""
        return await self._call("GET", f"{ELIGIBILITY.path}?{urlencode({contact: value})}", None)

    def _request(self, method: str, path: str, body: bytes | None) -> httpx.Request:
        """Given as a stream, the body is taken as it is: httpx would look at all headers three times, 10 µs."""
        url = self._urls.get(path) or self._base_url + path
        return httpx.Request(method, url, headers=self._headers, stream=httpx.ByteStream(body or b""))

    async def _call(self, method: str, path: str, body: bytes | None) -> Reply | Unreachable:
        started = time.monotonic()
        try:
            response = await self._transport.handle_async_request(self._request(method, path, body))
            try:
                answer = await _read(response)
            finally:
                await response.aclose()
        except aiohttp.ClientError as failure:  # those that are a TimeoutError too know more of it than the next line
            reason, ambiguous = _diagnose(failure)
            return Unreachable(reason, ambiguous, took=_since(started))
        except TimeoutError:
            return Unreachable("no whole answer in time", ambiguous=True, took=_since(started))
        headers = _by_name(response)
        return Reply(
            status=response.status_code,
            body=answer,
            retry_after=parse_retry_after(headers.get("retry-after"), now=datetime.now(UTC)),
            limit=_number(headers.get("x-ratelimit-limit")),
            remaining=_number(headers.get("x-ratelimit-remaining")),
            took=_since(started),
        )


def parse_retry_after(header: str | None, *, now: datetime) -> timedelta | None:
    """Seconds or an HTTP date, as a wait from `now`: never negative, at most 15 min; None when absent or unreadable."""
    if header is None:
        return None
    if (seconds := _number(header)) is not None:
        wait = timedelta(seconds=min(seconds, LONGEST_RETRY_AFTER.total_seconds()))
    else:
        try:
            wait = parsedate_to_datetime(header) - now
        except (ValueError, TypeError):
            return None
    return min(max(wait, timedelta()), LONGEST_RETRY_AFTER)


async def _read(response: httpx.Response) -> bytes:
    answer = bytearray()
    assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 - our transport makes no other
    async for chunk in response.stream:  # aiter_raw() gives the same, for 5 µs more
        answer += chunk
        if len(answer) >= ANSWER_BYTES:
            break
    return bytes(answer[:ANSWER_BYTES])


def _by_name(response: httpx.Response) -> dict[str, str]:
    """The headers, by lower-case name. httpx searches all of them for each that is asked for, 4 µs a time."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers.raw}


def _diagnose(failure: aiohttp.ClientError) -> tuple[str, bool]:
    """Whether the request may have been processed."""
    match failure:
        case aiohttp.ClientConnectorError():
            return "could not connect", False
        case aiohttp.ConnectionTimeoutError():
            return "could not connect in time", False
        case aiohttp.SocketTimeoutError():
            return "no answer in time", True
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            return "connection cut", True
        case aiohttp.ClientPayloadError():
            return "answer cut short", True
        case aiohttp.ClientResponseError():
            return "the answer is not HTTP", True
        case _:
            return type(failure).__name__, True


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is not None and 0 <= value < float("inf") else None


def _since(started: float) -> timedelta:
    return timedelta(seconds=time.monotonic() - started)
