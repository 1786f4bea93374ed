"""What real senders write, through real processes: the right person, the right content, or a note and nothing.

Each test is a kind of mistake that shops and trackers make. The texts are examples; tables of all forms are beside the
modules that read them.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
import pytest
import redis

from app.embedded import RedisBinary
from app.sandbox import SandboxConfig, running_sandbox
from app.store.keys import DestinationKeys, refusals_key
from tests.local import HTTP
from tests.stack import DESTINATION, WRITE_KEY, Stack, message_id, wait_until

IDENTITY: Final = "/v1/identity-resolution/user-identifiers"
ATTRIBUTES: Final = "/v2/user/attributes"
CUSTOM: Final = "/v1/events/custom"
PURCHASE: Final = "/v1/events/ecommerce/purchase"
ADDED: Final = "/v1/events/ecommerce/add-to-cart"
SUBSCRIBE: Final = "/v1/subscriptions"
GERMAN_KEY, TILL_KEY, LEAN_KEY = "german-key", "till-key", "lean-key"
DESTINATIONS: Final = {WRITE_KEY: DESTINATION, GERMAN_KEY: "german", TILL_KEY: "stores", LEAN_KEY: "lean"}
ENDED: Final = ("delivered", "dead letter")

Raw = dict[str, Any]


@pytest.fixture(scope="module")
def gateway(redis_binary: RedisBinary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Four accounts: one in the USA, one in Germany with an opt-in, one for tills, one that sends attributes alone."""
    with running_sandbox(SandboxConfig(attribute_options={"tier": ("gold", "silver")})) as sandbox:
        running = Stack(tmp_path_factory.mktemp("cases"), redis_binary, sandbox)
        account = {"api_token": "sandbox-token", "base_url": sandbox.url}
        opt_in = {"event": "Newsletter Joined", "sign_up_source": "1"}
        sale = {"to": "purchase", "horizon_hours": 168, "salesChannel": {"constant": "IN_STORE"}}
        running.configure(
            {
                "destinations": {
                    DESTINATION: {**account, "merges": "block"},
                    "german": {**account, "default_region": "DE", "subscriptions": {"opt_in": [opt_in]}},
                    "stores": {**account, "mapping": {"events": {"Sale Closed": {**sale, "orderId": "messageId"}}}},
                    "lean": {**account, "mapping": {"identify": {"to": "user-attributes"}}},
                },
                "sources": {
                    name: {"write_key": key, "trust": "server", "destination": DESTINATIONS[key]}
                    for name, key in (
                        ("shop", WRITE_KEY),
                        ("german", GERMAN_KEY),
                        ("tills", TILL_KEY),
                        ("lean", LEAN_KEY),
                    )
                },
            }
        )
        with running:
            yield running


@dataclass(frozen=True, slots=True)
class Case:
    """A person whom no other test knows, and a tracker that writes about them."""

    gateway: Stack
    tag: str
    key: str = WRITE_KEY

    @property
    def email(self) -> str:
        return f"{self.tag}@shop-a.example"

    @property
    def user_id(self) -> str:
        return f"u-{self.tag}"

    def send(self, event: Raw, path: str = "/v1/track") -> str:
        """Post one event; its message ID."""
        event = {"messageId": message_id(), **event}
        answer = self.gateway.http.post(path, content=json.dumps(event), auth=(self.key, ""))
        assert answer.status_code == 200, answer.text
        return str(event["messageId"])

    def track(self, name: str, properties: Any = None, **fields: Any) -> str:
        """Post an event of the person; its message ID."""
        who = {"userId": self.user_id, "context": {"traits": {"email": self.email}}}
        return self.send({"event": name, "properties": properties or {}, **who, **fields})

    def identify(self, traits: Any, **fields: Any) -> str:
        """Post an identify call of the person; its message ID."""
        return self.send({"userId": self.user_id, "traits": traits, **fields}, "/v1/identify")

    def fate(self, message: str) -> Raw:
        """What the journal has of an event's arrival, once the event has ended."""
        destination = DESTINATIONS[self.key]
        story: list[tuple[str, Raw]] = []

        def ended() -> bool:
            story[:] = self._story(destination, message)
            arrived = next((facts for step, facts in story if step == "received"), None)
            attempts = [facts for step, facts in story if step == "attempt" and facts["outcome"] in ENDED]
            spared = [step for step, _ in story if step == "unchanged"]
            return arrived is not None and len(attempts) + len(spared) >= len(arrived.get("calls", ()))

        wait_until(ended, f"the event {message} has ended")
        return next(facts for step, facts in story if step == "received")

    def _story(self, destination: str, message: str) -> list[tuple[str, Raw]]:
        with redis.Redis(port=self.gateway.redis_port) as client:
            entries: Any = client.xrange(DestinationKeys(destination).journal)
        return [
            (fields[b"s"].decode(), orjson.loads(fields[b"d"] or b"{}"))
            for _, fields in entries
            if fields[b"m"].decode() == message
        ]

    def calls(self, path: str, *messages: str) -> list[Raw]:
        """The bodies of the calls about this person, once these events have ended, in their order."""
        for message in messages:
            self.fate(message)
        return [call["body"] for call in self.gateway.ledger(path=path, contains=self.tag)]

    def letters(self, message: str) -> list[Raw]:
        """The dead letters of an event, masked."""
        exported = self.gateway.run("dead-letters", "export").stdout.splitlines()
        return [letter for letter in map(json.loads, exported) if letter["message_id"] == message]

    def call(self, path: str, *messages: str) -> Raw:
        """The only one."""
        (body,) = self.calls(path, *messages)
        return body


