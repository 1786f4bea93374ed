"""A destination's changes to the catalogue, and the catalogue that results."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from app.attentive.call import Priority
from app.attentive.endpoints import CUSTOM_EVENT, IDENTITY, USER_ATTRIBUTES, Endpoint
from app.mapping.attributes import AS_THEY_CAME, Traits
from app.mapping.catalogue import CATALOGUE, PRODUCT, VARIANT, Catalogue, Key, Rule
from app.mapping.converters import Converter
from app.mapping.expressions import Constant, Expression, FirstOf, Sources
from app.mapping.items import Item, Items, item_of
from app.mapping.transforms import Properties, filled
from app.segment.paths import Steps

# Keys that may be set wherever a row of the catalogue fills the key on the left.
_TOGETHER: Final[Mapping[str, frozenset[str]]] = {
    "items": frozenset({"item"}),
    "orderId": frozenset({"salesChannel"}),
    "properties": frozenset({"keep", "drop", "rename", "types"}),
}


def _keys_of(endpoint: Endpoint) -> frozenset[str]:
    keys = frozenset[str]().union(*(rule.body for rule in CATALOGUE if rule.endpoint == endpoint))
    dated = {"occurredAt"} if endpoint.dated else frozenset[str]()
    return keys.union(dated, *(_TOGETHER.get(key, ()) for key in keys))


# The keys that may be set for an event, by its endpoint: one of those that the catalogue uses.
OVERRIDABLE: Final = {rule.endpoint.name: _keys_of(rule.endpoint) for rule in CATALOGUE}


@dataclass(frozen=True, slots=True)
class Row:
    """The changes to one event. Whatever they leave out stays as in the catalogue, or as in a new custom event."""

    name: str | None = None  # of a track event, in the destination's spelling
    on: bool = True
    to: tuple[Endpoint, ...] = ()
    priority: Priority | None = None
    horizon_ms: int | None = None  # see Rule
    body: Mapping[str, Expression] = field(default_factory=dict)  # by Attentive's key
    items: FirstOf | None = None  # where the products are
    item: Mapping[str, Sources] = field(default_factory=dict)  # the product fields that differ
    keep_all: bool = False  # all properties; else those of `keep`, else those of the catalogue
    keep: tuple[str, ...] | None = None
    drop: tuple[Steps, ...] = ()
    rename: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, Expression], ...] = ()
    types: Mapping[str, Converter] = field(default_factory=dict)
    traits: Traits = AS_THEY_CAME  # of identify calls


@dataclass(frozen=True, slots=True)
class Overrides:
    """All changes of a destination. `item` applies to the products of events without a row here."""

    item: Mapping[str, Sources] = field(default_factory=dict)
    rows: Mapping[Key, Row] = field(default_factory=dict)


def endpoints_of(key: Key) -> tuple[Endpoint, ...]:
    """The endpoints of this event in the catalogue. An unknown event becomes a custom event."""
    return tuple(rule.endpoint for rule in CATALOGUE if rule.key == key) or (CUSTOM_EVENT,)


def catalogue_of(overrides: Overrides, other_events: frozenset[str] | None) -> Catalogue:
    """The catalogue of this destination. See Catalogue for `other_events`."""
    keys = [*dict.fromkeys(rule.key for rule in CATALOGUE)]
    new = [key for key in overrides.rows if key not in keys]
    rules = tuple(rule for key in (*new, *keys) for rule in _rules(key, overrides))
    off = frozenset(key for key, row in overrides.rows.items() if not row.on)
    return Catalogue(rules, other_events, off)


def _rules(key: Key, overrides: Overrides) -> Iterable[Rule]:
    row = overrides.rows.get(key, Row(item=overrides.item))
    if row.on:
        item = item_of(_product(row.item))
        yield from (_rule(key, endpoint, row, item) for endpoint in row.to or endpoints_of(key))


def _product(own: Mapping[str, Sources]) -> Mapping[str, Sources]:
    """The sources of every field of a product. A shop without variants sells the product itself."""
    variant = {"productVariantId": (*VARIANT, *own["productId"])} if "productId" in own else {}
    return {**PRODUCT, **variant, **own}


def _rule(key: Key, endpoint: Endpoint, row: Row, item: Item) -> Rule:
    """The catalogue's rule for this event and endpoint, or a similar one, with the destination's changes."""
    known = [rule for rule in CATALOGUE if rule.key == key]
    own = next((rule for rule in known if rule.endpoint == endpoint), None)
    like = own or _like(endpoint)
    body = {name: _changed(expression, row, item) for name, expression in like.body.items()}
    if own is None and "type" in body and key.type != "track":
        body["type"] = filled("type", (Constant(key.type),))
    body |= {name: expression for name, expression in row.body.items() if name in OVERRIDABLE[endpoint.name]}
    first = known[0] if known else like  # an event that is sent elsewhere keeps its name and its priority
    priority = first.priority if row.priority is None else row.priority
    links = key.type == "identify" and USER_ATTRIBUTES in row.to and IDENTITY not in row.to
    name = known[0].event if known else row.name
    links = links and endpoint is USER_ATTRIBUTES
    return Rule(key.type, name, endpoint, body, priority, row.traits, row.horizon_ms, links)


def _like(endpoint: Endpoint) -> Rule:
    """The rule that is the model for a new event at this endpoint."""
    alike = [rule for rule in CATALOGUE if rule.endpoint == endpoint]
    return next((rule for rule in alike if rule.key == OTHER), alike[0])


OTHER: Final = Key("track", None)


def _changed(expression: Expression, row: Row, item: Item) -> Expression:
    match expression:
        case Items(products=products):
            return Items(products if row.items is None else row.items, item)
        case Properties():
            return _shaped(expression, row)
        case _:
            return expression


def _shaped(properties: Properties, row: Row) -> Properties:
    keep, types, spellings = properties.keep, properties.types, properties.spellings
    if row.keep_all:
        keep, types, spellings = None, {}, ()
    elif row.keep is not None:
        keep, spellings = row.keep, ()
    return Properties(keep, row.drop, row.rename, row.add, {**types, **row.types}, spellings)
