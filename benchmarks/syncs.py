"""How fast a sync reads and plans a table, beside what Python's own csv and json cost to read and write the same rows,
how fast it hands its rows over to the lanes, and how fast they reach a sandbox by single and by bulk calls.

Each source is read by a process of its own. Run it from the repository's root: `python -m benchmarks.syncs`.
"""

import argparse
import asyncio
import csv
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from app.config.sync import Sync
from app.config.topology import Topology
from app.operations.operator import Operator
from app.process import tune_gc
from app.rows.comparing import compare
from app.rows.run import run
from app.rows.state import State
from app.settings import Settings
from app.store.connection import open_redis
from benchmarks.failure import BenchmarkFailed
from benchmarks.machine import machine
from benchmarks.process import Store, store
from benchmarks.tables import print_rows

COLUMNS: Final = ("customer_id", "email", "phone", "tier", "points", "city", "since", "spend")
LANE_HEADINGS: Final = ("rows", "rows/s", "µs of the command", "µs of Redis")
SENDING_HEADINGS: Final = ("by", "rows", "rows/s", "of the limit", "429")
HANDED_OVER: Final = 20_000  # rows
SENT_SINGLY: Final = 3_000  # 20 s
SENT_BY_BULK: Final = 100_000
RUNS: Final = ("first", "repeat")  # a repeat has no changes
KINDS: Final = ("csv", "ndjson", "parquet")
HEADINGS: Final = ("source", "run", "rows/s", "µs a row", "csv + json rows/s", "ratio", "peak MB")


def write_tables(folder: Path, rows: int) -> None:
    """A loyalty table of eight columns, as a file of each kind."""
    import duckdb  # not in the processes that are measured

    with (folder / "table.csv").open("w", newline="") as file, (folder / "table.ndjson").open("w") as objects:
        lines = csv.writer(file)
        lines.writerow(COLUMNS)
        for number in range(rows):
            contact = (f"c{number}", f"user{number}@example.com", f"+1415555{number % 10_000:04}")
            row = (*contact, "gold", number % 5_000, "Oslo", "2020-01-02", f"{number % 900}.50")
            lines.writerow(row)
            objects.write(json.dumps(dict(zip(COLUMNS, row, strict=True))) + "\n")
    with duckdb.connect() as database:
        source, to = folder / "table.csv", folder / "table.parquet"
        database.execute(f"COPY (SELECT * FROM read_csv('{source}')) TO '{to}' (FORMAT parquet)")


def seconds(work: Callable[[], Any]) -> float:
    """Processor time, which what else the machine does changes least."""
    start = time.process_time()
    work()
    return time.process_time() - start


def read_plainly(path: Path) -> None:
    """Every row as JSON, by the standard library."""
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            json.dumps(row)


def sync_of(kind: str, path: Path) -> Sync:
    """The sync of the table."""
    return Sync.model_validate(
        {"destination": "acme", "source": {kind: str(path)}, "key": "customer_id", "object": "attributes"}
    )


def measure(kind: str, folder: Path) -> None:
    """Read a table twice, as a first run and as one without changes, and print what each took, and the peak."""
    tune_gc()  # as the command does
    sync = sync_of(kind, folder / f"table.{kind}")
    took = []
    with State(folder / f"{kind}.sqlite") as state:
        for run in RUNS:
            state.begin(run, 0)
            took.append(seconds(lambda: compare(sync, state)))
            state.accept_all()
    print(json.dumps([*took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024]))


async def hand_over(place: Store, folder: Path, rows: int) -> tuple[float, ...]:
    """Hand over events to a Redis without workers; seconds, and those of the processors of the command and of Redis."""
    topology = Topology.model_validate(
        {
            "destinations": {"acme": {"api_token": "x", "limits": {"custom-event": 10_000}}},  # no row waits for others
            "sources": {"shop": {"write_key": "w", "destination": "acme"}},
            "syncs": {
                "visits": {
                    "destination": "acme",
                    "source": {"csv": str(folder / "table.csv")},
                    "key": "customer_id",
                    "object": "events",
                    "event": {"constant": "Visit"},
                }
            },
        }
    )
    redis = open_redis(place.url)
    operator = Operator(Settings(_env_file=None, sync_state=str(folder / "state")), topology, redis)
    in_redis, began, start = place.cpu_s(), time.monotonic(), time.process_time()
    (finished,) = await run(operator, "visits", wait=False)
    took = time.monotonic() - began, time.process_time() - start, place.cpu_s() - in_redis
    await redis.aclose(close_connection_pool=True)
    if finished.report.waiting != rows:
        raise BenchmarkFailed(f"{finished.report.waiting:,} of {rows:,} rows are in the lanes")
    return took


def print_handover() -> None:
    """Measure and print how fast rows are handed over."""
    with tempfile.TemporaryDirectory() as name, store() as place:
        in_a_process("--rows", str(HANDED_OVER), "--write", name)
        took, command, redis = asyncio.run(hand_over(place, Path(name), HANDED_OVER))
    figures = (f"{HANDED_OVER:,}", f"{HANDED_OVER / took:,.0f}")
    costs = (f"{seconds / HANDED_OVER * 1e6:.0f}" for seconds in (command, redis))
    found = [(*figures, *costs)]
    print_rows("From the file to the lanes", LANE_HEADINGS, found, words=0, where=machine(), as_markdown=False)


def print_sending(drt: Path | None) -> None:
    """Measure and print how fast rows reach a sandbox, with drt beside it if it is given."""
    from benchmarks.sync_sending import send_by_bulk, send_by_drt, send_singly  # not in the processes that are measured

    singly = {"single calls": send_singly(SENT_SINGLY)}
    if drt is not None:
        singly["single calls of drt"] = send_by_drt(drt, SENT_SINGLY)
    found = [
        (name, f"{SENT_SINGLY:,}", f"{each.rows_per_s:,.1f}", f"{each.share:.1%}", f"{each.refused}")
        for name, each in singly.items()
    ]
    found.append(("bulk calls, start to report", f"{SENT_BY_BULK:,}", f"{send_by_bulk(SENT_BY_BULK):,.0f}", "", ""))
    print_rows("From the file to the sandbox", SENDING_HEADINGS, found, words=1, where=machine(), as_markdown=False)


def in_a_process(*arguments: str) -> str:
    """What this module prints with other arguments. A process inherits the peak of the one that starts it, so this one
    stays small.
    """
    command = [sys.executable, "-m", "benchmarks.syncs", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--drt", type=Path, help="drt's command, of an environment of its own with drt-core")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.write:
        return write_tables(options.write, options.rows)
    if options.measure:
        return measure(options.measure[0], Path(options.measure[1]))
    rows: int = options.rows
    found: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        in_a_process("--rows", str(rows), "--write", name)
        baseline = rows / seconds(lambda: read_plainly(folder / "table.csv"))
        for kind in KINDS:
            first, repeat, peak = json.loads(in_a_process("--measure", kind, name))
            for run, took in zip(RUNS, (first, repeat), strict=True):
                speed = rows / took
                figures = (f"{speed:,.0f}", f"{1e6 / speed:.1f}", f"{baseline:,.0f}", f"{speed / baseline:.2f}")
                found.append((kind, run, *figures, f"{peak:,}"))
    print_rows("Reading and planning a table", HEADINGS, found, words=2, where=machine(), as_markdown=False)
    print_handover()
    return print_sending(options.drt)


if __name__ == "__main__":
    main()
