"""The expressions of the mapping language: where a value comes from, in which form, and when it is absent."""

from typing import Any, Final

import pytest

from app.identity.identity import Identity
from app.mapping.catalogue import ITEM
from app.mapping.converters import CAPITALS, QUANTITY, TEXT
from app.mapping.expressions import ABSENT, Evaluation, Expression, FirstOf, Path
from app.mapping.transforms import Properties
from tests.builders import EMAIL, Raw, body_of, failed, parsed, track


def evaluation(here: Raw, properties: Raw | None = None) -> Evaluation:
    return Evaluation(parsed(track("x", properties or here)), Identity(email=EMAIL), here, "properties.")


def text_in(*names: str) -> FirstOf:
    return FirstOf(*(Path(name, in_item=True) for name in names), to=TEXT)


HOW_MANY: Final = FirstOf(Path("a", in_item=True), to=QUANTITY)


@pytest.mark.parametrize(
    ("expression", "here", "expected"),
    [
        pytest.param(text_in("a", "b"), {"a": "1", "b": "2"}, "1", id="the first name"),
        pytest.param(text_in("a", "b"), {"b": "2"}, "2", id="the second when the first is absent"),
        pytest.param(text_in("a", "b"), {"a": " ", "b": "2"}, "2", id="the second when the first is blank"),
        pytest.param(text_in("a", "b"), {"a": None, "b": "2"}, "2", id="the second when the first is null"),
        pytest.param(text_in("a", "b"), {"a": ["1"], "b": "2"}, "2", id="the second when the first is a list"),
        pytest.param(text_in("a", "b"), {"a": True, "b": "2"}, "2", id="the second when the first is a truth"),
        pytest.param(text_in("a"), {"a": 7}, "7", id="a number as text"),
        pytest.param(text_in("a"), {"a": 0}, "0", id="zero as text"),
        pytest.param(text_in("a"), {"a": " x "}, "x", id="text without blanks around it"),
        pytest.param(text_in("a"), {}, ABSENT, id="nothing"),
        pytest.param(HOW_MANY, {"a": 3}, 3, id="a quantity"),
        pytest.param(HOW_MANY, {"a": 3.0}, 3, id="a quantity with a point"),
        pytest.param(HOW_MANY, {"a": " 3 "}, 3, id="a quantity as text"),
        pytest.param(HOW_MANY, {"a": 0}, ABSENT, id="a quantity of none"),
        pytest.param(HOW_MANY, {"a": -1}, ABSENT, id="a negative quantity"),
        pytest.param(HOW_MANY, {"a": 1.5}, ABSENT, id="a quantity of one and a half"),
        pytest.param(HOW_MANY, {"a": True}, ABSENT, id="a quantity that is a truth"),
        pytest.param(HOW_MANY, {"a": "many"}, ABSENT, id="a quantity in words"),
        pytest.param(HOW_MANY, {"a": None}, ABSENT, id="a quantity of null"),
        pytest.param(HOW_MANY, {"a": [3]}, ABSENT, id="a quantity in a list"),
        pytest.param(HOW_MANY, {"a": 2**64 - 1}, ABSENT, id="a quantity beyond what Attentive counts"),
        pytest.param(Properties(("a", "b")), {"a": 1, "c": 2}, {"a": 1}, id="just the properties that are picked"),
        pytest.param(Properties(("a",)), {"a": None}, ABSENT, id="picked properties that are null"),
        pytest.param(Properties(("a",), types={"a": CAPITALS}), {"a": " usd "}, {"a": "USD"}, id="in capitals"),
        pytest.param(Properties(("a",), types={"a": CAPITALS}), {"a": 7}, {"a": 7}, id="a currency that is no text"),
    ],
)
def test_an_expression_reads(expression: Expression, here: Raw, expected: Any) -> None:
    assert expression.read(evaluation(here)) == expected


@pytest.mark.parametrize(
    ("item", "event", "currency"),
    [
        pytest.param("cad", "eur", "CAD", id="the product's"),
        pytest.param(None, "eur", "EUR", id="else the event's"),
        pytest.param("", "eur", "EUR", id="else the event's, where the product's is empty"),
        pytest.param(7, "eur", "EUR", id="else the event's, where the product's is no text"),
        pytest.param("loonies", "eur", "EUR", id="else the event's, where the product's is none"),
        pytest.param(None, None, "USD", id="else the dollar"),
        pytest.param("dollars", "cad", "CAD", id="the event's, where the product's name allows it"),
        pytest.param("$", None, "USD", id="the usual one of the product's symbol"),
        pytest.param("$", "$", "USD", id="the usual one of a symbol that is there twice"),
        pytest.param("Euro", None, "EUR", id="the product's by its name"),
        pytest.param(None, [], "USD", id="the dollar, where the event's is an empty list"),
        pytest.param("€", "usd", "EUR", id="the product's, as a symbol of one currency"),
        pytest.param("$", "cad", "CAD", id="else the event's, where the product's symbol has several"),
        pytest.param(" cad ", None, "CAD", id="without blanks around it"),
    ],
)
def test_the_currency_is(item: Any, event: Any, currency: str) -> None:
    here = evaluation({"price": 5, "currency": item}, {"currency": event})
    assert ITEM["price"].read(here) == [{"value": 5, "currency": currency}]


