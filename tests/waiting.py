"""Waiting for what happens by itself, within a time that is never the measure."""

import asyncio
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Self

# Multiplies every time limit of the tests. A limit ends a test that hangs, and decides nothing else.
PATIENCE: Final = float(os.environ.get("GATEWAY_TEST_PATIENCE", "3"))
_CHECK_S: Final = 0.005


def patient(limit_s: float) -> float:
    """How many seconds a time limit of `limit_s` is here."""
    return limit_s * PATIENCE


def hear_interrupts() -> None:
    """What runs in a shell's background is deaf to Ctrl-C, and so are its children: tests may run there."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Standstill(threading.Thread):
    """Measures for how long this process could not run. A sandbox in it then receives calls late, and many at once."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.worst_s = 0.0  # the most within two seconds
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        late: deque[tuple[float, float]] = deque()
        last = time.monotonic()
        while not self._over.wait(_CHECK_S):
            now = time.monotonic()
            late.append((now, max(0.0, now - last - 2 * _CHECK_S)))
            while late[0][0] < last - 2:
                late.popleft()
            self.worst_s = max(self.worst_s, sum(each for _, each in late))
            last = now


async def until(true: Callable[[], bool], what: str, within_s: float = 15) -> None:
    """Return once `true()`; fail with `what` when it never is. The patience multiplies `within_s`."""
    for _ in range(int(patient(within_s) / _CHECK_S)):
        if true():
            return
        await asyncio.sleep(_CHECK_S)
    raise AssertionError(f"not within {patient(within_s):g} s: {what}")


def wait_until(true: Callable[[], bool], what: str, within_s: float = 20) -> None:
    """Return once `true()`; fail with `what` when it never is. The patience of the tests multiplies `within_s`."""
    ends = time.monotonic() + patient(within_s)
    while not true():
        if time.monotonic() > ends:
            raise AssertionError(f"not within {patient(within_s):g} s: {what}")
        time.sleep(0.02)
