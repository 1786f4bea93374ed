"""How long to wait before the next attempt."""

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Final

LONGEST_WAIT: Final = timedelta(minutes=10)  # after a server error
LONGEST_WAIT_BUSY: Final = timedelta(seconds=60)  # after a 429: rate limits pass quickly


def backoff(attempt: int, *, longest: timedelta = LONGEST_WAIT, rand: Callable[[], float] = random.random) -> timedelta:
    """The wait after failed attempt number `attempt` (from 1): exponential, full jitter.

    Uniform between 0 and min(longest, 2**attempt s); `rand` yields [0, 1). Source: Attentive's advice on 429.
    """
    return min(longest, timedelta(seconds=2 ** min(attempt, 20))) * rand()
