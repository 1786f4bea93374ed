"""What a destination wants different: each feature of `mapping`, from the YAML to the call that is sent."""

import copy
from datetime import datetime
from typing import Any, Final

import orjson
import pytest

from app.attentive.call import Priority
from app.mapping.catalogue import CATALOGUE
from app.mapping.overrides import Overrides, catalogue_of
from app.pipeline import Drop, Fail, Forward
from tests.builders import (
    EMAIL,
    NOW,
    WHEN,
    Raw,
    calls,
    decided,
    dropped,
    failed,
    forwarded,
    identify,
    page,
    planned,
    track,
)

QUIZ: Final[Raw] = {
    "score": 85,
    "name": "Boots",
    "notes": " ",
    "answers": [{"q": 1, "text": "size 9"}, {"q": 2}],
    "customer": {"tier": "gold", "plan": None},
}


def sent(raw: Raw, mapping: str) -> dict[str, Any]:
    """The one call that this event becomes, without what all calls share."""
    ((_, body),) = calls(raw, plan=planned(mapping))
    return {key: value for key, value in body.items() if key not in {"user", "occurredAt"}}


def custom(properties: str, event: str = "Quiz Finished") -> str:
    return f"events: {{{event}: {properties}}}"


PROPERTIES: Final = [
    pytest.param(
        "{}",
        {key: QUIZ[key] for key in ("score", "name", "answers")} | {"customer": {"tier": "gold"}},
        id="all of them, when nothing is said",
    ),
    pytest.param("{keep: [score, unknown]}", {"score": 85}, id="kept by name"),
    pytest.param("{keep: []}", None, id="none kept"),
    pytest.param(
        "{keep: [customer, answers], drop: [customer.tier, answers.text]}",
        {"answers": [{"q": 1}, {"q": 2}]},
        id="dropped by path, in every element of a list",
    ),
    pytest.param("{keep: [score], drop: [score.value, nothing.here]}", {"score": 85}, id="dropped, and not there"),
    pytest.param("{keep: [score, name], rename: {score: points}}", {"name": "Boots", "points": 85}, id="renamed"),
    pytest.param(
        "{keep: [score, name], rename: {score: name, name: score}}", {"name": 85, "score": "Boots"}, id="exchanged"
    ),
    pytest.param("{keep: [score], rename: {nothing: points}}", {"score": 85}, id="renamed, and not there"),
    pytest.param("{keep: [], properties: {tier: properties.customer.tier}}", {"tier": "gold"}, id="of another path"),
    pytest.param("{keep: [], properties: {tier: $.properties.customer.tier}}", {"tier": "gold"}, id="from the event"),
    pytest.param("{keep: [], properties: {page: context.page.url}}", {"page": "https://s.example"}, id="of context"),
    pytest.param("{keep: [], properties: {city: traits.city}}", {"city": "Oslo"}, id="of the traits of the context"),
    pytest.param("{keep: [], properties: {who: userId}}", {"who": "u-1"}, id="of the event itself"),
    pytest.param("{keep: [], properties: {all: properties.answers.q}}", {"all": [1, 2]}, id="of all of a list"),
    pytest.param("{keep: [], properties: {at: $.extra.at}}", {"at": 5}, id="of a field that Segment does not know"),
    pytest.param("{keep: [], properties: {a: properties.answers.z, b: userId.x}}", None, id="of nowhere"),
    pytest.param(
        "{keep: [], properties: {a: $.anonymousId, b: {jmespath: anonymousId}}}", None, id="of the browser, never"
    ),
    pytest.param(
        "{keep: [], properties: {x: [properties.notes, properties.none, properties.name]}}",
        {"x": "Boots"},
        id="of the first path that has a value; blank text has none",
    ),
    pytest.param("{keep: [], properties: {x: {constant: web}}}", {"x": "web"}, id="a constant"),
    pytest.param("{keep: [], properties: {x: {constant: 0}}}", {"x": 0}, id="a constant nought"),
    pytest.param("{keep: [], properties: {x: {constant: [1, {a: b}]}}}", {"x": [1, {"a": "b"}]}, id="a constant list"),
    pytest.param("{keep: [], properties: {x: [properties.none, {constant: d}]}}", {"x": "d"}, id="a default"),
    pytest.param(
        "{keep: [], properties: {x: {jmespath: 'properties.answers[?q > `1`].q | [0]'}}}", {"x": 2}, id="computed"
    ),
    pytest.param(
        """{keep: [], properties: {x: {jmespath: "properties.score >= `80` && 'gold' || 'silver'"}}}""",
        {"x": "gold"},
        id="computed with a condition",
    ),
    pytest.param(
        "{keep: [score], properties: {score: {constant: 1}}}", {"score": 1}, id="put in the place of one that is kept"
    ),
    pytest.param(
        """{keep: [], properties: {"a|b": {constant: 1}}}""", {"a_b": 1}, id="named with what Attentive forbids"
    ),
]


