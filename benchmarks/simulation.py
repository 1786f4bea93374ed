"""Is the simulation right? A small burst with an outage, simulated, and run for real with the same traffic.

How fast a lane really sends depends on the machine: on a busy one, answers that come late cost a part of the pace. So
it is also simulated at the pace of the real run, which shows how right the rest is.

Run it with `make bench-simulation`. It needs a redis-server, and takes 3 minutes.
"""

import argparse
import contextlib
import math
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from rich.console import Console

from app.attentive.call import Priority
from app.attentive.endpoints import CUSTOM_EVENT
from app.delivery.pace import Pace
from app.simulation.run import simulate
from app.simulation.scenario import Burst, Capacity, Flow, Outage, Scenario, Traffic
from benchmarks.burst import run_of
from benchmarks.failure import ends_with_a_line
from benchmarks.fleet import WRITE_KEY, fleet
from benchmarks.machine import machine
from benchmarks.shop import Shop
from benchmarks.tables import print_rows
from benchmarks.timeline import Kind, Run, percentile

LIMIT: Final = 25  # calls a second of the one lane: far below what two cores carry, so that their load does not matter
FRESH_S: Final = 20.0  # 12 hours, scaled
HORIZON_S: Final = 60.0  # 24 hours, scaled
LASTS_S: Final = 130.0
_TICK_S: Final = 0.1
_LATENCY_S: Final = 0.06
_WAITED_S: Final = 2.0  # a call that waited longer was part of a backlog
_SETTLING_S: Final = 3.0
_BUSY_S: Final = (50.0, 100.0)  # here the backlog is sent
AIM: Final = 0.1
HEADINGS: Final = ("figure", "simulated", "real", "deviation", "at the real pace", "deviation")
_KINDS: Final = {Priority.LOW: Kind.VIEW, Priority.HIGH: Kind.ORDER}

SCENARIO: Final = Scenario(
    Traffic(
        8.0,
        (
            Flow("Promotion Viewed", CUSTOM_EVENT.name, Priority.LOW, False, 0.8),
            Flow("Order Updated", CUSTOM_EVENT.name, Priority.HIGH, False, 0.2),
        ),
        public_share=0.0,
        bursts=(Burst(6, 15, 40),),
    ),
    Capacity({CUSTOM_EVENT.name: Pace(LIMIT, fixed=True)}, FRESH_S, HORIZON_S, latency_s=_LATENCY_S),
    outages=(Outage(30, 12),),
    longest_s=LASTS_S,
    shortest_s=LASTS_S,
    step_s=0.25,
)


@dataclass(frozen=True, slots=True)
class Figures:
    """What is compared. Times are seconds since the beginning."""

    delivered: int
    missed: int
    expired: int
    most_waiting: int
    most_waiting_at_s: float
    last_waited_s: float  # when the last call of the backlog was sent
    view_mean_s: float
    view_p90_s: float
    order_mean_s: float
    order_p90_s: float
    calls_per_s: float  # while the backlog was sent

    def rows(self) -> list[tuple[str, float]]:
        """Each figure with its name."""
        return [
            ("calls delivered", self.delivered),
            ("journeys missed", self.missed),
            ("calls expired", self.expired),
            ("most calls waiting", self.most_waiting),
            ("reached after s", self.most_waiting_at_s),
            ("empty after s", self.last_waited_s),
            ("wait of a page view s, mean", self.view_mean_s),
            ("wait of a page view s, p90", self.view_p90_s),
            ("wait of an order s, mean", self.order_mean_s),
            ("wait of an order s, p90", self.order_p90_s),
            ("calls/s of the backlog", self.calls_per_s),
        ]


