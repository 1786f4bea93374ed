"""What is taken for a card number, a US social security number or an IBAN, and what is not. All are made up."""

from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import iban, luhn
from stdnum.us import ssn

from app.privacy.detectors import _CARDS, _SSN, ISSUERS, found_in, is_card, might_hold_numbers
from app.privacy.guard import Guard
from tests.generated import examples

VISA: Final = "4111111111111111"
GUARD: Final = Guard()


def guarded(value: Any, name: str = "note") -> Any:
    """The same value as a property of an event, as it may be kept."""
    event = {"type": "track", "properties": {name: value}}
    return GUARD.inspect(event, orjson.dumps(event)).event["properties"][name]


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        pytest.param(VISA, "REDACTED", id="a Visa card"),
        pytest.param("5555555555554444", "REDACTED", id="a Mastercard"),
        pytest.param("2223003122003222", "REDACTED", id="a Mastercard of the new range"),
        pytest.param("378282246310005", "REDACTED", id="an American Express card"),
        pytest.param("6011111111111117", "REDACTED", id="a Discover card"),
        pytest.param("30569309025904", "REDACTED", id="a Diners Club card"),
        pytest.param("3530111333300000", "REDACTED", id="a JCB card"),
        pytest.param("6200000000000005", "REDACTED", id="a UnionPay card"),
        pytest.param(int(VISA), "REDACTED", id="a number in JSON"),
        pytest.param(float(VISA), "REDACTED", id="a number with a decimal point in JSON"),
        pytest.param("4111 1111 1111 1111", "REDACTED", id="in groups"),
        pytest.param("4111-1111-1111-1111", "REDACTED", id="with dashes"),
        pytest.param("4111.1111.1111.1111", "REDACTED", id="with dots"),
        pytest.param("4111\u00a01111\u00a01111\u00a01111", "REDACTED", id="with blanks that do not break"),
        pytest.param("4111\u20131111\u20131111\u20131111", "REDACTED", id="with printed dashes"),
        pytest.param("3782 822463 10005", "REDACTED", id="in American Express's groups"),
        pytest.param("charge 4111 1111 1111 1111, please", "charge REDACTED, please", id="within a sentence"),
        pytest.param("4111 1111 1111 1111 123", "REDACTED 123", id="followed by its security code"),
        pytest.param("1234 4111 1111 1111 1111", "1234 REDACTED", id="after another group of four"),
        pytest.param(f"{VISA} or 378282246310005", "REDACTED or REDACTED", id="two of them"),
        pytest.param(f"card:{VISA}exp", "card:REDACTEDexp", id="between letters"),
        pytest.param(f"line\n{VISA}", "line\nREDACTED", id="on a line of its own"),
        pytest.param([[VISA], {"deep": VISA}], [["REDACTED"], {"deep": "REDACTED"}], id="in a list"),
        pytest.param({VISA: 1, "4111 1111 1111 1111": 2}, {"REDACTED": 1, "REDACTED_": 2}, id="as a name"),
        pytest.param("123-45-6789", "REDACTED", id="a social security number"),
        pytest.param("ssn 123 45 6789.", "ssn REDACTED.", id="a social security number with blanks"),
        pytest.param("123\u201345\u20136789", "REDACTED", id="a social security number with printed dashes"),
        pytest.param("DE89370400440532013000", "REDACTED", id="a German IBAN"),
        pytest.param("pay to GB29 NWBK 6016 1331 9268 19 today", "pay to REDACTED today", id="a British one in groups"),
        pytest.param("NO9386011117947", "REDACTED", id="the shortest, from Norway"),
        pytest.param("MT84MALT011000012345MTLCAST001S", "REDACTED", id="the longest, from Malta"),
        pytest.param("IBAN: NL91ABNA0417164300;", "IBAN: REDACTED;", id="a Dutch one after a colon"),
        pytest.param("\nNL91 ABNA 0417 1643 00 is mine", "\nREDACTED is mine", id="a Dutch one on a line of its own"),
    ],
)
def test_is_withheld(value: Any, kept: Any) -> None:
    assert guarded(value) == kept


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("4111111111111112", id="a wrong check digit"),
        pytest.param("1234567890123452", id="a good check digit, but no issuer begins so"),
        pytest.param("41111111111111111111", id="too long a number"),
        pytest.param("4222222222222", id="13 digits, which cards no longer have and product ids do"),
        pytest.param(8_012_345_678_902, id="a Shopify product id"),
        pytest.param("411111111111111", id="15 digits of a Visa card"),
        pytest.param("0.4111111111111111", id="decimals"),
        pytest.param(0.4111111111111111, id="decimals in JSON"),
        pytest.param("36 38 40 42 44 46 48", id="a row of sizes"),
        pytest.param("1769940000123", id="a time in milliseconds"),
        pytest.param("1769940000123456", id="a time in microseconds"),
        pytest.param("2026-03-01T11:59:58.250000+00:00", id="a time"),
        pytest.param("9f3e1c50-0b1d-4d2e-a9f3-411111111111", id="a UUID"),
        pytest.param("fb.1.1596403881668.1116446470", id="a cookie"),
        pytest.param("+14155550132", id="a phone number"),
        pytest.param("(415) 555-0132", id="a phone number as people write it"),
        pytest.param("192.168.100.200", id="an address of a machine"),
        pytest.param("123456789", id="nine digits: a user id as well as a social security number"),
        pytest.param("94103-1234", id="a postal code"),
        pytest.param("000-12-3456", id="a social security number of no area"),
        pytest.param("666-12-3456", id="a social security number that is never given out"),
        pytest.param("912-45-6789", id="a number beyond those given out"),
        pytest.param("1-123-45-6789", id="part of a longer number"),
        pytest.param("123-45-6789-22", id="the beginning of a longer number"),
        pytest.param("123-45 6789", id="a dash and a blank"),
        pytest.param("DE88370400440532013000", id="an IBAN with a wrong check digit"),
        pytest.param("XX89370400440532013000", id="an IBAN of no country"),
        pytest.param("AB12345678901234567", id="a part number"),
        pytest.param(-4111111111111111, id="a negative number"),
        pytest.param(True, id="a yes"),
        pytest.param(None, id="nothing"),
        pytest.param("52f14939-4364-4600-8017-3691b7cee2fc", id="a UUID with a card's digits in its middle"),
        pytest.param("abcd4111-1111-1111-1111-0123456789ab", id="a UUID with a card's digits in its beginning"),
        pytest.param("test-1c0f3575-8035-4241-8058-2f7910fe41cb", id="a UUID with a card that ends in its last group"),
        pytest.param("ad6283744156910417a98633", id="a hexadecimal ID that is formed like an account in Andorra"),
    ],
)
def test_is_kept(value: Any) -> None:
    assert guarded(value) == value