@pytest.mark.parametrize(("mapping", "expected"), PROPERTIES)
def test_the_properties_of_an_event_are(mapping: str, expected: Raw | None) -> None:
    raw = track("Quiz Finished", QUIZ, userId="u-1", anonymousId="b-1", extra={"at": 5})
    raw["context"] |= {"page": {"url": "https://s.example"}, "traits": {"email": EMAIL, "city": "Oslo"}}
    body = sent(raw, custom(mapping))
    assert body.pop("properties", None) == expected
    assert body == {"type": "Quiz Finished", "externalEventId": "message-1"}


CHANGES: Final = [
    pytest.param(
        track("Order Updated", {"order_id": "7", "total": 5, "gift": True, "currency": " usd"}),
        "events: {Order Updated: {properties: {gift: properties.gift}}}",
        {"order_id": "7", "total": 5, "gift": True, "currency": "USD"},
        id="a picked property more",
    ),
    pytest.param(
        track("Order Updated", {"order_id": "7", "gift": True, "currency": "usd"}),
        "events: {Order Updated: {keep: all}}",
        {"order_id": "7", "gift": True, "currency": "usd"},
        id="all properties of an event whose row picks some",
    ),
    pytest.param(
        track("Order Canceled", {"order_id": "7", "total": 5}),
        "events: {order_cancelled: {drop: [total]}}",
        {"order_id": "7"},
        id="an event in another spelling",
    ),
    pytest.param(
        track("Anything At All", {"a": 1, "ip": "10.0.0.7"}),
        "other: {drop: [ip]}",
        {"a": 1},
        id="every event without a row",
    ),
    pytest.param(
        page({"path": "/", "title": "Home", "name": "home"}),
        "page: {properties: {name: properties.name}, drop: [title]}",
        {"path": "/", "name": "home"},
        id="pages",
    ),
]


@pytest.mark.parametrize(("raw", "mapping", "expected"), CHANGES)
def test_a_row_of_the_catalogue_can_be_changed_for(raw: Raw, mapping: str, expected: Raw) -> None:
    assert sent(raw, mapping)["properties"] == expected


class TestACustomEvent:
    @pytest.mark.parametrize(
        ("mapping", "expected"),
        [
            pytest.param("{type: {constant: Quiz}}", {"type": "Quiz"}, id="its type, fixed"),
            pytest.param("{type: properties.name}", {"type": "Boots"}, id="its type, from the event"),
            pytest.param("{type: [properties.none, event]}", {"type": "Quiz Finished"}, id="its type, with a default"),
            pytest.param("{type: {constant: 'a|b'}}", {"type": "a_b"}, id="its type, mended"),
            pytest.param("{externalEventId: properties.score}", {"externalEventId": "85"}, id="its id"),
            pytest.param(
                "{externalEventId: properties.none}", {"type": "Quiz Finished"}, id="its id, which may be absent"
            ),
        ],
    )
    def test_may_have_chosen(self, mapping: str, expected: Raw) -> None:
        body = sent(track("Quiz Finished", QUIZ), custom(mapping))
        assert expected.items() <= body.items()

    def test_without_a_type_is_kept_as_a_dead_letter(self) -> None:
        fail = failed(track("Quiz Finished"), plan=planned(custom("{type: properties.kind}")))
        assert fail.detail == "type_missing: no source of `type` has a value"


