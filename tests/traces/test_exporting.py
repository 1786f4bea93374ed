"""The queue of spans: bounded, counted, and never in the way."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from app.traces.context import TraceContext
from app.traces.exporting import AT_ONCE, SpanQueue, SpanResult
from app.traces.otlp import OtlpExporter
from app.traces.spans import Attributes, Kind, Span, Template
from tests.traces.collector import Mood, running_collector
from tests.waiting import patient

SPAN = Span(Template("a", Kind.SERVER, {}), TraceContext("1" * 32, "2" * 16), 1, 2)


class FakeExporter:
    """Blocks until it is let go, and then takes or refuses everything, as it is set."""

    def __init__(self, *, takes: bool = True) -> None:
        self.takes = takes
        self.batches: list[int] = []
        self.busy, self.let_go = threading.Event(), threading.Event()

    def export(self, spans: Sequence[Span]) -> bool:
        self.batches.append(len(spans))
        self.busy.set()
        self.let_go.wait()
        return self.takes


@contextmanager
def running(exporter: FakeExporter, most: int = 10) -> Iterator[tuple[SpanQueue, "Counter[str]"]]:
    counted: Counter[str] = Counter()
    queue = SpanQueue(exporter, lambda result, spans: counted.update({result: spans}), most=most)
    queue.start()
    try:
        yield queue, counted
    finally:
        exporter.let_go.set()
        queue.stop(patient(5))


def test_a_stop_exports_what_waits() -> None:
    exporter = FakeExporter()
    exporter.let_go.set()
    with running(exporter) as (queue, counted):
        queue.add(SPAN)
        queue.stop(patient(5))
    assert counted == {SpanResult.EXPORTED: 1}


def test_an_export_that_hangs_bounds_the_queue_and_the_stop() -> None:
    exporter = FakeExporter()
    with running(exporter) as (queue, counted):
        queue.add(SPAN)
        assert exporter.busy.wait(patient(10))
        for _ in range(15):
            queue.add(SPAN)
        assert counted == {SpanResult.DROPPED: 5}
        queue.stop(within_s=0.01)
        assert counted == {SpanResult.DROPPED: 15}


def test_a_batch_leaves_when_it_is_full_and_holds_no_more() -> None:
    exporter = FakeExporter()
    with running(exporter, most=3 * AT_ONCE) as (queue, counted):
        for _ in range(AT_ONCE + 1):
            queue.add(SPAN)
        assert exporter.busy.wait(patient(10))
        exporter.let_go.set()
        queue.stop(patient(5))
    assert max(exporter.batches) <= AT_ONCE
    assert counted == {SpanResult.EXPORTED: AT_ONCE + 1}


@pytest.mark.parametrize("mood", ["refuses", "closes"])
def test_what_the_collector_does_not_take_is_counted(mood: Mood) -> None:
    with running_collector(mood) as collector:
        counted: Counter[str] = Counter()
        exporter = OtlpExporter(f"{collector.url}/v1/traces", {}, service="gateway", version="1")
        queue = SpanQueue(exporter, lambda result, spans: counted.update({result: spans}))
        queue.add(SPAN)
        queue.start()
        queue.stop(patient(5))
        assert collector.asked > 0
    assert counted == {SpanResult.FAILED: 1}


def test_what_reaches_no_collector_is_not_exported() -> None:
    with running_collector() as collector:
        exporter = OtlpExporter(f"{collector.url}/v1/traces", {}, service="gateway", version="1")
    assert not exporter.export([SPAN])  # whose port is closed now


def test_a_collector_gets_the_spans_with_the_service_and_the_headers() -> None:
    with running_collector() as collector:
        exporter = OtlpExporter(f"{collector.url}/v1/traces", {"x-team": "shop"}, service="gateway", version="1")
        assert exporter.export([SPAN])
    (span,) = collector.spans
    assert (span.service, span.name, span.kind) == ("gateway", "a", "SERVER")
    assert collector.headers[0]["x-team"] == "shop"


def test_every_part_of_a_span_arrives_as_it_is() -> None:
    parent, link = TraceContext("1" * 32, "3" * 16), TraceContext("4" * 32, "5" * 16)
    common: Attributes = {"a.text": "é" * 200, "a.number": -1, "a.share": 0.5, "a.flag": True, "one": 1, "none": 0}
    own: Attributes = {"messaging.message.id": "m-1", "gateway.wait_ms": 2**40, "a.one": True, "a.other": 1}
    span = Span(
        Template("process " + "x" * 20_000, Kind.CONSUMER, common),
        TraceContext("1" * 32, "2" * 16),
        2**60,
        2**60 + 1,
        own,
        parent,
        (link, parent),
        "http_400",
    )
    with running_collector() as collector:
        exporter = OtlpExporter(f"{collector.url}/v1/traces", {}, service="gateway", version="1")
        assert exporter.export([span, SPAN])
    one, other = collector.spans
    assert (one.name, one.kind, one.failed) == (span.template.name, "CONSUMER", True)
    assert (one.trace_id, one.span_id, one.parent_id) == ("1" * 32, "2" * 16, "3" * 16)
    assert one.links == (("4" * 32, "5" * 16), ("1" * 32, "3" * 16))
    assert (one.start_ns, one.end_ns) == (2**60, 2**60 + 1)
    assert one.attributes == {**common, **own, "error.type": "http_400"}
    assert [type(one.attributes[name]) for name in ("a.flag", "one", "a.one", "a.other")] == [bool, int, bool, int]
    assert (other.parent_id, other.links, other.attributes, other.failed) == ("", (), {}, False)
