"""Attentive's named fields of a person: each has a source, and each value the form that the field wants."""

import json
from typing import Any, Final

import pytest

from app.mapping.well_known import WELL_KNOWN, named_fields
from tests.contracts.attentive_contract import VENDOR, VENDOR_FILES, Contract, vendor_folder

USER_ATTRIBUTES: Final = "/v2/user/attributes"
EVERYTHING: Final = {
    "firstName": "Ada",
    "lastName": "Lovelace",
    "language": "English",
    "birthday": "1986-11-16",
    "age": 39,
    "company.name": "Analytical Engines",
    "title": "Countess",
    "website": "https://ada.example",
    "address.street": "12 St James Square",
    "address.street2": "Attic",
    "address.city": "London",
    "address.state": "Greater London",
    "address.postalCode": "SW1Y 4JH",
    "address.country": "gb",
    "address.region": "gb-lnd",
    "timezone": "Europe/London",
    "address.latitude": 51.507351,
    "address.longitude": "-0.13",
    "locale": "en-GB",
}
FIELDS: Final = {
    "firstName": "Ada",
    "lastName": "Lovelace",
    "demographic": {
        "language": "English",
        "dateOfBirth": "1986-11-16",
        "age": 39,
        "organization": "Analytical Engines",
        "title": "Countess",
        "website": "https://ada.example",
    },
    "location": {
        "address1": "12 St James Square",
        "address2": "Attic",
        "city": "London",
        "state": "Greater London",
        "zip": "SW1Y 4JH",
        "country": "GB",
        "region": "GB-LND",
        "timezone": "Europe/London",
        "latitude": "51.507351",
        "longitude": "-0.13",
    },
    "locale": {"language": "en", "country": "GB"},
}


def test_every_named_field_can_be_filled() -> None:
    flat: dict[str, Any] = dict(EVERYTHING)
    assert named_fields(flat, []) == FIELDS
    assert flat == {}, "what is sent by name is not sent once more"
    assert (
        Contract.ours().errors("POST", USER_ATTRIBUTES, {"identifiers": {"email": "a@b.co"}, "attributes": FIELDS})
        == []
    )


def test_the_table_has_every_field_of_attentives_own_file() -> None:
    if (folder := vendor_folder()) is None:
        pytest.skip(f"{VENDOR} does not name a folder with {VENDOR_FILES[1]}")
    schemas = json.loads((folder / VENDOR_FILES[1]).read_text(encoding="utf-8"))["components"]["schemas"]
    parts = schemas["CreateUserAttributesRequestDtoV2"]["properties"]["attributes"]["properties"]
    theirs: set[tuple[str | None, str]] = {(None, name) for name in ("firstName", "lastName")}
    theirs |= {(group, name) for group in ("demographic", "location", "locale") for name in parts[group]["properties"]}
    assert set(parts) == {"firstName", "lastName", "demographic", "location", "locale", "custom"}
    assert {(row.group, row.name) for row in WELL_KNOWN} == theirs


@pytest.mark.parametrize(
    ("traits", "fields"),
    [
        pytest.param({"first_name": "Ada"}, {"firstName": "Ada"}, id="a first name in snake case"),
        pytest.param({"firstName": " Ada "}, {"firstName": "Ada"}, id="blanks around it go"),
        pytest.param(
            {"birthday": "1986-11-16T00:00:00+02:00"},
            {"demographic": {"dateOfBirth": "1986-11-16"}},
            id="a birthday east of Greenwich, where that day is the birthday",
        ),
        pytest.param({"age": "39"}, {"demographic": {"age": 39}}, id="an age in quotes"),
        pytest.param({"company": "ACME"}, {"demographic": {"organization": "ACME"}}, id="a company by its name alone"),
        pytest.param(
            {"address": "12 St James Square"}, {"location": {"address1": "12 St James Square"}}, id="a street"
        ),
        pytest.param(
            {"address.postalCode": 94901}, {"location": {"zip": "94901"}}, id="a postal code that is a number"
        ),
        pytest.param({"zip": "94901"}, {"location": {"zip": "94901"}}, id="a postal code outside the address"),
        pytest.param({"country": "us"}, {"location": {"country": "US"}}, id="a country in small letters"),
        pytest.param({"locale": "fr_CA"}, {"locale": {"language": "fr", "country": "CA"}}, id="a locale with a _"),
        pytest.param({"latitude": 1e-9}, {"location": {"latitude": "0"}}, id="next to the equator"),
    ],
)
def test_a_value_is_written_as_the_field_wants_it(traits: dict[str, Any], fields: dict[str, Any]) -> None:
    assert named_fields(traits, []) == fields
    assert traits == {}


@pytest.mark.parametrize(
    "traits",
    [
        pytest.param({"birthday": "in May"}, id="a birthday in words"),
        pytest.param({"birthday": 532483200}, id="a birthday in seconds"),
        pytest.param({"age": -1}, id="an age below nothing"),
        pytest.param({"age": 1e300}, id="an age beyond all"),
        pytest.param({"age": True}, id="an age that is a truth"),
        pytest.param({"country": "Atlantis"}, id="a country that does not exist"),
        pytest.param({"region": "New South Wales"}, id="a region written out"),
        pytest.param({"locale": "english"}, id="a locale in words"),
        pytest.param({"latitude": 91}, id="beyond the pole"),
        pytest.param({"longitude": "west"}, id="a longitude in words"),
        pytest.param({"latitude": "nan"}, id="no number"),
        pytest.param({"city": False}, id="a city that is a truth"),
    ],
)
def test_what_does_not_fit_the_field_stays_with_the_others(traits: dict[str, Any]) -> None:
    before = dict(traits)
    assert named_fields(traits, []) == {}
    assert traits == before


def test_the_first_of_several_spellings_wins_and_none_is_sent_twice() -> None:
    flat: dict[str, Any] = {"first_name": "A.", "firstName": "Ada", "city": "Paris", "address.city": "London"}
    assert named_fields(flat, []) == {"firstName": "Ada", "location": {"city": "London"}}
    assert flat == {}
