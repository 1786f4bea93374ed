"""Ending the tasks that work in the background."""

import asyncio
from typing import Any, Final

_AGAIN_S: Final = 0.5


async def end(*tasks: "asyncio.Task[Any] | None", within_s: float | None = None) -> None:
    """Cancel tasks until they have ended, or for `within_s` seconds. What they raise is dropped.

    They are cancelled again and again: one whose connection is cut at that very moment may lose a cancellation, and
    before Python 3.12 `asyncio.wait_for`, which redis-py uses, loses one that comes together with a result.
    """
    loop = asyncio.get_running_loop()
    ends = None if within_s is None else loop.time() + within_s
    known = [task for task in tasks if task is not None]
    running = {task for task in known if not task.done()}
    while running and (ends is None or loop.time() < ends):
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=_AGAIN_S)
    for task in known:
        if task.done() and not task.cancelled():
            task.exception()  # or asyncio would log it as never retrieved