@pytest.mark.parametrize(
    ("item", "event"),
    [
        pytest.param(None, "crowns", id="a name that several share"),
        pytest.param("kr", None, id="a symbol that several share"),
        pytest.param("kr", "eur", id="a symbol that the event contradicts"),
        pytest.param(None, 978, id="a number"),
        pytest.param("978", None, id="a number as text"),
        pytest.param(978, "usd", id="a number beside the code of another"),
        pytest.param("dollars", "eur", id="a name that the event contradicts"),
        pytest.param("loonies", {"code": "CAD"}, id="a word and an object"),
    ],
)
@pytest.mark.parametrize("price", [5, "5.00", "$5", "kr 5"])
def test_an_amount_is_left_out_where_its_currency_is_stated_by(price: Any, item: Any, event: Any) -> None:
    here = evaluation({"price": price, "currency": item}, {"currency": event})
    assert ITEM["price"].read(here) is ABSENT
    assert here.notes[-1] == "properties.price: its currency is not known for certain, left out"


@pytest.mark.parametrize(
    ("price", "currency", "sent"),
    [
        pytest.param("£19.99", None, {"value": 19.99, "currency": "GBP"}, id="of its own text"),
        pytest.param("1.299,00 €", None, {"value": 1299, "currency": "EUR"}, id="of its own text, behind the number"),
        pytest.param("12.50 EUR", "eur", {"value": 12.5, "currency": "EUR"}, id="stated twice"),
        pytest.param("$12.50", "cad", {"value": 12.5, "currency": "CAD"}, id="one that its symbol allows"),
        pytest.param("kr 199", "NOK", {"value": 199, "currency": "NOK"}, id="one of those that share a symbol"),
        pytest.param({"amount": "5", "currencyCode": "CAD"}, None, {"value": 5, "currency": "CAD"}, id="of an object"),
        pytest.param(
            "$5", "dollars", {"value": 5, "currency": "USD"}, id="the usual one of its symbol, beside its name"
        ),
        pytest.param("5 dollars", None, None, id="none, where a name does not tell"),
        pytest.param("€5", "coins", {"value": 5, "currency": "EUR"}, id="its own, where the stated one cannot be read"),
        pytest.param("£19.99", "USD", None, id="none, where there are two"),
        pytest.param("kr 199", None, None, id="none, where a symbol does not tell"),
        pytest.param("1,299", "KWD", None, id="none, where thousands may be thousandths"),
    ],
)
def test_the_currency_of_a_price_is(price: Any, currency: str | None, sent: Any) -> None:
    here = evaluation({"price": price, "currency": currency}, {})
    read = ITEM["price"].read(here)
    assert read == (ABSENT if sent is None else [sent])
    assert (here.notes == []) is (sent is not None and currency not in ("coins", "dollars"))


def test_a_currency_of_its_own_that_differs_is_sent_and_noted() -> None:
    here = evaluation({"price": ",89 €", "currency": "CHF"}, {})
    assert ITEM["price"].read(here) == [{"value": 0.89, "currency": "EUR"}]
    assert [note for note in here.notes if "EUR is sent, not CHF" in note] != []


def test_a_currency_that_is_none_is_noted() -> None:
    raw = track("Product Viewed", {"sku": "A", "price": 5, "currency": "dollars"})
    fail = failed(raw)
    assert [note for note in fail.notes if note.startswith("properties.currency")] != []
    assert fail.detail == "item_incomplete: properties.price"


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
        pytest.param({"product_id": "6798.0", "variant_id": 1000.0}, "6798", "1000", id="ids that were floats"),
        pytest.param(
            {"product_id": "v6798.0", "variant_id": "1.5"}, "v6798.0", "1.5", id="ids with a point of their own"
        ),
    ],
)
def test_an_item_is_known_by(here: Raw, product: str, variant: str) -> None:
    item = ITEM.read(evaluation(here | {"price": 1}))
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
    fail = failed(track(event, here))
    assert (fail.reason, fail.detail) == ("unmappable", f"item_incomplete: properties.{field}")


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


@pytest.mark.parametrize(
    "sku",
    [
        pytest.param(None, id="null"),
        pytest.param(" ", id="blank"),
        pytest.param(["A"], id="a list"),
    ],
)
def test_a_product_with_the_fields_of_an_earlier_one_is_known_by_another_where_its_own_is(sku: Any) -> None:
    fields = {"sku": "A", "id": "B", "price": 1}
    for here, variant in ((fields, "A"), (fields | {"sku": sku}, "B"), (fields, "A")):
        item = ITEM.read(evaluation(here))
        assert isinstance(item, dict)
        assert item["productVariantId"] == variant


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("f{}", id="usual"),
        pytest.param("{}@shop.example", id="an address"),
        pytest.param("phone1415555{:04}", id="a telephone number"),
        pytest.param("a" * 1000 + "{}", id="long"),
    ],
)
def test_products_with_more_sets_of_names_than_are_remembered_are_read(name: str) -> None:
    for number in range(600):
        here = {name.format(number): 1, "sku": "A", "price": 1, "currency": "EUR"}
        assert ITEM.read(evaluation(here)) == {
            "productId": "A",
            "productVariantId": "A",
            "price": [{"value": 1, "currency": "EUR"}],
        }
