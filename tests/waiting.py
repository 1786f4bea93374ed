"""Waiting for what happens by itself, within a time that is never the measure."""

import asyncio
from collections.abc import Callable

CHECK_S = 0.005


async def until(true: Callable[[], bool], what: str, within_s: float = 15) -> None:
    """Return once `true()`; fail with `what` when it never is."""
    for _ in range(int(within_s / CHECK_S)):
        if true():
            return
        await asyncio.sleep(CHECK_S)
    raise AssertionError(f"not within {within_s:g} s: {what}")
