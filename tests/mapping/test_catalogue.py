"""Which rows apply to an event, and in which form they send what trackers write."""

import orjson
import pytest

from app.mapping.catalogue import CATALOGUE, Catalogue
from tests.builders import Raw, body_of, forwarded, identify, page, parsed, planned, track


@pytest.mark.parametrize(
    ("raw", "other_events", "expected"),
    [
        pytest.param(track("Product Viewed"), None, ["Product Viewed → product-view"], id="a named event"),
        pytest.param(track("product viewed"), None, ["Product Viewed → product-view"], id="its name in other letters"),
        pytest.param(track("Fitting"), None, ["any other track → custom-event"], id="any other event"),
        pytest.param(
            track("Fitting"), frozenset({"Fitting"}), ["any other track → custom-event"], id="one on the list"
        ),
        pytest.param(track("Fitting"), frozenset({"Visit"}), [], id="one that is not on the list"),
        pytest.param(track("Fitting"), frozenset(), [], id="any other event, when none is let through"),
        pytest.param(
            track("Cart Viewed"), frozenset(), ["Cart Viewed → custom-event"], id="a named event all the same"
        ),
        pytest.param(page(), frozenset(), ["page → custom-event"], id="a page all the same"),
        pytest.param(identify(), frozenset(), ["identify → identity", "identify → user-attributes"], id="an identify"),
        pytest.param(track("x", type="screen"), None, [], id="a screen"),
        pytest.param(track("x", type="group"), None, [], id="a group"),
        pytest.param(track("x", type="alias"), None, [], id="an alias"),
    ],
)
def test_rows_apply_to(raw: Raw, other_events: frozenset[str] | None, expected: list[str]) -> None:
    event = parsed({**raw, "userId": "7"})
    assert [rule.name for rule in Catalogue(CATALOGUE, other_events).rules_for(event)] == expected


def test_no_two_rows_make_the_same_call_of_the_same_event() -> None:
    rows = [(rule.type, rule.event, rule.endpoint.name) for rule in CATALOGUE]
    assert len(set(rows)) == len(rows)


class TestDeclaredTypes:
    @pytest.mark.parametrize(
        ("given", "sent", "note"),
        [
            pytest.param({"order_id": 1001}, {"order_id": "1001"}, "order_id: sent as text", id="a number as text"),
            pytest.param({"order_id": "1001"}, {"order_id": "1001"}, "", id="text as it is"),
            pytest.param({"coupon": ["A", "B"]}, {"coupon": "A, B"}, "coupon: sent as text", id="a list as text"),
            pytest.param({"coupon": True}, {"coupon": "true"}, "coupon: sent as text", id="a truth as text"),
            pytest.param({"coupon": {"code": "A"}}, None, "coupon: not text, left out", id="an object is no text"),
            pytest.param({"discount": "5.00"}, {"discount": 5.0}, "discount: sent as a number", id="digits"),
            pytest.param({"discount": "-5"}, {"discount": -5}, "discount: sent as a number", id="also below zero"),
            pytest.param({"total": -5.5}, {"total": -5.5}, "", id="a number as it is, also below zero"),
            pytest.param({"tax": "included"}, None, "tax: not a number, left out", id="words are no number"),
            pytest.param({"tax": True}, None, "tax: not a number, left out", id="a truth is no number"),
            pytest.param({"products": "none"}, None, "products: not a list, left out", id="text is no list"),
            pytest.param(
                {"products": {"sku": "A"}}, {"products": [{"sku": "A"}]}, "products: sent as a list", id="one product"
            ),
            pytest.param({"currency": " usd"}, {"currency": "USD"}, "", id="a currency in capitals"),
            pytest.param({"discount": "", "coupon": " ", "products": []}, None, "", id="what is empty is absent"),
        ],
    )
    def test_of_an_events_properties_are_kept(self, given: Raw, sent: Raw | None, note: str) -> None:
        decision = forwarded(track("Order Updated", given))
        assert orjson.loads(decision.deliveries[0].body).get("properties") == sent
        assert decision.notes == ((f"properties.{note}",) if note else ())

    @pytest.mark.parametrize(
        ("given", "sent", "note"),
        [
            pytest.param(
                {"revenue": "£1,299.00"},
                {"revenue": 1299.0, "currency": "GBP"},
                "currency: GBP, as stated by revenue",
                id="with it",
            ),
            pytest.param(
                {"revenue": "$5.50", "currency": "cad"},
                {"revenue": 5.5, "currency": "CAD"},
                "",
                id="one of its own",
            ),
            pytest.param(
                {"revenue": "€5.50", "tax": 1, "currency": "USD"},
                {"tax": 1, "currency": "USD"},
                "revenue: in another currency than `currency`, left out",
                id="not in another one",
            ),
            pytest.param(
                {"revenue": "€5.50", "tax": "£1.20"},
                None,
                "tax: in another currency than `currency`, left out",
                id="nor in two at once",
            ),
            pytest.param(
                {"revenue": "50 kr"},
                None,
                "revenue: in another currency than `currency`, left out",
                id="nor in one that several countries use",
            ),
        ],
    )
    def test_an_amount_keeps_its_currency(self, given: Raw, sent: Raw | None, note: str) -> None:
        decision = forwarded(track("Order Updated", given))
        assert orjson.loads(decision.deliveries[0].body).get("properties") == sent
        assert (f"properties.{note}" in decision.notes) is bool(note)

    def test_are_not_declared_for_properties_that_no_row_names(self) -> None:
        given = {"order_id": 1001, "discount": "5.00", "products": "none"}
        assert body_of(track("Coupon Entered", given))["properties"] == given

    def test_may_be_declared_in_the_file(self) -> None:
        mapping = "events: {Quiz Finished: {types: {score: string, points: number, done: boolean, at: date}}}"
        raw = track("Quiz Finished", {"score": 85, "points": "$7", "done": "yes", "at": 1772355600, "name": "Boots"})
        decision = forwarded(raw, plan=planned(mapping))
        assert orjson.loads(decision.deliveries[0].body)["properties"] == {
            "score": "85",
            "points": 7,
            "at": "2026-03-01T09:00:00+00:00",
            "name": "Boots",
        }
        assert "properties.done: not true or false, left out" in decision.notes
        assert "properties.points: its currency is not sent" in decision.notes


