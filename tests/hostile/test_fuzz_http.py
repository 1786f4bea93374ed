"""Bytes that a machine makes up, through the real server: never a 5xx, never a hang, and the counters balance."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio
from hypothesis import given

from tests.builders import track
from tests.hostile.attempts import request
from tests.hostile.fuzz import FUZZ, conversations
from tests.hostile.serving import assert_balanced, attacked
from tests.hostile.work import Counting
from tests.ingest.test_protocol import Served
from tests.waiting import patient

pytestmark: Final = pytest.mark.asyncio(loop_scope="module")
CALLS_A_BYTE: Final = 40
CALLS_AT_LEAST: Final = 40_000  # of a connection, three requests and what the test itself does
_STATUS: Final = re.compile(rb"HTTP/1\.1 (\d{3}) ")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served() -> AsyncIterator[Served]:
    async with attacked() as served:
        yield served


async def answers_to(served: Served, pieces: list[bytes]) -> list[int]:
    """The statuses that come back before the server closes the connection, which it does when all was sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    try:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        writer.write_eof()
        return [int(status) for status in _STATUS.findall(await asyncio.wait_for(reader.read(), patient(10)))]
    except OSError:  # closed before all was sent
        return []
    finally:
        writer.close()


@FUZZ
@given(conversations())
async def test_any_bytes_are_answered_at_a_cost_of_their_number(served: Served, pieces: list[bytes]) -> None:
    with Counting() as work:
        statuses = await answers_to(served, pieces)
    assert not [status for status in statuses if status >= 500]
    assert_balanced(served)
    assert work.calls <= CALLS_AT_LEAST + CALLS_A_BYTE * sum(map(len, pieces))


async def test_the_server_still_takes_events_afterwards(served: Served) -> None:
    before = len(served.intake.outbox.arrivals)
    client = await served.client()
    client.send(request(track("Seen"), path="/v1/track"))
    assert (await client.answer()).status == 200
    assert len(served.intake.outbox.arrivals) == before + 1
