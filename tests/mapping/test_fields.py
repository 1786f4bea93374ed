"""The words of the catalogue: where a value comes from, in which form, and when it is absent."""

from typing import Any, Final

import pytest

from app.identity.identity import Identity
from app.mapping.catalogue import ITEM
from app.mapping.fields import ABSENT, FirstOf, PositiveInteger, Price, Properties, Scope, Word, read_item, to_amount
from tests.builders import EMAIL, Raw, body_of, buried, forwarded, parsed, track


def scope(here: Raw, properties: Raw | None = None) -> Scope:
    return Scope(parsed(track("x", properties or here)), Identity(email=EMAIL), here, "properties.")


@pytest.mark.parametrize(
    ("word", "here", "expected"),
    [
        pytest.param(FirstOf("a", "b"), {"a": "1", "b": "2"}, "1", id="the first name"),
        pytest.param(FirstOf("a", "b"), {"b": "2"}, "2", id="the second when the first is absent"),
        pytest.param(FirstOf("a", "b"), {"a": " ", "b": "2"}, "2", id="the second when the first is blank"),
        pytest.param(FirstOf("a", "b"), {"a": None, "b": "2"}, "2", id="the second when the first is null"),
        pytest.param(FirstOf("a", "b"), {"a": ["1"], "b": "2"}, "2", id="the second when the first is a list"),
        pytest.param(FirstOf("a", "b"), {"a": True, "b": "2"}, "2", id="the second when the first is a truth"),
        pytest.param(FirstOf("a"), {"a": 7}, "7", id="a number as text"),
        pytest.param(FirstOf("a"), {"a": 0}, "0", id="zero as text"),
        pytest.param(FirstOf("a"), {"a": " x "}, "x", id="text without blanks around it"),
        pytest.param(FirstOf("a"), {}, ABSENT, id="nothing"),
        pytest.param(PositiveInteger("a"), {"a": 3}, 3, id="a quantity"),
        pytest.param(PositiveInteger("a"), {"a": 3.0}, 3, id="a quantity with a point"),
        pytest.param(PositiveInteger("a"), {"a": " 3 "}, 3, id="a quantity as text"),
        pytest.param(PositiveInteger("a"), {"a": 0}, ABSENT, id="a quantity of none"),
        pytest.param(PositiveInteger("a"), {"a": -1}, ABSENT, id="a negative quantity"),
        pytest.param(PositiveInteger("a"), {"a": 1.5}, ABSENT, id="a quantity of one and a half"),
        pytest.param(PositiveInteger("a"), {"a": True}, ABSENT, id="a quantity that is a truth"),
        pytest.param(PositiveInteger("a"), {"a": "many"}, ABSENT, id="a quantity in words"),
        pytest.param(PositiveInteger("a"), {"a": None}, ABSENT, id="a quantity of null"),
        pytest.param(PositiveInteger("a"), {"a": [3]}, ABSENT, id="a quantity in a list"),
        pytest.param(PositiveInteger("a"), {"a": 2**64 - 1}, ABSENT, id="a quantity beyond what Attentive counts"),
        pytest.param(Properties("a", "b"), {"a": 1, "c": 2}, {"a": 1}, id="just the properties that are picked"),
        pytest.param(Properties("a"), {"a": None}, ABSENT, id="picked properties that are null"),
        pytest.param(Properties("a", upper=("a",)), {"a": " usd "}, {"a": "USD"}, id="a currency in capitals"),
        pytest.param(Properties("a", upper=("a",)), {"a": 7}, {"a": 7}, id="a currency that is no text"),
    ],
)
def test_a_word_reads(word: Word, here: Raw, expected: Any) -> None:
    assert word.read(scope(here)) == expected


AMOUNTS: Final = [
    pytest.param(19.99, 19.99, id="a number"),
    pytest.param(20, 20, id="a whole number"),
    pytest.param(0, 0, id="nothing to pay"),
    pytest.param("19.99", 19.99, id="a number as text"),
    pytest.param(" 19.99 ", 19.99, id="with blanks around it"),
    pytest.param("$1,299.00", 1299.0, id="with a sign and a comma for thousands"),
    pytest.param("1.299,00 €", 1299.0, id="as Germans write it"),
    pytest.param("1 299,00 kr", 1299.0, id="as Swedes write it"),
    pytest.param("1'299.00", 1299.0, id="as the Swiss write it"),
    pytest.param("1,299", 1299.0, id="with a comma for thousands alone"),
    pytest.param("USD 5", 5.0, id="with its currency"),
    pytest.param("0.00", 0.0, id="zero as text"),
    pytest.param("129.9500", 129.95, id="with four decimals, as shops export it"),
    pytest.param("129.950", 129.95, id="with three decimals, as shops export it"),
    pytest.param("0.125", 0.125, id="an eighth"),
    pytest.param("1e2", 100.0, id="as a machine may write a hundred"),
]
NO_AMOUNTS: Final = [
    *("free", "", " ", "n/a", "$", "-5", "-$5", "$-5", "$ -5", "USD -5", "\u22125", "NaN", "Infinity", "9" * 400),
    *(None, True, False, [], {}, [5], {"value": 5}, -1, -0.01, float("inf"), float("nan")),
]


