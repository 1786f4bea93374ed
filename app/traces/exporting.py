"""The way of spans out of the process: a bounded queue, and a thread that exports what is in it.

Nothing ever waits for it. Spans that find the queue full are dropped and counted, as are those that the collector did
not take.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final, Protocol

import structlog

from app.traces.spans import Span

MOST_WAITING: Final = 2048
AT_ONCE: Final = 512  # spans of one export
EVERY_S: Final = 1.0  # a process that is killed loses the spans of about this time
_REST: Final = 4  # times as long as an export took, the thread rests before the next one
FLUSH_WITHIN_S: Final = 1.0  # of a stop, which has 10 s for everything

log = structlog.get_logger()

Emit = Callable[[Span], None]


class SpanResult(StrEnum):
    """What became of a span."""

    EXPORTED = "exported"
    FAILED = "failed"  # the collector did not take it
    DROPPED = "dropped"  # the queue was full


class Exporter(Protocol):
    """Sends spans to a collector."""

    def export(self, spans: Sequence[Span]) -> bool:
        """Return whether the collector has them. Blocks for a bounded time."""


class SpanQueue:
    """Spans that wait for their export."""

    def __init__(
        self, exporter: Exporter, count: Callable[[SpanResult, int], None], *, most: int = MOST_WAITING
    ) -> None:
        """`count` is called with what became of how many spans, from any thread."""
        self._exporter = exporter
        self._count = count
        self._most = most
        self._spans: deque[Span] = deque()
        self._wake, self._closing = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, span: Span) -> None:
        """Queue a span, or drop it if too many wait. Never waits."""
        spans = self._spans
        if len(spans) >= self._most:
            self._count(SpanResult.DROPPED, 1)
            return
        spans.append(span)
        if len(spans) == AT_ONCE:
            self._wake.set()

    def start(self) -> None:
        """Begin to export."""
        # A daemon: an export that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def stop(self, within_s: float = FLUSH_WITHIN_S) -> None:
        """Export what waits, for at most this time. The rest is dropped."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(within_s)
        if left := len(self._spans):
            self._spans.clear()
            self._count(SpanResult.DROPPED, left)
            log.warning("traces.dropped", spans=left, reason="the collector did not take them before the stop")

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(EVERY_S)
            self._wake.clear()
            self._export_all()

    def _export_all(self) -> None:
        while batch := self._take():
            began = time.monotonic()
            exported = self._export(batch)
            self._count(SpanResult.EXPORTED if exported else SpanResult.FAILED, len(batch))
            if not exported:
                return  # at a stop, the time is over; otherwise the next round comes soon
            # Encoding takes the interpreter from the process's own work, which gets most of the time.
            self._closing.wait(min(_REST * (time.monotonic() - began), EVERY_S))

    def _take(self) -> list[Span]:
        return [self._spans.popleft() for _ in range(min(AT_ONCE, len(self._spans)))]

    def _export(self, batch: Sequence[Span]) -> bool:
        try:
            return self._exporter.export(batch)
        except Exception:
            log.exception("traces.not_exported")
            return False
