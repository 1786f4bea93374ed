"""Group commit: who waits together is written together, and everybody hears of their own item alone."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest

from app.store.group_commit import GroupCommit
from tests.waiting import patient


class Disk:
    """Takes groups, each only once the test lets it, and remembers them."""

    def __init__(self, verdict: Callable[[str], BaseException | None] = lambda item: None) -> None:
        self.groups: list[list[str]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.busy = 0
        self._verdict = verdict

    async def __call__(self, items: Sequence[str]) -> list[BaseException | None]:
        self.busy += 1
        assert self.busy == 1, "two groups at the same time"
        await asyncio.sleep(0)
        await self.open.wait()
        self.groups.append(list(items))
        self.busy -= 1
        return [self._verdict(item) for item in items]


async def settled() -> None:
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_items_that_wait_together_are_written_together() -> None:
    disk = Disk()
    commit = GroupCommit(disk)
    await asyncio.gather(*(commit.submit(item) for item in "abc"))
    assert disk.groups == [["a", "b", "c"]]


async def test_items_that_come_during_a_write_make_the_next_group_in_their_order() -> None:
    disk = Disk()
    disk.open.clear()
    commit = GroupCommit(disk)
    waiting = [asyncio.create_task(commit.submit("first"))]
    await settled()
    waiting += [asyncio.create_task(commit.submit(item)) for item in "abc"]
    await settled()
    disk.open.set()
    await asyncio.gather(*waiting)
    assert disk.groups == [["first"], ["a", "b", "c"]]


@pytest.mark.parametrize(
    ("items", "groups"),
    [
        pytest.param(["aa", "b", "ccc"], [["aa", "b"], ["ccc"]], id="what fits together goes together"),
        pytest.param(["aaaaa", "b"], [["aaaaa"], ["b"]], id="what is too large goes alone"),
        pytest.param(["aaa", "bbb"], [["aaa"], ["bbb"]], id="what fills a group ends it"),
    ],
)
async def test_a_group_is_bounded_in_size(items: list[str], groups: list[list[str]]) -> None:
    disk = Disk()
    commit = GroupCommit(disk, most=3, size=len)
    await asyncio.gather(*(commit.submit(item) for item in items))
    assert disk.groups == groups


async def test_nobody_is_answered_before_the_write() -> None:
    disk = Disk()
    disk.open.clear()
    commit = GroupCommit(disk)
    waiting = asyncio.create_task(commit.submit("a"))
    await settled()
    assert not waiting.done()
    disk.open.set()
    await waiting


async def test_a_group_holds_no_more_than_it_may() -> None:
    disk = Disk()
    commit = GroupCommit(disk, most=2)
    await asyncio.gather(*(commit.submit(item) for item in "abcde"))
    assert disk.groups == [["a", "b"], ["c", "d"], ["e"]]


async def test_a_failure_reaches_its_own_waiter_alone() -> None:
    disk = Disk(lambda item: ValueError(item) if item in "bd" else None)
    commit = GroupCommit(disk)
    answers = await asyncio.gather(*(commit.submit(item) for item in "abcd"), return_exceptions=True)
    assert [None if each is None else str(each) for each in answers] == [None, "b", None, "d"]


async def test_a_write_that_fails_reaches_everybody_in_its_group_and_nobody_else() -> None:
    written: list[list[str]] = []

    async def write(items: Sequence[str]) -> list[BaseException | None]:
        await asyncio.sleep(0)
        written.append(list(items))
        if len(written) == 1:
            raise OSError("the disk is gone")
        return [None] * len(items)

    commit = GroupCommit(write, most=2)
    answers = await asyncio.gather(*(commit.submit(item) for item in "abcd"), return_exceptions=True)
    assert [type(each) for each in answers] == [OSError, OSError, type(None), type(None)]


async def test_a_failure_does_not_end_the_work() -> None:
    commit = GroupCommit(Disk(lambda item: ValueError(item) if item == "bad" else None))
    with pytest.raises(ValueError, match="bad"):
        await commit.submit("bad")
    await commit.submit("good")


async def test_an_item_whose_waiter_went_away_is_written_all_the_same() -> None:
    disk = Disk(lambda item: ValueError(item) if item == "a" else None)
    disk.open.clear()
    commit = GroupCommit(disk)
    gone, stays = asyncio.create_task(commit.submit("a")), asyncio.create_task(commit.submit("b"))
    await settled()
    gone.cancel()
    with suppress(asyncio.CancelledError):
        await gone
    disk.open.set()
    await stays
    assert disk.groups == [["a", "b"]]


async def test_a_waiter_that_goes_away_before_its_write_costs_the_others_nothing() -> None:
    disk = Disk()
    disk.open.clear()
    commit = GroupCommit(disk)
    first = asyncio.create_task(commit.submit("first"))
    await settled()
    gone, stays = asyncio.create_task(commit.submit("gone")), asyncio.create_task(commit.submit("stays"))
    await settled()
    gone.cancel()
    await settled()
    disk.open.set()
    await asyncio.gather(first, stays)
    assert disk.groups == [["first"], ["gone", "stays"]]


async def test_each_waiter_gets_the_answer_to_its_own_item() -> None:
    async def read(items: Sequence[str]) -> list[str | BaseException]:
        return [KeyError(item) if item == "b" else item * 2 for item in items]

    commit: GroupCommit[str, str] = GroupCommit(read)
    answers = await asyncio.gather(*(commit.submit(item) for item in "abc"), return_exceptions=True)
    assert [str(each) for each in answers] == ["aa", "'b'", "cc"]


async def test_flush_waits_for_everything_that_waits() -> None:
    disk = Disk()
    disk.open.clear()
    commit = GroupCommit(disk, most=1)
    waiting = [asyncio.create_task(commit.submit(item)) for item in "abc"]
    await settled()
    flush = asyncio.create_task(commit.flush())
    await settled()
    assert not flush.done()
    disk.open.set()
    await flush
    assert disk.groups == [["a"], ["b"], ["c"]]
    await asyncio.gather(*waiting)


async def test_flush_of_nothing_returns_at_once() -> None:
    await asyncio.wait_for(GroupCommit(Disk()).flush(), patient(1))


async def test_those_who_wait_are_told_when_the_writer_is_stopped() -> None:
    disk = Disk()
    disk.open.clear()
    commit = GroupCommit(disk)
    being_written = asyncio.create_task(commit.submit("a"))
    await settled()
    next_group = asyncio.create_task(commit.submit("b"))
    await settled()
    (writer,) = (task for task in asyncio.all_tasks() if "_write_all" in repr(task.get_coro()))
    writer.cancel()
    for waiting in (being_written, next_group):
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(waiting, patient(1))
    assert commit.waiting == 0


async def test_a_thousand_waiters_are_all_answered() -> None:
    disk = Disk()
    commit = GroupCommit(disk, most=64)
    await asyncio.gather(*(commit.submit(str(number)) for number in range(1000)))
    assert [item for group in disk.groups for item in group] == [str(number) for number in range(1000)]
