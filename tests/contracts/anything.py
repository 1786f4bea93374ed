"""Events and settings of any kind: all that the intake lets in and all that a file may say."""

from typing import Any, Final

import yaml
from hypothesis import strategies as st

from app.mapping.catalogue import CATALOGUE
from app.mapping.well_known import WELL_KNOWN
from tests.builders import EMAIL, PHONE, WHEN, Raw

SIGNS: Final = ("", " ", '"', "{", "|", "a\\b", "a'b", "a,b", "(x)", "[0]", "\u0000", "ключ", "__proto__", "mediaUrl")
ITEM_KEYS: Final = ("product_id", "id", "sku", "variant", "price", "currency", "quantity", "name", "url", "image_url")
TRAIT_KEYS: Final = (
    "email",
    "phone",
    "username",
    "shopify_id",
    "klaviyo_id",
    "age",
    "birthday",
    "language",
    "company",
    "address",
    "country",
    "vip",
)
NAMES: Final = ("firstName", "title", "order_id", "products", "path", "value", "key")
NASTY_KEYS: Final = st.sampled_from([*SIGNS, *ITEM_KEYS, *NAMES]) | st.text(max_size=12)
NO_NUMBERS: Final = ("", " ", "\n", "free", "-5", "1e400", "9" * 30, "9" * 400, "٣", "²", "NaN", "null", "$1,299.00")
NO_PEOPLE: Final = ("ada@corp.local", "a@b..c", "+1234567", "(415) 555-0132", "+49 123456789012345", EMAIL, PHONE)
NO_TIMES: Final = ("0001-01-01", "9999-12-31", "2026-03-01T12:00:00+14:00", "1772366400", WHEN)
NO_TEXT: Final = ("\u0000", "ünïcode", "😀", "x" * 300, "usd", "US$")
NASTY_TEXT: Final = st.sampled_from([*NO_NUMBERS, *NO_PEOPLE, *NO_TIMES, *NO_TEXT]) | st.text(max_size=20)
NASTY_NUMBERS: Final = (
    st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0, -1, 0.5, 1e300, -1e300, 5e-324, 2**63, 2**64 - 1, 1e20])
)
NASTY: Final = st.recursive(
    st.none() | st.booleans() | NASTY_NUMBERS | NASTY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NASTY_KEYS, inner, max_size=4),
    max_leaves=8,
)
OBJECTS: Final = st.dictionaries(NASTY_KEYS, NASTY, max_size=6)
GOOD_PRODUCT: Final = {"product_id": "NP-1", "price": "19.99"}
PRODUCTS: Final = st.fixed_dictionaries({}, optional=dict.fromkeys(ITEM_KEYS, NASTY)) | st.just(GOOD_PRODUCT)
TRAIT_OBJECTS: Final = st.fixed_dictionaries({}, optional=dict.fromkeys([*TRAIT_KEYS, "firstName", "title"], NASTY))
NAMED: Final[tuple[Raw, ...]] = (  # somebody, most of the time
    {"email": EMAIL},
    {"email": EMAIL, "username": "ada", "shopify_id": 7},
    {"phone": PHONE, "klaviyo_id": "01HX"},
    {"email": EMAIL, "phone": "n/a"},
    {},
)
ANY_EVENT: Final = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["track", "track", "identify", "page", "screen"]),
        "event": st.sampled_from([rule.event for rule in CATALOGUE if rule.event])
        | st.text(min_size=1).filter(str.strip),
        "anonymousId": st.just("browser-1"),
        "properties": st.fixed_dictionaries({"products": st.lists(PRODUCTS | NASTY, max_size=3)}) | PRODUCTS | OBJECTS,
        "timestamp": st.just(WHEN) | NASTY,
    },
    optional={
        "messageId": NASTY_TEXT,
        "userId": NASTY_TEXT,
        "traits": TRAIT_OBJECTS | OBJECTS,
        "context": st.fixed_dictionaries({"traits": TRAIT_OBJECTS}) | OBJECTS.filter(lambda o: "traits" not in o),
        "integrations": NASTY,
        "originalTimestamp": NASTY,
        "sentAt": NASTY,
    },
)

