"""The mapping catalogue: which Segment event becomes which Attentive call. Data, not code.

It is written in the expressions that overrides in the YAML file use, see docs/mapping.md. Source: Segment's Ecommerce
Spec v2 on the left, Attentive's API reference on the right. apply.py adds what all calls share (`user`, `occurredAt`).
A row's priority decides the order in the lane: an order is sent before a page view.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from app.attentive.call import Priority
from app.attentive.endpoints import (
    ADD_TO_CART,
    CUSTOM_EVENT,
    IDENTITY,
    PRODUCT_VIEW,
    PURCHASE,
    USER_ATTRIBUTES,
    Endpoint,
)
from app.mapping.attributes import AS_THEY_CAME, Traits
from app.mapping.converters import CAPITALS, LIST, NUMBER, PRODUCTS, STRING, Converter
from app.mapping.expressions import Constant, Expression, FirstOf, Path, Sources
from app.mapping.items import Item, Items, item_of
from app.mapping.names import ALIASES, canonical, normalised
from app.mapping.transforms import Properties, filled
from app.segment.events import SegmentEvent


class Key(NamedTuple):
    """The events of a row: those of `type`, for track of one `event` name, normalised (None: any other)."""

    type: str
    event: str | None = None

    @classmethod
    def of(cls, type_: str, event: str | None) -> "Key":
        """The key of an event, whose name may have any spelling."""
        return cls(type_, None if event is None else normalised(event))

    @classmethod
    def of_track(cls, name: str) -> "Key":
        """The key of track events that the name of a row means: "Order Placed" stands for "Order Completed"."""
        return cls.of("track", canonical(name))


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: events of `type` (for track, of one `event` name in any spelling; None: any other) become one call."""

    type: str
    event: str | None
    endpoint: Endpoint
    body: Mapping[str, Expression] = field(default_factory=dict)
    priority: Priority = Priority.NORMAL
    traits: Traits = AS_THEY_CAME  # of a call about a person
    horizon_ms: int | None = None  # older events are not sent; None: the default of all events
    links: bool = False  # whether it also sends identifiers alone, because no identity call does

    @property
    def key(self) -> Key:
        """The events that it applies to."""
        return Key.of(self.type, self.event)

    @property
    def name(self) -> str:
        """The row's name for operators: "Order Completed → purchase"."""
        return f"{self.event or ('any other track' if self.type == 'track' else self.type)} → {self.endpoint.name}"


def spellings(name: str) -> tuple[str, ...]:
    """The spellings of a Segment name in trackers: "product_id", "productId"."""
    first, *words = name.split("_")
    camel = first + "".join(map(str.capitalize, words))
    return (name,) if camel == name else (name, camel)


def in_product(*names: str) -> Sources:
    """These fields of a product, in every spelling."""
    return tuple(Path(each, in_item=True) for name in names for each in spellings(name))


VARIANT: Final = in_product("variant_id", "sku", "variant")
# In YAML: `item: {productId: [product_id, id, sku]}`, and so on.
PRODUCT: Final[Mapping[str, Sources]] = {
    "productId": in_product("product_id", "id", "sku"),
    # Attentive's schema requires a variant; a shop without variants sells the product itself.
    "productVariantId": (*VARIANT, *in_product("product_id", "id")),
    "price": in_product("price"),
    "currency": (*in_product("currency"), Path("$.properties.currency", in_item=True)),
    "name": in_product("name"),
    "productImage": in_product("image_url", "image"),
    "productUrl": in_product("url"),
    "quantity": in_product("quantity"),
}
ITEM: Final[Item] = item_of(PRODUCT)

# Source of the types: MetaRouter's page on Attentive, String, Number and Array; a currency is written in capitals.
DECLARED: Final[Mapping[str, Converter]] = {
    **dict.fromkeys(("affiliation", "cart_id", "checkout_id", "coupon", "order_id"), STRING),
    **dict.fromkeys(("discount", "revenue", "shipping", "tax", "total", "value"), NUMBER),
    "currency": CAPITALS,
    "products": LIST,
}
_AMOUNTS = ("coupon", "currency", "discount", "order_id", "products", "revenue", "shipping", "tax")


