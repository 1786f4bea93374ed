"""Which calls are recorded, without personal data and within bounds. On a real Redis."""

from datetime import timedelta
from typing import Any, Final

import orjson
import pytest
from redis.asyncio import Redis

from app.attentive.answers import Reply, Unreachable
from app.delivery.journal.call_record import blank_rows, stop_watching, trim, watch
from app.delivery.journal.event_rows import EventFilter, RowOutcome
from app.delivery.journal.event_search import calls_of, search_rows
from app.delivery.journal.recorded_call import Because, RecordedCall
from app.delivery.journal.recording import Recorder, Recording, event_name, filters_of, stored_filter
from app.delivery.journal.row_index import Probe, RowIndex, row_head, rows_of
from app.store.keys import DestinationKeys
from tests.builders import Raw, delivery, track
from tests.delivery.history import ACCEPTED, ACME, History

KEYS: Final = DestinationKeys(ACME)
DAY: Final = timedelta(days=1)
WHO: Final = {"email": "jane.roe@example.com", "phone": "+14155550132"}
EVENT: Final = {"context": {"traits": WHO}, "userId": "customer-1042"}


def order(number: int = 1, **more: Any) -> Raw:
    products = [{"product_id": "p", "name": "Mug", "price": 5, "currency": "USD"}]
    return track("Order Completed", {"order_id": f"order-{number}", "products": products, **more}, **EVENT)


async def recorded(redis: Redis) -> list[RecordedCall]:
    """All recorded calls, the newest first."""
    page = await search_rows(redis, [ACME], EventFilter(), limit=10_000)
    calls = await calls_of(redis, page.rows)
    return [calls[row.id] for row in page.rows if row.id in calls]


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        pytest.param(Reply(400, b"bad"), "dead_letter", id="a call that is given up"),
        pytest.param(Reply(503), "retry", id="an attempt that is repeated"),
        pytest.param(Reply(429, retry_after=timedelta(seconds=3), limit=10.0), "retry", id="a limit"),
        pytest.param(Reply(401), "held", id="a token that is refused"),
        pytest.param(Unreachable("could not connect", ambiguous=False), "retry", id="no connection"),
    ],
)
async def test_an_attempt_that_fails_is_recorded(redis: Redis, reply: Reply | Unreachable, outcome: str) -> None:
    history = History(redis)
    await history.arrive(order())
    await history.attempt("purchase", [reply])
    call = (await recorded(redis))[-1]
    assert (call.outcome, call.because, call.attempt) == (outcome, Because.FAILED, 1)
    if isinstance(reply, Reply):
        assert (call.status, call.limit) == (reply.status, reply.limit)
        assert call.retry_after_s == (3.0 if reply.retry_after else None)


async def test_a_call_that_is_delivered_is_recorded_only_while_a_person_watches(redis: Redis) -> None:
    history = History(redis)
    await history.arrive(order(1))
    await history.attempt("purchase")
    assert await recorded(redis) == []
    await watch(redis, ACME, "me", EventFilter())
    await history.arrive(order(2))
    await history.attempt("purchase")
    (call,) = await recorded(redis)
    assert (call.message_id, call.because, call.status, call.remaining) == ("m-2", Because.WATCHED, 200, 149)
    assert 0 < await redis.pttl(KEYS.tap) <= 15_000
    await stop_watching(redis, ACME, "me")
    await history.arrive(order(3))
    await history.attempt("purchase")
    assert len(await recorded(redis)) == 1


@pytest.mark.parametrize(
    ("wanted", "is_recorded"),
    [
        pytest.param(EventFilter(endpoint="purchase"), True, id="the endpoint"),
        pytest.param(EventFilter(endpoint="identity"), False, id="another endpoint"),
        pytest.param(EventFilter(event="ORDER completed"), True, id="the event"),
        pytest.param(EventFilter(event="Product Viewed"), False, id="another event"),
        pytest.param(EventFilter(source="shop", message_id="m-1"), True, id="source and message ID"),
        pytest.param(EventFilter(source="app"), False, id="another source"),
        pytest.param(EventFilter(message_id="m-2"), False, id="another message ID"),
        pytest.param(EventFilter(outcomes=frozenset({RowOutcome.DELIVERED})), True, id="the outcome"),
        pytest.param(EventFilter(outcomes=frozenset({RowOutcome.RETRY})), False, id="another outcome"),
        pytest.param(EventFilter(email="somebody@example.com"), True, id="a person, whom workers are not told of"),
    ],
)
async def test_a_watch_has_a_filter(redis: Redis, wanted: EventFilter, is_recorded: bool) -> None:
    history = History(redis)
    await watch(redis, ACME, "me", wanted)
    await history.arrive(order())
    await history.attempt("purchase")
    assert len(await recorded(redis)) == is_recorded
    assert b"somebody" not in (await redis.get(KEYS.tap) or b"")


