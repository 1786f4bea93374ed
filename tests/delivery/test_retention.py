"""How long letters are kept: the oldest go, counted; and it is said long before."""

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from redis.asyncio import Redis

from app.delivery.books import read_books
from app.delivery.dead_letters import Shelf, shelf_key
from app.delivery.retention import Kept, Retention, let_go, read_kept
from app.gauges import letter_families

DAY: Final = timedelta(days=1)
RETENTION: Final = Retention(10 * DAY, 10)


async def bury(redis: Redis, *ages: timedelta, shelf: Shelf = Shelf.DEAD) -> None:
    """Letters of these ages, the oldest first."""
    for number, age in enumerate(ages):
        when = int((datetime.now(UTC) - age).timestamp() * 1000)
        await redis.xadd(shelf_key("acme", shelf), {b"d": b"{}"}, id=f"{when}-{number}")


async def ages_kept(redis: Redis, shelf: Shelf = Shelf.DEAD) -> int:
    return int(await redis.xlen(shelf_key("acme", shelf)))


@pytest.mark.parametrize(
    ("letters", "oldest", "share"),
    [
        pytest.param(0, timedelta(), 0, id="nothing kept"),
        pytest.param(5, DAY, 0.5, id="half of the number"),
        pytest.param(1, 8 * DAY, 0.8, id="four fifths of the time"),
        pytest.param(10, 10 * DAY, 1, id="all of both"),
    ],
)
def test_fill_is_the_larger_share(letters: int, oldest: timedelta, share: float) -> None:
    assert Kept("acme", Shelf.DEAD, letters, oldest).fill(RETENTION) == pytest.approx(share)


async def test_what_is_too_old_goes_and_is_counted(redis: Redis) -> None:
    await bury(redis, 30 * DAY, 11 * DAY, 9 * DAY, DAY)
    await bury(redis, 12 * DAY, shelf=Shelf.UNKNOWN)
    assert await let_go(redis, ["acme"], RETENTION) == {"acme": 3}
    assert (await ages_kept(redis), await ages_kept(redis, Shelf.UNKNOWN)) == (2, 0)
    (books,) = await read_books(redis, ["acme"])
    assert books.let_go == {("dead", "age"): 2, ("unknown", "age"): 1}
    assert await let_go(redis, ["acme"], RETENTION) == {}


async def test_what_is_too_much_goes_the_oldest_first(redis: Redis) -> None:
    await bury(redis, *(timedelta(hours=20 - hour) for hour in range(15)))
    assert await let_go(redis, ["acme"], RETENTION) == {"acme": 5}
    (dead, _) = await read_kept(redis, ["acme"])
    assert (dead.letters, dead.oldest.total_seconds() // 3600) == (10, 15)
    (books,) = await read_books(redis, ["acme"])
    assert books.let_go == {("dead", "number"): 5}


async def test_metrics_say_how_near_it_is(redis: Redis) -> None:
    await bury(redis, 5 * DAY, DAY)
    _, _, oldest, fill = await letter_families(redis, ["acme"], RETENTION)
    values = {sample.labels["shelf"]: sample.value for sample in fill.samples}
    assert values == {"dead": pytest.approx(0.5, abs=0.01), "unknown": 0}
    assert oldest.samples[0].value == pytest.approx(5 * 86_400, rel=0.01)
