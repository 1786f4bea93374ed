"""The cost of handling an event, by counted work and not by the clock: a busy machine changes nothing about it."""

import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any


class Counting:
    """Counts the functions that are called while it is entered, by whatever code of this thread."""

    calls = 0

    def __enter__(self) -> "Counting":
        self._before = sys.getprofile()
        sys.setprofile(self._count)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(self._before)

    def _count(self, _frame: FrameType, _event: str, _argument: Any) -> None:
        self.calls += 1


def calls_of(work: Callable[[], object]) -> int:
    """How many functions `work` calls and returns from."""
    with Counting() as counting:
        work()
    return counting.calls


def instructions_of(work: Callable[[], object]) -> int:
    """How many instructions of Python's bytecode `work` executes: loops and recursion count, whatever they call."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def ratio_of_times(
    hostile: Callable[[], object], plain: Callable[[], object], *, times: int, more_ns: int, rounds: int = 25
) -> float:
    """How much processor time the first takes, beside `times` times that of the second and of `more_ns` each.

    Each round measures both in turn, for about as long where they are equal, so that what else the machine does falls
    on both. It is the least ratio of the rounds, of which no more are made once it is at most 1.
    """
    ratio = float("inf")
    for _ in range(rounds):
        taken = processor_ns(hostile, 1)
        ratio = min(ratio, taken / (processor_ns(lambda: [plain() for _ in range(times)], 1) + times * more_ns))
        if ratio <= 1:
            break
    return ratio


def processor_ns(work: Callable[[], object], rounds: int = 3) -> int:
    """The least processor time of this thread that `work` takes in some rounds: what a pattern does is no call."""
    taken = []
    for _ in range(rounds):
        started = time.thread_time_ns()
        work()
        taken.append(time.thread_time_ns() - started)
    return min(taken)
