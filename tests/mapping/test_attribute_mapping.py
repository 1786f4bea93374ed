"""`mapping.identify`: which traits become which attributes, in version 2 of Attentive's API and in version 1."""

import json
import re
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from app.mapping.describe import lines
from app.pipeline import Forward
from tests.builders import EMAIL, Raw, forwarded, identify, planned

TRAITS: Final[Raw] = {
    "email": EMAIL,
    "given": "Ada",
    "plz": "10115",
    "loyalty": {"tier": "gold", "points": 24, "card": "7"},
    "likes": ["a", "b"],
    "shoe size": 42,
}


def found(mapping: str, traits: Raw = TRAITS, **attributes: Any) -> Forward:
    raw = identify(traits, userId="u-1")
    raw["context"] = {"campaign": {"source": "spring"}}
    return forwarded(raw, plan=planned(f"identify: {mapping}", attributes=attributes))


def sent(mapping: str, traits: Raw = TRAITS, **attributes: Any) -> Any:
    """The attributes of the one call that sets some."""
    bodies = {each.endpoint: orjson.loads(each.body) for each in found(mapping, traits, **attributes).deliveries}
    body = bodies.get("user-attributes", bodies.get("custom-attributes", {}))
    return body.get("attributes", body.get("properties"))


ALL: Final = {
    "given": "Ada",
    "plz": "10115",
    "loyalty_tier": "gold",
    "loyalty_points": 24,
    "loyalty_card": "7",
    "likes": "a, b",
    "shoe size": 42,
}
MAPPINGS: Final = [
    pytest.param("{}", {"custom": ALL}, id="all of them, when nothing is said"),
    pytest.param("{keep: [plz, loyalty.tier]}", {"custom": {"plz": "10115", "loyalty_tier": "gold"}}, id="kept"),
    pytest.param(
        "{keep: [loyalty], drop: [loyalty.card, loyalty.points]}", {"custom": {"loyalty_tier": "gold"}}, id="dropped"
    ),
    pytest.param(
        "{keep: [plz], rename: {plz: postcode of home}}", {"custom": {"postcode of home": "10115"}}, id="renamed"
    ),
    pytest.param(
        "{keep: [loyalty.tier], rename: {loyalty: club}}", {"custom": {"club_tier": "gold"}}, id="an object renamed"
    ),
    pytest.param(
        "{keep: [given, plz], rename: {given: firstName, plz: location.zip}}",
        {"firstName": "Ada", "location": {"zip": "10115"}},
        id="renamed to named fields",
    ),
    pytest.param(
        "{keep: [], attributes: {firstName: traits.given, demographic.language: {constant: German}}}",
        {"firstName": "Ada", "demographic": {"language": "German"}},
        id="named fields by path and constant",
    ),
    pytest.param(
        """{keep: [], attributes: {vip: {jmespath: "traits.loyalty.points > `20`"}, from: context.campaign.source}}""",
        {"custom": {"vip": True, "from": "spring"}},
        id="custom attributes by JMESPath and from outside the traits",
    ),
    pytest.param(
        "{keep: [], attributes: {tier: [traits.tier, traits.loyalty.tier, {constant: none}]}}",
        {"custom": {"tier": "gold"}},
        id="the first source that has a value",
    ),
    pytest.param("{keep: [], rename: {id: customer number}}", None, id="an identifier that is not kept"),
    pytest.param("{keep: [id], rename: {id: customer number}}", {"custom": {"customer number": 5}}, id="one that is"),
]


@pytest.mark.parametrize(("mapping", "expected"), MAPPINGS)
def test_traits_become(mapping: str, expected: Raw | None) -> None:
    assert sent(mapping, TRAITS | {"id": 5}) == expected


def test_in_version_1_the_mapping_fills_custom_attributes_alone() -> None:
    mapping = "{keep: [plz], rename: {plz: location.zip}, attributes: {firstName: traits.given, from: {constant: web}}}"
    assert sent(mapping, endpoint="v1") == {"location_zip": "10115", "firstName": "Ada", "from": "web"}


def test_a_mapped_field_goes_before_the_traits_that_usually_fill_it() -> None:
    traits = {"email": EMAIL, "firstName": "A.", "nick": "Ada"}
    assert sent("{drop: [nick], attributes: {firstName: traits.nick}}", traits) == {"firstName": "Ada"}


def test_mapped_attributes_have_the_types_of_the_account() -> None:
    forward = found(
        "{keep: [], attributes: {points: traits.loyalty.tier, tier: traits.loyalty.tier}}", types={"points": "number"}
    )
    assert orjson.loads(forward.deliveries[-1].body)["attributes"] == {"custom": {"tier": "gold"}}
    assert forward.counts == ("left_out:type:points",)


