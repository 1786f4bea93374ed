"""What a process remembers of people: quick answers, and none of them for long."""

import asyncio

import pytest

from app.identity.extract import IdentityRules, extract_identity
from app.identity.recent import PEOPLE_KNOWN, RecentSet, forget_recent, recent
from app.process import repeating
from tests.builders import EMAIL, parsed, track


def test_an_answer_is_remembered_until_it_is_forgotten() -> None:
    asked: list[str] = []

    @recent
    def upper(text: str) -> str:
        asked.append(text)
        return text.upper()

    assert [upper("a"), upper("a")] == ["A", "A"]
    assert asked == ["a"]
    forget_recent()
    assert upper("a") == "A"
    assert asked == ["a", "a"]


def test_long_texts_of_a_sender_do_not_stay() -> None:
    rules, kept = IdentityRules(), []
    for number in range(400):
        extract_identity(parsed(track("x", context={"traits": {"email": f"{number}{'x' * 30_000}"}})), rules)
        kept.append(rules.known.cache_info().currsize)
    assert max(kept) * 30_000 < 5_000_000
    assert kept[0] == 1, "until there are too many"


def test_the_newest_links_are_remembered() -> None:
    links = RecentSet()
    for number in range(PEOPLE_KNOWN + 2):
        links.add(number)
    assert [links.has(number) for number in (0, 1, 2, PEOPLE_KNOWN + 1)] == [False, False, True, True]


def test_the_people_of_a_destination_are_forgotten_too() -> None:
    rules = IdentityRules()
    extract_identity(parsed(track("x", context={"traits": {"email": EMAIL}})), rules)
    assert rules.known.cache_info().currsize == 1
    forget_recent()
    assert rules.known.cache_info().currsize == 0


async def test_an_action_is_repeated_until_the_context_ends() -> None:
    calls = asyncio.Queue[None]()
    async with repeating(lambda: calls.put_nowait(None), every_s=0.001):
        for _ in range(3):
            await calls.get()
    while not calls.empty():
        calls.get_nowait()
    with pytest.raises(asyncio.QueueEmpty):
        calls.get_nowait()
