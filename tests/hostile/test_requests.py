"""Each attack through the real server: it is answered as it should be, costs what it may, and the counters balance."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import orjson
import pytest
import pytest_asyncio

from tests.hostile.attempts import ATTEMPTS, VICTIM, Attempt, request
from tests.hostile.corpus import ATTACKS, Attack, of_size, plain_of_size
from tests.hostile.serving import assert_balanced, attacked
from tests.hostile.test_cost import MOST_TIMES
from tests.hostile.work import Counting
from tests.ingest.test_protocol import Answer, Served
from tests.waiting import patient

EVENT_BYTES: Final = 2_000
LEAST_BYTES: Final = 500  # a smaller request is compared with a plain one of this size
MOST_BYTES: Final = 30_000  # of an event
MOST_EVENTS: Final = 500  # of a batch
RECORD_BYTES: Final = 4_000  # of an event in the journal, however many notes there are to make
pytestmark: Final = pytest.mark.asyncio(loop_scope="module")
EACH: Final = [pytest.param(attempt, id=str(attempt)) for attempt in ATTEMPTS]
EVENTS: Final = [pytest.param(attack, id=str(attack)) for attack in ATTACKS]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Served]:
    async with attacked() as served:
        yield served


@pytest.fixture
def served(running: Served) -> Served:
    """The server, of which every test is the only one, with the books of those before."""
    assert_balanced(running)
    return running


def ended(served: Served, since: int) -> list[str]:
    """How the events after the first so many ended."""
    return served.intake.outbox.endings[since:]


def events_in(attempt: Attempt) -> int:
    """How many events the body of a request has; 1 where it cannot be read."""
    try:
        content = orjson.loads(attempt.request.partition(b"\r\n\r\n")[2])
    except orjson.JSONDecodeError:
        return 1
    return len(content["batch"]) if "batch" in content else 1


async def answered(served: Served, sent: bytes) -> tuple[Answer, int]:
    """The answer to a request on a connection of its own, and the counted work of the server and of the test."""
    client = await served.client()
    with Counting() as work:
        client.send(sent)
        answer = await client.answer()
    return answer, work.calls


async def test_there_are_three_variants_of_each_attack() -> None:
    aims = [attempt.aim for attempt in ATTEMPTS]
    assert {aims.count(aim) for aim in aims} == {3}


@pytest.mark.parametrize("attempt", EACH)
async def test_is_answered_and_the_next_request_is_too(served: Served, attempt: Attempt) -> None:
    before = len(served.intake.outbox.arrivals)
    answer, _ = await answered(served, attempt.request)
    assert answer.status in attempt.statuses, answer
    if attempt.endings is not None:
        assert set(ended(served, before)) == attempt.endings
    after, _ = await answered(served, request(plain_of_size(500), path="/v1/track"))
    assert after.status == 200
    assert_balanced(served)


@pytest.mark.parametrize("attempt", EACH)
async def test_costs_at_most_ten_plain_requests_of_its_size(served: Served, attempt: Attempt) -> None:
    size, count = max(LEAST_BYTES, len(attempt.request)), events_in(attempt)
    count = min(max(count, size // MOST_BYTES), MOST_EVENTS)
    event = plain_of_size(min(size // count, MOST_BYTES))
    usual = request({"batch": [event | {"messageId": f"m-{number}"} for number in range(count)]})
    for sent in (usual, attempt.request):  # what is imported or compiled once is not the attack's
        await answered(served, sent)
    _, plain_calls = await answered(served, usual)
    _, calls = await answered(served, attempt.request)
    assert calls <= MOST_TIMES * plain_calls


@pytest.mark.parametrize("attack", EVENTS)
async def test_an_event_of_the_corpus_is_answered(served: Served, attack: Attack) -> None:
    before = len(served.intake.outbox.arrivals)
    event = of_size(attack, EVENT_BYTES)
    answer, _ = await answered(served, request(event, path=f"/v1/{event['type']}"))
    assert answer.status == 200, answer
    (arrival,) = served.intake.outbox.arrivals[before:]
    assert len(arrival.record) <= RECORD_BYTES
    assert sum(len(call.stored) for call in arrival.calls) + len(arrival.dead_letter or b"") <= 3 * EVENT_BYTES
    assert_balanced(served)


async def test_attacks_on_many_connections_at_once_leave_a_plain_request_its_answer(served: Served) -> None:
    await asyncio.gather(*(answered(served, attempt.request) for attempt in ATTEMPTS))
    answer, _ = await asyncio.wait_for(answered(served, request(plain_of_size(500), path="/v1/track")), patient(10))
    assert answer.status == 200
    assert_balanced(served)


async def test_nothing_of_a_victim_is_in_the_journal(served: Served) -> None:
    for attempt in ATTEMPTS:
        if VICTIM.encode() in attempt.request:
            await answered(served, attempt.request)
    records = orjson.dumps(served.intake.outbox.records)
    assert records
    assert VICTIM.encode() not in records
    assert VICTIM not in str(served.intake.outbox.message_ids)
