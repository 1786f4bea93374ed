"""E-mail addresses and phone numbers: the one form of each, or none."""

import phonenumbers
import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given, settings
from hypothesis import strategies as st

from app.identity.normalise import is_address_or_phone, to_e164, to_email

NAMES = st.text("aZ09._+-'\"ü ", max_size=70) | st.sampled_from(["a" * 64, "a" * 65, "postmaster", ".a", "a."])
DOMAINS = st.sampled_from(
    [
        "example.com",
        "Example.CO.UK",
        "mail.test",
        "x.invalid",
        "corp.local",
        "xn--bcher-kva.example",
        "a.b",
        "b.c-",
        "-b.co",
    ]
) | st.text("aZ9.-_ ü", max_size=20)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param("ada@example.com", "ada@example.com", id="stays as it is"),
        pytest.param(
            "  Ada.Lovelace+news@Example.COM \n", "ada.lovelace+news@example.com", id="is trimmed and lowered"
        ),
        pytest.param("o'brien@example.ie", "o'brien@example.ie", id="may hold an apostrophe"),
        pytest.param("jürgen@example.de", "jürgen@example.de", id="may hold an umlaut"),
        pytest.param(
            "a" * 60 + "@" + "b" * 27 + ".example.com", "a" * 60 + "@" + "b" * 27 + ".example.com", id="of 100"
        ),
        pytest.param("a" * 60 + "@" + "b" * 28 + ".example.com", None, id="of 101 characters is too long"),
        pytest.param("ada", None, id="needs an @"),
        pytest.param("ada@", None, id="needs a domain"),
        pytest.param("@example.com", None, id="needs a name"),
        pytest.param("ada@example", None, id="needs a dot in its domain"),
        pytest.param("ada@@example.com", None, id="has one @"),
        pytest.param("ada lovelace@example.com", None, id="has no blank"),
        pytest.param("Ada <ada@example.com>", None, id="has no display name"),
        pytest.param("ada@example.com, bob@example.com", None, id="is one address"),
        pytest.param("n/a", None, id="is not n/a"),
        pytest.param("", None, id="is not empty"),
    ],
)
def test_an_address(given: str, expected: str | None) -> None:
    assert to_email(given) == expected


@pytest.mark.parametrize(
    ("given", "region", "expected"),
    [
        pytest.param("+14155550132", "US", "+14155550132", id="stays as it is"),
        pytest.param("(415) 555-0132", "US", "+14155550132", id="gets the country of its destination"),
        pytest.param("1-415-555-0132", "US", "+14155550132", id="keeps the country that it has"),
        pytest.param("+1 (415) 555-0132 ext. 7", "US", "+14155550132", id="loses its extension"),
        pytest.param("020 7183 8750", "GB", "+442071838750", id="is read as in its region"),
        pytest.param("+44 20 7183 8750", "US", "+442071838750", id="may be of another country"),
        pytest.param("+55 11 55256325", "US", "+551155256325", id="may be Brazilian"),
        pytest.param("n/a", "US", None, id="is not n/a"),
        pytest.param("", "US", None, id="is not empty"),
        pytest.param("0", "US", None, id="is not zero"),
        pytest.param("12345", "US", None, id="is not five digits"),
        pytest.param("555-0132", "US", None, id="has an area code"),
        pytest.param("+1 555 0132", "US", None, id="has an area code, country or not"),
        pytest.param("020 7183 8750", "US", None, id="is not read as of a country that it is not of"),
        pytest.param("+0 415 555 0132", "US", None, id="is of a country that exists"),
        pytest.param("+49 123456789012345", "DE", None, id="has at most 15 digits"),
        pytest.param("ada@example.com", "US", None, id="is no address"),
    ],
)
def test_a_phone_number(given: str, region: str, expected: str | None) -> None:
    assert to_e164(given, region) == expected


@pytest.mark.parametrize(
    ("user_id", "verdict"),
    [
        pytest.param("customer-1042", False, id="a name with a number"),
        pytest.param("1042", False, id="a number"),
        pytest.param("4155550132", False, id="ten digits, as many databases number their users"),
        pytest.param("8f14e45f-ceea-467f-9a36-dedd4bea2543", False, id="a UUID"),
        pytest.param("auth0|507f1f77bcf86cd799439011", False, id="an id with a bar"),
        pytest.param("2026-03-01", False, id="a date"),
        pytest.param("ada@example.com", True, id="an address"),
        pytest.param("ADA@EXAMPLE.COM", True, id="an address in capitals"),
        pytest.param("ada@corp.local", True, id="an address of a private network"),
        pytest.param("ada@under_score.com", True, id="an address that no server takes"),
        pytest.param("+14155550132", True, id="a number with its plus"),
        pytest.param("+1 (415) 555-0132", True, id="a number as people write it"),
        pytest.param("(415) 555-0132", True, id="a number without a country"),
        pytest.param("415-555-0132", True, id="a number with dashes"),
        pytest.param("+1234567", True, id="a plus and seven digits"),
    ],
)
def test_a_user_id_is_in_truth_an_address_or_a_number(user_id: str, verdict: bool) -> None:
    """Attentive forbids them as client user id, and shops use them nevertheless."""
    assert is_address_or_phone(user_id, "US") is verdict


def judged_by_the_library_alone(text: str) -> str | None:
    try:
        address = validate_email(text.strip(), check_deliverability=False, allow_smtputf8=True).normalized.lower()
    except EmailNotValidError:
        return None
    return address if len(address) <= 100 else None


@settings(max_examples=400, deadline=None, derandomize=True)
@given(name=NAMES, domain=DOMAINS)
def test_the_short_way_for_plain_addresses_leads_where_the_long_one_does(name: str, domain: str) -> None:
    address = f"{name}@{domain}"
    assert to_email(address) == judged_by_the_library_alone(address)


@pytest.mark.parametrize("rest", ["5550132", "0000000", "9999999", "1111111"])
def test_the_short_way_for_north_american_numbers_leads_where_the_long_one_does(rest: str) -> None:
    for area in range(1000):
        text = f"+1{area:03d}{rest}"
        number = phonenumbers.parse(text, "GB")
        possible = phonenumbers.is_possible_number_with_reason(number) == phonenumbers.ValidationResult.IS_POSSIBLE
        e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        assert to_e164(text, "GB") == (e164 if possible else None), text
