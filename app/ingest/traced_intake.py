"""An intake that records traces. It takes the place of the plain one where traces are on; nothing else knows of it."""

import random
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import orjson
from structlog.contextvars import bind_contextvars, reset_contextvars

from app.delivery.journal.journal import with_trace
from app.delivery.outbox_event import OutboxEvent
from app.ingest.auth import Sender
from app.ingest.exchange import Request, Respond, Response
from app.ingest.intake import Batch, Intake, Pending
from app.ingest.profile_session import ProfileSession
from app.ingest.request_trace import RequestTrace
from app.pipeline import NOTHING, Decision, Forward, Reading
from app.traces.exporting import Emit
from app.value import changed

_SUCCESS: Final = 200


class TracedRequest(Request, frozen=True, gc=False):
    """A request that is traced, or may be."""

    trace: RequestTrace | None = None


class TracedIntake(Intake):
    """The intake of a gateway that records traces."""

    def __init__(self, *, emit: Emit, share: float, draw: Callable[[], float] = random.random, **parts: Any) -> None:
        """`share` of the requests are traced by chance: where `draw` returns less. `parts` are those of Intake."""
        # It has the same parts. A request that is not traced goes through it, and pays for none of the methods below.
        self._plain = Intake(**parts)
        super().__init__(**parts)  # last: the outbox has one intake that it calls when it has capacity
        self._emit, self._share, self._draw = emit, share, draw

    def _process(self, request: Request, pending: Pending) -> None:
        drawn, header = self._draw() < self._share, request.headers.get(b"traceparent")
        if request.path.discard or (not drawn and header is None):  # nearly always
            self._plain._process(request, pending)
            return
        start_ns = time.time_ns() - int((self._clock() - pending.started) * 1e9)
        trace = RequestTrace(pending.path.path, header, drawn=drawn, start_ns=start_ns)
        traced = TracedRequest(request.path, request.headers, request.query, request.wire, trace)
        super()._process(traced, changed(pending, respond=partial(self._respond, trace, pending.respond)))

    def _respond(self, trace: RequestTrace, respond: Respond, response: Response) -> None:
        respond(response)
        code = "" if response.status == _SUCCESS else str(orjson.loads(response.body).get("code", ""))
        for span in trace.answered(response.status, code, time.time_ns()):
            self._emit(span)

    def _batch(self, request: Request, sender: Sender) -> Batch:
        batch = super()._batch(request, sender)
        if isinstance(request, TracedRequest) and request.trace is not None and request.trace.decide(sender):
            batch.trace = request.trace
        return batch

    def _arrival(
        self, reading: Reading, batch: Batch, session: ProfileSession | None = None, number: int = 0
    ) -> OutboxEvent:
        trace = batch.trace
        if trace is None:
            return super()._arrival(reading, batch, session, number)
        trace.begin_event()
        trace_id = trace.context.trace_id
        bound = bind_contextvars(trace_id=trace_id)
        try:
            arrival = super()._arrival(reading, batch, session, number)
        finally:
            reset_contextvars(**bound)
        return changed(arrival, trace=trace.context, record=with_trace(arrival.record, trace_id))

    def _decided(
        self, reading: Reading, batch: Batch, profile: Mapping[str, str] = NOTHING, unlinked: bool | None = None
    ) -> Decision:
        decision = super()._decided(reading, batch, profile, unlinked)
        if batch.trace is not None and type(decision) is Forward:
            return changed(decision, deliveries=batch.trace.stamped(decision.deliveries, time.time_ns()))
        return decision
