"""Attempts that are recorded as spans. It takes the place of the plain one where traces are on.

An attempt is recorded once it has ended: always if it gave the call up or held it, or if its outcome is unknown;
otherwise if the call carries the context of a traced request.
"""

import time
from datetime import timedelta
from typing import Any, Final

from structlog.contextvars import bind_contextvars, reset_contextvars

from app.attentive.answers import Reply, Unreachable
from app.attentive.endpoints import BY_NAME, ELIGIBILITY, Endpoint
from app.delivery.delivery import Delivery
from app.delivery.journal.journal import with_trace
from app.delivery.settlement import Entry, Settlement
from app.delivery.waits import waits_before
from app.traces.exporting import Emit
from app.traces.ids import child_of, new_context
from app.traces.sampling import Place, place_of_attempt
from app.traces.spans import AttemptSort, attempt_span, call_span, shown_message_id
from app.value import changed
from workers.attempt import Attempts

_MS: Final = 1_000_000  # ns
_US: Final = timedelta(microseconds=1)
_OUTCOMES: Final = {
    "done": "delivered",
    "retry": "retry",
    "held": "held",
    "dead": "dead_letter",
    "unknown": "unknown",
    "dropped": "dropped",
}
_ALWAYS: Final = frozenset({"held", "dead", "unknown"})
_ERRORS: Final = frozenset({"dead", "unknown"})


class TracedAttempts(Attempts):
    """The attempts of one drain, in a worker that records traces."""

    def __init__(self, *arguments: Any, emit: Emit) -> None:
        """`emit` records a span. The other arguments are those of Attempts."""
        super().__init__(*arguments)
        self._emit = emit

    async def _attempt(self, entry: Entry, delivery: Delivery) -> Settlement:
        start_ns = time.time_ns()
        if not delivery.traceparent:  # nearly always: it pays for what is on these three lines
            settlement = await super()._attempt(entry, delivery)
            if settlement.verb not in _ALWAYS:
                return settlement
            place = _place(delivery, start_ns)
        else:
            place = _place(delivery, start_ns)
            bound = bind_contextvars(trace_id=place.context.trace_id)
            try:
                settlement = await super()._attempt(entry, delivery)
            finally:
                reset_contextvars(**bound)
        self._record(place, delivery, settlement, start_ns)
        return _with_trace(settlement, place)

    def _orphaned(self, entry: Entry, delivery: Delivery) -> Settlement:
        settlement = super()._orphaned(entry, delivery)
        if not delivery.traceparent and settlement.verb not in _ALWAYS:
            return settlement
        # Its worker may have recorded a span in the trace of the request already: this one has a trace of its own.
        place = place_of_attempt(new_context(), delivery.traceparent, attempt=delivery.attempt + 1, age_ms=0)
        self._record(place, delivery, settlement, time.time_ns(), orphaned=True)
        return _with_trace(settlement, place)

    def _record(
        self, place: Place, delivery: Delivery, settlement: Settlement, start_ns: int, *, orphaned: bool = False
    ) -> None:
        lane, end_ns = self._lane, time.time_ns()
        priority, outcome = delivery.priority.name.lower(), _OUTCOMES[settlement.verb]
        self._emit(
            attempt_span(
                place,
                AttemptSort(lane.destination, lane.endpoint, delivery.source, delivery.attempt, priority, outcome),
                message_id=shown_message_id(delivery.message_id, delivery.event_key),
                age_ms=start_ns // _MS - delivery.received_ms,
                waits_ms=waits_before(delivery, start_ns // _MS, self._waits).by_cause(),
                orphaned=orphaned,
                start_ns=start_ns,
                end_ns=end_ns,
                error=settlement.ending.partition(":")[2] or "unknown" if settlement.verb in _ERRORS else "",
            )
        )
        if settlement.reply is not None:
            self._record_call(place, delivery, "POST", BY_NAME[lane.endpoint], settlement.reply, end_ns)
        if settlement.asked is not None:
            self._record_call(place, delivery, "GET", ELIGIBILITY, settlement.asked, end_ns)

    def _record_call(
        self, place: Place, delivery: Delivery, method: str, endpoint: Endpoint, reply: Reply | Unreachable, end_ns: int
    ) -> None:
        parent = place.context
        self._emit(
            call_span(
                child_of(parent),
                parent,
                method,
                endpoint.path,
                server=self._attentive.host,
                status=reply.status if isinstance(reply, Reply) else None,
                resend=delivery.attempt - 1,
                start_ns=end_ns - reply.took // _US * 1000,
                end_ns=end_ns,
            )
        )


def _place(delivery: Delivery, now_ns: int) -> Place:
    age_ms = now_ns // _MS - delivery.received_ms
    return place_of_attempt(new_context(), delivery.traceparent, attempt=delivery.attempt, age_ms=age_ms)


def _with_trace(settlement: Settlement, place: Place) -> Settlement:
    """The settlement with the trace's ID in the journal's record."""
    return changed(settlement, record=with_trace(settlement.record, place.context.trace_id))
