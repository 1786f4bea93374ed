"""The time now, in the form of times in Redis."""

import time


def now_ms() -> int:
    """The time now, in epoch milliseconds."""
    return time.time_ns() // 1_000_000