SALE: Final[Raw] = {
    "number": 77,
    "lines": [{"code": "A", "cost": "1,5", "unit": "5.50", "n": "2", "cur": "eur"}, {"code": "B", "unit": 1}],
    "currency": "CAD",
    "channel": "IN_STORE",
}
PRODUCTS: Final = """
  productId: code
  price: [unit, price]
  currency: [cur, currency, $.properties.currency]
  quantity: [n, {constant: 1}]
"""
SOLD: Final = [
    {"productId": "A", "productVariantId": "A", "price": [{"value": 5.5, "currency": "EUR"}], "quantity": 2},
    {"productId": "B", "productVariantId": "B", "price": [{"value": 1, "currency": "CAD"}], "quantity": 1},
]


class TestProducts:
    def test_of_every_event_may_have_fields_of_other_names(self) -> None:
        raw = track("Order Completed", SALE | {"products": SALE["lines"]})
        assert sent(raw, f"item:{PRODUCTS}")["items"] == SOLD

    def test_of_one_event_may_have_fields_of_other_names(self) -> None:
        mapping = "item: {productId: id, price: unit}\nevents:\n  Order Completed:\n    items: properties.lines\n"
        mapping += f"    item:{PRODUCTS.replace(chr(10), chr(10) + '    ')}"
        assert sent(track("Order Completed", SALE), mapping)["items"] == SOLD

    def test_of_one_event_keep_what_is_said_of_all(self) -> None:
        mapping = "{item: {productId: code, price: unit}, events: {Order Completed: {item: {currency: cur}}}}"
        items = sent(track("Order Completed", {"products": SALE["lines"]}), mapping)["items"]
        assert [(each["productId"], each["price"][0]["currency"]) for each in items] == [("A", "EUR"), ("B", "USD")]

    @pytest.mark.parametrize(
        ("mapping", "here", "item"),
        [
            pytest.param("{productId: code}", {"code": "A", "sku": "S"}, ("A", "S", None), id="id"),
            pytest.param("{productVariantId: [size, sku]}", {"sku": "S", "size": 9}, ("S", "9", None), id="variant"),
            pytest.param(
                "{productUrl: [url, $.context.page.url]}", {"sku": "S"}, ("S", "S", "https://s.example"), id="address"
            ),
            pytest.param(
                "{productUrl: {jmespath: to.web}}",
                {"sku": "S", "to": {"web": "w"}},
                ("S", "S", "w"),
                id="computed",
            ),
            pytest.param(
                "{productUrl: {jmespath: properties.url}}", {"sku": "S", "url": "w"}, ("S", "S", None), id="x"
            ),
        ],
    )
    def test_may_have_another(self, mapping: str, here: Raw, item: tuple[Any, ...]) -> None:
        raw = track("Product Viewed", here | {"price": 1})
        raw["context"]["page"] = {"url": "https://s.example"}
        (found,) = sent(raw, f"item: {mapping}")["items"]
        assert (found["productId"], found["productVariantId"], found.get("productUrl")) == item

    @pytest.mark.parametrize(
        ("products", "prices"),
        [
            pytest.param({"sku": "A", "price": 1}, [1], id="one"),
            pytest.param([{"sku": "A", "price": 1}, {"sku": "B", "price": 2}], [1, 2], id="several"),
            pytest.param([{"sku": "A"}, {"sku": "B", "price": 2}], [2], id="those that can be sent"),
        ],
    )
    def test_may_be_elsewhere(self, products: Any, prices: list[int]) -> None:
        body = sent(track("Product Added", {"cart": products}), "events: {Product Added: {items: properties.cart}}")
        assert [each["price"][0]["value"] for each in body["items"]] == prices

    @pytest.mark.parametrize(
        ("products", "detail"),
        [
            pytest.param(None, "must be a product or a list of products", id="nowhere"),
            pytest.param("A", "must be a product or a list of products", id="text"),
            pytest.param([], "is empty", id="an empty list"),
            pytest.param([7], "has no usable product", id="a list of numbers"),
            pytest.param([{"sku": "A"}], "has no usable price", id="without a price"),
            pytest.param([{"price": 1}], "has no usable sku", id="without an id"),
        ],
    )
    def test_that_cannot_be_sent_make_a_dead_letter(self, products: Any, detail: str) -> None:
        mapping = "{item: {productId: sku}, events: {Product Added: {items: properties.cart}}}"
        fail = failed(track("Product Added", {"cart": products}), plan=planned(mapping))
        assert fail.detail == f"items_missing: properties.cart {detail}"

    def test_with_an_amount_that_is_none_are_noted(self) -> None:
        raw = track("Product Viewed", {"sku": "A", "sale": "free", "price": 1, "cur": "dollars"})
        notes = failed(raw, plan=planned("item: {price: [sale, price], currency: cur}")).notes
        assert notes == (
            "properties.sale: not an amount of 0 or more, passed over",
            "properties.cur: not a three-letter currency, passed over",
            "properties.sale or price: its currency is not known for certain, left out",
        )


