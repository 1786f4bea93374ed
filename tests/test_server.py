"""How `serve` runs uvicorn: what is written in one turn of the event loop leaves in one piece."""

import asyncio
from typing import Any, cast

import pytest

from app.server import Gathered


class Recording:
    """A transport that notes what is done with it."""

    def __init__(self) -> None:
        self.done: list[Any] = []

    def write(self, data: bytes) -> None:
        self.done.append(data)

    def close(self) -> None:
        self.done.append("closed")

    def is_closing(self) -> bool:
        return "closed" in self.done


@pytest.fixture
def inner() -> Recording:
    return Recording()


@pytest.fixture
async def transport(inner: Recording) -> Gathered:
    return Gathered(cast(asyncio.Transport, inner), asyncio.get_running_loop())


async def test_the_head_and_the_body_of_an_answer_leave_together(transport: Gathered, inner: Recording) -> None:
    transport.write(b"HTTP/1.1 200 OK\r\n\r\n")
    transport.write(b"{}")
    assert inner.done == []
    await asyncio.sleep(0)
    assert inner.done == [b"HTTP/1.1 200 OK\r\n\r\n{}"]


async def test_what_is_written_later_leaves_later_and_in_order(transport: Gathered, inner: Recording) -> None:
    for part in (b"1", b"2", b"3"):
        transport.write(part)
        await asyncio.sleep(0)
    assert inner.done == [b"1", b"2", b"3"]


async def test_nothing_is_lost_when_it_is_closed_in_the_same_turn(transport: Gathered, inner: Recording) -> None:
    transport.write(b"the last answer")
    transport.close()
    await asyncio.sleep(0)
    assert inner.done == [b"the last answer", "closed"]


async def test_all_else_is_asked_of_the_transport_itself(transport: Gathered) -> None:
    assert transport.is_closing() is False
    transport.close()
    assert transport.is_closing() is True
