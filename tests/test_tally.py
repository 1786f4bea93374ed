"""Tallies give the page that the counters and histograms of prometheus_client give."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest

from app.tally import CounterTally, HistogramTally

disable_created_metrics()  # type: ignore[no-untyped-call]  # as in the product
BOUNDS: Final = (0.001, 0.01, 1.0)


def test_a_counter_has_the_form_of_prometheus_clients() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally = CounterTally("calls", 'By "path"', ["path", "status"], registry=ours)
    counter = Counter("calls", 'By "path"', ["path", "status"], registry=theirs)
    assert generate_latest(ours) == generate_latest(theirs), "before anything was counted"
    for path, count in (("/a", 1), ('/"b"\n', 3), ("/a", 2)):
        tally.counts[path, "200"] += count
        counter.labels(path, "200").inc(count)
    assert generate_latest(ours) == generate_latest(theirs)
    assert ours.get_sample_value("calls_total", {"path": "/a", "status": "200"}) == 3


def test_a_histogram_has_the_form_of_prometheus_clients() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally = HistogramTally("seconds", "Time", buckets=BOUNDS, registry=ours)
    histogram = Histogram("seconds", "Time", buckets=BOUNDS, registry=theirs)
    assert generate_latest(ours) == generate_latest(theirs), "before anything was observed"
    for amount in (0.0, 0.001, 0.0011, 0.5, 1.0, 1.5, 1e9):
        tally.observe(amount)
        histogram.observe(amount)
    assert generate_latest(ours) == generate_latest(theirs)
