"""The words the catalogue is written in: where a value comes from, and the form Attentive wants it in.

A word reads one value from a Scope. It returns ABSENT for what is not there or not usable, and notes what it left out.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Final, Protocol

import msgspec
from price_parser import Price as ParsedPrice

from app.identity.identity import Identity
from app.mapping.cleaning import TYPE_CHARS, clean_name, clean_object
from app.segment.events import NUMBERS, SegmentEvent, to_text
from app.value import Value

ABSENT: Final = object()
_CURRENCY = re.compile(r"[A-Z]{3}")
_MOST: Final = 2**63  # Attentive counts in 64 bits
_DIGITS: Final = 20
_INFINITE: Final = float("inf")
_PLAIN_NUMBER = re.compile(r"\+?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_MINUS = re.compile(r"[-\u2212]")
_MEDIA: Final = "mediaUrl"
DEFAULT_CURRENCY: Final = "USD"


class Unmappable(Exception):  # noqa: N818 - a verdict on the event, not an error of ours
    """The event cannot become the call its rule asks for. `reason` is a stable code, `detail` names the field."""

    def __init__(self, reason: str, detail: str) -> None:
        """`detail` must hold no personal data."""
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


class Scope(Value, frozen=True, gc=False):
    """What a word may read. `here` is the object in view: the properties, or one product of them."""

    personal: ClassVar = frozenset({"here"})

    event: SegmentEvent
    identity: Identity
    here: Mapping[str, Any]
    path: str  # of `here`, for notes
    notes: list[str] = msgspec.field(default_factory=list)

    def inner(self, here: Mapping[str, Any], path: str) -> "Scope":
        """The same event, looking at a part of it."""
        return Scope(self.event, self.identity, here, path, self.notes)


class Word(Protocol):
    """Anything a catalogue row may name as the source of a value."""

    def read(self, scope: Scope) -> Any:
        """The value, JSON-ready, or ABSENT."""


@dataclass(frozen=True, slots=True)
class FirstOf:
    """The first of these names that holds text (or a number, as text)."""

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)

    def read(self, scope: Scope) -> Any:
        """Text, never blank, or ABSENT."""
        here = scope.here
        for name in self.names:
            if (text := to_text(here.get(name))) is not None:
                return text
        return ABSENT


@dataclass(frozen=True, slots=True)
class Price:
    """Attentive's list of one price: a number of major units and its currency.

    The amount is a number or numeric text ("$1,299.00"); the currency is the item's, else the event's, else USD.
    """

    name: str
    currency: str

    def read(self, scope: Scope) -> Any:
        """`[{"value": 19.99, "currency": "USD"}]`, or ABSENT when there is no usable amount."""
        amount = to_amount(scope.here.get(self.name))
        if amount is None:
            return ABSENT
        return [{"value": amount, "currency": self._currency(scope)}]

    def _currency(self, scope: Scope) -> str:
        for here in (scope.here, scope.event.properties):
            value = here.get(self.currency)
            if isinstance(value, str) and value:
                if code := _currency_in(value):
                    return code
                scope.notes.append(f"{scope.path}{self.currency}: not a three-letter currency, {DEFAULT_CURRENCY} sent")
        return DEFAULT_CURRENCY


@dataclass(frozen=True, slots=True)
class PositiveInteger:
    """A whole number of at least 1, else nothing."""

    name: str

    def read(self, scope: Scope) -> Any:
        """An int, or ABSENT."""
        value = scope.here.get(self.name)
        return ABSENT if value is None or (quantity := to_quantity(value)) is None else quantity


@dataclass(frozen=True, slots=True)
class EventName:
    """The track event's own name, without the characters Attentive forbids in a type."""

    def read(self, scope: Scope) -> Any:
        """Text of 1 to 200 characters."""
        return as_type(scope.event.name or "", scope.notes)


@dataclass(frozen=True, slots=True)
class Constant:
    """Always this."""

    value: Any

    def read(self, scope: Scope) -> Any:
        """The value itself."""
        return self.value


@dataclass(frozen=True, slots=True)
class MessageId:
    """The tracker's id of the event: the same on every attempt, so that Attentive can tell a repeat."""

    def read(self, scope: Scope) -> Any:
        """Text of at most 100 characters."""
        return scope.event.message_id


@dataclass(frozen=True, slots=True)
class AllProperties:
    """Every property, as it came."""

    def read(self, scope: Scope) -> Any:
        """An object, or ABSENT when it would be empty."""
        clean = clean_object(scope.here, "properties", scope.notes)
        if not isinstance(clean.get(_MEDIA, ""), str):
            del clean[_MEDIA]
            scope.notes.append(f"properties.{_MEDIA}: must be text, for Attentive takes it for an image's address")
        return clean or ABSENT