class TestWhereItGoes:
    @pytest.mark.parametrize(
        ("mapping", "expected"),
        [
            pytest.param("{to: product-view}", [("product-view", 2)], id="to an endpoint, at its priority"),
            pytest.param("{to: add-to-cart, priority: low}", [("add-to-cart", 2)], id="at a priority of its own"),
            pytest.param("{priority: high}", [("custom-event", 0)], id="a custom event at another priority"),
            pytest.param(
                "{to: [product-view, custom-event]}", [("product-view", 2), ("custom-event", 1)], id="to two endpoints"
            ),
            pytest.param("{to: user-attributes}", [("user-attributes", 1)], id="to the person's attributes"),
        ],
    )
    def test_a_new_event_is_sent(self, mapping: str, expected: list[tuple[str, int]]) -> None:
        raw = track("Fitting Seen", {"sku": "A", "price": 1})
        raw["context"]["traits"]["vip"] = True
        found = forwarded(raw, plan=planned(custom(mapping, "Fitting Seen"))).deliveries
        assert [(each.endpoint, int(each.priority)) for each in found] == expected

    def test_a_known_event_is_sent_elsewhere(self) -> None:
        raw = track("Product Viewed", {"sku": "A", "price": 1})
        plan = planned("events: {Viewed Product: {to: custom-event}}")
        ((delivery),) = forwarded(raw, plan=plan).deliveries
        assert delivery.priority is Priority.LOW
        assert "Product Viewed → custom-event" in [rule.name for rule in plan.catalogue.rules]
        body = sent(raw, "events: {Viewed Product: {to: custom-event}}")
        assert body == {
            "type": "Product Viewed",
            "externalEventId": "message-1",
            "properties": {"sku": "A", "price": 1},
        }

    def test_a_purchase_says_where_it_was_made(self) -> None:
        mapping = """
          events:
            Sale Closed:
              to: purchase
              items: properties.lines
              orderId: [properties.order_id, properties.number]
              salesChannel: [properties.channel, {constant: OTHER}]
              item: {productId: code, price: unit}"""
        for channel, said in (("IN_STORE", "IN_STORE"), ("Store 7", "OTHER"), (None, "OTHER")):
            body = sent(track("Sale Closed", SALE | {"channel": channel}), mapping)
            assert (body["orderId"], body["salesChannel"]) == ("77", {"channelType": said})
        ((delivery),) = forwarded(track("Sale Closed", SALE), plan=planned(mapping)).deliveries
        assert delivery.priority is Priority.HIGH

    def test_screens_are_sent_when_the_file_says_so(self) -> None:
        raw = track("x", {"screen": "Home"}, type="screen")
        assert dropped(raw).reason == "not_forwarded"
        assert sent(raw, "screen: {keep: [screen]}") == {
            "type": "screen",
            "externalEventId": "message-1",
            "properties": {"screen": "Home"},
        }

    def test_identify_calls_go_where_the_file_says(self) -> None:
        raw = identify({"email": EMAIL, "vip": 1}, userId="7")
        plan = planned("identify: {to: user-attributes, priority: low}")
        assert [(each.endpoint, int(each.priority)) for each in forwarded(raw, plan=plan).deliveries] == [
            ("user-attributes", 2)
        ]