CARD: Final = "4111 1111 1111 1111"  # what the privacy guard withholds
FLAGGED: Final = st.sampled_from([CARD, {"password": "hunter2-secret"}, [CARD], f"paid with {CARD}", None])


@st.composite
def events(draw: st.DrawFn, *, flagged: bool = False) -> Raw:
    """An event of somebody, and in a property and a trait that are no ids, perhaps, what the guard withholds."""
    event: Raw = draw(ANY_EVENT)
    event["traits"] = event.get("traits", {}) | draw(st.sampled_from(NAMED))
    if flagged:
        event["properties"]["note"] = draw(FLAGGED)
        event["traits"]["note"] = draw(FLAGGED)
    return event


EVENTS_OF_ANY_KIND: Final = events()
FLAGGED_EVENTS: Final = events(flagged=True)

# Every word of the mapping, reading from everywhere; expressions that fail or give what cannot be sent.
EVERY_WORD: Final = """
item:
  productId: [event, sku, id, $.event]
  price: [value, {jmespath: "sum(values(@))"}, {jmespath: "to_number(price)"}, price, {constant: 1}]
  currency: [brand, currency, $.properties.currency]
  name: {jmespath: "@"}
  productUrl: $.properties
  quantity: [quantity, {jmespath: "length(@)"}]
events:
  Order Completed:
    items: [properties.products, properties]
    orderId: [properties.order_id, properties.value, messageId]
    salesChannel: [properties.value, {constant: WEB}]
  Product Viewed:
    to: [product-view, add-to-cart, custom-event, user-attributes, identity]
    type: [properties.value, event]
other:
  occurredAt: [properties.value, properties.id, timestamp]
  type: [properties.value, properties.key, traits.title, event]
  externalEventId: [properties.id, messageId]
  drop: [price, products.price, value.value]
  rename: {order_id: "(order)", sku: mediaUrl}
  properties:
    "a|b": properties
    all: {jmespath: "@"}
    numbers: {jmespath: "map(&to_number(@), values(properties))"}
    traits: traits
    times: [timestamp, sentAt]
page: {to: [custom-event, product-view], keep: all}
screen: {to: purchase, items: properties}
"""
PATHS: Final = ("userId", "traits.email", "traits.phone", "traits.username", "traits.address.city", "properties.id")
KINDS: Final = ("number", "boolean", "date", "string")
ATTRIBUTE_NAMES: Final = st.sampled_from(
    [*TRAIT_KEYS, *NAMES, "address_city", "a_b", *(row.name for row in WELL_KNOWN)]
)
SOME_PATHS: Final = st.lists(st.sampled_from(PATHS), min_size=1, max_size=3)
ANY_PATHS: Final = st.lists(st.sampled_from(PATHS), max_size=2) | st.sampled_from(PATHS)
INPUTS: Final = st.sampled_from(
    [*PATHS, "properties.products", "traits", "context.traits.vip", {"jmespath": "properties.*"}, {"constant": "x, y"}]
)
IDENTIFIERS: Final = st.fixed_dictionaries(
    {},
    optional={
        "primary": st.sampled_from(["any", "email", "phone"]),
        "email": SOME_PATHS.map(lambda paths: [*paths, "traits.email"]),
        "phone": SOME_PATHS.map(lambda paths: ["traits.phone", *paths]),
        "client_user_id": ANY_PATHS,
        "shopify_id": ANY_PATHS,
        "klaviyo_id": ANY_PATHS,
        "custom": st.dictionaries(st.sampled_from(["username", "Loyalty card"]), SOME_PATHS, max_size=2),
    },
)
ATTRIBUTES: Final = st.fixed_dictionaries(
    {},
    optional={
        "endpoint": st.sampled_from(["v2", "v1", "off"]),
        "lists": st.sampled_from(["join", "drop"]),
        "precise_location": st.booleans(),
        "most_names": st.sampled_from([1, 3, 100, None]),
        "types": st.dictionaries(ATTRIBUTE_NAMES, st.sampled_from(KINDS), max_size=3),
    },
)
CUSTOM_EVENTS: Final = st.fixed_dictionaries(
    {"to": st.just("custom-event")},
    optional={
        "type": INPUTS,
        "externalEventId": st.sampled_from(PATHS),
        "keep": st.just("all") | st.lists(st.sampled_from([*ITEM_KEYS, *NAMES, "a|b"]), max_size=4),
        "drop": st.lists(st.sampled_from(["price", "products.price", "value"]), max_size=2),
        "rename": st.dictionaries(
            st.sampled_from(["order_id", "value"]), st.sampled_from(["a|b", "price"]), max_size=2
        ),
        "properties": st.dictionaries(st.sampled_from(["a|b", "a_b", "mediaUrl", "x"]), INPUTS, max_size=3),
        "priority": st.sampled_from(["high", "low"]),
    },
)
ECOMMERCE: Final = st.fixed_dictionaries(
    {"to": st.sampled_from(["product-view", "add-to-cart", "purchase"])},
    optional={
        "items": st.sampled_from(["properties", "properties.products", "properties.value"]),
        "item": st.fixed_dictionaries(
            {}, optional=dict.fromkeys(["productId", "price", "name"], st.sampled_from(ITEM_KEYS))
        ),
    },
)
OTHERWISE: Final = st.sampled_from([{"send": False}, {"to": ["identity", "user-attributes"]}])
MAPPED: Final = CUSTOM_EVENTS | ECOMMERCE | OTHERWISE
MAPPING: Final = st.just(yaml.safe_load(EVERY_WORD)) | st.fixed_dictionaries(
    {},
    optional={
        "events": st.dictionaries(st.sampled_from(["Order Completed", "Cart Viewed", "My Own"]), MAPPED, max_size=2),
        "other": MAPPED,
        "page": MAPPED,
        "screen": MAPPED,
        "identify": st.sampled_from([{"send": False}, {"to": "identity"}, {"priority": "low"}]),
    },
)
OPT_INS: Final = (
    {"event": "Coupon Entered", "sign_up_source": "1"},
    {"trait": "vip", "is": True, "locale": {"language": "en", "country": "US"}, "channels": "email"},
    {"event": "Order Completed", "property": "value", "is": "free", "sign_up_source": "2", "channels": "text"},
)
OPT_OUTS: Final = (
    {"event": "Cart Viewed"},
    {"trait": "vip", "is": False, "types": ["MARKETING"], "notify": False},
)
SUBSCRIPTIONS: Final = st.fixed_dictionaries(
    {},
    optional={
        "opt_in": st.lists(st.sampled_from(OPT_INS), max_size=3),
        "opt_out": st.lists(st.sampled_from(OPT_OUTS), max_size=2),
    },
)
WITHHOLD: Final = st.sampled_from(["redact", "drop_field", "drop_event"])
PRIVACY: Final = st.fixed_dictionaries(
    {},
    optional={
        "card_number": WITHHOLD,
        "secret": WITHHOLD,
        "deny": st.lists(st.sampled_from(["properties.price", "traits.email", "context.traits.*", "properties.*"])),
        "denied": WITHHOLD,
        "allow": st.lists(st.sampled_from(["traits.firstName", "properties.products.price", "traits.note"])),
        "not_allowed": WITHHOLD,
        "id_names": st.just([]),
    },
)
DESTINATIONS: Final[st.SearchStrategy[dict[str, Any]]] = st.fixed_dictionaries(
    {"api_token": st.just("token")},
    optional={
        "default_region": st.sampled_from(["US", "GB", "DE"]),
        "identifiers": IDENTIFIERS,
        "attributes": ATTRIBUTES,
        "mapping": MAPPING,
        "subscriptions": SUBSCRIPTIONS,
        "privacy": PRIVACY,
        "other_events": st.booleans() | st.just(["Boot Fitting Booked"]),
    },
)
KNOWN_ATTRIBUTES: Final = st.dictionaries(ATTRIBUTE_NAMES, st.sampled_from(KINDS), max_size=8)
REMEMBERED: Final = st.fixed_dictionaries(  # what memory may know of the person
    {},
    optional={
        "email": st.just("known@example.com"),
        "phone": st.just("+442071838750"),
        "client_user_id": st.just("customer-7"),
        "shopify_id": st.just("778"),
        "klaviyo_id": st.just("01HY"),
        "custom.username": st.just("ada"),
        "custom.gone": st.just("of a name that is no longer in the settings"),
    },
)