@pytest.mark.parametrize("name", ["order_id", "orderId", "Order ID", "product_id", "variant", "sku", "id", "barcode"])
@pytest.mark.parametrize("value", [VISA, int(VISA), [VISA]], ids=["text", "number", "list"])
def test_bare_digits_in_a_field_for_ids_are_an_id(name: str, value: Any) -> None:
    assert guarded(value, name) == value


def test_a_number_written_like_a_card_is_one_even_in_a_field_for_ids() -> None:
    first, second = guarded("4111 1111 1111 1111", "order_id"), guarded("5555 5555 5555 4444", "order_id")
    assert first.startswith("REDACTED-")
    assert second.startswith("REDACTED-")
    assert first != second  # two orders do not become one
    assert guarded("4111 1111 1111 1111", "order_id") == first


@pytest.mark.parametrize(
    ("prefix", "length"),
    [
        pytest.param(end, length, id=f"{name} {end}, {length} digits")
        for name, ranges, lengths in ISSUERS
        for end in sorted({end for each in ranges for end in each})
        for length in lengths
    ],
)
def test_every_issuer_is_known(prefix: str, length: int) -> None:
    body = prefix.ljust(length - 1, "7")
    assert guarded(body + luhn.calc_check_digit(body)) == "REDACTED"


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        pytest.param('{"a":"Product 42 of 2026-03-01T11:59:58.250000+00:00"}', False, id="an ordinary event"),
        pytest.param('{"ua":"Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/120.0.0.0"}', False, id="a browser"),
        pytest.param('{"a":"AB12"}', False, id="too short for an IBAN"),
        pytest.param('{"a":41111111111111}', True, id="fourteen digits"),
        pytest.param('{"a":"41111111111111111111"}', False, id="more digits than any card has"),
        pytest.param('{"a":"b7f345-00-0000000001"}', False, id="an id whose digits go on after it"),
        pytest.param('{"a":"1345-00-0000"}', False, id="an id whose digits begin before it"),
        pytest.param('{"a":"4111 1111 1111 1111 1111"}', True, id="groups of four, one more than a card has"),
        pytest.param('{"a":"111-11-1111"}', True, id="three, two and four digits"),
        pytest.param('{"a":"NL91ABNA0417164300"}', True, id="letters and digits enough for an IBAN"),
    ],
)
def test_the_quick_look_sees_the_form_alone(text: str, verdict: bool) -> None:
    assert might_hold_numbers(text.encode()) is verdict


