"""Events are found by all that is known of them, page by page, and followed without a gap. On a real Redis."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
import pytest
from redis.asyncio import Redis

from app.attentive.answers import Reply, Unreachable
from app.delivery.dead_letter import Filter
from app.delivery.dead_letters import dead_letters, discard, replay
from app.delivery.journal.call_record import trim
from app.delivery.journal.event_rows import EventFilter, EventState, RowOutcome
from app.delivery.journal.event_search import calls_of, follow, newest, search_events, search_rows, stories_of
from app.delivery.journal.recording import Recording
from app.store.keys import DestinationKeys
from tests.builders import track
from tests.delivery.history import ACME, History
from tests.waiting import patient

KEYS: Final = DestinationKeys(ACME)
PRODUCT: Final = {"product_id": "p", "name": "Mug", "price": 5, "currency": "USD"}
ORDER: Final[dict[str, Any]] = {"order_id": "1001", "products": [PRODUCT]}
REFUSED: Final = Reply(400, b'{"message":"jane@example.com is no user"}')
DAY: Final = timedelta(days=1)


@pytest.fixture
async def shop(redis: Redis) -> History:
    """Five events: an order that is delivered, one that is refused, two that are dropped, and one that waits."""
    history = History(redis)
    jane: dict[str, str] = {"email": "jane@example.com"}
    await history.arrive(
        track("Order Completed", ORDER, context={"traits": jane}, userId="customer-1"),
        track("Order Completed", {**ORDER, "order_id": 1002}, context={"traits": {"email": "john@example.com"}}),
    )
    await history.attempt("purchase", [Reply(503, retry_after=timedelta(minutes=5)), REFUSED])
    await asyncio.sleep(0.002)
    await history.arrive(track("Else", context={"traits": jane}, integrations={"Attentive": False}), source="app")
    await history.arrive(track("Order Completed", ORDER, context={}, anonymousId="browser-1"))
    await history.arrive(track("Product Viewed", PRODUCT, context={"traits": {"phone": "+14155550132"}}))
    return history


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        pytest.param(EventFilter(), ["m-5", "m-4", "m-3", "m-2", "m-1"], id="all of them"),
        pytest.param(EventFilter(message_id="m-2"), ["m-2"], id="a message ID"),
        pytest.param(EventFilter(message_id="m-9"), [], id="a message ID that is not known"),
        pytest.param(EventFilter(event="order completed"), ["m-4", "m-2", "m-1"], id="the name of the event"),
        pytest.param(EventFilter(source="app"), ["m-3"], id="the source"),
        pytest.param(EventFilter(email="Jane@example.com "), ["m-3", "m-1"], id="an e-mail address"),
        pytest.param(EventFilter(phone="(415) 555-0132"), ["m-5"], id="a phone number in another notation"),
        pytest.param(EventFilter(user_id="customer-1"), ["m-1"], id="a user ID"),
        pytest.param(EventFilter(order_id="1002"), ["m-2"], id="an order ID that was sent as a number"),
        pytest.param(EventFilter(order_id="1003"), [], id="an order ID that is not known"),
        pytest.param(EventFilter(endpoint="product-view"), ["m-5"], id="an endpoint"),
        pytest.param(EventFilter(outcomes=frozenset({RowOutcome.DEAD_LETTER})), ["m-2"], id="a dead letter"),
        pytest.param(EventFilter(outcomes=frozenset({RowOutcome.DROPPED})), ["m-4", "m-3"], id="dropped events"),
        pytest.param(EventFilter(outcomes=frozenset({RowOutcome.RETRY})), ["m-1"], id="an attempt that is repeated"),
        pytest.param(EventFilter(reason="http_400"), ["m-2"], id="a reason"),
        pytest.param(
            EventFilter(email="jane@example.com", outcomes=frozenset({RowOutcome.RETRY})),
            ["m-1"],
            id="retries of a person",
        ),
        pytest.param(EventFilter(email="jane@example.com", event="Order Completed"), ["m-1"], id="a person's orders"),
        pytest.param(EventFilter(since=datetime.now(UTC) + DAY), [], id="the future"),
        pytest.param(EventFilter(until=datetime.now(UTC) - DAY), [], id="the past"),
        pytest.param(EventFilter(since=datetime(2020, 1, 1, tzinfo=UTC), event="Product Viewed"), ["m-5"], id="a time"),
    ],
)
async def test_events_are_found_by(shop: History, wanted: EventFilter, found: list[str]) -> None:
    page = await search_events(shop.redis, [ACME], wanted, limit=50)
    assert [event.message_id for event in page.events] == found
    assert page.older is None


async def test_an_event_shows_how_it_stands(shop: History) -> None:
    page = await search_events(shop.redis, [ACME], EventFilter(), limit=50)
    assert {event.message_id: (event.state, event.reason) for event in page.events} == {
        "m-1": (EventState.WAITING, "HTTP 503"),
        "m-2": (EventState.DEAD_LETTER, "http_400"),
        "m-3": (EventState.DROPPED, "integrations"),
        "m-4": (EventState.DROPPED, "no_identity"),
        "m-5": (EventState.WAITING, ""),
    }


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_pages_of_rows_have_each_row_once(shop: History, limit: int) -> None:
    found, before = [], None
    for _ in range(20):
        page = await search_rows(shop.redis, [ACME], EventFilter(), limit=limit, before=before)
        found += [row.id for row in page.rows]
        before = page.older
        if before is None:
            break
    assert found == [row.id for row in (await search_rows(shop.redis, [ACME], EventFilter(), limit=50)).rows]
    assert len(found) == len(set(found))


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_pages_of_events_leave_none_out(shop: History, limit: int) -> None:
    found, before = [], None
    for _ in range(20):
        page = await search_events(shop.redis, [ACME, "other"], EventFilter(), limit=limit, before=before)
        assert len(page.events) <= limit
        found += [event.message_id for event in page.events]
        before = page.older
        if before is None:
            break
    assert list(dict.fromkeys(found)) == ["m-5", "m-4", "m-3", "m-2", "m-1"]


async def test_an_event_of_one_flush_is_found_among_its_neighbours(redis: Redis) -> None:
    history = History(redis)
    await history.arrive(*[track("Order Completed", {**ORDER, "order_id": number}) for number in range(300)])
    page = await search_events(redis, [ACME], EventFilter(order_id="150"), limit=50)
    assert [event.message_id for event in page.events] == ["m-151"]


async def test_what_operators_do_is_part_of_the_story(shop: History) -> None:
    now = datetime.now(UTC)
    (letter,) = [letter async for letter in dead_letters(shop.redis, [ACME], Filter(), now=now)]
    record = orjson.dumps({"dead_letter": letter.id, "calls": ["purchase"]})
    again: Any = {"deliveries": [letter.revived(now + DAY, calls=1)], "journal_entries": 1000}
    assert await replay(shop.redis, letter, record=record, **again)
    page = await search_events(shop.redis, [ACME], EventFilter(outcomes=frozenset({RowOutcome.REPLAYED})), limit=9)
    assert [(event.message_id, event.state) for event in page.events] == [("m-2", EventState.WAITING)]
    await shop.attempt("purchase", [REFUSED])
    (letter,) = [letter async for letter in dead_letters(shop.redis, [ACME], Filter(), now=now)]
    assert await discard(shop.redis, letter, journal_entries=1000)
    (story,) = await stories_of(shop.redis, [ACME, "other"], "m-2")
    assert [row.outcome.value for row in story.summary.rows] == [
        *("accepted", "dead_letter", "replayed", "dead_letter", "discarded")
    ]
    assert [call.attempt for call in story.calls] == [1, 1]


async def test_a_story_has_the_exact_calls(shop: History) -> None:
    (story,) = await stories_of(shop.redis, [ACME], "m-2")
    (call,) = story.calls
    assert (call.path, call.status, call.outcome, call.event) == (
        *("/v1/events/ecommerce/purchase", 400, "dead_letter", "Order Completed"),
    )
    assert call.request["items"][0]["name"] == "Mug"
    assert call.request["user"] == {"email": "***"}
    assert call.answer == '{"message":"j***@example.com is no user"}'
    assert call.id == story.summary.rows[-1].id


async def test_a_call_that_outlives_its_rows_in_the_journal_is_found(shop: History) -> None:
    await shop.redis.delete(KEYS.journal, KEYS.journal_index)
    for wanted in (
        EventFilter(order_id="1002"),
        EventFilter(email="john@example.com"),
        EventFilter(message_id="m-2"),
        EventFilter(outcomes=frozenset({RowOutcome.DEAD_LETTER})),
        EventFilter(endpoint="purchase", reason="http_400"),
    ):
        page = await search_events(shop.redis, [ACME], wanted, limit=50)
        assert [(event.message_id, event.state) for event in page.events] == [("m-2", EventState.DEAD_LETTER)]
    (story,) = await stories_of(shop.redis, [ACME], "m-2")
    assert len(story.calls) == 1


async def test_entries_without_an_index_are_found_too(shop: History) -> None:
    await shop.redis.delete(KEYS.journal_index)
    page = await search_events(shop.redis, [ACME], EventFilter(message_id="m-2"), limit=50)
    assert [event.state for event in page.events] == [EventState.DEAD_LETTER]
    await shop.arrive(track("Order Completed", ORDER))
    page = await search_events(shop.redis, [ACME], EventFilter(event="Order Completed"), limit=50)
    assert [event.message_id for event in page.events] == ["m-6", "m-4", "m-2", "m-1"]


async def test_the_index_goes_with_the_journal(redis: Redis) -> None:
    history = History(redis, journal_entries=200)
    for number in range(40):
        await history.arrive(*[track("Order Completed", {**ORDER, "order_id": f"{number}-{one}"}) for one in range(20)])
    await trim(redis, [ACME], Recording(), DAY)
    entries: Any = await redis.xlen(KEYS.journal)
    client: Any = redis
    elements = await client.llen(KEYS.journal_index)
    assert 200 <= entries < 400
    assert elements == -(-entries // 20) + (entries % 20 == 0) or elements == entries // 20
    page = await search_events(redis, [ACME], EventFilter(order_id="39-19"), limit=5)
    assert len(page.events) == 1
    await redis.delete(KEYS.journal)
    await trim(redis, [ACME], Recording(), DAY)
    assert await redis.exists(KEYS.journal_index) == 0


async def test_following_resumes_after_a_kill_and_misses_nothing(redis: Redis) -> None:
    history = History(redis)
    position: Mapping[str, str] = await newest(redis, [ACME])
    seen: list[str] = []

    async def reader(stop_after: int) -> None:
        nonlocal position
        read = 0
        async for batch in follow(redis, EventFilter(event="Order Completed"), position):
            assert not batch.missed
            seen.extend(row.id for row in batch.rows if row.is_arrival)
            position = batch.position
            read += len(batch.rows)
            if read >= stop_after:
                return

    written = 0
    for _ in range(5):
        task = asyncio.create_task(reader(10**9))
        written += len(await history.arrive(*[track("Order Completed", ORDER) for _ in range(120)]))
        await asyncio.sleep(0)
        while not task.done():  # killed wherever it is
            task.cancel()
            await asyncio.wait({task}, timeout=0.1)
        written += len(await history.arrive(*[track("Order Completed", ORDER) for _ in range(120)]))
    await asyncio.wait_for(reader(written - len(seen)), patient(30))
    assert len(seen) == len(set(seen)) == written
    assert seen == sorted(seen, key=lambda one: tuple(map(int, one.split("-"))))


async def test_whoever_comes_too_late_learns_that_rows_are_gone(redis: Redis) -> None:
    history = History(redis)
    await history.arrive(track("Order Completed", ORDER))
    position = await newest(redis, [ACME])
    await history.arrive(track("Order Completed", ORDER))
    await history.arrive(track("Order Completed", ORDER))
    await redis.xtrim(KEYS.journal, maxlen=1, approximate=False)
    batch = await anext(follow(redis, EventFilter(), position))
    assert batch.missed == {ACME}
    assert len(batch.rows) == 1


async def test_a_persons_rows_are_followed_from_arrival_to_end(redis: Redis) -> None:
    history = History(redis)
    await history.arrive(track("Order Completed", ORDER, context={"traits": {"email": "jane@example.com"}}))
    position = await newest(redis, [ACME])
    rows = follow(redis, EventFilter(email="jane@example.com"), position)
    await history.attempt("purchase")
    batch = await anext(rows)
    assert [row.outcome for row in batch.rows] == [RowOutcome.DELIVERED]
    await rows.aclose()


async def test_rows_without_a_whole_answer_say_why(redis: Redis) -> None:
    history = History(redis)
    await history.arrive(track("Order Completed", ORDER))
    await history.attempt("purchase", [Unreachable("no answer in time", ambiguous=True)])
    page = await search_rows(redis, [ACME], EventFilter(endpoint="purchase"), limit=1)
    (call,) = (await calls_of(redis, page.rows)).values()
    assert (call.status, call.unreachable, call.reason) == (None, "no answer in time", "no answer in time")
