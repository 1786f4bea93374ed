"""The mapping catalogue: which Segment event becomes which Attentive call. Data, not code.

Source: Segment's Ecommerce Spec v2 on the left, Attentive's API reference on the right. What all calls share (`user`,
`occurredAt`) is added by apply.py. A row's priority is its place in the lane: an order goes before a page view.
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
from app.mapping.fields import (
    AllProperties,
    Constant,
    Each,
    EventName,
    FirstOf,
    MessageId,
    One,
    PositiveInteger,
    Price,
    Properties,
    Word,
)
from app.mapping.names import ALIASES, folded
from app.segment.events import SegmentEvent


class Key(NamedTuple):
    """Which events a row is about: those of `type`, for track of one `event` name, folded (None: any other)."""

    type: str
    event: str | None = None

    @classmethod
    def of(cls, type_: str, event: str | None) -> "Key":
        """The key of an event by its name in any spelling."""
        return cls(type_, None if event is None else folded(event))


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: events of `type` (for track, of one `event` name in any spelling; None: any other) become one call."""

    type: str
    event: str | None
    endpoint: Endpoint
    body: Mapping[str, Word] = field(default_factory=dict)
    priority: Priority = Priority.NORMAL

    @property
    def key(self) -> Key:
        """Which events it is about."""
        return Key.of(self.type, self.event)

    @property
    def name(self) -> str:
        """How an operator reads this row: "Order Completed → purchase"."""
        return f"{self.event or ('any other track' if self.type == 'track' else self.type)} → {self.endpoint.name}"


ITEM: Final[Mapping[str, Word]] = {
    "productId": FirstOf("product_id", "id", "sku"),
    # Attentive's schema requires a variant; a shop without variants sells the product itself.
    "productVariantId": FirstOf("variant_id", "sku", "variant", "product_id", "id"),
    "price": Price("price", currency="currency"),
    "name": FirstOf("name"),
    "productImage": FirstOf("image_url", "image"),
    "productUrl": FirstOf("url"),
    "quantity": PositiveInteger("quantity"),
}

_AMOUNTS = ("coupon", "currency", "discount", "order_id", "products", "revenue", "shipping", "tax")


def _ecommerce(event: str, endpoint: Endpoint, priority: Priority, **body: Word) -> Rule:
    return Rule("track", event, endpoint, body, priority)


def _custom(event: str | None, properties: Word, priority: Priority) -> Rule:
    body: dict[str, Word] = {"type": EventName(), "externalEventId": MessageId(), "properties": properties}
    return Rule("track", event, CUSTOM_EVENT, body, priority)


def _picked(*names: str) -> Properties:
    return Properties(*names, upper=("currency",))


HIGH, NORMAL, LOW = Priority.HIGH, Priority.NORMAL, Priority.LOW

CATALOGUE: Final = (
    _ecommerce("Product Viewed", PRODUCT_VIEW, LOW, items=One(ITEM)),
    _ecommerce("Product Added", ADD_TO_CART, HIGH, items=One(ITEM)),
    _ecommerce("Order Completed", PURCHASE, HIGH, items=Each("products", ITEM), orderId=FirstOf("order_id", "orderId")),
    _custom("Checkout Started", _picked("affiliation", *_AMOUNTS, "value"), HIGH),
    _custom("Order Updated", _picked("affiliation", *_AMOUNTS, "total"), HIGH),
    _custom("Order Refunded", _picked("affiliation", "checkout_id", *_AMOUNTS, "total"), HIGH),
    _custom("Order Cancelled", _picked("affiliation", *_AMOUNTS, "total"), HIGH),
    _custom("Cart Viewed", _picked("cart_id", "currency", "products"), NORMAL),
    _custom("Payment Info Entered", AllProperties(), HIGH),
    _custom("Product Removed", AllProperties(), NORMAL),
    _custom("Coupon Entered", AllProperties(), NORMAL),
    _custom("Product Added to Wishlist", AllProperties(), NORMAL),
    _custom("Product List Viewed", AllProperties(), LOW),
    _custom("Products Searched", AllProperties(), LOW),
    _custom("Product Clicked", AllProperties(), LOW),
    _custom("Promotion Viewed", AllProperties(), LOW),
    _custom("Promotion Clicked", AllProperties(), LOW),
    _custom(None, AllProperties(), NORMAL),
    Rule(
        "page",
        None,
        CUSTOM_EVENT,
        {
            "type": Constant("page"),
            "externalEventId": MessageId(),
            "properties": Properties("path", "referrer", "search", "title", "url"),
        },
        LOW,
    ),
    Rule("identify", None, IDENTITY),
    Rule("identify", None, USER_ATTRIBUTES),
)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The rows, found by event. Of track events that no row names, `other_events` pass; None: all of them.

    Events that are switched `off` have no row, and are no other events either.
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
            if (rules := index.get(("track", folded(name)))) is not None:
                index.setdefault(("track", folded(alias)), rules)
        object.__setattr__(self, "_by_event", index)

    def rules_for(self, event: SegmentEvent) -> tuple[Rule, ...]:
        """The rows that apply, one per call; none when this kind of event is not forwarded."""
        if event.type != "track":
            return self._by_event.get((event.type, None), ())
        named = self._by_event.get(("track", folded(event.name or "")))
        if named is not None:
            return named
        if self.other_events is not None and event.name not in self.other_events:
            return ()
        return self._by_event.get(("track", None), ())
