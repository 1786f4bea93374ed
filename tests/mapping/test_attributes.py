"""Traits as attributes: named fields and custom ones, nothing twice, nothing that the account cannot take."""

import copy
from typing import Any, Final

import pytest

from app.identity.identity import Identity
from app.mapping.attributes import AS_THEY_CAME, AttributeGuard, AttributeRules, custom_attributes, user_attributes
from app.mapping.expressions import Evaluation
from tests.builders import EMAIL, about, calls, forwarded, identify, parsed

USUAL: Final = AttributeRules()


def evaluation(traits: dict[str, Any], notes: list[str] | None = None) -> Evaluation:
    event = parsed(identify(traits, userId="7"))
    return Evaluation(event, Identity(email=EMAIL), event.properties, "properties.", [] if notes is None else notes)


def attributes(traits: dict[str, Any], rules: AttributeRules = USUAL) -> dict[str, Any] | None:
    return user_attributes(AS_THEY_CAME, evaluation(traits), AttributeGuard(rules, {}))


def version_1(traits: dict[str, Any], guard: AttributeGuard, notes: list[str] | None = None) -> dict[str, Any] | None:
    return custom_attributes(AS_THEY_CAME, evaluation(traits, notes), guard)


def notes_on(traits: dict[str, Any], rules: AttributeRules = USUAL) -> list[str]:
    notes: list[str] = []
    user_attributes(AS_THEY_CAME, evaluation(traits, notes), AttributeGuard(rules, {}))
    return notes


@pytest.mark.parametrize(
    ("traits", "expected"),
    [
        pytest.param({"firstName": "Ada"}, {"firstName": "Ada"}, id="a named field"),
        pytest.param({"address": {"city": "Rome"}}, {"location": {"city": "Rome"}}, id="a named field within another"),
        pytest.param({"birthday": "in May"}, {"custom": {"birthday": "in May"}}, id="what does not fit its field"),
        pytest.param({"address": {"country": "Atlantis"}}, {"custom": {"address_country": "Atlantis"}}, id="nor there"),
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
    assert version_1(traits, AttributeGuard(USUAL, {})) == expected


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
        assert version_1(traits, guard) == traits
        assert guard.first_seen == {"points": "number", "vip": "boolean", "since": "date", "zip_code": "number"}
        assert guard.counts == []

    def test_leaves_out_what_is_of_another_type_and_that_alone(self) -> None:
        guard, notes = AttributeGuard(USUAL, {"points": "number", "tier": "string"}), list[str]()
        found = user_attributes(
            AS_THEY_CAME, evaluation({"firstName": "Ada", "points": "many", "tier": "gold"}, notes), guard
        )
        assert found == {"firstName": "Ada", "custom": {"tier": "gold"}}
        assert notes == ["traits: 'points' is a number in this account, here it is a string, left out"]
        assert guard.counts == ["left_out:type:points"]
        assert guard.first_seen == {}

    def test_knows_an_attribute_by_the_name_it_is_sent_under(self) -> None:
        guard = AttributeGuard(USUAL, {"a_b": "number"})
        assert version_1({"a|b": "x"}, guard) is None
        assert version_1({"a": {"b": "x"}}, guard) is None

    def test_takes_no_more_names_than_the_account_has(self) -> None:
        known = {f"name {number}": "number" for number in range(99)}
        guard, notes = AttributeGuard(USUAL, known), list[str]()
        assert version_1({"name 7": 1, "new": 1, "newer": 1}, guard, notes) == {"name 7": 1, "new": 1}
        assert guard.counts == ["left_out:names"]
        assert "'newer'" in notes[0]
        assert "100" in notes[0]

    def test_takes_any_number_of_names_where_the_settings_say_so(self) -> None:
        known = {f"name {number}": "number" for number in range(100)}
        guard = AttributeGuard(AttributeRules(most_names=None), known)
        assert version_1({"new": 1}, guard) == {"new": 1}

    def test_goes_by_the_type_that_the_settings_say(self) -> None:
        rules = AttributeRules(types={"zip_code": "string", "points": "number"})
        guard = AttributeGuard(rules, {"zip_code": "number", "points": "string"})
        assert version_1({"zip_code": "SW1A", "points": "many"}, guard) == {"zip_code": "SW1A"}
        assert version_1({"zip_code": 2134, "points": 24}, guard) == {"zip_code": "2134", "points": 24}

    def test_has_room_for_what_the_settings_name(self) -> None:
        rules = AttributeRules(most_names=1, types={"zip_code": "string"})
        guard = AttributeGuard(rules, {"tier": "string"})
        assert version_1({"zip_code": True, "tier": "gold"}, guard) == {"zip_code": "true", "tier": "gold"}
        assert guard.first_seen == {"zip_code": "string"}


class TestAPublicSource:
    """Its write key is public: it may use attributes, and neither define their types nor use up the names."""

    PUBLIC: Final = AttributeRules(defines=False)

    def test_sends_a_new_attribute_with_a_provisional_type(self) -> None:
        guard = AttributeGuard(self.PUBLIC, {})
        assert version_1({"points": "many"}, guard) == {"points": "many"}
        assert guard.first_seen == {"points": "string?"}

    def test_does_not_bind_a_trusted_source(self) -> None:
        guard = AttributeGuard(AttributeRules(), {"points": "string?"})
        assert version_1({"points": 5}, guard) == {"points": 5}
        assert guard.first_seen == {"points": "number"}

    @pytest.mark.parametrize("known", ["number", "number?"])
    def test_keeps_to_the_known_type(self, known: str) -> None:
        notes: list[str] = []
        guard = AttributeGuard(self.PUBLIC, {"points": known})
        assert version_1({"points": "many"}, guard, notes) is None
        assert version_1({"points": 7}, guard) == {"points": 7}
        assert (guard.first_seen, guard.counts) == ({}, ["left_out:type:points"])
        assert notes == ["traits: 'points' is a number in this account, here it is a string, left out"]

    def test_leaves_half_of_the_names_to_trusted_sources(self) -> None:
        known = {f"junk {number}": "string?" for number in range(50)}
        public, server = AttributeGuard(self.PUBLIC, known), AttributeGuard(AttributeRules(), known)
        assert version_1({"more junk": 1}, public) is None
        assert public.counts == ["left_out:names"]
        assert version_1({"tier": "gold"}, server) == {"tier": "gold"}

    def test_may_use_every_name_that_the_settings_declare(self) -> None:
        rules = AttributeRules(defines=False, most_names=2, types={"tier": "string"})
        guard = AttributeGuard(rules, {"a": "string", "b": "string"})
        assert version_1({"tier": "gold"}, guard) == {"tier": "gold"}


def test_an_event_tells_what_it_adds_and_what_it_lost() -> None:
    raw = about(identify({"points": "many", "tier": "gold"}), email=EMAIL, points="many", tier="gold")
    forward = forwarded(raw, attributes={"points": "number"})
    assert forward.attributes == {"tier": "string"}
    assert forward.counts == ("left_out:type:points",)
    assert [note for note in forward.notes if "points" in note] != []
    assert calls(raw, attributes={"points": "number"})[-1][1]["attributes"] == {"custom": {"tier": "gold"}}
