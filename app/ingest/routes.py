"""The tracking routes: everything that paths.py lists. The hot path: request → events → decisions → outbox → answer.

Nothing on it waits but for Redis, so that a whole request is judged without a task of its own: what it made in memory
is given back, and found warm by the next one, before its events are on their way.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar, Final

import msgspec
import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from app.delivery.arrival import Arrival, calls_of
from app.delivery.attributes import KnownAttributes
from app.delivery.connection import QueueUnavailable
from app.delivery.delivery import Delivery
from app.delivery.memory import Recall
from app.delivery.outbox import Outbox
from app.delivery.people import Step
from app.identity.extract import Extraction, extract_identity
from app.identity.memory import concerns_memory
from app.ingest.admission import Admission
from app.ingest.arrivals import arrival_of
from app.ingest.auth import Sender, WriteKeys
from app.ingest.batch import Shared, content_of, decoded, events_in, json_of, name_after_webhook, too_deep
from app.ingest.body import Disconnected, inflated, read_body, too_large
from app.ingest.exchange import Answer, Headers, Reply, Request
from app.ingest.memory import Conversation
from app.ingest.paths import BY_PATH, TrackingPath
from app.ingest.refusal import SUCCESS, Refused, accepted_body
from app.metrics import IngestMetrics
from app.pipeline import NOTHING, Bury, Decision, Forward, decide
from app.privacy.policy import Finding
from app.segment.events import InvalidEvent, SegmentEvent, parse_event
from app.value import Value, changed

RETRY_AFTER_S: Final = 2
IN_LINE_S: Final = 5.0  # as long as Redis may take to answer: by then most trackers have given up, or will have soon
_OPTIONS: Final = Answer(200, SUCCESS, [(b"allow", b"POST, OPTIONS")])
_WRONG_METHOD: Final = Refused(405, "method_not_allowed", "tracking calls are POST requests")
_PUT_OFF: Final = "events cannot be kept right now, send them again"
_TOO_LONG_IN_LINE: Final = Refused(503, "overloaded", _PUT_OFF, retry_after_s=RETRY_AFTER_S)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one request may bring. Source: Segment's documented limits, widened to what its clients really send."""

    body_bytes: int = 1_048_576
    event_bytes: int = 32_768
    batch_events: int = 2_500


class Reading(Value, frozen=True, gc=False):
    """One event as it was read."""

    personal: ClassVar = frozenset({"original"})

    event: SegmentEvent
    original: bytes  # its JSON, as it is kept
    findings: Sequence[Finding]  # what the guard withheld
    found: Extraction | None  # whom it says it is about; None where that failed


class Waiting(Value, frozen=True, gc=False):
    """A request that is not answered yet."""

    path: TrackingPath
    reply: Reply
    started: float  # s, by the clock of TrackingRoutes


class Batch(msgspec.Struct):
    """The events of one request, judged but for those in which memory has a part."""

    sender: Sender
    received_at: datetime
    arrivals: list[Arrival] = msgspec.field(default_factory=list)
    undecided: dict[int, Reading] = msgspec.field(default_factory=dict)  # by their place among the arrivals
    refused: list[tuple[int, Refused]] = msgspec.field(default_factory=list)  # with their places in the body
    accepted: int = 0  # all that were good, once the outbox has them
    recalled: int = 0  # events that memory told something

    @property
    def place(self) -> int:
        """Of the next good event."""
        return len(self.arrivals) + len(self.undecided)