@pytest.mark.parametrize(
    ("declared", "given", "expected"),
    [
        pytest.param("string", 2134, "2134", id="a number as text"),
        pytest.param("string", True, "true", id="a truth as text"),
        pytest.param("number", "$1,299.00", 1299.0, id="an amount as a number"),
        pytest.param("boolean", "TRUE", True, id="text as a truth"),
        pytest.param("date", 1772355600, "2026-03-01T09:00:00+00:00", id="seconds as a date"),
        pytest.param("number", "many", None, id="words are no number"),
        pytest.param("boolean", "maybe", None, id="nor a truth"),
        pytest.param("date", "soon", None, id="nor a date"),
    ],
)
def test_a_value_is_coerced_to_the_declared_type(declared: str, given: Any, expected: Any) -> None:
    forward = found("{}", {"email": EMAIL, "x": given, "y": "z"}, types={"x": declared})
    custom = orjson.loads(forward.deliveries[-1].body)["attributes"]["custom"]
    assert custom == ({"y": "z"} if expected is None else {"x": expected, "y": "z"})
    assert [note for note in forward.notes if "'x'" in note] != []


@pytest.mark.parametrize(
    ("traits", "custom", "notes"),
    [
        pytest.param({"it's": 1}, {"it_s": 1}, ["a name with forbidden characters became 'it_s'"], id="a mended name"),
        pytest.param(
            {'a"b': 1, "a_b": 2},
            {"a_b_2": 1, "a_b": 2},
            ["a name with forbidden characters became 'a_b'", "two names become 'a_b', one of them is sent as 'a_b_2'"],
            id="a mended name that is taken",
        ),
        pytest.param(
            {"a": {"b": 1}, "a_b": 2},
            {"a_b_2": 1, "a_b": 2},
            ["two names become 'a_b', one of them is sent as 'a_b_2'"],
            id="a nested name that is taken",
        ),
        pytest.param({"a": {"b": 1}}, {"a_b": 1}, [], id="a nested name"),
    ],
)
def test_names_are_mended_with_a_note_and_told_apart(traits: Raw, custom: Raw, notes: list[str]) -> None:
    forward = found("{}", {"email": EMAIL, **traits})
    assert orjson.loads(forward.deliveries[-1].body)["attributes"]["custom"] == custom
    assert list(forward.notes) == [f"traits: {note}" for note in notes]


@pytest.mark.parametrize(
    ("traits", "expected"),
    [
        pytest.param({"postal_code": "10115"}, {"location": {"zip": "10115"}}, id="postal_code"),
        pytest.param({"zip_code": "02134"}, {"location": {"zip": "02134"}}, id="zip_code"),
        pytest.param({"address": {"zip_code": "02134"}}, {"location": {"zip": "02134"}}, id="zip_code of an address"),
        pytest.param({"dob": "1986-11-16"}, {"demographic": {"dateOfBirth": "1986-11-16"}}, id="dob"),
        pytest.param({"country": "United States"}, {"location": {"country": "US"}}, id="a country by its name"),
        pytest.param({"country": "deutschland"}, {"custom": {"country": "deutschland"}}, id="in English alone"),
        pytest.param({"country": "UK"}, {"location": {"country": "GB"}}, id="a country by its usual letters"),
        pytest.param({"address": {"country": "usa"}}, {"location": {"country": "USA"}}, id="a code of three letters"),
        pytest.param({"location": {"zip": "10115"}}, {"location": {"zip": "10115"}}, id="a field by its own name"),
    ],
)
def test_usual_names_are_known(traits: Raw, expected: Raw) -> None:
    assert sent("{}", {"email": EMAIL, **traits}) == expected


def test_what_is_no_such_field_is_noted() -> None:
    forward = found("{}", {"email": EMAIL, "country": "Atlantis", "locale": "english", "dob": "May"})
    assert list(forward.notes) == [
        "traits.dob: not an ISO 8601 date, sent as a custom attribute",
        "traits.country: not a country, sent as a custom attribute",
        "traits.locale: not a locale such as en-US, sent as a custom attribute",
    ]


def test_the_mapping_is_printed_in_the_words_of_the_file() -> None:
    plan = planned("identify: {drop: [loyalty.card], rename: {plz: location.zip}, attributes: {from: {constant: web}}}")
    (line,) = [line for line in lines(plan.catalogue) if line.endpoint == "user-attributes"]
    assert line.own
    assert line.fields == {
        "": 'the identifiers of the person; the other traits; without loyalty.card; location.zip ← plz; from ← "web"'
    }


def test_the_example_of_the_attributes_page_does_what_it_says() -> None:
    page = (Path(__file__).parents[2] / "docs" / "attributes.md").read_text(encoding="utf-8")
    example = re.search(r"```yaml\nidentify:\n(.*?)```\s+```json\n(.*?)```\s+```json\n(.*?)```", page, re.DOTALL)
    assert example
    mapping, event, expected = f"identify:\n{example[1]}", json.loads(example[2]), json.loads(example[3])
    raw = identify(event["traits"], userId="u-1", context=event["context"])
    deliveries = forwarded(raw, plan=planned(mapping)).deliveries
    assert {each.endpoint: orjson.loads(each.body)["attributes"] for each in deliveries} == expected