@pytest.fixture
def case(gateway: Stack) -> Case:
    return Case(gateway, message_id().removeprefix("test-"))


def ago(**span: float) -> str:
    return (datetime.now(UTC) - timedelta(**span)).isoformat()


def order(*products: Raw, **properties: Any) -> Raw:
    return {"order_id": message_id(), "products": list(products), **properties}


def prices(body: Raw) -> list[tuple[str, float, str]]:
    return [(item["productId"], item["price"][0]["value"], item["price"][0]["currency"]) for item in body["items"]]


def test_undefined_is_no_person(case: Case) -> None:
    other = Case(case.gateway, message_id())
    first = case.identify({"email": case.email}, userId="undefined")
    second = other.identify({"email": other.email}, userId="undefined")
    third = case.send(
        {"userId": "undefined", "event": "Product Added", "properties": {"product_id": "P1", "price": 10}}
    )
    for message in (first, second):
        assert case.fate(message)["reason"] == "no_content"
    assert case.fate(third)["reason"] == "unusable_identity"
    assert case.fate(third)["notes"]
    assert case.calls(IDENTITY) == other.calls(IDENTITY) == []


@pytest.mark.parametrize(
    "fields", [{"previousId": "undefined"}, {"previousId": None}, {"previousId": "(null)"}], ids=str
)
def test_no_id_is_nobodys_previous_one(case: Case, fields: Raw) -> None:
    """Nor is an anonymous ID that states none anybody's: both would lead to all who share it."""
    case.fate(case.send({"userId": "", "anonymousId": "undefined", "traits": {"email": case.email}}, "/v1/identify"))
    alias = {"messageId": message_id(), "userId": case.user_id, **fields}
    if case.gateway.post("/v1/alias", alias).status_code == 200:
        case.fate(str(alias["messageId"]))
    message = case.send({"userId": case.user_id, "anonymousId": "undefined", "event": "Cart Emptied"})
    assert case.call(CUSTOM, message)["user"] == {"externalIdentifiers": {"clientUserId": case.user_id}}


@pytest.mark.parametrize("phone", [4915112345678.0, "4915112345678.0", "15112345678.0"])
def test_a_phone_number_that_is_a_float_is_the_number(gateway: Stack, phone: Any) -> None:
    german = Case(gateway, message_id(), GERMAN_KEY)
    linked = german.identify({"email": german.email, "phone": phone})
    joined = german.track("Newsletter Joined", context={"traits": {"email": german.email, "phone": phone}})
    assert german.call(IDENTITY, linked)["phone"] == "+4915112345678"
    assert german.call(SUBSCRIBE, joined)["user"]["phone"] == "+4915112345678"


@pytest.mark.parametrize(
    "phone", ["000-000-0000", "0000000000", "1234567890", "5555555555", "9999999999", "1111111111", "07 64 01 94 08"]
)
def test_a_number_that_nobody_has_is_left_out(case: Case, phone: str) -> None:
    message = case.identify({"email": case.email, "phone": phone})
    assert case.call(IDENTITY, message) == {"email": case.email, "clientUserId": case.user_id}
    assert any("phone" in note for note in case.fate(message)["notes"])


