"""Pages that are asked for often are made once a second, however many ask."""

import asyncio

import pytest

from app.health import EachSecond


class Made:
    """Counts how often it was made, and fails while `failing`."""

    def __init__(self) -> None:
        self.times = 0
        self.failing = False
        self.now = 100.0

    async def __call__(self) -> int:
        self.times += 1
        made = self.times
        await asyncio.sleep(0)
        if self.failing:
            raise LookupError
        return made


async def test_a_page_is_made_once_for_all_who_ask_within_a_second() -> None:
    made = Made()
    page = EachSecond(made, clock=lambda: made.now)
    assert await asyncio.gather(*(page.get() for _ in range(50))) == [1] * 50
    made.now += 0.99
    assert await page.get() == 1
    made.now += 0.02
    assert [await page.get(), await page.get(), made.times] == [2, 2, 2]


async def test_one_who_goes_away_does_not_take_the_page_from_the_others() -> None:
    made = Made()
    page = EachSecond(made, clock=lambda: made.now)
    first, second = asyncio.create_task(page.get()), asyncio.create_task(page.get())
    await asyncio.sleep(0)
    first.cancel()
    assert (await second, made.times) == (1, 1)


async def test_a_failure_is_told_to_all_and_not_kept_for_longer_than_a_page() -> None:
    made = Made()
    made.failing = True
    page = EachSecond(made, clock=lambda: made.now)
    for _ in range(2):
        with pytest.raises(LookupError):
            await page.get()
    made.failing = False
    made.now += 1.0
    assert await page.get() == 2
