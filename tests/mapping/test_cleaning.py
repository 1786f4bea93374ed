"""Names and values mended before they are sent: nothing is lost without a note."""

import copy
import random
from typing import Any, Final

import pytest

from app.mapping import cleaning
from app.mapping.cleaning import FORBIDDEN, clean_name, clean_object
from tests.builders import body_of, forwarded, track
from tests.hostile.work import processor_ns


@pytest.mark.parametrize("sign", list(FORBIDDEN))
def test_a_forbidden_sign_becomes_an_underscore(sign: str) -> None:
    assert clean_name(f"a{sign}b") == "a_b"


@pytest.mark.parametrize("name", ["a", "A b-c.d/e:f;g", "größe", "ключ", "😀", " ", "_", "a_2"])
def test_a_name_without_one_stays(name: str) -> None:
    assert clean_name(name) == name


CASES: Final = [
    pytest.param({"a": 1}, {"a": 1}, id="clean names stay"),
    pytest.param({'a"b': 1}, {"a_b": 1}, id="a quote"),
    pytest.param({"a{b": 1}, {"a_b": 1}, id="a brace"),
    pytest.param({"a|b": 1}, {"a_b": 1}, id="a bar"),
    pytest.param({'a"b': 1, "a{b": 2, "a|b": 3}, {"a_b": 1, "a_b_2": 2, "a_b_3": 3}, id="three names become one"),
    pytest.param({"a_b": 1, "a|b": 2}, {"a_b": 1, "a_b_2": 2}, id="a clean name keeps its place"),
    pytest.param({"a|b": 2, "a_b": 1}, {"a_b_2": 2, "a_b": 1}, id="even when it comes last"),
    pytest.param(
        {"a|b": 1, "a_b": 2, "a_b_2": 3}, {"a_b_3": 1, "a_b": 2, "a_b_2": 3}, id="and so does one with a number"
    ),
    pytest.param({"a": {"b|c": [{"d|e": 1}]}}, {"a": {"b_c": [{"d_e": 1}]}}, id="at every depth"),
    pytest.param({"a": None, "b": [None, 1], "c": {"d": None}}, {"b": [1]}, id="null goes"),
    pytest.param({"a": [[{"b|": 1}]]}, {"a": [[{"b_": 1}]]}, id="in lists of lists too"),
    pytest.param({"": 1, "a": 2}, {"a": 2}, id="a name that is empty goes"),
    pytest.param(
        {"a": "", "b": 0, "c": False, "d": [], "e": {}, "f": " \n", "g": [{}, "", [[]]], "h": {"i": {"j": None}}},
        {"b": 0, "c": False},
        id="what is empty goes, at every depth; zero and false stay",
    ),
]


@pytest.mark.parametrize(("given", "clean"), CASES)
def test_an_object_is_made_fit_to_send(given: dict[str, Any], clean: dict[str, Any]) -> None:
    assert clean_object(given, "properties", []) == clean


@pytest.mark.parametrize(("given", "clean"), CASES)
def test_the_given_object_is_not_touched(given: dict[str, Any], clean: dict[str, Any]) -> None:
    before = copy.deepcopy(given)
    clean_object(given, "properties", [])
    assert given == before


def test_cleaning_twice_is_cleaning_once() -> None:
    once = clean_object({'a"b': {"c|d": 1}, "a_b": 2}, "properties", [])
    notes: list[str] = []
    assert clean_object(once, "properties", notes) == once
    assert notes == []


def test_a_changed_name_is_noted() -> None:
    raw = track("Coupon Entered", {'co"de': 1, "co{de": 2, "co|de": 3, "fine": 4})
    assert body_of(raw)["properties"] == {"co_de": 1, "co_de_2": 2, "co_de_3": 3, "fine": 4}
    assert [note for note in forwarded(raw).notes if "co_de" in note and note.startswith("properties")] != []
    assert len(forwarded(raw).notes) == 3


@pytest.mark.parametrize(
    ("event", "type_"),
    [
        pytest.param("Coupon, Entered", "Coupon_ Entered", id="forbidden signs are replaced"),
        pytest.param("  Coupon Entered ", "Coupon Entered", id="blanks around it go"),
        pytest.param("E" * 300, "E" * 200, id="what is too long is cut"),
    ],
)
def test_an_events_name_is_made_a_type_that_attentive_takes(event: str, type_: str) -> None:
    assert body_of(track(event))["type"] == type_


def test_a_changed_type_is_noted() -> None:
    assert [note for note in forwarded(track("a|b")).notes if note.startswith("event")] != []
    assert forwarded(track("a b")).notes == ()


def test_names_that_become_one_cost_no_more_than_their_number() -> None:
    def colliding(number: int) -> dict[str, int]:
        chance = random.Random(number)
        return {"a" + "".join(chance.choices(FORBIDDEN, k=12)): n for n in range(number)}

    few, many = colliding(200), colliding(1600)
    clean = clean_object(many, "properties", [])
    assert len(clean) == len(many)
    costs = [processor_ns(lambda given=given: clean_object(given, "properties", [])) for given in (few, many)]  # type: ignore[misc]
    assert costs[1] <= 24 * costs[0] + 2_000_000  # of eight times as many; what is quadratic takes 64 times


def test_names_that_are_new_each_time_do_not_keep_usual_names_out() -> None:
    for number in range(2 * cleaning._KNOWN_CLEAN_MOST):
        clean_name(f"junk {number}")
    assert clean_name("usual") == "usual"
    assert "usual" in cleaning._KNOWN_CLEAN
    assert len(cleaning._KNOWN_CLEAN) <= cleaning._KNOWN_CLEAN_MOST
    clean_name("x" * 10_000)
    assert max(map(len, cleaning._KNOWN_CLEAN)) < 1000