class TrackingRoutes:
    """Answers whole tracking requests; and, as ASGI middleware around the pages, those that come piece by piece."""

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
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.limits = limits
        self._clock = clock
        self._app = app
        self._write_keys = write_keys
        self._outbox = outbox
        self._recall = recall
        self._admission = admission
        self._metrics = metrics
        self._attributes = attributes
        self._line: deque[tuple[Request, Waiting]] = deque()
        outbox.tell_of_room(self._judge_next)
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself holds them weakly

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request by ASGI."""
        if scope["type"] != "http" or (path := BY_PATH.get(scope["path"])) is None:
            await self._app(scope, receive, send)
        elif scope["method"] == "POST":
            await self._post(path, scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await _send(send, _OPTIONS)
        else:
            await _send(send, Answer(_WRONG_METHOD.status, _WRONG_METHOD.body(), _OPTIONS.headers))

    async def _post(self, path: TrackingPath, scope: Scope, receive: Receive, send: Send) -> None:
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def reply(answer: Answer) -> None:
            if not answered.done():  # else the tracker went away
                answered.set_result(answer)

        started = self._clock()
        try:
            wire = await read_body(receive, most=self.limits.body_bytes)
        except Disconnected:
            return
        except Refused as refusal:
            self._refuse(Waiting(path, reply, started), refusal)
        else:
            self.serve(Request(path, dict(scope["headers"]), scope["query_string"], wire), reply)
        await _send(send, await answered)

    def serve(self, request: Request, reply: Reply) -> None:
        """Judge a whole request, and `reply` once: now, or later. To be called in the event loop."""
        self._line.append((request, Waiting(request.path, reply, self._clock())))
        self._judge_next()

    def _judge_next(self) -> None:
        """Judge those in line, as far as the outbox has room: more would but wait in it, and Redis for us meanwhile."""
        while self._line and not self._outbox.full:
            request, waiting = self._line.popleft()
            if self._clock() - waiting.started > IN_LINE_S:
                self._refuse(waiting, _TOO_LONG_IN_LINE)
            else:
                self._judge(request, waiting)

    def _judge(self, request: Request, waiting: Waiting) -> None:
        try:
            batch = None if request.path.discard else self._judged(request)
            if batch is None:
                self._answer(waiting, 200, SUCCESS)
            elif batch.undecided:
                self._remember(waiting, batch)
            else:
                self._keep(waiting, batch)
        except Refused as refusal:
            self._refuse(waiting, refusal)
        except Exception as bug:
            self._apologise(waiting, bug)

    def _judged(self, request: Request) -> Batch:
        """The events of a request. Raises Refused when none of it is taken."""
        path, headers, wire = request.path, request.headers, request.wire
        if len(wire) > self.limits.body_bytes:
            raise too_large(self.limits.body_bytes)
        body = inflated(wire, headers.get(b"content-encoding", b""), most=self.limits.body_bytes)
        content = content_of(path, body)
        sender = self._write_keys.sender(headers, request.query, content)
        _check_sender(sender, headers, body)
        events = events_in(path, content, most=self.limits.batch_events)
        name_after_webhook(events, headers)
        self._admission.check(sender.destination, sender.limit, len(events))
        batch = Batch(sender, datetime.now(UTC))
        if path.type is not None:
            self._take(batch, events[0])
            return batch
        shared = Shared(content, events)
        spare_bytes = min(shared.bytes, self.limits.event_bytes)
        for index, event in enumerate(events):
            events[index] = None  # given back once it is judged, where all were decoded at once: see _Envelope
            try:
                self._take(batch, shared.lent_to(decoded(event)), spare_bytes=spare_bytes)
            except Refused as refusal:
                batch.refused.append((index, refusal))
        if not batch.place:
            first = batch.refused[0][1]
            message = f"no event of the batch is valid; the first: {first.message}"
            raise Refused(400, first.code, message, field=f"batch.0.{first.field}" if first.field else "batch")
        for _, why in batch.refused:
            self._metrics.refused(why.code)
        return batch

    def _take(self, batch: Batch, raw: Any, *, spare_bytes: int = 0) -> None:
        """Add one event to the batch, decided unless memory has a part in it. Raises Refused."""
        reading = self._read(raw, batch.sender, spare_bytes)
        if reading.found is not None and concerns_memory(reading.event, reading.found, batch.sender.plan.identity):
            batch.undecided[batch.place] = reading
        else:
            batch.arrivals.append(self._arrival(reading, batch))

    def _read(self, raw: Any, sender: Sender, spare_bytes: int) -> Reading:
        """One event without what the guard withholds. `spare_bytes` of its size may be the batch's. Raises Refused."""
        if isinstance(raw, dict):
            raw.pop("writeKey", None)
        as_sent = json_of(raw)
        if len(as_sent) > self.limits.event_bytes + spare_bytes:
            raise Refused(400, "event_too_large", f"the event is larger than {self.limits.event_bytes:,} bytes")
        identities = sender.plan.identity
        try:
            inspected = sender.plan.guard.inspect(raw, as_sent)
            event = parse_event(inspected.event, identities.names_somebody)
        except RecursionError:
            raise too_deep() from None
        except InvalidEvent as invalid:
            raise Refused(400, invalid.code, str(invalid), field=invalid.field) from None
        for finding in inspected.findings:
            self._metrics.withheld(sender.source, finding.check, finding.action)
        found: Extraction | None = None
        try:
            found = extract_identity(event, identities)
        except Exception:  # our own mistake is met again when the event is decided
            log.exception("event.unread", source=sender.source)
        return Reading(event, inspected.json, inspected.findings, found)

    def _remember(self, waiting: Waiting, batch: Batch) -> None:
        """Decide the rest of a batch with memory, then keep all of it."""
        sender = batch.sender
        talk: Conversation | None = None
        try:
            talk = Conversation([reading.event for reading in batch.undecided.values()], sender.plan, sender.source)
        except Exception:  # our own mistake is met again by the event that it comes from, alone
            log.exception("memory.not_asked", source=sender.source)
        if talk is None or not talk.names:
            self._conclude(waiting, batch, talk)
        else:
            task = asyncio.get_running_loop().create_task(self._recalled(waiting, batch, talk))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _recalled(self, waiting: Waiting, batch: Batch, talk: Conversation) -> None:
        try:
            talk.hear(await self._recall.people(batch.sender.destination, talk.names))
            self._conclude(waiting, batch, talk)
        except QueueUnavailable as unavailable:
            self._refuse(waiting, _put_off(unavailable))
        except Exception as bug:
            self._apologise(waiting, bug)

    def _conclude(self, waiting: Waiting, batch: Batch, talk: Conversation | None) -> None:
        for number, (place, reading) in enumerate(batch.undecided.items()):
            batch.arrivals.insert(place, self._arrival(reading, batch, talk, number))
        if talk is not None:
            batch.recalled = talk.recalled
        self._keep(waiting, batch)

    def _arrival(self, reading: Reading, batch: Batch, talk: Conversation | None = None, number: int = 0) -> Arrival:
        """One event, decided; `number` is its place in the talk with memory."""
        event, original = reading.event, reading.original
        sender, received_at = batch.sender, batch.received_at
        steps: tuple[Step, ...] = ()
        instead: tuple[Delivery, ...] = ()
        decision: Decision
        try:
            if talk is None:
                decision = self._decided(reading, batch)
            else:
                decided = partial(self._decided, reading, batch)
                decision, steps, instead = talk.decide(number, event, decided, received_at)
        except Exception as bug:  # our mistake must not cost the event: it is kept, with the place that failed
            log.exception("event.undecided", source=sender.source)
            decision = Bury("internal_error", f"{type(bug).__name__} while the event was mapped")
        if type(decision) is Forward and decision.attributes:
            self._attributes.learn(sender.destination, decision.attributes)
        arrival = arrival_of(event, decision, original=original, source=sender.source, received_at=received_at)
        return changed(arrival, steps=steps, instead=calls_of(instead)) if steps else arrival

    def _decided(
        self, reading: Reading, batch: Batch, remembered: Mapping[str, str] = NOTHING, apart: bool = False
    ) -> Decision:
        sender = batch.sender
        return decide(
            reading.event,
            sender.plan,
            original=reading.original,
            source=sender.source,
            received_at=batch.received_at,
            found=reading.found,
            findings=reading.findings,
            attributes=self._attributes.of(sender.destination),
            remembered=remembered,
            apart=apart,
        )

    def _keep(self, waiting: Waiting, batch: Batch) -> None:
        arrivals, batch.arrivals = batch.arrivals, []
        batch.accepted = len(arrivals)
        self._outbox.hand_in(batch.sender.destination, arrivals, partial(self._kept, waiting, batch))

    def _kept(self, waiting: Waiting, batch: Batch, failure: BaseException | None) -> None:
        """The outbox has said what became of the events."""
        if isinstance(failure, QueueUnavailable):
            self._refuse(waiting, _put_off(failure))
        elif failure is not None:
            self._apologise(waiting, failure)
        else:
            sender, accepted = batch.sender, batch.accepted
            self._metrics.accepted(sender.source, sender.key_number, accepted, retiring=sender.retiring)
            if batch.recalled:
                self._metrics.enriched(sender.source, batch.recalled)
            self._answer(waiting, 200, accepted_body(accepted, batch.refused) if batch.refused else SUCCESS)

    def _refuse(self, waiting: Waiting, refusal: Refused) -> None:
        self._metrics.refused(refusal.code)
        retry_s = refusal.retry_after_s
        headers = () if retry_s is None else [(b"retry-after", b"%d" % retry_s)]
        self._answer(waiting, refusal.status, refusal.body(), headers)

    def _apologise(self, waiting: Waiting, bug: BaseException) -> None:
        """Our mistake, outside the events themselves: the tracker sends again."""
        log.error("request.failed", path=waiting.path.path, exc_info=bug)
        self._answer(waiting, 500, Refused(500, "internal_error", "the gateway failed to answer").body())

    def _answer(self, waiting: Waiting, status: int, body: bytes, headers: Headers = ()) -> None:
        waiting.reply(Answer(status, body, headers))
        self._metrics.answered(waiting.path.path, status, self._clock() - waiting.started)


def _put_off(unavailable: QueueUnavailable) -> Refused:
    return Refused(503, unavailable.reason, _PUT_OFF, retry_after_s=RETRY_AFTER_S)


def _check_sender(sender: Sender, headers: Mapping[bytes, bytes], body: bytes) -> None:
    """Raise Refused for a page that may not post for this source, and for a webhook that does not prove itself."""
    origin = headers.get(b"origin")
    if origin is not None and sender.origins is not None and not sender.origins.allow(origin.decode("latin-1")):
        message = "pages of this origin may not post for this source"
        raise Refused(403, "origin_not_allowed", message, field="Origin")
    if sender.signing is not None and not sender.signing.verified(headers, body):
        raise Refused(401, "signature_invalid", "the signature is missing, wrong or too old")


async def _send(send: Send, answer: Answer) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": [*answer.all_headers]})
    await send({"type": "http.response.body", "body": answer.body})
