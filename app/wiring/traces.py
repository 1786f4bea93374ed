"""From the settings to the parts that record traces. Without an endpoint, the extra is not imported."""

import asyncio
from typing import Final

import structlog
from prometheus_client import CollectorRegistry

from app import __version__
from app.config.bad_settings import BadSettings
from app.metrics import TraceMetrics
from app.settings import Settings
from app.traces.exporting import Emit, SpanQueue

_NEEDS_EXTRA: Final = (
    "GATEWAY_TRACES_ENDPOINT: needs the extra `otel`. Install it with: pip install 'attentive-gateway[otel]'"
)

log = structlog.get_logger()


class Tracing:
    """Records the spans of one process."""

    def __init__(self, queue: SpanQueue, *, share: float, endpoint: str) -> None:
        """`share` of the requests are traced."""
        self._queue, self._endpoint = queue, endpoint
        self.share = share
        self.emit: Emit = queue.add

    def start(self) -> None:
        """Begin to export spans."""
        self._queue.start()
        log.info("traces.started", endpoint=self._endpoint, share=self.share)

    async def stop(self) -> None:
        """Export the spans that are left, for a bounded time."""
        await asyncio.to_thread(self._queue.stop)


def tracing_of(settings: Settings, registry: CollectorRegistry, *, service: str) -> Tracing | None:
    """What records the traces of this process; None if traces are off. Raises BadSettings if the extra is missing."""
    if settings.traces_endpoint is None:
        return None
    try:
        from app.traces.otlp import OtlpExporter
    except ImportError:
        raise BadSettings(_NEEDS_EXTRA) from None
    exporter = OtlpExporter(
        settings.traces_endpoint, settings.headers_of_traces(), service=service, version=__version__
    )
    queue = SpanQueue(exporter, TraceMetrics(registry).ended)
    return Tracing(queue, share=settings.traces_share, endpoint=settings.traces_endpoint)
