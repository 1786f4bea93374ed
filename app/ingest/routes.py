"""The tracking routes: everything that paths.py lists.

Plain ASGI inside the FastAPI app, for they are the hot path: request → events → decisions → outbox → answer.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import orjson
import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.delivery.arrival import Arrival
from app.delivery.attributes import KnownAttributes
from app.delivery.connection import QueueUnavailable
from app.delivery.delivery import Delivery
from app.delivery.memory import Recall
from app.delivery.outbox import Outbox
from app.delivery.people import Step
from app.identity.memory import concerns_memory
from app.ingest.admission import Admission
from app.ingest.arrivals import arrival_of
from app.ingest.auth import Sender, WriteKeys
from app.ingest.body import Disconnected, inflated, parse_json, read_body
from app.ingest.memory import Conversation
from app.ingest.paths import BY_PATH, TrackingPath
from app.ingest.refusal import SUCCESS, Refused, accepted_body
from app.ingest.signatures import webhook_id
from app.metrics import IngestMetrics
from app.pipeline import NOTHING, Bury, Decision, Forward, decide
from app.privacy.guard import Guard, Inspected
from app.privacy.policy import Finding
from app.segment.events import InvalidEvent, SegmentEvent, parse_event
from app.value import changed

RETRY_AFTER_S: Final = 2
_JSON: Final = (b"content-type", b"application/json")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one request may bring. Source: Segment's documented limits, widened to what its clients really send."""

    body_bytes: int = 1_048_576
    event_bytes: int = 32_768
    batch_events: int = 2_500


class Reading(NamedTuple):
    """One event as it was read."""

    event: SegmentEvent
    original: bytes  # its JSON, as it is kept
    findings: Sequence[Finding]  # what the guard withheld


class TrackingRoutes:
    """ASGI middleware around FastAPI, whose layers cost 10 µs a request: answers the tracking paths itself."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        write_keys: WriteKeys,
        outbox: Outbox,
        recall: Recall,
        admission: Admission,
        limits: Limits,
        metrics: IngestMetrics,
        attributes: KnownAttributes,
    ) -> None:
        self._app = app
        self._write_keys = write_keys
        self._outbox = outbox
        self._recall = recall
        self._admission = admission
        self._limits = limits
        self._metrics = metrics
        self._attributes = attributes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or (path := BY_PATH.get(scope["path"])) is None:
            await self._app(scope, receive, send)
        elif scope["method"] == "POST":
            await self._post(path, scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await _answer(send, 200, SUCCESS, [(b"allow", b"POST, OPTIONS")])
        else:
            refusal = Refused(405, "method_not_allowed", "tracking calls are POST requests")
            await _answer(send, refusal.status, refusal.body(), [(b"allow", b"POST, OPTIONS")])

    async def _post(self, path: TrackingPath, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        extra: list[tuple[bytes, bytes]] = []
        try:
            body = await self._take(path, scope, receive)
            status = 200
        except Disconnected:
            return
        except Refused as refusal:
            status, body = refusal.status, refusal.body()
            self._metrics.refused(refusal.code)
            if refusal.retry_after_s is not None:
                extra = [(b"retry-after", b"%d" % refusal.retry_after_s)]
        except Exception:  # our mistake, outside the events themselves: the tracker sends again
            log.exception("request.failed", path=path.path)
            status, body = 500, Refused(500, "internal_error", "the gateway failed to answer").body()
        await _answer(send, status, body, extra)
        self._metrics.answered(path.path, status, time.perf_counter() - started)

    async def _take(self, path: TrackingPath, scope: Scope, receive: Receive) -> bytes:
        """Everything between the request's first byte and the acknowledged write. Raises Refused."""
        headers = dict(scope["headers"])
        wire = await read_body(receive, most=self._limits.body_bytes)
        if path.discard:
            return SUCCESS
        body = inflated(wire, headers.get(b"content-encoding", b""), most=self._limits.body_bytes)
        content = parse_json(body)
        sender = self._write_keys.sender(headers, scope["query_string"], content)
        _check_sender(sender, headers, body)
        events = self._events(path, content)
        _name_after_webhook(events, headers)
        self._admission.check(sender.destination, sender.limit, len(events))
        received_at = datetime.now(UTC)
        readings, refused = self._read(path, events, content, sender)
        talk = _conversation([reading.event for reading in readings], sender)
        try:
            if talk is not None and talk.names:
                talk.hear(await self._recall.people(sender.destination, talk.names))
            arrivals = [
                self._arrival(place, reading, talk, sender, received_at) for place, reading in enumerate(readings)
            ]
            await self._outbox.submit(sender.destination, arrivals)
        except QueueUnavailable as unavailable:
            message = "events cannot be kept right now, send them again"
            raise Refused(503, unavailable.reason, message, retry_after_s=RETRY_AFTER_S) from None
        self._metrics.accepted(sender.source, sender.key_number, len(arrivals), retiring=sender.retiring)
        if talk is not None and talk.recalled:
            self._metrics.enriched(sender.source, talk.recalled)
        return accepted_body(len(arrivals), refused) if refused else SUCCESS

    def _events(self, path: TrackingPath, content: Any) -> list[Any]:
        """The events of a request, not yet checked. Raises Refused when the whole body is of no use."""
        if path.type is not None:
            return [content]
        events = content
        if isinstance(content, dict):
            is_event = "batch" not in content and "type" in content  # webhooks post single events to the same address
            events = [content] if is_event else content.get("batch")
        if not isinstance(events, list):
            raise Refused(400, "bad_request", "batch: must be a list of events", field="batch")
        if not events:
            raise Refused(400, "empty_batch", "batch: holds no event", field="batch")
        if len(events) > self._limits.batch_events:
            rule = f"batch: at most {self._limits.batch_events:,} events, this one has {len(events):,}"
            raise Refused(400, "batch_too_long", rule, field="batch")
        return events

    def _read(
        self, path: TrackingPath, events: Sequence[Any], content: Any, sender: Sender
    ) -> tuple[list[Reading], list[tuple[int, Refused]]]:
        """The good events, and the others with their places. Raises Refused when none is good."""
        if path.type is not None:
            return [self._event(_typed(events[0], path.type), sender)], []
        shared = _shared_parts(content) if events[0] is not content else {}
        shared_bytes = min(len(_json_of(shared)), self._limits.event_bytes) if shared else 0
        readings: list[Reading] = []
        refused: list[tuple[int, Refused]] = []
        for index, event in enumerate(events):
            try:
                readings.append(self._event(_with_shared(event, shared), sender, shared_bytes=shared_bytes))
            except Refused as refusal:
                refused.append((index, refusal))
        if not readings:
            first = refused[0][1]
            message = f"no event of the batch is valid; the first: {first.message}"
            raise Refused(400, first.code, message, field=f"batch.0.{first.field}" if first.field else "batch")
        for _, why in refused:
            self._metrics.refused(why.code)
        return readings, refused

    def _event(self, raw: Any, sender: Sender, *, shared_bytes: int = 0) -> Reading:
        """One event without what the guard withholds. `shared_bytes` of its size may be the batch's. Raises Refused."""
        if isinstance(raw, dict):
            raw.pop("writeKey", None)
        as_sent = _json_of(raw)
        if len(as_sent) > self._limits.event_bytes + shared_bytes:
            raise Refused(400, "event_too_large", f"the event is larger than {self._limits.event_bytes:,} bytes")
        inspected = _inspected(raw, as_sent, sender.plan.guard)
        try:
            event = parse_event(inspected.event, sender.plan.identity.names_somebody)
        except InvalidEvent as invalid:
            raise Refused(400, invalid.code, str(invalid), field=invalid.field) from None
        for finding in inspected.findings:
            self._metrics.withheld(sender.source, finding.check, finding.action)
        return Reading(event, inspected.json, inspected.findings)

    def _arrival(
        self, place: int, reading: Reading, talk: Conversation | None, sender: Sender, received_at: datetime
    ) -> Arrival:
        """One event, decided."""
        event, original, findings = reading
        source = sender.source

        def decided(remembered: Mapping[str, str] = NOTHING, apart: bool = False) -> Decision:
            return decide(
                event,
                sender.plan,
                original=original,
                source=source,
                received_at=received_at,
                findings=findings,
                attributes=self._attributes.of(sender.destination),
                remembered=remembered,
                apart=apart,
            )

        steps: tuple[Step, ...] = ()
        instead: tuple[Delivery, ...] = ()
        decision: Decision
        try:
            if talk is None:
                decision = decided()
            else:
                decision, steps, instead = talk.decide(place, event, decided, received_at)
        except Exception as bug:  # our mistake must not cost the event: it is kept, with the place that failed
            log.exception("event.undecided", source=source)
            decision = Bury("internal_error", f"{type(bug).__name__} while the event was mapped")
        if isinstance(decision, Forward) and decision.attributes:
            self._attributes.learn(sender.destination, decision.attributes)
        arrival = arrival_of(event, decision, original=original, source=source, received_at=received_at)
        return changed(arrival, steps=steps, instead=instead) if steps else arrival


