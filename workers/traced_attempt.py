"""Attempts that are recorded as spans. It takes the place of the plain one where traces are on.

An attempt is recorded once it has ended: always if it gave the call up or held it, or if its outcome is unknown;
otherwise if the call carries the context of a traced request.
"""

import time
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, Final, NamedTuple

import structlog

from app.attentive.answers import Reply, Unreachable
from app.attentive.endpoints import BY_NAME, ELIGIBILITY
from app.delivery.delivery import Delivery
from app.delivery.journal.journal import with_trace
from app.delivery.settlement import Entry, Settlement
from app.traces.context import TraceContext
from app.traces.exporting import Emit
from app.traces.ids import child_of, new_context
from app.traces.sampling import Place, place_of_attempt
from app.traces.spans import attempt_span, call_span, shown_message_id
from app.value import changed
from workers.attempt import Attempts

_MS: Final = 1_000_000  # ns
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


class _Answer(NamedTuple):
    """What Attentive answered, and when."""

    endpoint: str
    reply: Reply | Unreachable
    at_ns: int


_ANSWERS: ContextVar[list[_Answer]] = ContextVar("answers")  # of the attempt that this task makes


class TracedAttempts(Attempts):
    """The attempts of one drain, in a worker that records traces."""

    def __init__(self, *arguments: Any, emit: Emit) -> None:
        """`emit` records a span. The other arguments are those of Attempts."""
        super().__init__(*arguments)
        self._emit = emit

    async def _attempt(self, entry: Entry, delivery: Delivery) -> Settlement:
        start_ns, answers = time.time_ns(), list[_Answer]()
        token = _ANSWERS.set(answers)
        try:
            if not delivery.traceparent:
                settlement = await super()._attempt(entry, delivery)
                if settlement.verb not in _ALWAYS:
                    return settlement
                place = _place(delivery, start_ns)
            else:
                place = _place(delivery, start_ns)
                with structlog.contextvars.bound_contextvars(trace_id=place.context.trace_id):
                    settlement = await super()._attempt(entry, delivery)
        finally:
            _ANSWERS.reset(token)
        self._record(place, delivery, settlement, answers, start_ns)
        return _with_trace(settlement, place)

    def _orphaned(self, entry: Entry, delivery: Delivery) -> Settlement:
        settlement = super()._orphaned(entry, delivery)
        if not delivery.traceparent and settlement.verb not in _ALWAYS:
            return settlement
        now_ns = time.time_ns()
        # Its worker may have recorded a span in the trace of the request already: this one has a trace of its own.
        place = place_of_attempt(new_context(), delivery.traceparent, attempt=delivery.attempt + 1, age=timedelta())
        self._record(place, delivery, settlement, [], now_ns, orphaned=True)
        return _with_trace(settlement, place)

    def _count(self, endpoint: str, reply: Reply | Unreachable) -> str:
        _ANSWERS.get().append(_Answer(endpoint, reply, time.time_ns()))
        return super()._count(endpoint, reply)

    def _record(
        self,
        place: Place,
        delivery: Delivery,
        settlement: Settlement,
        answers: list[_Answer],
        start_ns: int,
        *,
        orphaned: bool = False,
    ) -> None:
        facts = self._facts(delivery, settlement, start_ns)
        if orphaned:
            facts["gateway.orphaned"] = True
        lane, end_ns = self._lane, time.time_ns()
        error = settlement.ending.partition(":")[2] or "unknown" if settlement.verb in _ERRORS else ""
        times = {"start_ns": start_ns, "end_ns": end_ns}
        self._emit(attempt_span(place, lane.destination, lane.endpoint, attributes=facts, error=error, **times))
        for answer in answers:
            self._record_call(place.context, delivery, answer)

    def _facts(self, delivery: Delivery, settlement: Settlement, start_ns: int) -> dict[str, str | int | float | bool]:
        sent_ms, received_ms = start_ns // _MS, delivery.received_ms
        limited_ms = sent_ms - max(received_ms, self._limited_since_ms) if self._limited_since_ms else 0
        return {
            "messaging.message.id": shown_message_id(delivery.message_id, delivery.event_key),
            "gateway.source": delivery.source,
            "gateway.attempt": delivery.attempt,
            "gateway.priority": delivery.priority.name.lower(),
            "gateway.outcome": _OUTCOMES[settlement.verb],
            "gateway.wait_ms": max(0, sent_ms - received_ms),
            "gateway.wait.limit_ms": max(0, limited_ms),
        }

    def _record_call(self, parent: TraceContext, delivery: Delivery, answer: _Answer) -> None:
        endpoint = ELIGIBILITY if answer.endpoint == ELIGIBILITY.name else BY_NAME[answer.endpoint]
        reply = answer.reply
        self._emit(
            call_span(
                child_of(parent),
                parent,
                "GET" if endpoint is ELIGIBILITY else "POST",
                endpoint.path,
                server=self._attentive.host,
                status=reply.status if isinstance(reply, Reply) else None,
                resend=delivery.attempt - 1,
                start_ns=answer.at_ns - reply.took // timedelta(microseconds=1) * 1000,
                end_ns=answer.at_ns,
            )
        )


def _place(delivery: Delivery, now_ns: int) -> Place:
    age = timedelta(milliseconds=now_ns // _MS - delivery.received_ms)
    return place_of_attempt(new_context(), delivery.traceparent, attempt=delivery.attempt, age=age)


def _with_trace(settlement: Settlement, place: Place) -> Settlement:
    """The settlement with the trace's ID in the journal's record."""
    return changed(settlement, record=with_trace(settlement.record, place.context.trace_id))