def test_a_number_dialled_from_abroad_is_read(case: Case) -> None:
    assert case.call(IDENTITY, case.identify({"phone": "0044 20 7183 8750"}))["phone"] == "+442071838750"


def test_a_user_id_that_is_the_phone_number_is_no_id(case: Case) -> None:
    message = case.track("Cart Emptied", userId="4155552671", context={"traits": {"phone": "+14155552671"}})
    case.fate(message)
    (call,) = case.gateway.ledger(path=CUSTOM, message_id=message)
    assert call["body"]["user"] == {"phone": "+14155552671"}


def test_a_user_id_that_is_an_address_is_the_address(case: Case) -> None:
    message = case.send({"userId": case.email, "event": "Foo"})
    assert case.call(CUSTOM, message)["user"] == {"email": case.email}


def test_an_identifier_that_many_people_share_links_nobody(case: Case) -> None:
    people = [Case(case.gateway, f"{case.tag}-{number}") for number in range(25)]
    phone = "+14155552599"
    for each in people:
        each.identify({"phone": phone})
    for each in people[:3]:
        each.identify({"email": each.email, "phone": phone}, userId="guest")
    wait_until(lambda: case.gateway.waiting() == 0, "all have ended")
    assert len(case.calls(IDENTITY)) <= 5
    with redis.Redis(port=case.gateway.redis_port) as client:
        suspicious: Any = client.zrange(DestinationKeys(DESTINATION).suspicious, 0, -1)
    assert suspicious != []
    assert phone not in str(suspicious)


def test_an_id_with_many_numbers_links_no_more_than_it_may(case: Case) -> None:
    def shared() -> int:
        with redis.Redis(port=case.gateway.redis_port) as client:
            return int(client.hget(DestinationKeys(DESTINATION).counters, "merge:shared:shop") or 0)

    before = shared()
    for number in range(3100, 3125):
        case.identify({"phone": f"+1415555{number}"})
    wait_until(lambda: case.gateway.waiting() == 0, "all have ended")
    assert len(case.calls(IDENTITY)) == 5
    assert shared() == before + 20


def test_ids_and_links_of_shops_are_no_card_numbers(case: Case) -> None:
    product, variant = "gid://shopify/Product/6567284113538", "gid://shopify/ProductVariant/39410711724001"
    url = "https://shop-a.example/products/boot?variant=39410711724001"
    added = {"product_id": product, "variant_id": variant, "price": "59.00", "currency": "USD", "url": url}
    (item,) = case.call(ADDED, case.track("Product Added", added))["items"]
    assert (item["productId"], item["productVariantId"], item["productUrl"]) == (product, variant, url)
    ids = [f"shopify_US_6567284113538_{number}" for number in (39410711724001, 39410711724159)]
    body = case.call(PURCHASE, case.track("Order Completed", order(*({"id": each, "price": 59} for each in ids))))
    assert [item["productId"] for item in body["items"]] == ids


def test_a_sku_is_no_social_security_number(case: Case) -> None:
    body = case.call(ADDED, case.track("Product Added", {"sku": "123-45-6789", "price": 10}))
    assert body["items"][0]["productId"] == "123-45-6789"


def test_a_device_whose_clock_is_slow(case: Case) -> None:
    who = {"userId": case.user_id, "context": {"traits": {"email": case.email}}}
    event = {**who, "event": "Product Added", "properties": {"product_id": "P1", "price": 10}}
    slow = case.send({**event, "type": "track", "timestamp": ago(days=2), "sentAt": ago(days=2, seconds=-1)}, "/v1/t")
    batch = {"sentAt": ago(hours=14, seconds=-1), "batch": [{**event, "type": "track", "timestamp": ago(hours=14)}]}
    batch["batch"][0]["messageId"] = message_id()  # type: ignore[index]
    assert case.gateway.post("/v1/batch", batch).status_code == 200
    bodies = case.calls(ADDED, slow, str(batch["batch"][0]["messageId"]))  # type: ignore[index]
    assert len(bodies) == 2
    for body in bodies:
        assert datetime.fromisoformat(body["occurredAt"]) > datetime.now(UTC) - timedelta(minutes=5)


