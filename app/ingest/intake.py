"""The intake of tracking requests. The hot path: request → events → decisions → outbox → response.

It waits only for Redis, so a whole request is processed without its own task. Its memory is free again, and still in
the processor's caches for the next request, before its events are written.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import msgspec
import structlog

from app.delivery.accounts.attributes import KnownAttributes
from app.delivery.delivery import Delivery
from app.delivery.outbox import Outbox
from app.delivery.outbox_event import OutboxEvent, calls_of
from app.delivery.sharded_outbox import ShardedOutbox
from app.identity.enrichment import UPDATING, concerns_profile, link_in
from app.identity.extract import Extraction
from app.identity.recent import RecentSet
from app.ingest.admission import Admission
from app.ingest.arrivals import outbox_event_of
from app.ingest.auth import Sender, WriteKeys
from app.ingest.batch import Shared, check_signed, content_of, decoded, default_message_id, events_in, json_of, too_deep
from app.ingest.body import inflated, too_large
from app.ingest.exchange import SUCCEEDED, Request, Respond, Response
from app.ingest.limits import LIMIT_CODES, LimitMonitor
from app.ingest.paths import TrackingPath
from app.ingest.profile_session import ProfileSession
from app.ingest.refusal import Refused, accepted_body
from app.ingest.refusal_log import RefusalLog
from app.ingest.request_trace import RequestTrace
from app.ingest.server_library import ServerLibraryHint
from app.metrics import IngestMetrics
from app.pipeline import NOTHING, Decision, Fail, Forward, Known, Reading, decide, read
from app.profiles.lookup import ProfileLookup
from app.profiles.profile import ProfileUpdate
from app.segment.events import InvalidEvent, SegmentEvent
from app.store.connection import QueueUnavailable
from app.value import Value, changed

RETRY_AFTER_S: Final = 2
LONGEST_QUEUED_S: Final = 5.0  # as long as Redis may take to answer: most trackers give up after about that time
_UNAVAILABLE: Final = "events cannot be kept right now, send them again"
_OVERLOADED: Final = Refused(503, "overloaded", _UNAVAILABLE, retry_after_s=RETRY_AFTER_S)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one request. Source: Segment's documented limits, widened to what its clients really send."""

    body_bytes: int = 1_048_576
    event_bytes: int = 32_768
    batch_events: int = 2_500


class Pending(Value, frozen=True, gc=False):
    """A request without a response yet."""

    path: TrackingPath
    respond: Respond
    started: float  # s, by the clock of Intake


class Batch(msgspec.Struct):
    """The events of one request, decided except for those that need a stored profile."""

    sender: Sender
    received_at: datetime
    arrivals: list[OutboxEvent] = msgspec.field(default_factory=list)
    undecided: dict[int, Reading] = msgspec.field(default_factory=dict)  # by their place among the arrivals
    refused: list[tuple[int, Refused]] = msgspec.field(default_factory=list)  # with their places in the body
    accepted: int = 0  # all valid ones, once the outbox has them
    enriched: int = 0  # events whose identity was completed from a stored profile
    trace: RequestTrace | None = None  # if the request is traced

    @property
    def place(self) -> int:
        """Of the next good event."""
        return len(self.arrivals) + len(self.undecided)


