"""The catalogue in words: what each row does, for the operator's tables and the documentation. Pure."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from app.attentive.endpoints import CUSTOM_ATTRIBUTES, IDENTITY, SUBSCRIBE, UNSUBSCRIBE, USER_ATTRIBUTES
from app.mapping.catalogue import CATALOGUE, ITEM, Catalogue, Key, Rule
from app.mapping.fields import (
    AllProperties,
    Constant,
    Each,
    EventName,
    FirstOf,
    Item,
    MessageId,
    One,
    PositiveInteger,
    Price,
    Properties,
    Word,
)
from app.mapping.inputs import First
from app.mapping.shapes import Channel, Items, Moment, PriceOf, Shaped, Type
from app.mapping.subscriptions import Occasion, Subscriptions

_KINDS: Final = {"track": "any other track event", "page": "page", "screen": "screen", "identify": "identify"}
_WHOM: Final = {
    IDENTITY.name: "the identifiers of the person",
    USER_ATTRIBUTES.name: "the identifiers of the person; the other traits",
    CUSTOM_ATTRIBUTES.name: "the identifiers of the person; the other traits",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One row: an event, where it goes, and what fills the call. Of an event that is switched off, the event alone."""

    event: str
    endpoint: str
    priority: str
    fields: Mapping[str, str]  # by Attentive's key, where each value comes from
    own: bool  # the destination has a say in it

    @property
    def off(self) -> bool:
        """Whether these events are dropped."""
        return not self.endpoint


@dataclass(frozen=True, slots=True)
class Products:
    """How the products of some events are read."""

    events: tuple[str, ...]
    fields: Mapping[str, str]
    own: frozenset[str]  # the fields in which the destination has a say


def lines(catalogue: Catalogue) -> list[Line]:
    """Every row that is in force, then what is switched off."""
    return [_line(rule) for rule in catalogue.rules] + [
        Line(_name(key), "", "", {}, own=True) for key in sorted(catalogue.off, key=_name)
    ]


def consents(subscriptions: Subscriptions) -> list[Line]:
    """The rules by which events subscribe and unsubscribe people, beside what else they become."""
    return [
        Line(
            event=f"{rule.occasion.event or 'identify'}{_where(rule.occasion)}",
            endpoint=(SUBSCRIBE if rule.opt_in else UNSUBSCRIBE).name,
            priority="high",
            fields={"": " and ".join(sorted(rule.contacts)) + " of the person"},
            own=True,
        )
        for rule in subscriptions.rules
    ]


def _where(occasion: Occasion) -> str:
    return f", where {occasion.path} is {json.dumps(occasion.value)}" if occasion.path else ""


def products(catalogue: Catalogue) -> list[Products]:
    """How products are read, events that are alike in it together."""
    found: list[tuple[list[str], Item]] = []
    for rule in catalogue.rules:
        match rule.body.get("items"):
            case One(item=item) | Each(item=item) | Items(item=item):
                alike = next((events for events, other in found if other == item), None)
                if alike is None:
                    found.append(([], item))
                    alike = found[-1][0]
                alike.append(_event(rule))
    return [
        Products(
            tuple(events),
            {key: describe(word, "") for key, word in item.items()},
            frozenset(key for key, word in item.items() if word != ITEM.get(key)),
        )
        for events, item in found
    ]


def _line(rule: Rule) -> Line:
    fields = {key: describe(word) for key, word in rule.body.items()}
    if rule.endpoint.name in _WHOM:
        fields = {"": _WHOM[rule.endpoint.name]}
    return Line(_event(rule), rule.endpoint.name, rule.priority.name.lower(), fields, own=rule not in CATALOGUE)


def _event(rule: Rule) -> str:
    return rule.event or _KINDS[rule.type]


def _name(key: Key) -> str:
    known = next((rule.event for rule in CATALOGUE if rule.key == key), None)
    return known or key.event or _KINDS[key.type]


def describe(word: Word, below: str = "properties.") -> str:
    """Where a value comes from. `below` is what names stand behind: the properties, or in a product nothing."""
    match word:
        case FirstOf(names=names):
            return _or(below + name for name in names)
        case Price(name=name, currency=currency):
            return f"{below}{name}; currency: {below}{currency} or $.properties.{currency} or USD"
        case PositiveInteger(name=name):
            return below + name
        case EventName():
            return "event"
        case MessageId():
            return "messageId"
        case Constant(value=value):
            return json.dumps(value, ensure_ascii=False)
        case AllProperties():
            return "all"
        case Properties(names=names):
            return ", ".join(names)
        case One():
            return "properties"
        case Each(name=name):
            return f"each of properties.{name}"
        case First(inputs=inputs):
            return _or(describe(each, below) for each in inputs)
        case Type(name=first) | Channel(channel=first) | Moment(moment=first):
            return describe(first, below)
        case PriceOf(amount=amount, currency=currency):
            return f"{describe(amount, below)}; currency: {describe(currency, below)} or USD"
        case Items(products=found):
            return f"each of {describe(found, below)}"
        case Shaped():
            return _shaped(word)
        case _:
            return str(word)


def _shaped(word: Shaped) -> str:
    parts = ["all" if word.keep is None else ", ".join(word.keep) or "none"]
    parts += [f"without {', '.join('.'.join(steps) for steps in word.drop)}"] if word.drop else []
    parts += [f"{new} ← {old}" for old, new in word.rename]
    parts += [f"{name} ← {describe(added)}" for name, added in word.add]
    return "; ".join(parts)


def _or(texts: Iterable[str]) -> str:
    return " or ".join(texts)
