"""Rows that are known by their fingerprint: nothing is made of them, and what a run plans is what it plans without."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.rows.comparing import compare
from app.rows.outcomes import Op, RunState
from app.rows.state import State
from tests.generated import examples
from tests.rows.test_shape import sync

Table = list[dict[str, Any]]

ROWS: Final = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["1", "2", "3", "4", "5", " 5 ", ""]),
        "email": st.sampled_from(["a@example.com", "b@example.com", "A@example.com", " "]),
        "phone": st.sampled_from(["+14155550132", "14155550132", None]),
        "points": st.sampled_from([1, 1.0, "1", None, True]),
    }
)
TABLES: Final = st.lists(st.lists(ROWS, max_size=8), min_size=2, max_size=4)
OBJECTS: Final = st.sampled_from(
    [
        {},
        {"object": "events", "event": {"constant": "Visit"}},
        {"mode": "insert"},
        {"object": "audience", "mode": "mirror", "segment": {"external_id": "g", "name": "Gold"}},
        {"types": {"points": "number"}},
        {"identifiers": {"email": ["email", "phone"]}},
    ]
)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with State(tmp_path / "s.sqlite") as state:
        yield state


@contextmanager
def new_state() -> Iterator[State]:
    folder = Path(tempfile.mkdtemp())
    try:
        with State(folder / "s.sqlite") as state:
            yield state
    finally:
        shutil.rmtree(folder)


def planned(state: State, rows: Table, **options: Any) -> dict[Op, int]:
    state.begin(f"run-{len(state.runs(100))}", 0)
    compare(sync(**options), state, rows)
    return state.ops()


def end(state: State) -> None:
    state.settle([(each.place, "delivered", "") for each in state.to_send()])
    state.finish(state.runs()[0].id, RunState.DONE, {}, 1)


def forget_fingerprints(state: State) -> None:
    state._db.execute("UPDATE accepted SET fingerprint = NULL")


def rows_of(state: State) -> list[tuple[Any, ...]]:
    """The rows that a run sends or rejects, as they were staged."""
    query = "SELECT place, key, hash, content, op, outcome, detail FROM stage WHERE op != 'same' ORDER BY place"
    return state._db.execute(query).fetchall()


@given(tables=TABLES, options=OBJECTS, duplicates=st.sampled_from(["first", "last"]))
@examples(100)
def test_a_run_plans_with_fingerprints_what_it_plans_by_content(
    tables: list[Table], options: dict[str, Any], duplicates: str
) -> None:
    with new_state() as fast, new_state() as slow:
        for table in tables:
            found = planned(fast, table, **options, duplicates=duplicates)
            forget_fingerprints(slow)
            assert planned(slow, table, **options, duplicates=duplicates) == found
            assert rows_of(slow) == rows_of(fast)
            assert slow.outcomes() == fast.outcomes()
            end(fast)
            end(slow)


def table(number: int, **more: Any) -> Table:
    return [{"id": each, "email": f"p{each}@example.com", **more} for each in range(number)]


def test_nothing_is_made_of_an_unchanged_row(state: State) -> None:
    planned(state, table(3))
    end(state)
    state._db.execute("UPDATE accepted SET hash = x'00'")  # by its content, each row would be another one
    assert planned(state, table(3)) == {Op.SAME: 3}


def test_a_row_that_becomes_what_it_was_before_is_sent_again(state: State) -> None:
    for tier, op in (("gold", Op.NEW), ("silver", Op.CHANGED), ("gold", Op.CHANGED), ("gold", Op.SAME)):
        assert planned(state, table(2, tier=tier)) == {op: 2}
        end(state)


def test_rows_are_compared_by_content_where_the_sync_is_configured_anew(state: State) -> None:
    planned(state, table(3, tier="1"))
    end(state)
    assert planned(state, table(3, tier="1"), types={"tier": "number"}) == {Op.CHANGED: 3}
    assert planned(state, table(3, tier="1"), title="Loyalty") == {Op.SAME: 3}


def test_the_order_of_the_rows_makes_no_difference(state: State) -> None:
    rows = table(6_000)
    planned(state, rows)
    end(state)
    assert planned(state, rows[3_500:] + rows[:3_500]) == {Op.SAME: 6_000}
    assert planned(state, rows[::-1]) == {Op.SAME: 6_000}
    assert planned(state, rows[::3]) == {Op.SAME: 2_000}


def test_an_unchanged_row_that_comes_twice_is_a_duplicate(state: State) -> None:
    planned(state, table(3))
    end(state)
    planned(state, [*table(3), *table(2), *table(2)])
    bad = state.first_bad()
    assert bad is not None
    assert bad.place == 1
    assert state.ops() == {Op.SAME: 1, Op.BAD: 6}