async def test_several_may_watch_and_one_who_leaves_takes_no_other_along(redis: Redis) -> None:
    for number in range(60):  # more than there is room for: the oldest filters stay
        await watch(redis, ACME, f"w-{number}", EventFilter(endpoint=f"e-{number}"))
    assert len(filters_of(await redis.get(KEYS.tap) or b"")) == 50
    await watch(redis, ACME, "w-1", EventFilter(endpoint="purchase"))
    await stop_watching(redis, ACME, "w-2")
    wanted = [each.endpoint for each in filters_of(await redis.get(KEYS.tap) or b"")]
    assert len(wanted) == 49
    assert "purchase" in wanted
    assert not {"e-1", "e-2"} & set(wanted)


def test_a_share_is_recorded_whole_events_at_a_time() -> None:
    recorder = Recorder(0.25)
    names = [f"message-{number}" for number in range(2000)]

    def is_recorded(name: str, endpoint: str) -> bool:
        call = delivery(message_id=name, endpoint=endpoint)
        return bool(recorder.of(call, "Signed Up", ACCEPTED, RowOutcome.DELIVERED, "").call)

    chosen = [name for name in names if is_recorded(name, "custom-event")]
    assert 400 < len(chosen) < 600
    assert chosen == [name for name in names if is_recorded(name, "purchase")]
    assert not any(Recorder(0.0).of(delivery(), "", ACCEPTED, RowOutcome.DELIVERED, "").call for _ in range(9))
    assert Recorder(1.0).of(delivery(), "", ACCEPTED, RowOutcome.DELIVERED, "").call


@pytest.mark.parametrize("watching", [b"", b"[]", b"{}", b"[1]", b"nonsense", b'[{"filter":"{\\"x\\":1}"}]'])
def test_a_watch_that_cannot_be_read_records_nothing(watching: bytes) -> None:
    assert list(filters_of(watching)) == []


def test_a_filter_comes_back_as_it_was_but_for_people() -> None:
    wanted = EventFilter(endpoint="purchase", outcomes=frozenset({RowOutcome.RETRY}), email="a@example.com")
    stored = orjson.dumps([{"watcher": "me", "till": 1, "filter": stored_filter(wanted).decode()}])
    assert list(filters_of(stored)) == [EventFilter(endpoint="purchase", outcomes=frozenset({RowOutcome.RETRY}))]


PERSONAL: Final = (
    "jane.roe",
    "4155550132",
    "555-0132",
    "customer-1042",
    "Rue de la Paix",
    "Roe",
    "10.1.2.3",
    "1990-02-03",
)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param('{"error":"jane.roe@example.com is no user","user":{"name":"Jane Roe"}}', id="a user in JSON"),
        pytest.param("phone +14155550132 is invalid, so is (415) 555-0132", id="text"),
        pytest.param('{"errors":[{"firstName":"Roe","address1":"3 Rue de la Paix"}]}', id="fields in JSON"),
    ],
)
async def test_nobody_is_named_in_the_record(redis: Redis, answer: str) -> None:
    history = History(redis, recording=Recording(share=1.0))
    extra = {"first_name": "Jane Roe", "shipping_address": {"street": "3 Rue de la Paix"}, "birthday": "1990-02-03"}
    events = [order(1, **extra), track("Signed Up", extra, **EVENT)]
    events[0]["context"] = {"traits": {**WHO, "lastName": "Roe"}, "ip": "10.1.2.3"}
    await history.arrive(*events)
    await history.attempt("purchase", [Reply(400, answer.encode())])
    await history.attempt("custom-event")
    await redis.delete(KEYS.dead)  # a dead letter is whole
    found = await recorded(redis)
    assert {call.event for call in found} == {"Order Completed", "Signed Up"}
    shown = "".join(orjson.dumps(call.as_dict()).decode() for call in found)
    held = await history.held()
    assert [text for text in PERSONAL if text in shown or text in held] == []
    assert "Mug" in shown


async def test_the_number_is_bounded_and_the_oldest_go(redis: Redis) -> None:
    history = History(redis, recording=Recording(calls=10, share=1.0))
    for number in range(8):
        await history.arrive(*[order(5 * number + each) for each in range(5)])
        await history.attempt("purchase")
    found = await recorded(redis)
    assert [call.message_id for call in found] == [f"m-{number}" for number in range(40, 30, -1)]
    client: Any = redis
    assert await client.llen(KEYS.calls_index) == 10
    assert int(await client.get(KEYS.calls_bytes)) == await size(redis)


async def size(redis: Redis) -> int:
    return sum(len(fields[b"d"]) + 48 for _, fields in await redis.xrange(KEYS.calls))