class Intake:
    """Processes complete tracking requests in the order of arrival, and responds once to each."""

    def __init__(
        self,
        *,
        write_keys: WriteKeys,
        outbox: Outbox | ShardedOutbox,
        profiles: ProfileLookup,
        admission: Admission,
        limits: Limits,
        metrics: IngestMetrics,
        monitor: LimitMonitor,
        attributes: KnownAttributes,
        refusals: RefusalLog,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.limits = limits
        self._clock = clock
        self._write_keys = write_keys
        self._outbox = outbox
        self._profiles = profiles
        self._admission = admission
        self._metrics = metrics
        self._monitor = monitor
        self._server_library = ServerLibraryHint()
        self._attributes = attributes
        self._refusals = refusals
        self._verified = RecentSet()  # links that profiles contain, of events that need no more of these
        self._queue: deque[tuple[Request, Pending]] = deque()
        outbox.on_capacity(self._process_next)
        self._tasks: set[asyncio.Task[None]] = set()  # the event loop itself holds only weak references

    def serve(self, request: Request, respond: Respond) -> None:
        """Process a complete request, and call `respond` once: now or later. Call this in the event loop."""
        self._queue.append((request, Pending(request.path, respond, self._clock())))
        self._process_next()

    def _process_next(self) -> None:
        """Process queued requests while the outbox has capacity. More would only wait there, and Redis for the CPU."""
        while self._queue and not self._outbox.at_capacity:
            request, pending = self._queue.popleft()
            if self._clock() - pending.started > LONGEST_QUEUED_S:
                self._refuse(pending, _OVERLOADED, request.wire)
            else:
                self._process(request, pending)

    def _process(self, request: Request, pending: Pending) -> None:
        try:
            batch = None if request.path.discard else self._read_request(request)
            if batch is None:
                self._answer(pending, SUCCEEDED)
            elif batch.undecided:
                self._with_profiles(pending, batch)
            else:
                self._store(pending, batch)
        except Refused as refusal:
            self._refuse(pending, refusal, request.wire)
        except Exception as bug:
            self._internal_error(pending, bug)

    def _read_request(self, request: Request) -> Batch:
        """The events of a request. Raises Refused if none is accepted."""
        path, headers, wire = request.path, request.headers, request.wire
        if len(wire) > self.limits.body_bytes:
            raise too_large(self.limits.body_bytes)
        sender = self._write_keys.sender_outside(headers, request.query)  # first: strangers' bodies cost no more
        try:
            body = inflated(wire, headers.get(b"content-encoding", b""), most=self.limits.body_bytes)
            if sender is not None:
                _check_sender(sender, headers, body)
            content = content_of(path, body, lenient=sender is not None or self._write_keys.may_be_in(body))
            if sender is None:
                sender = self._write_keys.sender_inside(content)
                _check_sender(sender, headers, body)
            return self._read_events(request, sender, content)
        except Refused as refusal:
            if sender is not None:
                refusal.source = sender.source
            raise

    def _read_events(self, request: Request, sender: Sender, content: Any) -> Batch:
        path, headers = request.path, request.headers
        events = events_in(path, content, most=self.limits.batch_events)
        check_signed(sender.signing, content, events)
        default_message_id(events, headers)
        self._admission.check(
            sender.destination,
            sender.limit,
            len(events),
            source=sender.source,
            public=sender.plan.public,
            alone=sender.alone,
        )
        if sender.plan.public:
            self._server_library.see(sender.source, headers)
        batch = self._batch(request, sender)
        if path.type is not None:
            self._add(batch, events[0])
            return batch
        shared = Shared(content, events)
        spare_bytes = min(shared.bytes, self.limits.event_bytes)
        refused_events: list[Any] = []
        for index, event in enumerate(events):
            events[index] = None  # its memory is freed once it is decided, if all were decoded at once: see _Envelope
            try:
                self._add(batch, shared.with_batch_defaults(decoded(event)), spare_bytes=spare_bytes)
            except Refused as refusal:
                refusal.source = sender.source
                batch.refused.append((index, refusal))
                refused_events.append(event)
        if not batch.place:
            first = batch.refused[0][1]
            message = f"no event of the batch is valid; the first: {first.message}"
            raise Refused(400, first.code, message, field=f"batch.0.{first.field}" if first.field else "batch")
        for (_, why), event in zip(batch.refused, refused_events, strict=True):
            self._metrics.refused(why.code)
            self._refusals.note(why, path.path, event)
            if why.code in LIMIT_CODES:
                self._monitor.reached(why.code, sender.source)
        return batch

    def _batch(self, _request: Request, sender: Sender) -> Batch:
        return Batch(sender, datetime.now(UTC))

    def _add(self, batch: Batch, raw: Any, *, spare_bytes: int = 0) -> None:
        """Add one event to the batch, decided unless it needs a stored profile. Raises Refused."""
        reading = self._read(raw, batch.sender, spare_bytes)
        if (found := reading.found) is not None and self._needs_profile(reading.event, found, batch.sender):
            batch.undecided[batch.place] = reading
        else:
            batch.arrivals.append(self._arrival(reading, batch))

    def _needs_profile(self, event: SegmentEvent, found: Extraction, sender: Sender) -> bool:
        """Whether a profile completes the event, is updated by it, or has to verify the link that it makes."""
        plan, identity = sender.plan, found.identity
        if identity is None or plan.one_identifier:
            return concerns_profile(event, found, plan.identity)
        link = (sender.source, event.user_id, identity)
        if self._verified.has(link) and event.type not in UPDATING:  # nearly always
            return False
        if concerns_profile(event, found, plan.identity):
            return True
        return plan.profiles.user_id and link_in(event, identity, sender.source) is not None

    def _read(self, raw: Any, sender: Sender, spare_bytes: int) -> Reading:
        """One event without values that the guard withholds. The batch may own `spare_bytes` of it. Raises Refused."""
        if isinstance(raw, dict):
            raw.pop("writeKey", None)
        as_sent = json_of(raw)
        if len(as_sent) > self.limits.event_bytes + spare_bytes:
            raise Refused(400, "event_too_large", f"the event is larger than {self.limits.event_bytes:,} bytes")
        try:
            reading = read(raw, as_sent, sender.plan)
        except RecursionError:
            raise too_deep() from None
        except InvalidEvent as invalid:
            raise Refused(400, invalid.code, str(invalid), field=invalid.field) from None
        if len(reading.original) > 2 * self.limits.event_bytes + spare_bytes:  # replacing values can make it longer
            raise Refused(400, "event_too_large", "the event is too large once the privacy guard has replaced values")
        for finding in reading.findings:
            self._metrics.withheld(sender.source, finding.check, finding.action)
        return reading

    def _with_profiles(self, pending: Pending, batch: Batch) -> None:
        """Decide the remaining events of a batch with stored profiles, then store the batch."""
        sender = batch.sender
        session: ProfileSession | None = None
        try:
            session = ProfileSession(
                [reading.event for reading in batch.undecided.values()], sender.plan, sender.source
            )
        except Exception:  # a bug is raised again by the one event that triggers it
            log.exception("profiles.not_read", source=sender.source)
        if session is None or not session.names:
            self._conclude(pending, batch, session)
        else:
            task = asyncio.get_running_loop().create_task(self._loaded(pending, batch, session))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _loaded(self, pending: Pending, batch: Batch, session: ProfileSession) -> None:
        try:
            session.load(await self._profiles.people(batch.sender.destination, session.names))
            self._conclude(pending, batch, session)
        except QueueUnavailable as unavailable:
            self._refuse(pending, _unavailable(unavailable))
        except Exception as bug:
            self._internal_error(pending, bug)

    def _conclude(self, pending: Pending, batch: Batch, session: ProfileSession | None) -> None:
        for number, (place, reading) in enumerate(batch.undecided.items()):
            batch.arrivals.insert(place, self._arrival(reading, batch, session, number))
        if session is not None:
            batch.enriched = session.enriched
            for link in session.verified:
                self._verified.add(link)
        self._store(pending, batch)

    def _arrival(
        self, reading: Reading, batch: Batch, session: ProfileSession | None = None, number: int = 0
    ) -> OutboxEvent:
        """One event, decided; `number` is its place in the session."""
        event, original = reading.event, reading.original
        sender, received_at = batch.sender, batch.received_at
        updates: tuple[ProfileUpdate, ...] = ()
        instead: tuple[Delivery, ...] = ()
        decision: Decision
        try:
            if session is None:
                decision = self._decided(reading, batch)
            else:
                decided = partial(self._decided, reading, batch)
                decision, updates, instead = session.decide(number, event, decided, received_at)
        except Exception as bug:  # a bug must not cost the event: it is kept, with the place of the error
            log.exception("event.undecided", source=sender.source)
            decision = Fail("internal_error", f"{type(bug).__name__} while the event was mapped")
        if type(decision) is Forward and decision.attributes:
            self._attributes.learn(sender.destination, decision.attributes)
        arrival = outbox_event_of(event, decision, original=original, source=sender.source, received_at=received_at)
        return changed(arrival, updates=updates, instead=calls_of(instead)) if updates else arrival

    def _decided(
        self, reading: Reading, batch: Batch, profile: Mapping[str, str] = NOTHING, unlinked: bool | None = None
    ) -> Decision:
        sender = batch.sender
        known = Known(self._attributes.of(sender.destination), profile, unlinked)
        return decide(reading, sender.plan, source=sender.source, received_at=batch.received_at, known=known)

    def _store(self, pending: Pending, batch: Batch) -> None:
        arrivals, batch.arrivals = batch.arrivals, []
        batch.accepted = len(arrivals)
        self._outbox.hand_in(batch.sender.destination, arrivals, partial(self._on_stored, pending, batch))

    def _on_stored(self, pending: Pending, batch: Batch, failure: BaseException | None) -> None:
        """The outbox has stored the events, or failed to."""
        if isinstance(failure, QueueUnavailable):
            self._refuse(pending, _unavailable(failure))
        elif failure is not None:
            self._internal_error(pending, failure)
        else:
            sender, accepted = batch.sender, batch.accepted
            self._metrics.accepted(sender.source, sender.key_number, accepted, retiring=sender.retiring)
            if batch.enriched:
                self._metrics.enriched(sender.source, batch.enriched)
            refused = batch.refused
            self._answer(pending, Response(200, accepted_body(accepted, refused)) if refused else SUCCEEDED)

    def _refuse(self, pending: Pending, refusal: Refused, wire: bytes | None = None) -> None:
        """Refuse a whole request. `wire` is its body, if it is still available."""
        self._metrics.refused(refusal.code)
        self._refusals.note(refusal, pending.path.path, wire)
        if refusal.code in LIMIT_CODES:
            self._monitor.reached(refusal.code, refusal.source)
        retry_s = refusal.retry_after_s
        headers = () if retry_s is None else [(b"retry-after", b"%d" % retry_s)]
        self._answer(pending, Response(refusal.status, refusal.body(), headers))

    def _internal_error(self, pending: Pending, bug: BaseException) -> None:
        """A bug outside the events themselves: the tracker sends the request again."""
        log.error("request.failed", path=pending.path.path, exc_info=bug)
        body = Refused(500, "internal_error", "the gateway failed to answer").body()
        self._answer(pending, Response(500, body))

    def _answer(self, pending: Pending, response: Response) -> None:
        pending.respond(response)
        self._metrics.answered(pending.path.path, response.status, self._clock() - pending.started)


def _unavailable(unavailable: QueueUnavailable) -> Refused:
    return Refused(503, unavailable.reason, _UNAVAILABLE, retry_after_s=RETRY_AFTER_S)


def _check_sender(sender: Sender, headers: Mapping[bytes, bytes], body: bytes) -> None:
    """Raise Refused for a page that may not post for this source, and for a webhook without a valid signature."""
    origin = headers.get(b"origin")
    if origin is not None and sender.origins is not None and not sender.origins.allow(origin.decode("latin-1")):
        message = "pages of this origin may not post for this source"
        raise Refused(403, "origin_not_allowed", message, field="Origin")
    if sender.signing is not None and not sender.signing.verified(headers, body):
        raise Refused(401, "signature_invalid", "the signature is missing, wrong or too old")