def _conversation(events: Sequence[SegmentEvent], sender: Sender) -> Conversation | None:
    """With memory, where it is of use. Our own mistake in it is met again by the event that it comes from, alone."""
    try:
        for event in events:
            if concerns_memory(event, sender.plan.identity):
                return Conversation(events, sender.plan, sender.source)
    except Exception:
        log.exception("memory.not_asked", source=sender.source)
    return None


def _check_sender(sender: Sender, headers: Mapping[bytes, bytes], body: bytes) -> None:
    """Raise Refused for a page that may not post for this source, and for a webhook that does not prove itself."""
    origin = headers.get(b"origin")
    if origin is not None and sender.origins is not None and not sender.origins.allow(origin.decode("latin-1")):
        message = "pages of this origin may not post for this source"
        raise Refused(403, "origin_not_allowed", message, field="Origin")
    if sender.signing is not None and not sender.signing.verified(headers, body):
        raise Refused(401, "signature_invalid", "the signature is missing, wrong or too old")


def _name_after_webhook(events: Sequence[Any], headers: Mapping[bytes, bytes]) -> None:
    """A single event without an id of its own gets the webhook's, which is the same on every retry of the sender."""
    if (given := webhook_id(headers)) is None or len(events) != 1:
        return
    if isinstance(event := events[0], dict) and event.get("messageId") in (None, ""):
        event["messageId"] = given


def _inspected(raw: Any, json: bytes, guard: Guard) -> Inspected:
    try:
        return guard.inspect(raw, json)
    except RecursionError:
        raise _too_deep() from None


def _json_of(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        raise _too_deep() from None


def _typed(event: Any, kind: str) -> Any:
    """The event with the type that the path says, whatever its body says."""
    if isinstance(event, dict):
        event["type"] = kind
    return event


def _shared_parts(batch: Any) -> dict[str, Any]:
    """What a batch says once for all its events."""
    if not isinstance(batch, dict):
        return {}
    return {name: batch[name] for name in ("sentAt", "context", "integrations") if batch.get(name)}


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
        "headers": [_JSON, (b"content-length", b"%d" % len(body)), *extra],
    }
    await send(start)
    await send({"type": "http.response.body", "body": body})