@pytest.mark.parametrize(("given", "expected"), AMOUNTS)
def test_an_amount(given: Any, expected: float) -> None:
    assert to_amount(given) == expected


@pytest.mark.parametrize("given", NO_AMOUNTS)
def test_no_amount(given: Any) -> None:
    assert to_amount(given) is None


@pytest.mark.parametrize(
    ("item", "event", "currency"),
    [
        pytest.param("cad", "eur", "CAD", id="the product's"),
        pytest.param(None, "eur", "EUR", id="else the event's"),
        pytest.param("", "eur", "EUR", id="else the event's, where the product's is empty"),
        pytest.param(7, "eur", "EUR", id="else the event's, where the product's is no text"),
        pytest.param("loonies", "eur", "EUR", id="else the event's, where the product's is none"),
        pytest.param(None, None, "USD", id="else the dollar"),
        pytest.param(None, "US$", "USD", id="and the dollar for what is no currency"),
        pytest.param(" cad ", None, "CAD", id="without blanks around it"),
    ],
)
def test_the_currency_is(item: Any, event: Any, currency: str) -> None:
    here = scope({"price": 5, "currency": item}, {"currency": event})
    assert Price("price", currency="currency").read(here) == [{"value": 5, "currency": currency}]


def test_a_currency_that_is_none_is_noted() -> None:
    raw = track("Product Viewed", {"sku": "A", "price": 5, "currency": "US$"})
    assert [note for note in forwarded(raw).notes if note.startswith("properties.currency")] != []


@pytest.mark.parametrize(
    ("here", "product", "variant"),
    [
        pytest.param({"product_id": "p", "id": "i", "sku": "s", "variant_id": "v"}, "p", "v", id="all of them"),
        pytest.param({"product_id": "p", "sku": "s", "variant": "red"}, "p", "s", id="the stock number as variant"),
        pytest.param({"product_id": "p", "variant": "red"}, "p", "red", id="the variant's name"),
        pytest.param({"product_id": "p"}, "p", "p", id="the product itself as variant"),
        pytest.param({"id": "i"}, "i", "i", id="the bare id"),
        pytest.param({"sku": "s"}, "s", "s", id="the stock number alone"),
        pytest.param({"product_id": 1, "variant_id": 2}, "1", "2", id="numbers as ids"),
    ],
)
def test_an_item_is_known_by(here: Raw, product: str, variant: str) -> None:
    item = read_item(ITEM, scope(here | {"price": 1}))
    assert isinstance(item, dict)
    assert (item["productId"], item["productVariantId"]) == (product, variant)


@pytest.mark.parametrize(
    ("here", "field"),
    [
        pytest.param({"price": 5}, "product_id", id="no id"),
        pytest.param({"product_id": " ", "price": 5}, "product_id", id="a blank id"),
        pytest.param({"product_id": {"id": 1}, "price": 5}, "product_id", id="an id that is an object"),
        pytest.param({"product_id": "A"}, "price", id="no price"),
        pytest.param({"product_id": "A", "price": "free"}, "price", id="a price in words"),
        pytest.param({"product_id": "A", "price": -1}, "price", id="a negative price"),
        pytest.param({"product_id": "A", "price": [5]}, "price", id="a price in a list"),
    ],
)
@pytest.mark.parametrize("event", ["Product Viewed", "Product Added"])
def test_an_event_about_an_item_is_kept_as_a_dead_letter_when_it_has(event: str, here: Raw, field: str) -> None:
    bury = buried(track(event, here))
    assert (bury.reason, bury.detail) == ("unmappable", f"item_incomplete: properties.{field}")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param("", False, id="empty"),
        pytest.param(None, False, id="null"),
        pytest.param(["https://shop.example"], False, id="a list"),
        pytest.param("https://shop.example/" + "x" * 2000, True, id="long"),
    ],
)
def test_an_address_of_an_item_is_optional_and_may_be(given: Any, kept: bool) -> None:
    body = body_of(track("Product Viewed", {"sku": "A", "price": 1, "url": given, "image_url": given}))
    assert ("productUrl" in body["items"][0], "productImage" in body["items"][0]) == (kept, kept)