def test_the_newest_address_wins_whatever_the_clock(case: Case) -> None:
    old, new = f"old-{case.email}", f"new-{case.email}"
    first = case.identify({"email": old}, timestamp=ago(minutes=10), sentAt=ago())
    second = case.identify({"email": new}, timestamp=ago(days=1), sentAt=ago(days=1))
    for message in (first, second):
        case.fate(message)
    message = case.send({"userId": case.user_id, "event": "Cart Emptied"})
    assert case.call(CUSTOM, message)["user"]["email"] == new


@pytest.mark.parametrize(
    "integrations",
    [
        {"all": False},
        {"Attentive Tag": False},
        {"ATTENTIVE_TAG": False},
        {"All": False, "Attentive": None},
        {"All": "false"},
        {"Actions Attentive": False},
    ],
    ids=orjson.dumps,
)
def test_a_sender_excludes_attentive(case: Case, integrations: Raw) -> None:
    message = case.track("Product Added", {"product_id": "P1", "price": 10}, integrations=integrations)
    assert case.fate(message)["reason"] == "integrations"


@pytest.mark.parametrize(
    "form",
    [
        "%Y-%m-%d %H:%M:%S UTC",
        "%Y-%m-%d %H:%M:%S.000 +0000",
        "%Y-%m-%dT%H:%M:%Sz",
        "%Y-%m-%dT%H:%M:%S+01:00[Europe/Berlin]",
        "%a, %d %b %Y %H:%M:%S GMT",
        "%Y-%m-%dT23:59:60Z",
        "microseconds",
        "a week ago on Tuesday",
    ],
)
def test_an_order_of_three_days_ago_is_never_fresh(case: Case, form: str) -> None:
    moment = datetime.now(UTC) - timedelta(days=3)
    stated = int(moment.timestamp() * 1_000_000) if form == "microseconds" else moment.strftime(form)
    message = case.track("Order Completed", order({"product_id": "P1", "price": 10}), timestamp=stated)
    assert case.fate(message)["reason"] == ("time_unreadable" if "week" in form else "too_old")


@pytest.mark.parametrize("zero", ["0001-01-01T00:00:00Z", 0, "1970-01-01T00:00:00.000Z"])
def test_a_zero_is_no_time(case: Case, zero: Any) -> None:
    message = case.track("Order Completed", order({"product_id": "P1", "price": 10}), timestamp=zero)
    occurred = datetime.fromisoformat(case.call(PURCHASE, message)["occurredAt"])
    assert abs(datetime.now(UTC) - occurred) < timedelta(minutes=5)
    assert "timestamp: a zero or a placeholder, not a time; ignored" in case.fate(message)["notes"]


def test_a_price_is_read_whole_or_not_at_all(case: Case) -> None:
    texts = ("CHF 1\u2019299.50", ",89 €", "(19.99)", "3 for $10.00", "5.00-", "1,234,567.890")
    products = [{"product_id": f"P{number}", "price": text} for number, text in enumerate(texts, start=1)]
    message = case.track("Order Completed", order(*products, currency="CHF"))
    assert prices(case.call(PURCHASE, message)) == [
        ("P1", 1299.5, "CHF"),
        ("P2", 0.89, "EUR"),
        ("P6", 1234567.89, "CHF"),
    ]
    assert len([note for note in case.fate(message)["notes"] if "price" in note]) >= 3


@pytest.mark.parametrize(
    ("price", "expected"), [("£19.99", (19.99, "GBP")), ("12.50 EUR", (12.5, "EUR")), ("1.299,00 €", (1299.0, "EUR"))]
)
def test_a_price_keeps_its_currency(case: Case, price: str, expected: tuple[float, str]) -> None:
    message = case.track("Product Added", {"product_id": "P1", "price": price})
    assert prices(case.call(ADDED, message)) == [("P1", *expected)]


def test_a_product_without_a_currency_code_takes_that_of_its_order(case: Case) -> None:
    message = case.track("Order Completed", order({"product_id": "P1", "price": 10, "currency": "€"}, currency="EUR"))
    assert prices(case.call(PURCHASE, message)) == [("P1", 10, "EUR")]
    assert not any("USD" in note for note in case.fate(message).get("notes", ()))


def test_quantities_are_whole(case: Case) -> None:
    quantities = ("2.0000", "2.0", 1.85)
    products = [{"product_id": f"P{n}", "price": 10, "quantity": each} for n, each in enumerate(quantities)]
    message = case.track("Order Completed", order(*products))
    assert [item.get("quantity") for item in case.call(PURCHASE, message)["items"]] == [2, 2, None]
    assert any("quantity" in note for note in case.fate(message)["notes"])


