"""A burst far above the limit meets orders that trickle in: is the limit used, kept, and do the orders go first?

Run it from the repository's root: `python -m benchmarks.burst`. It needs a redis-server, and takes about 90 seconds.
"""

import argparse
import contextlib
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from rich.console import Console

from app.attentive.endpoints import CUSTOM_EVENT
from app.delivery.pace import SHARE
from benchmarks.failure import ends_with_a_line
from benchmarks.fleet import WRITE_KEY, Fleet, fleet
from benchmarks.machine import machine
from benchmarks.shop import Shop
from benchmarks.tables import markdown, table
from benchmarks.timeline import STRETCH_S, Aim, Event, Kind, Run, percentile

LIMIT: Final = 100  # calls a second of the one lane: the documented one would make the run longer, and show no more
BURST: Final = 3_800  # page views at once: 40 s of the lane's pace
ORDER_EVERY_S: Final = 0.5
_WITHIN_S: Final = 150.0
_SETTLING_S: Final = 0.5
# Attentive publishes no latency. This one varies as networks do, with a tail of slow answers.
LATENCY: Final = {"kind": "lognormal", "median_ms": 60, "sigma": 0.5, "max_ms": 1000}
HEADINGS: Final = (
    *("workers", "calls", "drained in s", "calls/s", "of the ceiling", f"slowest {STRETCH_S} s", "busiest second"),
    *("429", "order p50 s", "order p99 s", "order max s", "lost", "twice"),
)


@ends_with_a_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the burst with one worker and with two, and print what happened. Returns 1 if an aim is missed."""
    options = _options(arguments)
    console = Console(stderr=True)
    runs: list[Run] = []
    for workers in options.workers:
        with console.status(f"{BURST:,} page views at once, {_workers(workers)}"):
            runs.append(burst(workers))
    if options.picture is not None:
        from benchmarks.plot import draw  # it loads a plotting library, and only a picture needs it

        draw(runs, options.picture)
    return _print(runs, as_markdown=options.markdown)


def burst(workers: int) -> Run:
    """One run, to the end of its backlog. Raises BenchmarkFailed when that does not come."""
    switches = {"limits": {CUSTOM_EVENT.path: LIMIT}, "latency": {"*": LATENCY}}
    limits = {CUSTOM_EVENT.name: LIMIT}
    with (
        tempfile.TemporaryDirectory(prefix="burst-") as folder,
        fleet(Path(folder), workers=workers, limits=limits, sandbox=switches) as running,
        contextlib.closing(Shop(running.url, WRITE_KEY)) as shop,
    ):
        ends = time.monotonic() + _WITHIN_S

        def drained() -> bool:
            late = time.monotonic() > ends
            return late or (len(shop.handed_in) > BURST and running.summary()["accepted"] >= len(shop.handed_in))

        orders = threading.Thread(target=shop.trickle, args=(ORDER_EVERY_S,), kwargs={"until": drained}, daemon=True)
        orders.start()
        shop.burst(BURST)
        orders.join()
        time.sleep(_SETTLING_S)  # for what may come twice
        return run_of(workers, shop, running, limit=LIMIT)


def run_of(workers: int, shop: Shop, running: Fleet, *, limit: float) -> Run:
    """What happened to each event, by the ledger of the sandbox. `limit` is the lane's."""
    summary = running.summary()
    arrived: dict[str, list[float]] = {}
    for call in running.calls():
        moment = datetime.fromisoformat(call["received_at"]).timestamp()
        arrived.setdefault(call["body"]["externalEventId"], []).append(moment)
    begins = min(moment for _, moment in shop.handed_in.values())
    events = [
        Event(kind, moment - begins, tuple(at - begins for at in arrived.get(message_id, ())))
        for message_id, (kind, moment) in shop.handed_in.items()
    ]
    busiest = max(counts[f"POST {CUSTOM_EVENT.path}"] for counts in summary["busiest_second"].values())
    return Run(workers, limit, limit * SHARE, events, summary["rate_limited"], busiest)


def _print(runs: Sequence[Run], *, as_markdown: bool) -> int:
    rows = [_row(run) for run in runs]
    misses = [f"{_workers(run.workers)}: {miss}" for run in runs for miss in Aim().missed(run)]
    verdict = [f"missed: {miss}" for miss in misses] or [f"reached: {Aim()}"]
    setting = (
        f"{BURST:,} page views at once into one lane of {LIMIT} calls/s, of which the pace aims at {SHARE:.0%} "
        f"(its ceiling: {LIMIT * SHARE:g}), and an order every {ORDER_EVERY_S:g} s"
    )
    if as_markdown:
        print(markdown(HEADINGS, rows, words=0), *(f"- {sentence}" for sentence in verdict), sep="\n")
        print(f"\n{setting}. {machine()}")
    else:
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = 160
        console.print(table(setting, HEADINGS, rows, words=0))
        for sentence in [*verdict, machine()]:
            console.print(f" {sentence}", soft_wrap=True)
    return 1 if misses else 0


def _workers(number: int) -> str:
    return f"{number} worker{'s' if number > 1 else ''}"


def _row(run: Run) -> tuple[str, ...]:
    begins, ends = run.drain
    orders = run.latencies(Kind.ORDER)
    return (
        f"{run.workers}",
        f"{len(run.arrivals):,}",
        f"{ends - begins:.1f}",
        f"{run.share * run.ceiling:.1f}",
        f"{run.share:.1%}",
        f"{run.least_share:.1%}",
        f"{run.busiest}",
        f"{run.throttled}",
        *(f"{percentile(orders, share):.2f}" for share in (0.5, 0.99)),
        f"{orders[-1]:.2f}",
        f"{run.lost}",
        f"{run.twice}",
    )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.burst", description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="how many in each run (1 2)")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the runs into this file: .svg or .png")
    parser.add_argument("--markdown", action="store_true", help="print Markdown, for benchmarks/README.md")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is stopped on the way out
    sys.exit(main())
