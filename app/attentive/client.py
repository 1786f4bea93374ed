"""The only code that calls Attentive. Network failures are values: it returns a Reply or Unreachable."""

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final, Literal
from urllib.parse import quote, urlencode, urlsplit

import httpx

from app.attentive.answers import Reply, Unreachable
from app.attentive.endpoints import (
    BULK_JOB_PATH,
    ELIGIBILITY,
    PRIVACY_DELETE,
    SEGMENTS_PATH,
    Endpoint,
)
from app.attentive.transport import MOST_BYTES, PooledTransport, Prepared

ANSWER_BYTES: Final = 64 * 1024  # the rest of an answer is not read
RESULTS_BYTES: Final = 64 * 2**20  # of the results of a bulk job, at most 10,000 lines
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
# Plausible values of x-ratelimit-limit, in calls a second. Attentive documents 5 to 150. A figure outside this range is
# treated as absent, so that a broken proxy can neither stop a lane nor release it.
LEAST_LIMIT: Final = 1.0
MOST_LIMIT: Final = 10_000.0
LONGEST_RETRY_AFTER: Final = timedelta(minutes=15)
_HEADERS: Final = frozenset({b"retry-after", b"x-ratelimit-limit", b"x-ratelimit-remaining"})
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_NUMBER: Final = re.compile(r"[ \t]*[0-9]{1,12}(\.[0-9]{1,12})?[ \t]*")


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
        """`base_url` is scheme and host, without the version. `token` is sent as the bearer token and nowhere else."""
        self._timeouts = timeouts or Timeouts()
        self._base_url = base_url.rstrip("/")
        self._headers = httpx.Headers(
            {
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/json",
                "Accept": "*/*",
                "Accept-Encoding": "identity",  # answers are small, and shown to operators as received
                "User-Agent": user_agent,
            }
        )
        self._transport = PooledTransport(
            connections=connections,
            connect_s=self._timeouts.connect_s,
            read_s=self._timeouts.read_s,
            total_s=self._timeouts.total_s,
            most_bytes=ANSWER_BYTES,
        )
        self._endpoints: dict[str, Prepared] = {}  # by path, those that were called

    @property
    def host(self) -> str:
        """The host that is called."""
        return urlsplit(self._base_url).hostname or ""

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.aclose()

    async def send(self, endpoint: Endpoint, body: bytes) -> Reply | Unreachable:
        """POST one JSON body. Network and server errors are returned, not raised. Redirects are not followed."""
        prepared = self._endpoints.get(endpoint.path)
        if prepared is None:
            prepared = self._endpoints[endpoint.path] = self._prepared("POST", endpoint.path)
        return await self._send(prepared, body)

    async def delete_request(self, request_id: str) -> Reply | Unreachable:
        """Ask for the progress of a delete request: 200 with `processed` in its JSON."""
        return await self._call("GET", f"{PRIVACY_DELETE.path}/{quote(request_id, safe='')}", None)

    async def who_am_i(self) -> Reply | Unreachable:
        """Ask for the token's account: 200 with the company as JSON, or 401. It does not show the token's scopes."""
        return await self._call("GET", "/v1/me", None)

    async def probe(self, method: str, path: str, body: bytes | None) -> Reply | Unreachable:
        """Make a call that can never take effect, to see how it is refused: see token.py."""
        return await self._call(method, path, body)

    async def subscriptions(self, contact: str, value: str) -> Reply | Unreachable:
        """Ask for the subscriptions of a `contact` ("phone" or "email"). This sends no message."""
        return await self._call("GET", f"{ELIGIBILITY.path}?{urlencode({contact: value}, safe='@')}", None)

    async def bulk(self, method: Literal["POST", "DELETE"], path: str, body: bytes) -> Reply | Unreachable:
        """Make one call about many people: 202 with the ID of a job in its JSON."""
        return await self._call(method, path, body)

    async def job(self, job_id: str) -> Reply | Unreachable:
        """Ask how far a bulk job is: 200 with `status` and, when it is done, `url` in its JSON."""
        return await self._call("GET", f"{BULK_JOB_PATH}/{quote(job_id, safe='')}", None)

    async def segment(self, external_id: str) -> Reply | Unreachable:
        """Ask whether there is a segment of this external ID: 200 or 404."""
        return await self._call("GET", f"{SEGMENTS_PATH}/external/{quote(external_id, safe='')}", None)

    async def create_segment(self, body: bytes) -> Reply | Unreachable:
        """Make an empty segment: 201."""
        return await self._call("POST", SEGMENTS_PATH, body)

    async def results(self, url: str) -> bytes | None:
        """The results of a job, from the address that Attentive gave; None where they cannot be had.

        The address may be of another host, which gets no token. It must be https, unless Attentive is this machine.
        """
        if not url.startswith("https://") and urlsplit(self._base_url).hostname not in _LOOPBACK:
            return None
        request = httpx.Request("GET", url, headers={"Accept": "*/*"}, stream=httpx.ByteStream(b""))
        request.extensions[MOST_BYTES] = RESULTS_BYTES
        try:
            response = await self._transport.handle_async_request(request)
        except httpx.TransportError:
            return None
        content = _body(response)
        return content if response.status_code == 200 and len(content) < RESULTS_BYTES else None

    def _prepared(self, method: str, path: str) -> Prepared:
        """The body comes later. With a stream in its place, httpx adds no headers of its own."""
        nothing = httpx.ByteStream(b"")
        return self._transport.prepare(
            httpx.Request(method, self._base_url + path, headers=self._headers, stream=nothing)
        )

    async def _call(self, method: str, path: str, body: bytes | None) -> Reply | Unreachable:
        return await self._send(self._prepared(method, path), body or b"")

    async def _send(self, prepared: Prepared, body: bytes) -> Reply | Unreachable:
        started = time.monotonic()
        try:
            response = await self._transport.send(prepared, body)
        except httpx.TransportError as failure:
            return Unreachable(str(failure), ambiguous=not isinstance(failure, _NOT_SENT), took=_since(started))
        headers = _by_name(response)
        return Reply(
            status=response.status_code,
            body=_body(response),
            retry_after=parse_retry_after(headers.get(b"retry-after"), now=datetime.now(UTC)),
            limit=_limit(headers.get(b"x-ratelimit-limit")),
            remaining=_number(headers.get(b"x-ratelimit-remaining")),
            took=_since(started),
        )