def test_ids_that_are_floats_lose_their_fraction(case: Case) -> None:
    product = {"product_id": 6798.0, "variant_id": 1000.0, "price": 10}
    body = case.call(PURCHASE, case.track("Order Completed", {"order_id": 1001.0, "products": [product]}))
    assert (body["orderId"], body["items"][0]["productId"], body["items"][0]["productVariantId"]) == (
        "1001",
        "6798",
        "1000",
    )
    number = abs(hash(case.tag)) % 10**9 + 10**9
    message = case.identify({"email": case.email, "zip": 2134.0}, userId=float(number))
    assert case.call(IDENTITY, message)["clientUserId"] == str(number)
    assert case.call(ATTRIBUTES, message)["attributes"]["location"]["zip"] == "2134"


@pytest.mark.parametrize(
    "fields",
    [{"properties": []}, {"context": {"traits": []}, "properties": {"a": 1}}, {"context": [], "properties": {"a": 1}}],
    ids=["properties", "traits", "context"],
)
def test_an_empty_list_of_php_is_an_empty_map(case: Case, fields: Raw) -> None:
    message = case.send({"userId": case.user_id, "event": "Cart Emptied", **fields})
    assert case.call(CUSTOM, message)["user"] == {"externalIdentifiers": {"clientUserId": case.user_id}}


def test_empty_traits_of_php_are_none(case: Case) -> None:
    assert case.fate(case.identify([]))["reason"] == "no_content"


def test_properties_have_the_types_that_their_event_declares(case: Case) -> None:
    given = {"order_id": 1001, "discount": "5.00", "revenue": "$1,299.00", "coupon": ["A", "B"], "products": "none"}
    message = case.track("Order Updated", given)
    sent = {"order_id": "1001", "discount": 5.0, "revenue": 1299.0, "coupon": "A, B", "currency": "USD"}
    assert case.call(CUSTOM, message)["properties"] == sent
    assert len(case.fate(message)["notes"]) >= len(given)


def test_nothing_empty_is_sent(case: Case) -> None:
    message = case.track("Quiz Finished", {"a": "", "b": "  ", "c": [], "d": {}, "e": None, "f": 0})
    assert case.call(CUSTOM, message)["properties"] == {"f": 0}


def test_camel_case_is_known(case: Case) -> None:
    message = case.track("Product Added", {"productId": "1", "imageUrl": "https://shop-a.example/1.png", "price": 1})
    (item,) = case.call(ADDED, message)["items"]
    assert (item["productId"], item["productImage"]) == ("1", "https://shop-a.example/1.png")


def test_a_product_by_its_id_in_camel_case_is_viewed(case: Case) -> None:
    (item,) = case.call(
        "/v1/events/ecommerce/product-view", case.track("Product Viewed", {"productId": "1", "price": 9})
    )["items"]
    assert item["productId"] == "1"


def test_an_attribute_that_attentive_refuses_costs_no_other(case: Case) -> None:
    message = case.identify({"email": case.email, "tier": "platinum", "color": "red"})
    attributes = [body["attributes"] for body in case.calls(ATTRIBUTES, message)]
    assert attributes[-1] == {"custom": {"color": "red"}}
    (letter,) = case.letters(message)
    assert letter["call"]["attributes"]["custom"].keys() == {"tier"}


def test_an_edit_makes_what_is_not_there(case: Case) -> None:
    case.gateway.fault(kind="status", status=400, path=CUSTOM, count=1)
    message = case.send({"event": "Cart Emptied", "userId": case.user_id})
    case.fate(message)
    case.gateway.heal()
    (letter,) = case.letters(message)
    edited = case.gateway.run("dead-letters", "edit", letter["id"], "--set", "properties.mended=true")
    assert edited.returncode == 0, edited.stderr
    (letter,) = case.letters(message)
    assert letter["call"]["properties"] == {"mended": True}


def test_a_time_with_microseconds_is_shown_as_it_is(case: Case) -> None:
    moment = datetime.now(UTC).replace(microsecond=980149).isoformat()
    dead = case.track("Order Completed", {"noted_at": moment}, timestamp=moment)
    assert case.fate(dead)["reason"] == "unmappable"
    (letter,) = case.letters(dead)
    assert moment in case.gateway.run("dead-letters", "show", letter["id"]).stdout


