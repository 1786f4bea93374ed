"""An outbox that records a span for each write that holds events of a traced request."""

import time
from collections.abc import Sequence
from typing import Any

from app.delivery.outbox import Outbox
from app.delivery.outbox_event import OutboxEvent
from app.traces.exporting import Emit
from app.traces.ids import new_context
from app.traces.spans import flush_span


class TracedOutbox(Outbox):
    """The outbox of a process that records traces."""

    def __init__(self, *arguments: Any, emit: Emit, **options: Any) -> None:
        """`emit` records a span. Everything else is as for Outbox."""
        super().__init__(*arguments, **options)
        self._emit = emit

    async def _write(self, requests: Sequence[tuple[str, Sequence[OutboxEvent]]]) -> list[BaseException | None]:
        traced = dict.fromkeys(event.trace for _, events in requests for event in events if event.trace is not None)
        if not traced:
            return await super()._write(requests)
        start_ns = time.time_ns()
        verdicts = await super()._write(requests)
        events, failed = sum(len(events) for _, events in requests), any(verdicts)
        self._emit(
            flush_span(
                new_context(), list(traced), events=events, failed=failed, start_ns=start_ns, end_ns=time.time_ns()
            )
        )
        return verdicts