def parse_retry_after(header: str | None, *, now: datetime) -> timedelta | None:
    """Seconds or an HTTP date, as a wait from `now`: never negative, at most 15 min. None if absent or unreadable."""
    if header is None:
        return None
    if (seconds := _number(header)) is not None:
        wait = timedelta(seconds=min(seconds, LONGEST_RETRY_AFTER.total_seconds()))
    else:
        try:
            wait = parsedate_to_datetime(header) - now
        except (ValueError, TypeError, OverflowError):  # a year out of range
            return None
    return min(max(wait, timedelta()), LONGEST_RETRY_AFTER)


def _body(response: httpx.Response) -> bytes:
    """The body. Response.read() returns the same, but takes 20 µs longer."""
    assert isinstance(response.stream, httpx.ByteStream)  # noqa: S101 - our transport makes no other
    return b"".join(response.stream)


def _by_name(response: httpx.Response) -> dict[bytes, str]:
    """The headers that are read, by lower-case name. httpx would search all of them for each, 4 µs per search."""
    return {
        lower: value.decode("latin-1") for name, value in response.headers.raw if (lower := name.lower()) in _HEADERS
    }


def _limit(text: str | None) -> float | None:
    value = _number(text)
    return value if value is not None and LEAST_LIMIT <= value <= MOST_LIMIT else None


def _number(text: str | None) -> float | None:
    """A plain decimal number that is not negative, as in these headers: no sign, no exponent, ASCII digits."""
    return float(text) if text and _NUMBER.fullmatch(text) else None


def _since(started: float) -> timedelta:
    return timedelta(seconds=time.monotonic() - started)