class TestCamelCase:
    @pytest.mark.parametrize("event", ["Product Viewed", "Product Added"])
    def test_is_known_in_products(self, event: str) -> None:
        body = body_of(track(event, {"productId": "1", "variantId": 2, "price": 5, "imageUrl": "https://s.example/1"}))
        assert body["items"] == [
            {
                "productId": "1",
                "productVariantId": "2",
                "price": [{"value": 5, "currency": "USD"}],
                "productImage": "https://s.example/1",
            }
        ]

    def test_is_known_in_the_products_of_an_order(self) -> None:
        body = body_of(track("Order Completed", {"orderId": 7, "products": [{"productId": "1", "price": 5}]}))
        assert (body["orderId"], body["items"][0]["productId"]) == ("7", "1")

    def test_is_known_where_the_name_of_the_spec_is_empty(self) -> None:
        body = body_of(track("Cart Viewed", {"cartId": "7", "cart_id": ""}))
        assert body["properties"] == {"cart_id": "7"}

    @pytest.mark.parametrize("event", ["Order Completed", "Cart Viewed"])
    def test_a_list_with_gaps_as_php_writes_it_is_a_list(self, event: str) -> None:
        products = {"0": {"product_id": "1", "price": 5}, "2": {"product_id": "2", "price": 6}}
        body = body_of(track(event, {"order_id": "7", "products": products}))
        sent = body["items"] if "items" in body else body["properties"]["products"]
        assert [product.get("productId", product.get("product_id")) for product in sent] == ["1", "2"]

    def test_is_known_in_properties_that_a_row_names_and_is_noted(self) -> None:
        decision = forwarded(track("Cart Viewed", {"cartId": 7, "products": [{"productId": "1"}]}))
        properties = orjson.loads(decision.deliveries[0].body)["properties"]
        assert properties == {"cart_id": "7", "products": [{"productId": "1"}]}
        assert decision.notes == ("properties.cartId: sent as cart_id", "properties.cart_id: sent as text")

    def test_counts_only_where_the_name_of_the_spec_is_missing(self) -> None:
        body = body_of(track("Order Updated", {"orderId": "camel", "order_id": "snake"}))
        assert body["properties"] == {"order_id": "snake"}
