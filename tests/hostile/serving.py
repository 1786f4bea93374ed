"""A gateway's HTTP server that is attacked, and what must hold of it whatever it is sent."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.ingest.intake import Limits
from tests.fakes import open_intake
from tests.hostile.attempts import senders
from tests.ingest.test_protocol import Served, serving


@asynccontextmanager
async def attacked() -> AsyncIterator[Served]:
    """The real server with its limits as they are by default, in front of a fake outbox."""
    async with serving(open_intake(senders=senders(), limits=Limits())) as served:
        yield served


def assert_balanced(served: Served) -> None:
    """Each event that was accepted was handed on once, each request was counted, and none was answered with a 5xx."""
    accepted = failed = 0.0
    for metric in served.intake.registry.collect():
        for sample in metric.samples:
            if sample.name == "gateway_events_accepted_total":
                accepted += sample.value
            if sample.name == "gateway_http_requests_total" and sample.labels["status"].startswith("5"):
                failed += sample.value
    assert accepted == len(served.intake.outbox.arrivals)
    assert failed == 0
