"""Traits as user attributes: the well-known ones by name, the others as custom ones, nothing twice."""

from typing import Any, Final

import pytest

from app.mapping.attributes import AttributeRules, user_attributes

USUAL: Final = AttributeRules()


def attributes(traits: dict[str, Any]) -> dict[str, Any] | None:
    return user_attributes(traits, USUAL, [])


def notes_on(traits: dict[str, Any]) -> list[str]:
    notes: list[str] = []
    user_attributes(traits, USUAL, notes)
    return notes


@pytest.mark.parametrize(
    ("traits", "expected"),
    [
        pytest.param({"firstName": "Ada"}, {"firstName": "Ada"}, id="a first name"),
        pytest.param({"first_name": "Ada"}, {"firstName": "Ada"}, id="a first name in snake case"),
        pytest.param({"birthday": "1986-11-16"}, {"demographic": {"dateOfBirth": "1986-11-16"}}, id="a birthday"),
        pytest.param(
            {"birthday": "1986-11-16T00:00:00Z"}, {"demographic": {"dateOfBirth": "1986-11-16"}}, id="with a time"
        ),
        pytest.param(
            {"birthday": "1986-11-16T00:00:00+02:00"},
            {"demographic": {"dateOfBirth": "1986-11-16"}},
            id="with a time east of Greenwich, where that day is the birthday",
        ),
        pytest.param({"birthday": "in May"}, {"custom": {"birthday": "in May"}}, id="a birthday in words"),
        pytest.param({"age": 39}, {"demographic": {"age": 39}}, id="an age"),
        pytest.param({"age": -1}, {"custom": {"age": -1}}, id="an age that cannot be"),
        pytest.param({"language": "en"}, {"demographic": {"language": "en"}}, id="a language"),
        pytest.param({"company": {"name": "ACME"}}, {"demographic": {"organization": "ACME"}}, id="a company"),
        pytest.param({"address": {"city": "Rome"}}, {"location": {"city": "Rome"}}, id="a city"),
        pytest.param({"address": {"postalCode": 94901}}, {"location": {"zip": "94901"}}, id="a numeric postal code"),
        pytest.param({"address": {"country": "gb"}}, {"location": {"country": "GB"}}, id="a country code"),
        pytest.param(
            {"address": {"country": "Great Britain"}},
            {"custom": {"address_country": "Great Britain"}},
            id="a country written out",
        ),
        pytest.param({"tier": "gold", "vip": True}, {"custom": {"tier": "gold", "vip": True}}, id="custom ones"),
        pytest.param({"pet": {"name": {"first": "Rex"}}}, {"custom": {"pet_name_first": "Rex"}}, id="flattened ones"),
        pytest.param({"likes": ["a", 1]}, {"custom": {"likes": "a, 1"}}, id="a list of scalars"),
        pytest.param({"a|b": 1}, {"custom": {"a_b": 1}}, id="a name with a forbidden sign"),
        pytest.param({"email": "e", "phone": "p", "id": 1, "username": "u"}, None, id="nothing but identifiers"),
        pytest.param({"a": None, "b": {}, "c": []}, None, id="nothing but nothing"),
        pytest.param({}, None, id="nothing"),
    ],
)
def test_traits_become(traits: dict[str, Any], expected: dict[str, Any] | None) -> None:
    assert attributes(traits) == expected


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
    ],
)
def test_what_cannot_be_sent_is_noted(traits: dict[str, Any]) -> None:
    assert notes_on(traits) != []


def test_an_identifier_is_no_attribute_only_where_it_is_one() -> None:
    assert attributes({"email": "e", "work": {"email": "w"}}) == {"custom": {"work_email": "w"}}
