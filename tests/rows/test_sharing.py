"""Rows that would link an identifier of many people are not sent: Attentive could not separate these people again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from app.config.destination import Destination
from app.rows.comparing import compare
from app.rows.events import RowEvents
from app.rows.outcomes import Op, Outcome, RunState
from app.rows.planning import complete_plan
from app.rows.state import State
from app.rows.subject import Subject
from app.wiring.gateway import plan_of_rows
from tests.rows.test_shape import sync


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with State(tmp_path / "s.sqlite") as state:
        yield state


def planned(
    state: State, rows: list[dict[str, Any]], account: dict[str, Any] | None = None, **options: Any
) -> set[str]:
    """Read and plan these rows; the keys of those that are not sent because they share an identifier."""
    destination = Destination.model_validate({"api_token": "x", **(account or {})})
    subject = Subject("crm", sync(**options), destination, state.path)
    state.begin(f"run-{len(state.runs(100))}", 0)
    compare(subject.sync, state, rows)
    plan = plan_of_rows(destination, subject.sync)
    complete_plan(subject, state, RowEvents("crm", "sync:crm", "run", plan, {}), plan)
    ended = state._db.execute("SELECT label FROM stage WHERE outcome = ?", [Outcome.IDENTIFIER_SHARED])
    return {label for (label,) in ended}


def finish(state: State) -> None:
    state.settle([(each.place, "delivered", "") for each in state.to_send()])
    state.finish(state.runs()[0].id, RunState.DONE, {}, 1)


def customers(number: int, **more: Any) -> list[dict[str, Any]]:
    return [{"id": f"r{each}", "client_user_id": f"c{each}", **more} for each in range(number)]


def keys(number: int) -> set[str]:
    return {f"r{each}" for each in range(number)}


SHARED: Final = [
    pytest.param({"phone": "+14155550132"}, id="a phone number"),
    pytest.param({"phone": 14155550132}, id="a phone number as a number"),
    pytest.param({"email": "info@example.com"}, id="an address"),
    pytest.param({"shopify_id": "77"}, id="an ID of the shop system"),
]


@pytest.mark.parametrize("value", SHARED)
def test_eight_customers_with_one_value_are_not_linked(value: dict[str, Any], state: State) -> None:
    alone = {"id": "alone", "client_user_id": "c99", "email": "alone@example.com"}
    assert planned(state, [*customers(8, **value), alone]) == keys(8)
    assert [each.place for each in state.to_send()] == [9]
    assert state.ops() == {Op.BAD: 8, Op.NEW: 1}


@pytest.mark.parametrize(
    ("customers_", "most_links", "dropped"),
    [
        pytest.param(5, 5, 0, id="as many as the limit"),
        pytest.param(6, 5, 6, id="one more"),
        pytest.param(6, 6, 0, id="a higher limit"),
        pytest.param(2, 1, 2, id="the lowest limit"),
    ],
)
def test_the_limit_is_that_of_the_destination(customers_: int, most_links: int, dropped: int, state: State) -> None:
    rows = customers(customers_, phone="+14155550132")
    account = {"identifiers": {"most_links": most_links}}
    assert planned(state, rows, account) == keys(dropped)


def test_values_are_compared_as_they_are_sent(state: State) -> None:
    emails = ["info@example.com", "INFO@example.com", " info@example.com ", "Info@Example.com"]
    rows = [{**row, "email": emails[place % 4]} for place, row in enumerate(customers(8))]
    assert planned(state, rows) == keys(8)


@pytest.mark.parametrize("kind", ["purchases", "events"])
def test_the_orders_of_one_person_are_sent(kind: str, state: State) -> None:
    person = {"client_user_id": "c1", "email": "ada@example.com", "phone": "+14155550132"}
    rows = [{"id": f"o{number}", "type": "Order", "price": number, **person} for number in range(10)]
    assert planned(state, rows, object=kind) == set()
    assert len(list(state.to_send())) == 10


def test_an_id_with_many_contacts_links_nothing(state: State) -> None:
    contacts = [{"email": f"a{each}@example.com"} for each in range(3)] + [
        {"phone": f"+1415555013{each}"} for each in range(3)
    ]
    rows = [{"id": f"r{each}", "client_user_id": "till", **contact} for each, contact in enumerate(contacts)]
    assert planned(state, rows) == keys(6)
    assert planned(state, rows[1:]) == set()


def test_a_number_with_many_addresses_links_nothing(state: State) -> None:
    rows = [{"id": f"r{each}", "email": f"a{each}@example.com", "phone": "+14155550132"} for each in range(6)]
    assert planned(state, rows) == keys(6)


def test_a_row_with_one_identifier_is_sent(state: State) -> None:
    rows = [*customers(8, phone="+14155550132"), {"id": "one", "phone": "+14155550132", "tier": "gold"}]
    assert planned(state, rows) == keys(8)
    assert [each.place for each in state.to_send()] == [9]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({"email": "null@null.com"}, id="a placeholder"),
        pytest.param({"phone": "000"}, id="a number that is not one"),
    ],
)
def test_a_value_that_is_not_sent_links_nothing(value: dict[str, Any], state: State) -> None:
    assert planned(state, customers(8, **value)) == set()


@pytest.mark.parametrize(("kind", "dropped"), [("attributes", 8), ("identity", 8), ("events", 0)])
def test_only_identifiers_that_calls_of_the_object_name_count(kind: str, dropped: int, state: State) -> None:
    assert planned(state, customers(8, shopify_id="77", type="Visit"), object=kind) == keys(dropped)


def test_a_contact_that_is_an_attribute_links_nothing(state: State) -> None:
    rows = [{"id": f"r{each}", "email": f"a{each}@example.com", "phone": "+14155550132"} for each in range(8)]
    account = {"identifiers": {"primary": "email", "secondary_attribute": "Phone"}}
    assert planned(state, rows, account) == set()


def test_rows_that_are_not_sent_themselves_do_not_count(state: State) -> None:
    rows = [{"id": "same", "client_user_id": "c1", "email": f"old{each}@example.com"} for each in range(8)]
    assert planned(state, rows, duplicates="last") == set()
    assert len(list(state.to_send())) == 1


def test_rows_of_earlier_runs_count_and_rejects_are_tried_again(state: State) -> None:
    rows = customers(8, phone="+14155550132")
    assert planned(state, rows[:5]) == set()
    finish(state)
    assert planned(state, rows) == keys(8) - keys(5)
    finish(state)
    (first, *_) = state.rejects()
    assert (first.label, first.outcome) == ("r5", "dropped:identifier_shared")
    assert first.detail == "More than 5 others in the source have this phone."
    corrected = [*rows[:5], *customers(8, phone="")[5:]]
    assert planned(state, corrected) == set()
    assert [each.place for each in state.to_send()] == [6, 7, 8]


def test_no_identifier_is_kept_when_the_plan_is_made(state: State) -> None:
    planned(state, customers(8, phone="+14155550132"))
    for schema in ("main", "temp"):
        query = f"SELECT name FROM {schema}.sqlite_master WHERE name IN ('identifiers', 'shared')"
        assert state._db.execute(query).fetchall() == []
    assert state.identifiers.find_shared(5) == 0


def test_a_member_whose_row_is_not_sent_stays(state: State) -> None:
    audience: dict[str, Any] = {
        "object": "audience",
        "mode": "mirror",
        "segment": {"external_id": "gold", "name": "Gold"},
    }
    rows = customers(8)
    assert planned(state, rows, **audience) == set()
    state.members.of_rows((each.place, b'{"clientUserId":"c"}') for each in list(state.to_send()))
    state.jobs.settle([(place, "delivered", "") for place in range(1, 9)])
    state.finish(state.runs()[0].id, RunState.DONE, {}, 1)
    assert planned(state, customers(8, phone="+14155550132"), **audience) == keys(8)
    assert (state.members.removals(), state.members.count()) == (0, 8)