DIGITS: Final = st.sampled_from([1, 2, 3, 4, 5, 6, 14, 16, 19]).flatmap(
    lambda count: st.text("0123456789", min_size=count, max_size=count)
)
BETWEEN: Final = st.sampled_from([" ", "-", ".", ",", "\u00a0", "\u2011", "", "a", "A", "_", "\u00e9"])


@examples(500)
@given(parts=st.lists(st.tuples(DIGITS, BETWEEN), min_size=1, max_size=7))
def test_the_quick_look_passes_nothing_by_that_has_the_form(parts: list[tuple[str, str]]) -> None:
    text = "".join(digits + between for digits, between in parts)
    if any(form.search(text) for form in (*_CARDS, _SSN)):
        assert might_hold_numbers(f'{{"a":"{text}"}}'.encode())


@examples(500)
@given(st.from_regex(r"[0-9]{14,19}", fullmatch=True))
def test_the_checksum_of_cards_is_that_of_the_library(digits: str) -> None:
    prefixes = [(first, last, lengths) for _, ranges, lengths in ISSUERS for first, last in ranges]
    issued = any(first <= digits[: len(first)] <= last and len(digits) in each for first, last, each in prefixes)
    assert is_card(digits) is (issued and luhn.is_valid(digits))


AREAS: Final = st.sampled_from(["000", "001", "078", "123", "219", "457", "665", "666", "667", "899", "900", "999"])
GROUPS: Final = st.sampled_from(["00", "01", "05", "09", "55", "99"])
SERIALS: Final = st.sampled_from(["0000", "0001", "1120", "5462", "9999"])


@examples(300)
@given(st.tuples(AREAS, GROUPS, SERIALS).map("-".join))
def test_social_security_numbers_are_those_of_the_library(number: str) -> None:
    assert bool(found_in(number)) is ssn.is_valid(number)


@examples(300)
@given(st.sampled_from(["DE89370400440532013000", "GB82WEST12345698765432", "NL91ABNA0417164300"]), st.integers(2, 9))
def test_accounts_are_those_of_the_library(account: str, place: int) -> None:
    for char in "0123456789":
        changed = account[:place] + char + account[place + 1 :]
        assert bool(found_in(changed)) is iban.is_valid(changed)


@pytest.mark.parametrize("form", ["9400{:012}", "AB-123-45-{:04}", "DE8937040044{:010}"])
@pytest.mark.parametrize("many", [30, 300, 1_000])
def test_a_list_of_long_numbers_that_are_none_of_these_is_kept(many: int, form: str) -> None:
    numbers = [form.format(number) for number in range(1, many + 1)]
    numbers = [number for number in numbers if not iban.is_valid(number)]
    assert guarded(numbers) == numbers


def test_an_event_of_more_candidates_than_its_size_warrants_keeps_none_of_them() -> None:
    event = {"type": "track", "properties": {"note": "4111 " * 1_000, "name": "Ann"}}
    assert GUARD.inspect(event, orjson.dumps(event)).event["properties"] == {"note": "REDACTED", "name": "Ann"}
