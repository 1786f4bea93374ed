"""How an event stands, by the rows that the journal has of it."""

from typing import Any

import pytest

from app.delivery.journal.event_rows import EventFilter, EventRow, EventState, RowOutcome, row_of, summary_of
from app.delivery.journal.search_hashes import search_hash

RECEIVED: Any = {"decision": "forward", "calls": ["purchase", "identity"], "event": "Order Completed", "source": "shop"}


def rows_of(*entries: tuple[str, dict[str, Any]]) -> list[EventRow]:
    return [
        row_of("acme", f"1764498391{place:03}-0", step, "m-1", facts) for place, (step, facts) in enumerate(entries)
    ]


def attempt(endpoint: str, outcome: str, **facts: Any) -> tuple[str, dict[str, Any]]:
    return "attempt", {"endpoint": endpoint, "attempt": 1, "outcome": outcome, **facts}


REFUSED: Any = ("refused", {"source": "shop", "reason": "bad_request", "detail": "userId: must be text"})
DROPPED: Any = ("received", {"decision": "drop", "reason": "no_identity"})
UNMAPPABLE: Any = ("received", {"decision": "dead letter", "reason": "unmappable"})
RETRY = attempt("purchase", "retry", reason="HTTP 503", status=503)
DEAD = attempt("purchase", "dead letter", reason="http_400", status=400)
DELIVERED = [attempt(endpoint, "delivered", status=200) for endpoint in ("purchase", "identity")]


@pytest.mark.parametrize(
    ("entries", "state", "reason"),
    [
        pytest.param([("received", RECEIVED)], EventState.WAITING, "", id="nothing was attempted"),
        pytest.param([REFUSED], EventState.REFUSED, "bad_request", id="it was refused"),
        pytest.param([REFUSED, ("received", RECEIVED), *DELIVERED], EventState.DELIVERED, "", id="and sent once more"),
        pytest.param([DROPPED, REFUSED], EventState.DROPPED, "no_identity", id="a repeat was refused"),
        pytest.param(
            [("received", RECEIVED), DELIVERED[1], attempt("purchase", "not delivered", reason="not_delivered")],
            EventState.DROPPED,
            "not_delivered",
            id="a call was not sent, because its destination delivers to other people",
        ),
        pytest.param([("received", RECEIVED), DELIVERED[0]], EventState.WAITING, "", id="one call of two is delivered"),
        pytest.param([("received", RECEIVED), *DELIVERED], EventState.DELIVERED, "", id="all calls are delivered"),
        pytest.param(
            [("received", RECEIVED), RETRY, DELIVERED[1]], EventState.WAITING, "HTTP 503", id="another attempt follows"
        ),
        pytest.param(
            [("received", RECEIVED), RETRY, *DELIVERED], EventState.DELIVERED, "", id="a later attempt succeeded"
        ),
        pytest.param(
            [("received", RECEIVED), DELIVERED[1], DEAD], EventState.DEAD_LETTER, "http_400", id="one call was given up"
        ),
        pytest.param(
            [("received", RECEIVED), DELIVERED[1], DEAD, ("replayed", {"calls": ["purchase"]})],
            EventState.WAITING,
            "",
            id="the call that was given up is replayed",
        ),
        pytest.param(
            [UNMAPPABLE, ("replayed", {"calls": ["purchase"]})],
            EventState.WAITING,
            "",
            id="an event that never became a call is replayed",
        ),
        pytest.param(
            [UNMAPPABLE, ("replayed", {"ending": "dropped:no_identity"})],
            EventState.DROPPED,
            "no_identity",
            id="a replay drops the event",
        ),
        pytest.param([DROPPED], EventState.DROPPED, "no_identity", id="dropped on arrival"),
        pytest.param(
            [("received", RECEIVED | {"calls": ["identity"]}), ("unchanged", {"endpoint": "identity"})],
            EventState.DROPPED,
            "unchanged",
            id="its only call was left out",
        ),
        pytest.param(
            [("received", RECEIVED), DELIVERED[0], ("unchanged", {"endpoint": "identity"})],
            EventState.DELIVERED,
            "",
            id="one call was left out, the other delivered",
        ),
        pytest.param(
            [("received", RECEIVED | {"calls": ["identity"]}), ("merge", {"link": "blocked"})],
            EventState.DROPPED,
            "merge_blocked",
            id="its only call would merge two people",
        ),
        pytest.param([DELIVERED[0]], EventState.DELIVERED, "", id="its arrival is no longer in the journal"),
        pytest.param(
            [("received", RECEIVED), attempt("purchase", "KeyError in send, line 3")],
            EventState.DEAD_LETTER,
            "",
            id="our own code failed",
        ),
    ],
)
def test_the_state_of_an_event_is_that_of_its_worst_call(
    entries: list[tuple[str, dict[str, Any]]], state: EventState, reason: str
) -> None:
    summary = summary_of(rows_of(*entries))
    assert (summary.state, summary.reason) == (state, reason)


def test_attempts_are_counted_by_call() -> None:
    summary = summary_of(rows_of(("received", RECEIVED), RETRY, attempt("purchase", "delivered", attempt=2)))
    assert [(call.endpoint, call.attempts, call.outcome) for call in summary.calls] == [
        ("purchase", 2, RowOutcome.DELIVERED),
        ("identity", 0, None),
    ]


def test_a_stranger_whose_hash_is_equal_is_told_apart_by_the_masked_address() -> None:
    wanted = EventFilter(email="jane@example.com")
    facts = {"decision": "drop", "search_hashes": [search_hash("emails", "jane@example.com")]}
    same = row_of("acme", "1-0", "received", "m", facts | {"who": {"email": "j***@example.com"}})
    other = row_of("acme", "1-0", "received", "m", facts | {"who": {"email": "p***@example.org"}})
    assert (wanted.matches(same), wanted.matches(other)) == (True, False)


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        pytest.param(EventFilter(event="order completed"), True, id="the event's name in any case"),
        pytest.param(EventFilter(event="Order Refunded"), False, id="another event"),
        pytest.param(EventFilter(endpoint="identity"), True, id="one of its calls"),
        pytest.param(EventFilter(endpoint="add-to-cart"), False, id="another endpoint"),
        pytest.param(EventFilter(outcomes=frozenset({RowOutcome.ACCEPTED, RowOutcome.DROPPED})), True, id="outcomes"),
        pytest.param(EventFilter(outcomes=frozenset({RowOutcome.DROPPED})), False, id="another outcome"),
        pytest.param(EventFilter(message_id="m-1", source="shop"), True, id="two fields that match"),
        pytest.param(EventFilter(message_id="m-1", source="app"), False, id="one of two fields does not match"),
        pytest.param(EventFilter(order_id="1001"), False, id="an order that the row does not have"),
    ],
)
def test_every_field_of_a_filter_must_match(wanted: EventFilter, matches: bool) -> None:
    (row,) = rows_of(("received", RECEIVED))
    assert wanted.matches(row) is matches
