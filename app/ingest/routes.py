"""The tracking routes: /v1/track, /v1/identify, /v1/page and /v1/batch.

Plain ASGI inside the FastAPI app, for they are the hot path: request → events → decisions → outbox → answer.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.delivery.arrival import Arrival
from app.delivery.connection import QueueUnavailable
from app.delivery.outbox import Outbox
from app.ingest.arrivals import arrival_of
from app.ingest.auth import Sender, WriteKeys
from app.ingest.body import Disconnected, parse_json, read_body
from app.ingest.refusal import SUCCESS, Refused, accepted_body
from app.metrics import IngestMetrics
from app.pipeline import Bury, Decision, decide
from app.segment.events import InvalidEvent, parse_event

RETRY_AFTER_S: Final = 2
BATCH: Final = ""  # the type of events on a path whose body names it

PATHS: Final[Mapping[str, str]] = {
    "/v1/track": "track",
    "/v1/identify": "identify",
    "/v1/page": "page",
    "/v1/batch": BATCH,
}

# A browser that cannot read the answer takes it for a broken network and sends the event again, up to ten times.
_CORS: Final = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"Retry-After"),
]
_PREFLIGHT: Final = [
    *_CORS,
    (b"access-control-allow-methods", b"POST, GET, OPTIONS"),
    (b"access-control-allow-headers", b"Authorization, Content-Type, Content-Encoding, X-Write-Key, X-Retry-Count"),
    (b"access-control-max-age", b"7200"),
    (b"content-length", b"0"),
]
_JSON: Final = (b"content-type", b"application/json")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one request may bring. Source: Segment's documented limits, widened to what its clients really send."""

    body_bytes: int = 1_048_576
    event_bytes: int = 32_768
    batch_events: int = 2_500


