"""Tasks that work in the background end when they are to."""

import asyncio
from contextlib import suppress

from app.tasks import end


async def test_a_task_that_loses_a_cancellation_ends_all_the_same() -> None:
    lost = 0

    async def work() -> None:
        nonlocal lost
        with suppress(asyncio.CancelledError):  # as `wait_for` does when a result comes with it
            await asyncio.sleep(3600)
        lost += 1
        await asyncio.sleep(3600)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    await end(task)
    assert (lost, task.cancelled()) == (1, True)


async def test_what_it_raised_is_dropped_and_what_is_no_task_is_passed_over() -> None:
    async def fail() -> None:
        raise ValueError

    task = asyncio.create_task(fail())
    await asyncio.wait({task})
    await end(None, task)


async def test_a_task_that_never_ends_is_left_behind_after_a_while() -> None:
    go = asyncio.Event()

    async def work() -> None:
        while not go.is_set():
            with suppress(asyncio.CancelledError):
                await go.wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    await end(task, within_s=0.01)
    assert not task.done()
    go.set()
    await task
