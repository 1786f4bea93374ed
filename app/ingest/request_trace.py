"""The spans of one request: its own, and one for each call that it hands to Redis.

They are recorded once the request is answered. Their contexts exist before, because the calls carry them. Whether the
request is traced is decided when its sender is known, before anything is recorded.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from app.delivery.delivery import Delivery
from app.ingest.auth import Sender
from app.traces.context import TraceContext
from app.traces.ids import child_of, new_context
from app.traces.sampling import Place, place_of_request
from app.traces.spans import Span, publish_span, request_span, shown_message_id
from app.value import changed

MOST_PUBLISHED: Final = 100  # spans of one request: the calls after these carry the context of the request itself


class RequestTrace:
    """One request that is traced, or may be."""

    __slots__ = ("_drawn", "_header", "_in_event", "_path", "_published", "_sender", "_start_ns", "events", "place")

    def __init__(self, path: str, header: bytes | None, *, drawn: bool, start_ns: int) -> None:
        """`header` is its `traceparent`. `drawn`: chance chose it."""
        self._path, self._header, self._drawn, self._start_ns = path, header, drawn, start_ns
        self._sender: Sender | None = None
        self._published: list[tuple[TraceContext, str, str, int]] = []  # with endpoint, message ID, and since when
        self._in_event: dict[tuple[str, int], str] = {}
        self.place: Place | None = None  # None: it is not traced
        self.events = 0

    def decide(self, sender: Sender) -> bool:
        """Decide whether it is traced, now that its sender is known."""
        self._sender = sender
        self.place = place_of_request(new_context(), self._header, drawn=self._drawn, trusted=not sender.plan.public)
        return self.place is not None

    @property
    def context(self) -> TraceContext:
        """Its span. Only for a request that is traced."""
        assert self.place is not None  # noqa: S101 - decide() has said so
        return self.place.context

    def begin_event(self) -> None:
        """From now on, calls of the next event are stamped."""
        self.events += 1
        self._in_event.clear()

    def stamped(self, deliveries: Sequence[Delivery], now_ns: int) -> tuple[Delivery, ...]:
        """The deliveries of the current event, each with the context that its attempts continue.

        An event may be decided twice, and Redis chooses. Both decisions share the contexts, lane by lane.
        """
        stamped, seen = [], dict.fromkeys((each.endpoint for each in deliveries), 0)
        for each in deliveries:
            place = each.endpoint, seen[each.endpoint]
            seen[each.endpoint] += 1
            if place not in self._in_event:
                self._in_event[place] = self._publish(each, now_ns).traceparent
            stamped.append(changed(each, traceparent=self._in_event[place]))
        return tuple(stamped)

    def _publish(self, delivery: Delivery, now_ns: int) -> TraceContext:
        if len(self._published) >= MOST_PUBLISHED:
            return self.context
        context = child_of(self.context)
        shown = shown_message_id(delivery.message_id, delivery.event_key)
        self._published.append((context, delivery.endpoint, shown, now_ns))
        return context

    def answered(self, status: int, code: str, end_ns: int) -> Iterator[Span]:
        """Its spans, when it has been answered. `code` is that of its refusal, or ""."""
        if self.place is None and self._sender is None:  # refused before its sender was known: a stranger's
            self.place = place_of_request(new_context(), self._header, drawn=self._drawn, trusted=False)
        if self.place is None:
            return
        sender = self._sender
        yield request_span(
            self.place,
            self._path,
            status=status,
            code=code,
            source="" if sender is None else sender.source,
            events=self.events,
            start_ns=self._start_ns,
            end_ns=end_ns,
        )
        for context, endpoint, message_id, start_ns in self._published if sender is not None else ():
            error = "" if status < 500 else str(status)
            times = {"start_ns": start_ns, "end_ns": end_ns}
            parent, destination = self.place.context, sender.destination if sender else ""
            yield publish_span(context, parent, destination, endpoint, message_id=message_id, error=error, **times)