@dataclass(frozen=True, slots=True)
class Properties:
    """Just these properties; `upper` names those written in capitals."""

    names: tuple[str, ...]
    upper: frozenset[str]

    def __init__(self, *names: str, upper: tuple[str, ...] = ()) -> None:
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "upper", frozenset(upper))

    def read(self, scope: Scope) -> Any:
        """An object, or ABSENT when none of them is there."""
        here = scope.here
        picked = {name: here[name] for name in self.names if here.get(name) is not None}
        for name in self.upper:
            if isinstance(value := picked.get(name), str):
                picked[name] = value.strip().upper()
        return clean_object(picked, "properties", scope.notes) or ABSENT


Item = Mapping[str, Word]
REQUIRED: Final = frozenset({"productId", "productVariantId", "price"})  # without these, an item cannot be sent


@dataclass(frozen=True, slots=True)
class One:
    """One item, read from the properties themselves."""

    item: Item

    def read(self, scope: Scope) -> Any:
        """A list of one; raises Unmappable when the item lacks an id or a price."""
        built = read_item(self.item, scope)
        if isinstance(built, str):
            raise Unmappable("item_incomplete", f"properties.{built}")
        return [built]


@dataclass(frozen=True, slots=True)
class Each:
    """One item per element of a list. Elements that cannot be sent are left out with a note."""

    name: str
    item: Item

    def read(self, scope: Scope) -> Any:
        """A list of at least one; raises Unmappable when no element is usable."""
        elements = scope.here.get(self.name)
        if not isinstance(elements, list):
            raise Unmappable("items_missing", f"properties.{self.name} must be a list of products")
        items, missing = [], "is empty"
        for index, element in enumerate(elements):
            path = f"{self.name}[{index}]."
            built = read_item(self.item, scope.inner(element, path)) if isinstance(element, dict) else "product_id"
            if isinstance(built, str):
                missing = f"has no usable {built}"
                scope.notes.append(f"{path[:-1]}: no usable {built}, left out")
            else:
                items.append(built)
        if not items:
            raise Unmappable("items_missing", f"properties.{self.name} {missing}")
        return items


def read_item(item: Item, scope: Scope) -> dict[str, Any] | str:
    """The item as Attentive takes it, or the name of the source field whose absence makes it unsendable."""
    built: dict[str, Any] = {}
    for key, word in item.items():
        value = word.read(scope)
        if value is not ABSENT:
            built[key] = value
        elif key in REQUIRED:
            return _source_of(word, key)
    return built


def _source_of(word: Word, key: str) -> str:
    match word:
        case FirstOf(names=names):
            return names[0]
        case Price(name=name):
            return name
        case _:
            return key


def to_quantity(value: Any) -> int | None:
    """A whole number of at least 1, from a number or its digits."""
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < _DIGITS:
        value = int(value)
    return int(value) if type(value) in NUMBERS and 1 <= value < _MOST and value == int(value) else None


def to_currency(value: object) -> str | None:
    """Three capital letters (ISO 4217)."""
    return _currency_in(value) if isinstance(value, str) else None


@lru_cache(maxsize=1024)
def _currency_in(text: str) -> str | None:
    code = text.strip().upper()
    return code if _CURRENCY.fullmatch(code) else None


def as_type(name: str, notes: list[str]) -> str:
    """A name as the type of a custom event: 1 to 200 characters, none of those that Attentive forbids."""
    clean = clean_name(name)[:TYPE_CHARS]
    if clean != name:
        notes.append("event: forbidden characters replaced or name shortened in Attentive's type")
    return clean


def to_amount(value: Any) -> float | int | None:
    """A price of 0 or more in major units, from a number or numeric text; None for anything else."""
    if isinstance(value, str):
        value = _amount_in(value)
    return value if type(value) in NUMBERS and 0 <= value < _INFINITE else None


@lru_cache(maxsize=4096)
def _amount_in(text: str) -> float | None:
    text = text.strip()
    if _PLAIN_NUMBER.fullmatch(text):  # what a machine wrote; the parser would take 129.950 for thousands
        return float(text)
    first_digit = next((index for index, character in enumerate(text) if character.isdecimal()), None)
    if first_digit is None:  # the parser reads "free" as 0: a giveaway is no price
        return None
    if _MINUS.search(text, 0, first_digit):
        return None
    return ParsedPrice.fromstring(text).amount_float
