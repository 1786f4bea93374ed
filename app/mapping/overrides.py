"""What one destination wants different from the catalogue, and the catalogue that comes of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

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
from app.mapping.catalogue import CATALOGUE, ITEM, Catalogue, Key, Rule
from app.mapping.fields import AllProperties, Constant, Each, Item, One, Properties, Word
from app.mapping.inputs import First
from app.mapping.shapes import Items, Shaped
from app.segment.paths import Steps

# What may be said of an event, by the endpoint that it goes to.
SAYABLE: Final[Mapping[str, frozenset[str]]] = {
    PRODUCT_VIEW.name: frozenset({"occurredAt", "items", "item"}),
    ADD_TO_CART.name: frozenset({"occurredAt", "items", "item"}),
    PURCHASE.name: frozenset({"occurredAt", "items", "item", "orderId", "salesChannel"}),
    CUSTOM_EVENT.name: frozenset({"occurredAt", "type", "externalEventId", "keep", "drop", "rename", "properties"}),
    IDENTITY.name: frozenset(),
    USER_ATTRIBUTES.name: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One event's: what is not said here stays as the catalogue has it, or as a new custom event has it."""

    name: str | None = None  # of a track event, as the destination spells it
    on: bool = True
    to: tuple[Endpoint, ...] = ()
    priority: Priority | None = None
    body: Mapping[str, Word] = field(default_factory=dict)  # by Attentive's key
    items: First | None = None  # where the products are
    item: Item = field(default_factory=dict)  # of its products, what is not as in the catalogue
    keep_all: bool = False  # of the properties; else those of `keep`, else those of the catalogue
    keep: tuple[str, ...] | None = None
    drop: tuple[Steps, ...] = ()
    rename: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, Word], ...] = ()


@dataclass(frozen=True, slots=True)
class Overrides:
    """All of a destination's. `item` is about the products of events that have no row here."""

    item: Item = field(default_factory=dict)
    rows: Mapping[Key, Row] = field(default_factory=dict)


def endpoints_of(key: Key) -> tuple[Endpoint, ...]:
    """Where the catalogue sends this event; what it does not know becomes a custom event."""
    return tuple(rule.endpoint for rule in CATALOGUE if rule.key == key) or (CUSTOM_EVENT,)


def catalogue_of(overrides: Overrides, other_events: frozenset[str] | None) -> Catalogue:
    """The catalogue as this destination wants it; see Catalogue for `other_events`."""
    keys = [*dict.fromkeys(rule.key for rule in CATALOGUE)]
    new = [key for key in overrides.rows if key not in keys]
    rules = tuple(rule for key in (*new, *keys) for rule in _rules(key, overrides))
    off = frozenset(key for key, row in overrides.rows.items() if not row.on)
    return Catalogue(rules, other_events, off)


def _rules(key: Key, overrides: Overrides) -> Iterable[Rule]:
    row = overrides.rows.get(key, Row(item=overrides.item))
    if row.on:
        yield from (_rule(key, endpoint, row, {**ITEM, **row.item}) for endpoint in row.to or endpoints_of(key))


def _rule(key: Key, endpoint: Endpoint, row: Row, item: Item) -> Rule:
    """The catalogue's row for this event and endpoint, or one like it, and in it what this destination wants."""
    known = [rule for rule in CATALOGUE if rule.key == key]
    own = next((rule for rule in known if rule.endpoint == endpoint), None)
    like = own or _like(endpoint)
    body = {name: _changed(word, row, item) for name, word in like.body.items()}
    if own is None and "type" in body and key.type != "track":
        body["type"] = Constant(key.type)
    body |= {name: word for name, word in row.body.items() if name in SAYABLE[endpoint.name]}
    first = known[0] if known else like  # an event that is sent elsewhere keeps its name and its priority
    priority = first.priority if row.priority is None else row.priority
    return Rule(key.type, known[0].event if known else row.name, endpoint, body, priority)


def _like(endpoint: Endpoint) -> Rule:
    """The row that a new event for this endpoint is made after."""
    alike = [rule for rule in CATALOGUE if rule.endpoint == endpoint]
    return next((rule for rule in alike if rule.key == OTHER), alike[0])


OTHER: Final = Key("track", None)


def _changed(word: Word, row: Row, item: Item) -> Word:
    match word:
        case One() | Each() if row.items is not None:
            return Items(row.items, item)
        case One():
            return One(item)
        case Each(name=name):
            return Each(name, item)
        case AllProperties() | Properties():
            return _shaped(word, row)
        case _:
            return word


def _shaped(word: AllProperties | Properties, row: Row) -> Word:
    if not (row.keep_all or row.keep is not None or row.drop or row.rename or row.add):
        return word
    keep, upper = row.keep, frozenset[str]()
    if isinstance(word, Properties) and not row.keep_all:
        keep, upper = word.names if keep is None else keep, word.upper
    return Shaped(keep, upper, row.drop, row.rename, row.add)
