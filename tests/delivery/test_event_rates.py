"""Rates and delays, read from the index of the journal alone."""

from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis

from app.attentive.answers import Reply
from app.delivery.delivery import to_ms
from app.delivery.journal.event_rates import BUCKET, SPAN, Rates, rates_of
from app.delivery.journal.event_rows import RowOutcome
from app.delivery.journal.event_search import attempts_lately, read_index
from app.delivery.journal.row_index import RowIndex, id_in_digits, identifier_heads, row_head, rows_of
from app.store.keys import DestinationKeys
from tests.builders import track
from tests.delivery.history import ACME, History

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
BROKEN = Reply(503, b"", took=timedelta(milliseconds=5))


def element(ago: timedelta, outcome: RowOutcome, message: str) -> bytes:
    row = rows_of(message, row_head(outcome, "shop", "Order Completed", ("purchase",)), identifier_heads([7]))
    return id_in_digits(f"{to_ms(NOW - ago)}-0") + row


def rates(*elements: bytes) -> Rates:
    return rates_of(ACME, RowIndex(elements), NOW)


def test_each_minute_has_its_events_calls_and_delays() -> None:
    minutes = timedelta(minutes=1)
    found = rates(
        element(10 * minutes, RowOutcome.ACCEPTED, "m-1"),
        element(10 * minutes - timedelta(seconds=2), RowOutcome.DELIVERED, "m-1"),
        element(5 * minutes, RowOutcome.ACCEPTED, "m-2"),
        element(5 * minutes, RowOutcome.DROPPED, "m-3"),
        element(5 * minutes, RowOutcome.RETRY, "m-2"),
        element(3 * minutes, RowOutcome.DELIVERED, "m-2"),
        element(timedelta(), RowOutcome.DELIVERED, "m-unknown"),
    )
    filled = {each.begin: each for each in found.buckets if each.received or each.delivered or each.failed}
    seen = [(each.received, each.delivered, each.failed, each.median) for each in filled.values()]
    assert seen == [
        (1, 1, 0, timedelta(seconds=2)),
        (2, 0, 1, None),
        (0, 1, 0, timedelta(minutes=2)),
        (0, 1, 0, None),
    ]
    assert next(iter(filled)) == NOW - 10 * minutes
    assert len(found.buckets) == SPAN // BUCKET + 1


def test_what_is_older_than_an_hour_is_left_out_and_makes_the_hour_complete() -> None:
    old = element(timedelta(minutes=61), RowOutcome.ACCEPTED, "m-1")
    young = element(timedelta(minutes=59), RowOutcome.ACCEPTED, "m-2")
    assert [sum(each.received for each in rates(*elements).buckets) for elements in ((old, young), (young,))] == [1, 1]
    assert [rates(*elements).complete for elements in ((old, young), (young,))] == [True, False]


def test_without_events_all_minutes_are_empty() -> None:
    assert not any(each.received or each.delivered or each.median for each in rates().buckets)


async def test_what_gateway_and_worker_write_is_counted(redis: Redis) -> None:
    history = History(redis)
    await history.arrive(track("Signed Up"), track("Signed Up"))
    assert await history.attempt("custom-event", [BROKEN]) == 2
    now = datetime.now(UTC)
    found = rates_of(ACME, await read_index(redis, DestinationKeys(ACME).journal_index), now + timedelta(seconds=1))
    sums = [sum(getattr(each, name) for each in found.buckets) for name in ("received", "delivered", "failed")]
    assert sums == [2, 1, 1]
    lately = await attempts_lately(redis, ACME, now + timedelta(seconds=1), timedelta(seconds=10))
    assert lately == {"custom-event": 0.2}
