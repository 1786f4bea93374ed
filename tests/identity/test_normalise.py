"""E-mail addresses and phone numbers: the one form of each, or none."""

import phonenumbers
import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given
from hypothesis import strategies as st

from app.identity.normalise import is_address_or_phone, to_e164, to_email
from app.identity.placeholders import is_placeholder_address, is_placeholder_number
from tests.generated import examples

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
        *(
            pytest.param(address, None, id=f"is not {address}")
            for address in (
                *("null@null.com", "none@none.com", "ada@none.com", "undefined@shop.example", "no-email@shop.example"),
                *(
                    "noemail@gmail.com",
                    "no_reply@shop.example",
                    "test@test.com",
                    "TEST@example.com",
                    "guest@example.com",
                ),
                *("email@email.com", "name@domain.com", "0@shop.example", "asdf@asdf.com"),
            )
        ),
        pytest.param("test@shop.example", "test@shop.example", id="may be a mailbox of the shop's own"),
        pytest.param("ada@test.com", "ada@test.com", id="may be at test.com"),
        pytest.param("a" * 5000 + "@example.com", None, id="is not of any length"),
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
        pytest.param("+1 246 250 0000", "US", "+12462500000", id="may be of Barbados"),
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
        pytest.param("4915112345678.0", "DE", "+4915112345678", id="loses the fraction of a float"),
        pytest.param("15112345678.0", "DE", "+4915112345678", id="loses it in national form as well"),
        pytest.param("4.915112345678E12", "DE", "+4915112345678", id="is read with an exponent"),
        pytest.param("4.9151E12", "DE", None, id="is not read where digits are lost"),
        pytest.param("4915112345678", "DE", "+4915112345678", id="may lack the plus before its country"),
        pytest.param("4915112345678", "US", None, id="is not guessed to be of another country"),
        pytest.param("43664123456", "AT", "+43664123456", id="of Austria"),
        pytest.param("393471234567", "IT", "+393471234567", id="of Italy"),
        pytest.param("6421123456", "NZ", "+6421123456", id="of New Zealand"),
        pytest.param("46701234567.0", "SE", "+46701234567", id="of Sweden"),
        pytest.param("0044 20 7183 8750", "US", "+442071838750", id="may begin with 00"),
        pytest.param("011 44 20 7183 8750", "US", "+442071838750", id="may begin with 011"),
        pytest.param("0113 496 0000", "GB", "+441134960000", id="begins with 011 in Leeds"),
        pytest.param("07 64 01 94 08", "US", None, id="is valid in its region: this one is French"),
        pytest.param("07 64 01 94 08", "FR", "+33764019408", id="is valid in its region: this one is"),
        *(
            pytest.param(number, "US", None, id=f"is not {number}")
            for number in (
                *("000-000-0000", "0000000000", "1234567890", "5555555555", "9999999999", "1111111111", "+10000000000"),
                *("(555) 555-5555", "123-456-7890", "+15555555555", "0123456789", "415-000-0000", "+1" + "9" * 10),
            )
        ),
        pytest.param("0400 000 000", "AU", None, id="is not one digit repeated, where it would be valid"),
        pytest.param("4" * 5000, "US", None, id="is not of any length"),
        pytest.param("4155550132/x4155550133", "US", None, id="is one number, not the first of two"),
        pytest.param("(415) 555-0132/x0133", "US", None, id="is one number, not two that begin alike"),
        pytest.param("1-800-FLOWERS", "US", None, id="is digits, not letters"),
        pytest.param("tel:0132;phone-context=+1415555", "US", None, id="is not put together from two places"),
        pytest.param("15112345678,00", "DE", "+4915112345678", id="loses the fraction after a comma as well"),
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
    return address if len(address) <= 100 and not is_placeholder_address(address) else None


@examples(400)
@given(name=NAMES, domain=DOMAINS)
def test_the_short_way_for_plain_addresses_leads_where_the_long_one_does(name: str, domain: str) -> None:
    address = f"{name}@{domain}"
    assert to_email(address) == judged_by_the_library_alone(address)


@pytest.mark.parametrize("rest", ["5550132", "0000000", "9999999", "1111111"])
def test_the_short_way_for_north_american_numbers_leads_where_the_long_one_does(rest: str) -> None:
    for area in range(1000):
        text = f"+1{area:03d}{rest}"
        number = phonenumbers.parse(text, "GB")
        valid = phonenumbers.is_valid_number(number) and not is_placeholder_number(text[2:])
        e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        assert to_e164(text, "GB") == (e164 if valid else None), text