class TestIdentifyCallsToUserAttributesAlone:
    PLAN: Final = planned("identify: {to: user-attributes}")

    def test_link_identifiers_without_a_trait(self) -> None:
        raw = identify({"email": EMAIL, "phone": "+14155550132"}, userId="7")
        ((endpoint, body),) = calls(raw, plan=self.PLAN)
        assert endpoint == "user-attributes"
        assert body == {"identifiers": {"phone": "+14155550132", "email": EMAIL, "clientUserId": "7"}}

    def test_need_two_identifiers_to_link(self) -> None:
        assert dropped(identify({"email": EMAIL}), plan=self.PLAN).reason == "no_content"

    @pytest.mark.parametrize("mapping", ["{}", "identify: {to: [identity, user-attributes]}"])
    def test_leave_that_to_the_identity_call_where_there_is_one(self, mapping: str) -> None:
        raw = identify({"email": EMAIL}, userId="7")
        assert [endpoint for endpoint, _ in calls(raw, plan=planned(mapping))] == ["identity"]


class TestTheTime:
    @pytest.mark.parametrize(
        ("ordered", "sent_as", "notes"),
        [
            pytest.param("2026-03-01T10:00:00+01:00", "2026-03-01T09:00:00.000Z", 0, id="told in the properties"),
            pytest.param(1772355600, "2026-03-01T09:00:00.000Z", 0, id="in seconds"),
            pytest.param(None, WHEN, 0, id="the event's own where it is not told"),
            pytest.param("yesterday", WHEN, 1, id="the event's own where what is told is none"),
            pytest.param("1970-01-01T00:00:00Z", WHEN, 1, id="the event's own where what is told is a zero"),
            pytest.param(0, WHEN, 1, id="or a number that is a zero"),
            pytest.param("2026-03-02T00:00:00Z", WHEN, 1, id="the event's own where it had not come yet"),
        ],
    )
    def test_of_an_event_may_be(self, ordered: Any, sent_as: str, notes: int) -> None:
        plan = planned("events: {Quiz Finished: {occurredAt: properties.ordered_at}}")
        found = forwarded(track("Quiz Finished", {"ordered_at": ordered}), plan=plan)
        assert orjson.loads(found.deliveries[0].body)["occurredAt"] == sent_as
        assert len(found.notes) == notes

    @pytest.mark.parametrize("timestamp", [None, "2529-03-01T10:00:00Z", "2026-03-03T12:00:00Z"])
    def test_of_an_event_is_never_later_than_the_receipt(self, timestamp: str | None) -> None:
        """Whatever the clock of the sender shows, to which the property is as close as the timestamp."""
        plan = planned("events: {Quiz Finished: {occurredAt: properties.ordered_at}}")
        raw = track("Quiz Finished", {"ordered_at": timestamp or "2529-03-01T10:00:00Z"}, timestamp=timestamp)
        found = forwarded(raw, plan=plan)
        assert datetime.fromisoformat(orjson.loads(found.deliveries[0].body)["occurredAt"]) == NOW
        assert "occurredAt: later than the event itself, its own time is sent" in found.notes


