"""Traits as attributes: named fields and custom ones, nothing twice, nothing that the account cannot take."""

import copy
from typing import Any, Final

import pytest

from app.mapping.attributes import AttributeGuard, AttributeRules, custom_attributes, user_attributes
from tests.builders import EMAIL, about, calls, forwarded, identify

USUAL: Final = AttributeRules()


def attributes(traits: dict[str, Any], rules: AttributeRules = USUAL) -> dict[str, Any] | None:
    return user_attributes(traits, AttributeGuard(rules, {}), [])


def notes_on(traits: dict[str, Any], rules: AttributeRules = USUAL) -> list[str]:
    notes: list[str] = []
    user_attributes(traits, AttributeGuard(rules, {}), notes)
    return notes


@pytest.mark.parametrize(
    ("traits", "expected"),
    [
        pytest.param({"firstName": "Ada"}, {"firstName": "Ada"}, id="a named field"),
        pytest.param({"address": {"city": "Rome"}}, {"location": {"city": "Rome"}}, id="a named field within another"),
        pytest.param({"birthday": "in May"}, {"custom": {"birthday": "in May"}}, id="what does not fit its field"),
        pytest.param(
            {"address": {"country": "Great Britain"}}, {"custom": {"address_country": "Great Britain"}}, id="nor there"
        ),
        pytest.param({"tier": "gold", "vip": True}, {"custom": {"tier": "gold", "vip": True}}, id="custom ones"),
        pytest.param({"pet": {"name": {"first": "Rex"}}}, {"custom": {"pet_name_first": "Rex"}}, id="flattened ones"),
        pytest.param({"likes": ["a", 1, True, None]}, {"custom": {"likes": "a, 1, true"}}, id="a list of scalars"),
        pytest.param({"a|b": 1}, {"custom": {"a_b": 1}}, id="a name with a forbidden sign"),
        pytest.param({"email": "e", "phone": "p", "id": 1, "username": "u"}, None, id="nothing but identifiers"),
        pytest.param({"shopify_id": 1, "klaviyo_id": "k"}, None, id="nothing but ids of Shopify and Klaviyo"),
        pytest.param({"a": None, "b": {}, "c": [], "d": "", "e": " ", "f": [None]}, None, id="nothing but nothing"),
        pytest.param({}, None, id="nothing"),
    ],
)
def test_traits_become(traits: dict[str, Any], expected: dict[str, Any] | None) -> None:
    before = copy.deepcopy(traits)
    assert attributes(traits) == expected
    assert traits == before


@pytest.mark.parametrize(
    ("traits", "expected"),
    [
        pytest.param(
            {"firstName": "Ada", "address": {"city": "Rome"}, "age": 39},
            {"firstName": "Ada", "address_city": "Rome", "age": 39},
            id="by their own names, for it has no others",
        ),
        pytest.param({"email": EMAIL, "username": "ada", "id": 7}, None, id="nothing, of identifiers"),
        pytest.param({"likes": ["a", "b"]}, {"likes": "a, b"}, id="a list as text"),
    ],
)
def test_in_the_first_version_of_the_api_all_are_custom(
    traits: dict[str, Any], expected: dict[str, Any] | None
) -> None:
    assert custom_attributes(traits, AttributeGuard(USUAL, {}), []) == expected


def test_lists_are_left_out_where_they_are_not_to_be_joined() -> None:
    rules = AttributeRules(join_lists=False)
    assert attributes({"likes": ["a"], "tier": "gold"}, rules) == {"custom": {"tier": "gold"}}
    assert notes_on({"likes": ["a"]}, rules) == ["traits.likes: a list, left out"]


def test_a_precise_location_is_sent_only_where_it_is_wanted() -> None:
    traits = {"latitude": 51.5, "address": {"longitude": -0.13}}
    assert attributes(traits) is None
    assert len(notes_on(traits)) == 2
    wanted = AttributeRules(precise_location=True)
    assert attributes(traits, wanted) == {"location": {"latitude": "51.5", "longitude": "-0.13"}}


def test_at_most_a_hundred_custom_attributes_are_sent_and_the_rest_is_noted() -> None:
    traits = {f"trait {number}": number for number in range(150)}
    found = attributes(traits)
    assert found is not None
    assert len(found["custom"]) == 100
    assert [note for note in notes_on(traits) if "100" in note] != []