def _ecommerce(event: str, endpoint: Endpoint, priority: Priority, products: str, **body: Sources) -> Rule:
    items = Items(FirstOf(Path(products), to=PRODUCTS), ITEM)
    return Rule("track", event, endpoint, {"items": items} | {key: filled(key, body[key]) for key in body}, priority)


def _custom(event: str | None, properties: Properties, priority: Priority) -> Rule:
    return Rule("track", event, CUSTOM_EVENT, _event(Path("event"), properties), priority)


def _event(type_: Path | Constant, properties: Properties) -> dict[str, Expression]:
    own = {"type": filled("type", (type_,)), "externalEventId": filled("externalEventId", (Path("messageId"),))}
    return {**own, "properties": properties}


def _picked(*names: str) -> Properties:
    types = {name: DECLARED[name] for name in names if name in DECLARED}
    others = tuple((other, name) for name in names for other in spellings(name)[1:])
    return Properties(names, types=types, spellings=others)


HIGH, NORMAL, LOW = Priority.HIGH, Priority.NORMAL, Priority.LOW
ALL: Final = Properties()
_ORDER_ID: Final = (Path("properties.order_id"), Path("properties.orderId"))

CATALOGUE: Final = (
    _ecommerce("Product Viewed", PRODUCT_VIEW, LOW, "properties"),
    _ecommerce("Product Added", ADD_TO_CART, HIGH, "properties"),
    _ecommerce("Order Completed", PURCHASE, HIGH, "properties.products", orderId=_ORDER_ID),
    _custom("Checkout Started", _picked("affiliation", *_AMOUNTS, "value"), HIGH),
    _custom("Order Updated", _picked("affiliation", *_AMOUNTS, "total"), HIGH),
    _custom("Order Refunded", _picked("affiliation", "checkout_id", *_AMOUNTS, "total"), HIGH),
    _custom("Order Cancelled", _picked("affiliation", *_AMOUNTS, "total"), HIGH),
    _custom("Cart Viewed", _picked("cart_id", "currency", "products"), NORMAL),
    _custom("Payment Info Entered", ALL, HIGH),
    _custom("Product Removed", ALL, NORMAL),
    _custom("Coupon Entered", ALL, NORMAL),
    _custom("Product Added to Wishlist", ALL, NORMAL),
    _custom("Product List Viewed", ALL, LOW),
    _custom("Products Searched", ALL, LOW),
    _custom("Product Clicked", ALL, LOW),
    _custom("Promotion Viewed", ALL, LOW),
    _custom("Promotion Clicked", ALL, LOW),
    _custom(None, ALL, NORMAL),
    Rule(
        "page",
        None,
        CUSTOM_EVENT,
        _event(Constant("page"), _picked("path", "referrer", "search", "title", "url")),
        LOW,
    ),
    Rule("identify", None, IDENTITY),
    Rule("identify", None, USER_ATTRIBUTES),
)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The rows, found by event. Track events without a row pass if they are in `other_events` (None: all pass).

    Events that are switched `off` have no row, and do not count as other events either.
    """

    rules: tuple[Rule, ...] = CATALOGUE
    other_events: frozenset[str] | None = None
    off: frozenset[Key] = frozenset()
    _by_event: Mapping[tuple[str, str | None], tuple[Rule, ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        index: dict[tuple[str, str | None], tuple[Rule, ...]] = dict.fromkeys(self.off, ())
        for rule in self.rules:
            index[rule.key] = (*index.get(rule.key, ()), rule)
        for alias, name in ALIASES.items():
            if (rules := index.get(("track", normalised(name)))) is not None:
                index.setdefault(("track", normalised(alias)), rules)
        object.__setattr__(self, "_by_event", index)

    def rules_for(self, event: SegmentEvent) -> tuple[Rule, ...]:
        """The rows that apply, one per call. None apply if this kind of event is not forwarded."""
        if event.type != "track":
            return self._by_event.get((event.type, None), ())
        named = self._by_event.get(("track", normalised(event.name or "")))
        if named is not None:
            return named
        if self.other_events is not None and event.name not in self.other_events:
            return ()
        return self._by_event.get(("track", None), ())