def test_names_of_attributes_are_told_apart(case: Case) -> None:
    message = case.identify({"email": case.email, "it's": 1, 'a"b': 2, "a_b": 3})
    custom = case.call(ATTRIBUTES, message)["attributes"]["custom"]
    assert custom == {"it_s": 1, "a_b": 3, "a_b_2": 2}
    assert len(case.fate(message)["notes"]) >= 2


def test_several_slashes_are_one(case: Case) -> None:
    event = {"messageId": message_id(), "event": "Cart Emptied", "userId": case.user_id}
    url = f"http://127.0.0.1:{case.gateway.gateway_port}//v1/track"
    answer = HTTP.post(url, json=event, auth=(WRITE_KEY, ""))
    assert answer.status_code == 200
    assert case.call(CUSTOM, str(event["messageId"]))["type"] == "Cart Emptied"


def test_basic_without_padding_is_read(case: Case) -> None:
    event = {"messageId": message_id(), "event": "Cart Emptied", "userId": case.user_id}
    url = f"http://127.0.0.1:{case.gateway.gateway_port}/v1/track"
    name = base64.b64encode(WRITE_KEY.encode()).decode()
    assert name.endswith("=")
    headers = {"Authorization": f"Basic {name.rstrip('=')}"}
    answer = HTTP.post(url, json=event, headers=headers)
    assert answer.status_code == 200, answer.text


def test_an_event_too_late_for_journeys_is_noted_and_counted(case: Case) -> None:
    def counted() -> int:
        with redis.Redis(port=case.gateway.redis_port) as client:
            stored: Any = client.hget(DestinationKeys(DESTINATION).counters, "missed:arrived")
        return int(stored or 0)

    before = counted()
    message = case.track("Order Updated", {"order_id": "1"}, timestamp=ago(hours=13))
    (note,) = case.fate(message)["notes"]
    assert note.startswith("stale: it occurred 13.0 h before it arrived")
    assert counted() == before + 1


def test_a_sale_of_yesterday_in_a_store_is_sent(gateway: Stack) -> None:
    till = Case(gateway, message_id(), TILL_KEY)
    sale = {"products": [{"product_id": "P1", "price": 10}]}
    body = till.call(PURCHASE, till.track("Sale Closed", sale, timestamp=ago(hours=30)))
    assert body["salesChannel"] == {"channelType": "IN_STORE"}
    assert till.fate(till.track("Cart Emptied", timestamp=ago(hours=30)))["reason"] == "too_old"


def test_an_identify_call_without_traits_links_where_attributes_are_sent_alone(gateway: Stack) -> None:
    lean = Case(gateway, message_id(), LEAN_KEY)
    message = lean.identify({"email": lean.email})
    assert lean.call(ATTRIBUTES, message)["identifiers"] == {"email": lean.email, "clientUserId": lean.user_id}


def test_a_refused_event_is_found_and_properties_of_a_person_are_masked(case: Case) -> None:
    refused = {"messageId": message_id(), "event": "Product Added", "userId": {"id": 7}}
    answer = case.gateway.post("/v1/track", refused)
    assert answer.status_code == 400
    wait_until(lambda: _recorded(case.gateway, str(refused["messageId"])), "the refusal is recorded")
    assert [step for step, _ in case._story(DESTINATION, str(refused["messageId"]))] == ["refused"]
    shown = case.gateway.run("trace", str(refused["messageId"])).stdout
    assert answer.json()["code"] in shown
    assert "userId" in shown
    listed = case.gateway.run("refusals", "list", "--json", "--source", "shop").stdout
    assert any(refused["messageId"] in json.loads(line)["message_ids"] for line in listed.splitlines())

    personal = {"first_name": "Jane", "name": "Jane Doe", "shipping_address": {"street": "1 Main St"}}
    dead = case.track("Order Completed", personal)
    assert case.fate(dead)["reason"] == "unmappable"
    shown = case.gateway.run("trace", dead).stdout
    assert "unmappable" in shown
    assert not any(text in shown for text in ("Jane", "Main St", case.email))


def _recorded(gateway: Stack, message: str) -> bool:
    with redis.Redis(port=gateway.redis_port) as client:
        entries: Any = client.xrange(refusals_key("shop"))
    return any(message.encode() in fields[b"d"] for _, fields in entries)