@pytest.mark.parametrize(
    "traits",
    [
        pytest.param({"x" * 201: 1}, id="a name of 201 characters"),
        pytest.param({"a|b": 1, "a_b": 2}, id="two names that become one"),
        pytest.param({"a": {"b": 1}, "a_b": 2}, id="a nested name and a flat one"),
        pytest.param({"a": {"b": 1}, "a.b": 2}, id="a nested name and a dotted one"),
        pytest.param({"pets": [{"name": "Rex"}]}, id="a list of objects"),
        pytest.param({"pets": [["Rex"]]}, id="a list of lists"),
    ],
)
def test_what_cannot_be_sent_is_noted(traits: dict[str, Any]) -> None:
    assert notes_on(traits) != []


def test_an_identifier_is_no_attribute_only_where_it_is_one() -> None:
    assert attributes({"email": "e", "work": {"email": "w"}}) == {"custom": {"work_email": "w"}}
    nested = AttributeRules(identifiers=frozenset({"loyalty.card"}))
    assert attributes({"loyalty": {"card": 7, "tier": "gold"}}, nested) == {"custom": {"loyalty_tier": "gold"}}


class TestTheGuard:
    def test_learns_the_types_of_new_names(self) -> None:
        guard = AttributeGuard(USUAL, {"tier": "string"})
        traits = {"tier": "gold", "points": 24, "vip": True, "since": "2026-01-31", "zip_code": "02134"}
        assert custom_attributes(traits, guard, []) == traits
        assert guard.first_seen == {"points": "number", "vip": "boolean", "since": "date", "zip_code": "number"}
        assert guard.counts == []

    def test_leaves_out_what_is_of_another_type_and_that_alone(self) -> None:
        guard, notes = AttributeGuard(USUAL, {"points": "number", "tier": "string"}), list[str]()
        found = user_attributes({"firstName": "Ada", "points": "many", "tier": "gold"}, guard, notes)
        assert found == {"firstName": "Ada", "custom": {"tier": "gold"}}
        assert notes == ["traits: 'points' is a number in this account, here it is a string, left out"]
        assert guard.counts == ["left_out:type:points"]
        assert guard.first_seen == {}

    def test_knows_an_attribute_by_the_name_it_is_sent_under(self) -> None:
        guard = AttributeGuard(USUAL, {"a_b": "number"})
        assert custom_attributes({"a|b": "x"}, guard, []) is None
        assert custom_attributes({"a": {"b": "x"}}, guard, []) is None

    def test_takes_no_more_names_than_the_account_has(self) -> None:
        known = {f"name {number}": "number" for number in range(99)}
        guard, notes = AttributeGuard(USUAL, known), list[str]()
        assert custom_attributes({"name 7": 1, "new": 1, "newer": 1}, guard, notes) == {"name 7": 1, "new": 1}
        assert guard.counts == ["left_out:names"]
        assert "'newer'" in notes[0]
        assert "100" in notes[0]

    def test_takes_any_number_of_names_where_the_settings_say_so(self) -> None:
        known = {f"name {number}": "number" for number in range(100)}
        guard = AttributeGuard(AttributeRules(most_names=None), known)
        assert custom_attributes({"new": 1}, guard, []) == {"new": 1}

    def test_goes_by_the_type_that_the_settings_say(self) -> None:
        rules = AttributeRules(kinds={"zip_code": "string", "points": "number"})
        guard = AttributeGuard(rules, {"zip_code": "number", "points": "string"})
        assert custom_attributes({"zip_code": "SW1A", "points": "many"}, guard, []) == {"zip_code": "SW1A"}
        assert custom_attributes({"zip_code": 2134, "points": 24}, guard, []) == {"zip_code": "2134", "points": 24}

    def test_has_room_for_what_the_settings_name(self) -> None:
        rules = AttributeRules(most_names=1, kinds={"zip_code": "string"})
        guard = AttributeGuard(rules, {"tier": "string"})
        assert custom_attributes({"zip_code": True, "tier": "gold"}, guard, []) == {"zip_code": "true", "tier": "gold"}
        assert guard.first_seen == {"zip_code": "string"}


def test_an_event_tells_what_it_adds_and_what_it_lost() -> None:
    raw = about(identify({"points": "many", "tier": "gold"}), email=EMAIL, points="many", tier="gold")
    forward = forwarded(raw, attributes={"points": "number"})
    assert forward.attributes == {"tier": "string"}
    assert forward.counts == ("left_out:type:points",)
    assert [note for note in forward.notes if "points" in note] != []
    assert calls(raw, attributes={"points": "number"})[-1][1]["attributes"] == {"custom": {"tier": "gold"}}
