"""What traces cost: an intake and a worker with traces off, for 1 % and for all requests, in pairs.

Run it from the repository's root: `python -m benchmarks.traces`. It needs wrk and a redis-server, and takes 3 minutes.
A collector in this process takes the spans, and counts them when nothing is measured.
"""

import argparse
import gzip
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from redis import Redis
from rich.console import Console

from benchmarks.backlog import drained_per_second, fill
from benchmarks.contenders import GATEWAY, SINK, in_lanes
from benchmarks.event import tracks
from benchmarks.failure import ends_with_a_line
from benchmarks.machine import machine
from benchmarks.measure import measure
from benchmarks.process import Running, gateway_worker, serving, store
from benchmarks.road import BACKLOG
from benchmarks.tables import print_rows
from tests.local import serving_http

OFF: Final = "off"
SHARES: Final[Mapping[str, float]] = {"1 %": 0.01, "100 %": 1.0}
REACH: Final[Mapping[str, float]] = {"1 %": 0.98, "100 %": 0.55}  # of the rate with traces off
HEADINGS: Final = (
    *("traces", "requests/s", "of off", "p99 ms", "CPU µs/request", "spans taken/request"),
    *("deliveries/s", "of off", "CPU µs/delivery", "off of it", "spans taken/delivery"),
)


@dataclass
class Found:
    """The measurements with one share of traces, one of each a round."""

    requests: list[float] = field(default_factory=list)  # per second
    p99_ms: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    request_spans: list[float] = field(default_factory=list)  # that the collector took, per request
    deliveries: list[float] = field(default_factory=list)  # per second
    delivery_us: list[float] = field(default_factory=list)  # of the worker's processor time, without its start
    delivery_spans: list[float] = field(default_factory=list)


class Collector:
    """Takes spans, and counts them when nothing is measured."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.bodies: list[bytes] = []

    def count(self) -> int:
        """The spans that have come since the last call."""
        bodies, self.bodies = self.bodies, []
        requests = (ExportTraceServiceRequest.FromString(gzip.decompress(body)) for body in bodies)
        return sum(
            len(scope.spans) for one in requests for resource in one.resource_spans for scope in resource.scope_spans
        )


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with serving_http(Handler) as url:
        collector = Collector(url)
        yield collector


@ends_with_a_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the table. Returns 1 if an aim is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.traces", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="pairs of each (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement (default: %(default)s)")
    parser.add_argument("--markdown", action="store_true", help="print the table for a README")
    options = parser.parse_args(arguments)
    where = machine()
    found = _measured(options.rounds, options.seconds)
    rows = [_row(name, found) for name in found]
    print_rows("What traces cost", HEADINGS, rows, words=1, where=where, as_markdown=options.markdown)
    misses = list(_misses(found))
    print("\n".join(misses) or "reached: " + ", ".join(f"{share:.0%} with {name}" for name, share in REACH.items()))
    return 1 if misses else 0


def _measured(rounds: int, seconds: int) -> dict[str, Found]:
    """Each round measures all shares, one right after the other; every second round in the opposite order."""
    names = [OFF, *SHARES]
    found = {name: Found() for name in names}
    console = Console(stderr=True)
    with collecting() as collector:
        for number in range(rounds):
            for name in names if number % 2 == 0 else reversed(names):
                with console.status(f"round {number + 1} of {rounds}: traces {name}"):
                    _at_the_door(found[name], collector, name, seconds)
                    _at_the_worker(found[name], collector, name)
    return found


def _environment(collector: Collector, name: str) -> dict[str, str]:
    if name == OFF:
        return {}
    return {"GATEWAY_TRACES_ENDPOINT": collector.url, "GATEWAY_TRACES_SHARE": str(SHARES[name])}


def _at_the_door(found: Found, collector: Collector, name: str, seconds: int) -> None:
    with store() as kept, serving(GATEWAY, kept, environment=_environment(collector, name)) as server:
        measured = measure(GATEWAY, server, kept, tracks(), seconds=seconds)
        spans = collector.count()
    found.requests.append(measured.per_second)
    found.p99_ms.append(measured.p99_ms)
    found.cpu_us.append(measured.server_us)
    found.request_spans.append(spans / (measured.per_second * (seconds + 1)))  # a second of them to warm up
    collector.count()


def _at_the_worker(found: Found, collector: Collector, name: str) -> None:
    with store() as kept, serving(SINK, kept) as sink:
        fill(kept, BACKLOG, traced=SHARES.get(name, 0))
        with ExitStack() as stack:
            worker = gateway_worker(kept, sink, environment=_environment(collector, name))
            workers: list[Running] = []
            seen: list[tuple[int, float]] = []  # what is left, and the worker's processor time so far

            def count(redis: Redis) -> int:
                left = in_lanes(redis)
                if left < BACKLOG and workers:  # it has started
                    seen.append((left, workers[0].cpu_s()))
                return left

            rate = drained_per_second(kept, count, lambda: workers.append(stack.enter_context(worker)))
            found.deliveries.append(rate)
            (most, first_s), (least, last_s) = seen[0], seen[-1]
            found.delivery_us.append((last_s - first_s) / (most - least) * 1e6)
    found.delivery_spans.append(collector.count() / BACKLOG)


def _row(name: str, found: Mapping[str, Found]) -> list[str]:
    one, off = found[name], found[OFF]
    return [
        name,
        f"{statistics.median(one.requests):,.0f}",
        _spread(_ratios(one.requests, off.requests)),
        f"{statistics.median(one.p99_ms):.1f}",
        f"{statistics.median(one.cpu_us):.0f}",
        f"{statistics.median(one.request_spans):.2f}",
        f"{statistics.median(one.deliveries):,.0f}",
        _spread(_ratios(one.deliveries, off.deliveries)),
        f"{statistics.median(one.delivery_us):.0f}",
        _spread(_ratios(off.delivery_us, one.delivery_us)),
        f"{statistics.median(one.delivery_spans):.2f}",
    ]


def _misses(found: Mapping[str, Found]) -> Iterator[str]:
    for name, share in REACH.items():
        for what, rates, off in (
            ("requests", found[name].requests, found[OFF].requests),
            ("deliveries", found[name].deliveries, found[OFF].deliveries),
        ):
            reached = statistics.median(_ratios(rates, off))
            if reached < share:
                yield f"missed: {what} with {name} are {reached:.1%} of those with traces off, not {share:.0%}"


def _ratios(rates: Sequence[float], off: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(rates, off, strict=True)]


def _spread(ratios: Sequence[float]) -> str:
    return f"{statistics.median(ratios):.1%} ({min(ratios):.0%} to {max(ratios):.0%})"


if __name__ == "__main__":
    sys.exit(main())