async def test_the_bytes_are_bounded(redis: Redis) -> None:
    history = History(redis, recording=Recording(bytes=8_000, share=1.0))
    await history.arrive(*[order(number, note="x" * 100 * number) for number in range(40)])
    await history.attempt("purchase")
    assert 4_000 < await size(redis) <= 8_000
    assert int(await redis.get(KEYS.calls_bytes) or 0) == await size(redis)
    memory: Any = await redis.memory_usage(KEYS.calls)
    assert memory < 2 * 8_000


@pytest.mark.parametrize("recording", [Recording(calls=0), Recording(bytes=0)], ids=["no calls", "no bytes"])
async def test_nothing_is_recorded_where_the_settings_leave_no_room(redis: Redis, recording: Recording) -> None:
    history = History(redis, recording=recording)
    await history.arrive(order())
    await history.attempt("purchase", [Reply(400)])
    assert await recorded(redis) == []
    assert await redis.exists(KEYS.calls_bytes, KEYS.calls_index) == 0


async def test_what_is_too_old_goes(redis: Redis) -> None:
    history = History(redis, recording=Recording(share=1.0))
    await history.arrive(order())
    await history.attempt("purchase")
    await trim(redis, [ACME], Recording(), DAY)
    assert len(await recorded(redis)) == 1
    await trim(redis, [ACME], Recording(), timedelta())
    assert await redis.exists(KEYS.calls_bytes, KEYS.calls_index) == 0
    assert await redis.xlen(KEYS.calls) == 0


async def test_a_clock_that_was_set_back_loses_no_call(redis: Redis) -> None:
    history = History(redis)
    await redis.xadd(KEYS.calls, {"d": b"of the future"}, id="99999999999999-0")
    await history.arrive(order())
    await history.attempt("purchase", [Reply(400)])
    assert await redis.xlen(KEYS.calls) == 2


async def test_rows_of_erased_events_are_blanked_in_both_indexes(redis: Redis) -> None:
    history = History(redis, recording=Recording(share=1.0))
    for number in range(250):  # of several pages
        await history.arrive(order(2 * number), order(2 * number + 1))
    await history.attempt("purchase")
    await blank_rows(redis, ACME, ["m-1", "m-500"])
    client: Any = redis
    for key in (KEYS.journal_index, KEYS.calls_index):
        index = RowIndex(await client.lrange(key, 0, -1))
        found = {
            name: len(index.matching(Probe.of(EventFilter(), [name]))) for name in ("m-1", "m-2", "m-499", "m-500")
        }
        assert (found["m-1"], found["m-500"]) == (0, 0), key
        assert min(found["m-2"], found["m-499"]) >= 1, key


async def test_rows_of_any_number_of_erased_events_are_blanked(redis: Redis) -> None:
    """More than a script can take at once: who floods the events of a person must not prevent their erasure."""
    history = History(redis)
    await history.arrive(order(1), order(2))
    await blank_rows(redis, ACME, [f"m-{number}" for number in range(20_000, 1, -1)])
    index = RowIndex(await redis.lrange(KEYS.journal_index, 0, -1))  # type: ignore[misc]
    assert [len(index.matching(Probe.of(EventFilter(), [name]))) > 0 for name in ("m-1", "m-2")] == [True, False]


@pytest.mark.parametrize(
    ("event", "name"),
    [
        pytest.param(b'{"type":"track","event":"Signed Up"}', "Signed Up", id="a name"),
        pytest.param(b'{"type":"identify"}', "identify", id="a type"),
        pytest.param(
            b'{"type":"track","event":"for jane@example.com"}', "for j***@example.com", id="a name of a person"
        ),
        pytest.param(b'{"event":{"a":1}}', "", id="no text"),
        pytest.param(b'{"event":', "", id="no JSON"),
        pytest.param(b'{"event":"' + b"x" * 500 + b'"}', "x" * 200, id="a long name"),
    ],
)
def test_an_event_is_named_without_reading_it_whole(event: bytes, name: str) -> None:
    assert event_name(event) == name


def test_rows_that_share_hashes_are_told_apart_by_all_that_is_asked() -> None:
    heads = [row_head(RowOutcome.ACCEPTED, "shop", name, ("purchase",)) for name in ("A", "B")]
    index = RowIndex([b"%014d%05d" % (number, 0) + rows_of(f"m-{number}", heads[number % 2]) for number in range(10)])
    assert index.matching(Probe.of(EventFilter(event="a", source="shop"))) == [0, 2, 4, 6, 8]
    assert index.matching(Probe.of(EventFilter(event="B", message_id="m-4"))) == []
    assert index.matching(Probe.of(EventFilter(event="B", message_id="m-5"))) == [5]
    assert index.matching(Probe.of(EventFilter(outcomes=frozenset({RowOutcome.MERGE})))) == list(range(10))
    assert index.until("5-0") == 5
    assert index.entry_id(7) == "7-0"
