"""How `pytest -n` shares the tests out: those that wait run beside those that compute, and long ones start first."""

import os
from functools import cache
from typing import Final

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

# Files and folders whose tests mostly wait: for leases, retries and the start of processes. The longest first.
WAITING: Final = (
    "tests/faults/test_matrix.py",
    "tests/journeys/test_run.py",
    "tests/faults/test_attentive.py",
    "tests/journeys/test_road.py",
    "tests/journeys/test_subscriptions.py",
    "tests/faults/",
    "tests/journeys/",
    "tests/test_schemathesis.py",
    "tests/sandbox/test_server.py",
)
# Files whose tests compute for long. They start before the rest, so that none is left over at the end.
LONG: Final = (
    "tests/contracts/test_anything.py",
    "tests/workers/test_erasures.py",
    "tests/delivery/test_interleavings.py",
    "tests/benchmarks/test_benchmarks.py",
    "tests/hostile/test_cost.py",
    "tests/hostile/test_requests.py",
)
# Files that are shared out test by test. All others stay whole, for the sake of what their fixtures start.
SINGLE: Final = frozenset(
    {
        "tests/faults/test_matrix.py",
        "tests/journeys/test_run.py",
        "tests/workers/test_erasures.py",
        "tests/hostile/test_cost.py",
    }
)
_PROCESSES_PER_CORE: Final = 3  # a third of the time of a test is waiting


class LongestFirst(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    """Gives the tests that compute to as many processes as there are cores, and those that wait to the others.

    A process that finds nothing left of its own kind takes of the other.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return nodeid if file in SINGLE else file

    def _assign_work_unit(self, node: WorkerController) -> None:
        waits = int(node.gateway.id.removeprefix("gw")) >= cores()
        self.workqueue.move_to_end(min(self.workqueue, key=lambda unit: _order(unit, waits=waits)), last=False)
        super()._assign_work_unit(node)


@cache
def _order(unit: str, *, waits: bool) -> tuple[bool, int]:
    """Where a unit comes for a process that takes tests which wait, or those which compute."""
    waiting, long = _rank(unit, WAITING), _rank(unit, LONG)
    is_waiting = waiting < len(WAITING)
    return is_waiting != waits, waiting if is_waiting else long


def _rank(unit: str, places: tuple[str, ...]) -> int:
    return next((rank for rank, place in enumerate(places) if unit.startswith(place)), len(places))


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pytest_xdist_auto_num_workers() -> int:
    """What `-n auto` stands for."""
    return int(os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS", _PROCESSES_PER_CORE * cores()))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """Ours, unless the command line asks for another by `--dist`."""
    return LongestFirst(config, log) if config.getoption("dist") == "load" else None