@ends_with_a_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate, run it for real, and print both. Returns 1 if a figure deviates by more than the aim."""
    options = _options(arguments)
    began = time.perf_counter()
    expected = simulated()
    took_s = time.perf_counter() - began
    with Console(stderr=True).status(f"the real run takes {LASTS_S:.0f} s"):
        found = real(options.workers)
    rows, worst = compared(expected, simulated(found.calls_per_s / expected.calls_per_s), found)
    verdict = "reached" if abs(worst) <= AIM else "missed"
    where = f"{verdict}: within {AIM:.0%} at the real pace, the worst is {worst:+.1%}. Simulated in {took_s:.2f} s."
    print_rows(
        "A burst with an outage", HEADINGS, rows, words=1, where=f"{where} {machine()}", as_markdown=options.markdown
    )
    return 0 if verdict == "reached" else 1


def compared(expected: Figures, paced: Figures, found: Figures) -> tuple[list[tuple[str, ...]], float]:
    """The table, and the largest deviation of the figures that were simulated at the pace of the real run."""
    rows: list[tuple[str, ...]] = []
    worst = 0.0
    for (name, one), (_, other), (_, true) in zip(expected.rows(), paced.rows(), found.rows(), strict=True):
        off, paced_off = deviation(one, true), deviation(other, true)
        worst = max(worst, paced_off, key=abs)
        rows.append((name, _shown(one), _shown(true), f"{off:+.1%}", _shown(other), f"{paced_off:+.1%}"))
    return rows, worst


def _shown(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 1000 else f"{figure:.4g}"


def deviation(simulated: float, real: float) -> float:
    """By how much of the real figure the simulated one is off."""
    return 0.0 if simulated == real else (simulated - real) / real if real else math.inf


def simulated(share: float = 1.0) -> Figures:
    """By the virtual clock, at this share of the planned pace."""
    paces = {CUSTOM_EVENT.name: Pace(LIMIT * share, fixed=True)}
    course = simulate(replace(SCENARIO, capacity=replace(SCENARIO.capacity, paces=paces)))
    (lane,) = course.lanes
    waits = {kind: sorted(_each(lane.tallies[priority].waits)) for priority, kind in _KINDS.items()}
    return Figures(
        lane.delivered,
        lane.missed,
        lane.expired,
        round(lane.peak.value),
        lane.peak.at_s,
        lane.drained_s or math.nan,
        *_of_waits(waits[Kind.VIEW]),
        *_of_waits(waits[Kind.ORDER]),
        lane.rate,
    )


def _each(waits: Counter[float]) -> Iterable[float]:
    """Waits are counted by the second."""
    return waits.elements()


def _of_waits(ordered: Sequence[float]) -> tuple[float, float]:
    return statistics.fmean(ordered), percentile(ordered, 0.9)


def real(workers: int) -> Figures:
    """With a gateway, workers, Redis and the sandbox. Raises BenchmarkFailed."""
    (outage,) = SCENARIO.outages
    switches = {
        "limits": {CUSTOM_EVENT.path: LIMIT},
        "latency": {"*": {"kind": "lognormal", "median_ms": _LATENCY_S * 1000, "sigma": 0.3, "max_ms": 1000}},
    }
    delivery = {"fresh_hours": FRESH_S / 3600, "horizon_hours": HORIZON_S / 3600}
    with (
        tempfile.TemporaryDirectory(prefix="simulation-") as folder,
        fleet(
            Path(folder), workers=workers, limits={CUSTOM_EVENT.name: LIMIT}, sandbox=switches, delivery=delivery
        ) as running,
        contextlib.closing(Shop(running.url, WRITE_KEY)) as shop,
    ):
        fault = {"kind": "status", "status": 503, "starts_in_s": outage.at_s, "lasts_s": outage.lasts_s}
        running.sandbox.post("/_sandbox/faults", json=fault).raise_for_status()
        _send(shop)
        time.sleep(_SETTLING_S)
        return figures_of(run_of(workers, shop, running, limit=LIMIT))


def _send(shop: Shop) -> None:
    """The events of the scenario, each tenth of a second those that are due."""
    began, sent_s = time.monotonic(), 0.0
    rests = dict.fromkeys(_KINDS, 0.0)
    while sent_s < LASTS_S:
        events = SCENARIO.traffic.rate_at(sent_s) * _TICK_S
        for flow in SCENARIO.traffic.flows:
            rests[flow.priority] += events * flow.per_event
            number = int(rests[flow.priority])
            rests[flow.priority] -= number
            shop.send(_KINDS[flow.priority], number)
        sent_s += _TICK_S
        time.sleep(max(0.0, began + sent_s - time.monotonic()))


def figures_of(run: Run) -> Figures:
    """The figures of a real run."""
    took = {kind: run.latencies(kind) for kind in Kind}
    moments, waiting = run.backlog(_TICK_S)
    # What expires stays in this backlog, so its peak is looked for before the first call can have expired.
    peak = max(range(len(moments)), key=lambda place: waiting[place] if moments[place] < 75 else 0)
    delivered = [event for event in run.events if event.arrived]
    return Figures(
        len(delivered),
        sum(event.took > FRESH_S for event in delivered),
        run.lost,
        waiting[peak],
        moments[peak],
        max(event.arrived[0] for event in delivered if event.took > _WAITED_S),
        *_of_waits(took[Kind.VIEW]),
        *_of_waits(took[Kind.ORDER]),
        _calls_per_s(run.arrivals),
    )


def _calls_per_s(arrivals: Sequence[float]) -> float:
    """While more waits than can be sent: from the end of the outage to a time at which much still waits."""
    begins, ends = _BUSY_S
    return sum(begins <= at < ends for at in arrivals) / (ends - begins)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulation", description=__doc__)
    parser.add_argument("--workers", type=int, default=1, help="how many (1)")
    parser.add_argument("--markdown", action="store_true", help="print Markdown, for benchmarks/README.md")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is stopped on the way out
    sys.exit(main())
