"""Describes each row of the catalogue, for the operator's tables and the documentation. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from app.attentive.endpoints import CUSTOM_ATTRIBUTES, IDENTITY, SUBSCRIBE, UNSUBSCRIBE, USER_ATTRIBUTES
from app.mapping.attributes import Traits
from app.mapping.catalogue import CATALOGUE, DECLARED, ITEM, Catalogue, Key, Rule
from app.mapping.expressions import Constant, FirstOf
from app.mapping.items import Item, Items, Price
from app.mapping.subscriptions import Occasion, Subscriptions
from app.mapping.transforms import EventType, Moment, Properties

_KINDS: Final = {"track": "any other track event", "page": "page", "screen": "screen", "identify": "identify"}
_WHOM: Final = {
    IDENTITY.name: "the identifiers of the person",
    USER_ATTRIBUTES.name: "the identifiers of the person",
    CUSTOM_ATTRIBUTES.name: "the identifiers of the person",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One row: an event, its endpoint, and the source of each field. For an event switched off, only the event."""

    event: str
    endpoint: str
    priority: str
    fields: Mapping[str, str]  # by Attentive's key, where each value comes from
    own: bool  # whether the destination overrides it

    @property
    def off(self) -> bool:
        """Whether these events are dropped."""
        return not self.endpoint


@dataclass(frozen=True, slots=True)
class Products:
    """How the products of some events are read."""

    events: tuple[str, ...]
    fields: Mapping[str, str]
    own: frozenset[str]  # the fields that the destination overrides


def lines(catalogue: Catalogue) -> list[Line]:
    """Every row in force, then the events that are switched off."""
    return [_line(rule) for rule in catalogue.rules] + [
        Line(_name(key), "", "", {}, own=True) for key in sorted(catalogue.off, key=_name)
    ]


def consents(subscriptions: Subscriptions) -> list[Line]:
    """The rules by which events subscribe and unsubscribe people, in addition to their other calls."""
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
    """How products are read, grouped by events that read them alike."""
    found: list[tuple[list[str], Item]] = []
    for rule in catalogue.rules:
        match rule.body.get("items"):
            case Items(item=item):
                alike = next((events for events, other in found if other == item), None)
                if alike is None:
                    found.append(([], item))
                    alike = found[-1][0]
                alike.append(_event(rule))
    return [
        Products(
            tuple(events),
            {key: describe(expression) for key, expression in item.items()},
            frozenset(key for key, expression in item.items() if expression != ITEM.get(key)),
        )
        for events, item in found
    ]


def _line(rule: Rule) -> Line:
    fields = {key: describe(expression) for key, expression in rule.body.items()}
    if rule.endpoint.name in _WHOM:
        fields = {"": _WHOM[rule.endpoint.name]}
        if rule.endpoint is not IDENTITY:
            fields[""] += f"; {describe(rule.traits)}"
    if rule.horizon_ms is not None:
        fields["horizon_hours"] = f"{rule.horizon_ms / 3_600_000:g}"
    return Line(_event(rule), rule.endpoint.name, rule.priority.name.lower(), fields, own=rule not in CATALOGUE)


def _event(rule: Rule) -> str:
    return rule.event or _KINDS[rule.type]


def _name(key: Key) -> str:
    known = next((rule.event for rule in CATALOGUE if rule.key == key), None)
    return known or key.event or _KINDS[key.type]


def describe(expression: object) -> str:
    """The source of a value, in the notation of the YAML file."""
    match expression:
        case FirstOf(sources=sources):
            return " or ".join(map(describe, sources))
        case Constant(value=value):
            return json.dumps(value, ensure_ascii=False)
        case EventType(name=first) | Moment(moment=first):
            return describe(first)
        case Price(amount=amount, currency=currency):
            return f"{describe(amount)}; currency: {describe(currency)} or, if none is stated, USD"
        case Items(products=products):
            found = describe(products)
            return found if found == "properties" else f"each of {found}"
        case Properties():
            return _changes(expression, "all") + _typed(expression)
        case Traits():
            return _changes(expression, "the other traits")
        case _:
            return str(expression)


def _changes(shaped: Properties | Traits, everything: str) -> str:
    parts = [everything if shaped.keep is None else ", ".join(shaped.keep) or "none"]
    parts += [f"without {', '.join('.'.join(steps) for steps in shaped.drop)}"] if shaped.drop else []
    parts += [f"{new} ← {old}" for old, new in shaped.rename]
    parts += [f"{name} ← {describe(added)}" for name, added in shaped.add]
    return "; ".join(parts)


def declared_types() -> Mapping[str, list[str]]:
    """The properties that rows of the catalogue pick, by the form in which they are sent."""
    found: dict[str, list[str]] = {}
    for name, declared in DECLARED.items():
        found.setdefault(declared.wanted, []).append(name)
    return found


def _typed(properties: Properties) -> str:
    by_type: dict[str, list[str]] = {}
    for name, declared in properties.types.items():
        if declared != DECLARED.get(name):
            by_type.setdefault(declared.wanted, []).append(name)
    return "".join(f"; as {wanted}: {', '.join(names)}" for wanted, names in by_type.items())
