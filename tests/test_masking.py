"""Personal data made unreadable, and other data left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import masking
from app.masking import mask_answer, mask_email, mask_id, mask_personal, mask_phone, mask_text
from tests.generated import examples


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        pytest.param("jane@example.com", "j***@example.com", id="an address"),
        pytest.param("j@example.com", "j***@example.com", id="an address of one letter"),
        pytest.param("a@b@example.com", "a***@example.com", id="an address with two @"),
        pytest.param("@example.com", "***", id="a domain alone"),
        pytest.param("jane", "***", id="a name alone"),
        pytest.param("", "***", id="nothing"),
    ],
)
def test_of_an_address_the_first_letter_and_the_domain_stay(address: str, masked: str) -> None:
    assert mask_email(address) == masked


@pytest.mark.parametrize(
    ("number", "masked"),
    [
        pytest.param("+14155550132", "+1***32", id="a number"),
        pytest.param("(415) 555-0132", "(4***32", id="a number as people write it"),
        pytest.param("555013", "***", id="a short number"),
        pytest.param("n/a", "***", id="no number"),
        pytest.param("", "***", id="nothing"),
    ],
)
def test_of_a_number_its_ends_stay(number: str, masked: str) -> None:
    assert mask_phone(number) == masked


@pytest.mark.parametrize(
    ("user_id", "masked"),
    [
        pytest.param("customer-1042", "cu***42", id="an id"),
        pytest.param("1042", "***", id="a short id"),
        pytest.param("", "***", id="nothing"),
    ],
)
def test_of_an_id_its_ends_stay(user_id: str, masked: str) -> None:
    assert mask_id(user_id) == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        pytest.param("jane@example.com", "j***@example.com", id="an address alone"),
        pytest.param("to jane@example.com, please", "to j***@example.com, please", id="an address in a sentence"),
        pytest.param("<jane@example.com>", "<j***@example.com>", id="an address in brackets"),
        pytest.param('{"email":"jane@example.com"}', '{"email":"j***@example.com"}', id="an address in JSON"),
        pytest.param("mailto:jane@example.com", "mailto:j***@example.com", id="an address in a link"),
        pytest.param("email=jane@example.com&a=1", "email=j***@example.com&a=1", id="an address in a query"),
        pytest.param("a@x.com b@y.com", "a***@x.com b***@y.com", id="two addresses"),
        pytest.param("+14155550132", "+1***32", id="a number alone"),
        pytest.param("call +1 (415) 555-0132 now", "call +1***32 now", id="a number in a sentence"),
        pytest.param('{"phone":"+14155550132"}', '{"phone":"+1***32"}', id="a number in JSON"),
        pytest.param("phone=4155550132", "phone=41***32", id="a number in a query"),
        pytest.param("jane@example.com +14155550132", "j***@example.com +1***32", id="both"),
        pytest.param("2026-11-30T09:24:59.980149+00:00", "2026-11-30T09:24:59.980149+00:00", id="a time"),
        pytest.param("at 2026-11-30 09:24:59.980149, UTC", "at 2026-11-30 09:24:59.980149, UTC", id="a time in text"),
        pytest.param("2026-11-30T09:24Z 4155550132", "2026-11-30T09:24Z 41***32", id="a time beside a number"),
    ],
)
def test_text_is_masked(text: str, masked: str) -> None:
    assert mask_text(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "delivered",
            "HTTP 503",
            "listening on 127.0.0.1:8080",
            "line 1, column 24",
            "150 calls a second",
            "properties.products[1]: no usable price",
        ),
        *("8f14e45f-ceea-467f-9a36-dedd4bea2543", "order NP-100482", "sha256:9f86d081884c7d659a2feaa0c55ad015"),
        *("x@", "a @ b", "$1,299.00", "12345", "v1.2.3", "customer-1042"),
    ],
)
def test_text_without_people_stays(text: str) -> None:
    assert mask_text(text) == text


SIGNS = ("", " ", '"', "'", "<", ">", "(", ")", ": ", ", ", "\n", "/", "=", "&")
BEFORE = st.sampled_from([*SIGNS, "is "])
AFTER = st.sampled_from([*SIGNS, " is"])
PHONES = st.from_regex(r"\+[1-9][0-9]{7,14}", fullmatch=True)


@examples(100)
@given(address=st.emails(), before=BEFORE, after=AFTER)
def test_no_address_survives(address: str, before: str, after: str) -> None:
    assert address not in mask_text(before + address + after)


@examples(100)
@given(number=PHONES, before=BEFORE, after=AFTER)
def test_no_number_survives(number: str, before: str, after: str) -> None:
    masked = mask_text(before + number + after)
    assert number.removeprefix("+") not in masked


@examples(100)
@given(number=st.from_regex(r"\([2-9][0-9]{2}\) [2-9][0-9]{2}[-. ][0-9]{4}", fullmatch=True))
def test_no_number_survives_as_people_write_it(number: str) -> None:
    assert number[-8:] not in mask_text(f"call {number} now")


@examples(100)
@given(text=st.text())
def test_masking_never_fails_and_masking_twice_shows_no_more(text: str) -> None:
    masked = mask_text(text)
    assert isinstance(mask_text(masked), str)


@pytest.mark.parametrize(
    ("properties", "masked"),
    [
        pytest.param({"first_name": "Jane"}, {"first_name": "***"}, id="a first name"),
        pytest.param({"lastName": "Doe"}, {"lastName": "***"}, id="a last name in camel case"),
        pytest.param({"name": "Jane Doe"}, {"name": "***"}, id="a name alone"),
        pytest.param({"recipient": "Jane Doe"}, {"recipient": "***"}, id="a person by their part in an order"),
        pytest.param({"buyerName": "Jane Doe"}, {"buyerName": "***"}, id="the name of a person by their part"),
        pytest.param({"gift_message": "Dear Jane"}, {"gift_message": "***"}, id="what a person writes"),
        pytest.param({"tel": 14155550132}, {"tel": "***"}, id="a number that is no text"),
        pytest.param({"shipping": "5.00"}, {"shipping": "5.00"}, id="the price of shipping"),
        pytest.param({"name": "Shirt", "sku": "A"}, {"name": "Shirt", "sku": "A"}, id="the name of a product"),
        pytest.param({"products": [{"name": "Shirt", "product_id": 1}]}, None, id="the name of a product in a list"),
        pytest.param(
            {"shipping_address": {"street": "1 Main St", "floor": 3}},
            {"shipping_address": {"street": "***", "floor": "***"}},
            id="all of an address",
        ),
        pytest.param({"Billing Address": "1 Main St"}, {"Billing Address": "***"}, id="an address in words"),
        pytest.param({"shipping": 5.0, "tax": 1}, None, id="the price of shipping"),
        pytest.param({"shipping": {"city": "Leeds"}}, {"shipping": {"city": "***"}}, id="where it is shipped to"),
        pytest.param({"customer": {"id": 7}}, {"customer": {"id": "***"}}, id="a customer"),
        pytest.param({"postal-code": 12345, "dob": "1990-04-30"}, {"postal-code": "***", "dob": "***"}, id="others"),
        pytest.param(
            {"work_email": "n/a", "home_phone": 1}, {"work_email": "***", "home_phone": "***"}, id="by its end"
        ),
        pytest.param({"order_id": "A-1", "coupon": "SPRING", "vip": True}, None, id="nothing personal"),
    ],
)
def test_properties_are_masked_by_name(properties: dict[str, object], masked: dict[str, object] | None) -> None:
    event = {"type": "track", "event": "Order Completed", "properties": properties}
    assert mask_personal(event) == event | {"properties": properties if masked is None else masked}


def test_an_answer_is_masked_alike_each_time() -> None:
    plain, personal = b'{"success": true}', b'{"email": "ada@example.com"}'
    once = [mask_answer(answer, 500) for answer in (plain, personal)]
    again = [mask_answer(answer, 500) for answer in (plain, personal)]
    assert once == again
    assert once[0] == '{"success":true}'
    assert "ada" not in once[1]
    assert mask_answer(plain, 5) == '{"suc'


def test_answers_of_which_each_is_different_take_no_memory() -> None:
    for number in range(1000):
        mask_answer(b'{"id":%d}' % number, 500)
    assert len(masking._UNMASKED) <= masking._MOST_UNMASKED
