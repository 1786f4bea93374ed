"""What a run plans: rows against what Attentive accepted, keys that are missing or shared, and rejects of before."""

from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from app.rows.comparing import compare
from app.rows.guard import SyncRefused, check_first_run, fingerprint_of
from app.rows.outcomes import Bucket, Op, Outcome, RunState, report_of
from app.rows.state import State
from tests.rows.test_shape import sync


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with State(tmp_path / "s.sqlite") as state:
        yield state


def row(key: Any, tier: str = "gold") -> dict[str, Any]:
    return {"id": key, "email": f"r{key}@example.com", "tier": tier}


def planned(state: State, rows: list[dict[str, Any]], **options: Any) -> dict[Op, int]:
    state.begin(f"run-{len(state.runs(100))}", 0)
    compare(sync(**options), state, rows)
    return state.ops()


def ended(state: State, outcome: str = "delivered") -> None:
    """Every planned row ends so, and the run too."""
    state.settle([(each.place, outcome, "") for each in state.to_send()])
    state.finish(state.runs()[0].id, RunState.DONE, {}, 1)


def test_rows_are_new_then_changed_or_unchanged(state: State) -> None:
    assert planned(state, [row(1), row(2), row(3)]) == {Op.NEW: 3}
    ended(state)
    assert planned(state, [row(1), row(2, "silver"), row(4)]) == {Op.SAME: 1, Op.CHANGED: 1, Op.NEW: 1}


def test_insert_takes_no_changes(state: State) -> None:
    planned(state, [row(1)], mode="insert")
    ended(state)
    assert planned(state, [row(1, "silver"), row(2)], mode="insert") == {Op.SAME: 1, Op.NEW: 1}


@pytest.mark.parametrize(
    ("outcome", "then"),
    [
        pytest.param("dropped:no_identity", Op.NEW, id="a dropped row"),
        pytest.param("dead:http_400", Op.NEW, id="a dead letter"),
        pytest.param("unknown:given_up", Op.NEW, id="an unknown outcome"),
        pytest.param("dropped:unchanged", Op.SAME, id="what Attentive has from elsewhere counts as accepted"),
    ],
)
def test_rejects_of_attributes_are_tried_again(outcome: str, then: Op, state: State) -> None:
    planned(state, [row(1)])
    ended(state, outcome)
    assert planned(state, [row(1)]) == {then: 1}


@pytest.mark.parametrize(
    ("outcome", "then"),
    [
        pytest.param("dropped:no_identity", Op.NEW, id="a dropped event"),
        pytest.param("dead:http_400", Op.KEPT, id="an event with a dead letter, which can be replayed"),
        pytest.param("unknown:review", Op.KEPT, id="an event that waits for a review"),
    ],
)
def test_events_are_never_sent_beside_their_dead_letter(outcome: str, then: Op, state: State) -> None:
    event = {**row("o1"), "type": "Points Earned"}
    for _ in range(2):  # the reject outlives the run that keeps it
        planned(state, [event], object="events")
        state.settle([(each.place, outcome, "") for each in state.to_send()])
        state.finish(state.runs()[0].id, RunState.DONE, {}, 1)
    assert planned(state, [event], object="events") == {then: 1}


@pytest.mark.parametrize(
    ("keep", "sent"),
    [
        pytest.param("first", ["gold"], id="the first"),
        pytest.param("last", ["iron"], id="the last"),
        pytest.param("reject", [], id="none"),
    ],
)
def test_of_rows_that_share_a_key_one_or_none_is_sent(keep: str, sent: list[str], state: State) -> None:
    rows = [row(1, "gold"), row(2, "wood"), row(1, "silver"), row(1, "iron"), {**row(3), "id": ""}]
    planned(state, rows, duplicates=keep)
    tiers = [each.content.decode().partition('"tier":"')[2].partition('"')[0] for each in state.to_send()]
    assert Counter(tiers) == Counter([*sent, "wood"])
    report = report_of(state.outcomes())
    assert (report.read, report.buckets[Bucket.DROPPED]) == (5, 4 - len(sent))
    assert report.balances


def test_the_first_row_without_a_key_of_its_own_is_named(state: State) -> None:
    planned(state, [row(1), row(2), row(1)])
    bad = state.first_bad()
    assert bad is not None
    assert (bad.place, bad.outcome) == (1, Outcome.DUPLICATE_KEY)


def test_a_dry_run_leaves_an_interrupted_run_alone(tmp_path: Path) -> None:
    with State(tmp_path / "s.sqlite") as state:
        planned(state, [row(1), row(2)])
    with State(tmp_path / "s.sqlite") as dry:
        dry.stage_apart()
        compare(sync(duplicates="first"), dry, [row(number) for number in (1, 2, 3, 3)])
        assert len(list(dry.to_send())) == 3
    with State(tmp_path / "s.sqlite") as state:
        assert len(list(state.to_send())) == 2


def test_contents_are_gone_when_their_rows_have_ended(state: State) -> None:
    planned(state, [row(1), row(2)])
    ended(state)
    state._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    state._db.execute("VACUUM")
    assert b"r1@example.com" not in state.path.read_bytes()


@pytest.mark.parametrize(
    ("kind", "known", "before", "code"),
    [
        pytest.param("events", None, None, None, id="a first run"),
        pytest.param("events", "own", "same", None, id="a later run"),
        pytest.param("events", "other", None, "state_lost", id="the state is another one"),
        pytest.param("events", "own", "changed", "source_changed", id="the key or the source is another one"),
        pytest.param("attributes", "other", "changed", None, id="attributes can be repeated"),
    ],
)
def test_events_are_not_sent_twice_because_a_state_is_lost(
    kind: str, known: str | None, before: str | None, code: str | None
) -> None:
    wanted = sync(object=kind)
    before = fingerprint_of(wanted) if before == "same" else before
    with pytest.raises(SyncRefused) if code else nullcontext() as refused:
        check_first_run(wanted, own="own", known=known, before=before)
    assert (refused.value.code if refused else None) == code


@pytest.mark.parametrize(
    ("query", "index"),
    [
        pytest.param(
            "SELECT place FROM stage WHERE step < 2 AND op != 'gone' ORDER BY place LIMIT 1", "open", id="open"
        ),
        pytest.param("SELECT place FROM stage WHERE step = 2 ORDER BY place", "waiting", id="waiting"),
    ],
)
def test_rows_that_have_ended_are_not_searched_for_those_that_have_not(query: str, index: str, state: State) -> None:
    planned(state, [row(1)])
    (plan,) = state._db.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()
    assert f"stage_{index}" in plan[-1]


def test_an_opt_out_is_sent_again_after_an_opt_in_that_was_not(state: State) -> None:
    consent = {"column": "sms", "opt_in": ["yes"], "opt_out": ["no"], "channels": "text", "sign_up_source": "1"}
    options: dict[str, Any] = {"object": "subscribers", "consent": consent}
    for stated, outcome in (("no", "delivered"), ("yes", "dropped:opted_out")):
        planned(state, [{"id": 1, "phone": "+14155550132", "sms": stated}], **options)
        ended(state, outcome)
    assert planned(state, [{"id": 1, "phone": "+14155550132", "sms": "no"}], **options) == {Op.NEW: 1}