class TestWhatIsSwitchedOff:
    @pytest.mark.parametrize(
        ("raw", "mapping", "reason"),
        [
            pytest.param(
                track("Product Clicked"), custom("{send: false}", "Product Clicked"), "event_not_allowed", id="one"
            ),
            pytest.param(
                track("product_clicked"),
                custom("{send: off}", "Clicked Product"),
                "event_not_allowed",
                id="by another name",
            ),
            pytest.param(track("Debug"), custom("{send: false}", "debug"), "event_not_allowed", id="one of the others"),
            pytest.param(track("Anything"), "other: {send: false}", "event_not_allowed", id="all the others"),
            pytest.param(page(), "page: {send: false}", "not_forwarded", id="pages"),
            pytest.param(identify({"email": EMAIL, "a": 1}), "identify: {send: false}", "not_forwarded", id="identify"),
        ],
    )
    def test_is_dropped_by_name(self, raw: Raw, mapping: str, reason: str) -> None:
        assert dropped(raw, plan=planned(mapping)).reason == reason
        assert isinstance(decided(track("Cart Viewed"), plan=planned(mapping)), Forward)


class TestAnExpression:
    @pytest.mark.parametrize(
        ("expression", "note"),
        [
            pytest.param("properties.none", "gave nothing", id="null"),
            pytest.param("length(properties.none)", "failed (JMESPathTypeError)", id="a failure"),
            pytest.param("to_number('nan')", "gave what JSON cannot hold", id="no number"),
            pytest.param("[to_number('1e999')]", "gave what JSON cannot hold", id="a number without end"),
            pytest.param("to_number('99999999999999999999')", "gave what JSON cannot hold", id="a number too large"),
        ],
    )
    def test_that_gives_nothing_is_left_out_with_a_note(self, expression: str, note: str) -> None:
        raw = track("Quiz Finished", {"email": EMAIL})
        found = forwarded(raw, plan=planned(custom(f'{{properties: {{x: {{jmespath: "{expression}"}}}}}}')))
        assert found.notes == (f"jmespath {expression}: {note}, left out",)
        assert EMAIL not in found.notes[0]

    def test_sees_the_whole_event(self) -> None:
        raw = track("Quiz Finished", {"a": 1}, userId="u-1", channel="server")
        raw["context"]["library"] = {"name": "x"}
        expression = "[event, type, userId, messageId, traits.email, context.library.name, properties.a, channel]"
        body = sent(raw, custom(f'{{properties: {{x: {{jmespath: "{expression}"}}}}}}'))
        assert body["properties"]["x"] == ["Quiz Finished", "track", "u-1", "message-1", EMAIL, "x", 1, "server"]


EVERYTHING: Final = """
item: {productId: [code, sku], currency: [cur, $.properties.currency], productUrl: {jmespath: "links[0]"}}
events:
  Order Completed: {items: [properties.lines, properties.products], salesChannel: {constant: WEB}, priority: low}
  Quiz Finished:
    to: [custom-event, product-view]
    type: [properties.kind, {constant: Quiz}]
    drop: [customer.tier, answers.text]
    rename: {score: points}
    properties: {x: {jmespath: "answers[].q"}, y: {constant: {a: [1]}}}
other: {keep: all, drop: [a.b]}
page: {drop: [title]}
"""


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(track("Quiz Finished", QUIZ | {"sku": "A", "price": 1}), id="a new event"),
        pytest.param(track("Order Completed", {"lines": [{"code": "A", "price": 1}]}), id="a known event"),
        pytest.param(track("Other", {"a": {"b": 1, "c": [None, {}]}}), id="another event"),
        pytest.param(page({"title": "x"}), id="a page"),
    ],
)
def test_the_same_event_becomes_the_same_calls_and_is_never_touched(raw: Raw) -> None:
    before = copy.deepcopy(raw)
    first = decided(raw, plan=planned(EVERYTHING))
    assert raw == before
    assert decided(copy.deepcopy(raw), plan=planned(EVERYTHING)) == first
    assert isinstance(first, Forward | Drop | Fail)


def test_nothing_said_is_the_catalogue_itself() -> None:
    assert catalogue_of(Overrides(), None).rules == CATALOGUE