class TrackingRoutes:
    """ASGI middleware: answers the tracking paths itself and passes everything else on."""

    def __init__(
        self, app: ASGIApp, *, write_keys: WriteKeys, outbox: Outbox, limits: Limits, metrics: IngestMetrics
    ) -> None:
        self._app = app
        self._write_keys = write_keys
        self._outbox = outbox
        self._limits = limits
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or (kind := PATHS.get(scope["path"])) is None:
            await self._app(scope, receive, send)
            return
        match scope["method"]:
            case "POST":
                await self._post(kind, scope, receive, send)
            case "OPTIONS":
                await send({"type": "http.response.start", "status": 204, "headers": _PREFLIGHT})
                await send({"type": "http.response.body"})
            case _:
                refusal = Refused(405, "method_not_allowed", "tracking calls are POST requests")
                await _answer(send, refusal.status, refusal.body(), [(b"allow", b"POST, OPTIONS")])

    async def _post(self, kind: str, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        extra: list[tuple[bytes, bytes]] = []
        try:
            body = await self._take(kind, scope, receive)
            status = 200
        except Disconnected:
            return
        except Refused as refusal:
            status, body = refusal.status, refusal.body()
            self._metrics.refused(refusal.code)
            if refusal.retry_after_s is not None:
                extra = [(b"retry-after", b"%d" % refusal.retry_after_s)]
        await _answer(send, status, body, extra)
        self._metrics.answered(scope["path"], status, time.perf_counter() - started)

    async def _take(self, kind: str, scope: Scope, receive: Receive) -> bytes:
        """Everything between the request's first byte and the acknowledged write. Raises Refused."""
        headers = dict(scope["headers"])
        raw = await read_body(receive, encoding=headers.get(b"content-encoding", b""), most=self._limits.body_bytes)
        content = parse_json(raw)
        sender = self._write_keys.sender(headers, scope["query_string"], content)
        received_at = datetime.now(UTC)
        if kind is BATCH:
            arrivals, refused = self._batch(content, sender, received_at)
        else:
            arrivals, refused = [self._event(_typed(content, kind), sender, received_at)], []
        try:
            await self._outbox.submit(sender.destination, arrivals)
        except QueueUnavailable as unavailable:
            message = "events cannot be kept right now, send them again"
            raise Refused(503, unavailable.reason, message, retry_after_s=RETRY_AFTER_S) from None
        return accepted_body(len(arrivals), refused) if refused else SUCCESS

    def _batch(
        self, content: Any, sender: Sender, received_at: datetime
    ) -> tuple[list[Arrival], list[tuple[int, Refused]]]:
        """The good events of a batch, and the others with their places in it. Raises Refused when none is good."""
        events = content.get("batch") if isinstance(content, dict) else content
        if not isinstance(events, list):
            raise Refused(400, "bad_request", "batch: must be a list of events", field="batch")
        if not events:
            raise Refused(400, "empty_batch", "batch: holds no event", field="batch")
        if len(events) > self._limits.batch_events:
            rule = f"batch: at most {self._limits.batch_events:,} events, this one has {len(events):,}"
            raise Refused(400, "batch_too_long", rule, field="batch")
        shared = content if isinstance(content, dict) else {}
        arrivals: list[Arrival] = []
        refused: list[tuple[int, Refused]] = []
        for index, event in enumerate(events):
            try:
                arrivals.append(self._event(_with_shared(event, shared), sender, received_at))
            except Refused as refusal:
                refused.append((index, refusal))
        if not arrivals:
            first = refused[0][1]
            message = f"no event of the batch is valid; the first: {first.message}"
            raise Refused(400, first.code, message, field=f"batch.0.{first.field}" if first.field else "batch")
        for _, why in refused:
            self._metrics.refused(why.code)
        return arrivals, refused

    def _event(self, raw: Any, sender: Sender, received_at: datetime) -> Arrival:
        """One event, decided. Raises Refused."""
        if isinstance(raw, dict):
            raw.pop("writeKey", None)
        try:
            original = orjson.dumps(raw)
        except TypeError:
            raise _too_deep() from None
        if len(original) > self._limits.event_bytes:
            raise Refused(400, "event_too_large", f"the event is larger than {self._limits.event_bytes:,} bytes")
        try:
            event = parse_event(raw)
        except InvalidEvent as invalid:
            raise Refused(400, invalid.code, str(invalid), field=invalid.field) from None
        decision: Decision
        try:
            decision = decide(event, sender.plan, original=original, source=sender.source, received_at=received_at)
        except Exception as bug:  # our mistake must not cost the event: it is kept, with the place that failed
            log.exception("event.undecided", source=sender.source)
            decision = Bury("internal_error", f"{type(bug).__name__} while the event was mapped")
        return arrival_of(event, decision, original=original, source=sender.source, received_at=received_at)


def _typed(event: Any, kind: str) -> Any:
    """The event with the type that the path says, whatever its body says."""
    if isinstance(event, dict):
        event["type"] = kind
    return event


def _with_shared(event: Any, shared: Mapping[str, Any]) -> Any:
    """The event with the batch's `context` and `integrations` beneath its own, and the batch's `sentAt` if it has none.

    The batch's `messageId` and `timestamp` are its own: events that took them would all be one.
    """
    if not isinstance(event, dict):
        return event
    if event.get("sentAt") is None and (sent_at := shared.get("sentAt")) is not None:
        event["sentAt"] = sent_at
    for name in ("context", "integrations"):
        below = shared.get(name)
        if isinstance(below, dict) and below:
            try:
                event[name] = _merged(below, event.get(name))
            except RecursionError:
                raise _too_deep() from None
    return event


def _merged(below: Mapping[str, Any], above: Any) -> Any:
    if above is None:
        return below
    if not isinstance(above, dict):
        return above
    merged = dict(below)
    for key, value in above.items():
        beneath = merged.get(key)
        merged[key] = _merged(beneath, value) if isinstance(beneath, dict) else value
    return merged


def _too_deep() -> Refused:
    return Refused(400, "too_deep", "the event is nested too deeply to be forwarded")


async def _answer(send: Send, status: int, body: bytes, extra: Sequence[tuple[bytes, bytes]] = ()) -> None:
    start: Message = {
        "type": "http.response.start",
        "status": status,
        "headers": [_JSON, (b"content-length", b"%d" % len(body)), *_CORS, *extra],
    }
    await send(start)
    await send({"type": "http.response.body", "body": body})
