"""Converters: each turns a value of an event into the form that Attentive accepts."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.mapping.attribute_types import as_text
from app.mapping.money import to_amount, to_currency, to_money
from app.segment.events import NUMBERS, to_text, without_fraction
from app.segment.times import parse_time, stated_time

_MOST: Final = 2**63  # Attentive counts in 64 bits
_DIGITS: Final = 20
_SIGNED_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Converter:
    """A form. `convert` returns the value in that form, or None if it has none. `wanted` describes the form."""

    convert: Callable[[Any], Any]
    wanted: str

    def __str__(self) -> str:
        return self.wanted


def to_quantity(value: Any) -> int | None:
    """A whole number of at least 1, from a number or its text: "2", "2.0000", "2,0". None for "2,000": it may be 2."""
    if type(value) is int:  # nearly always
        return value if 1 <= value < _MOST else None
    money = to_money(value)
    if money is None or money.currencies or money.grouped:
        return None
    amount = money.amount
    return int(amount) if 1 <= amount < _MOST and amount == int(amount) else None


def _to_string(value: Any) -> str | None:
    """Text unchanged, a number or boolean as text, a list of these separated by commas."""
    if type(value) is str:
        return value
    match value:
        case bool():
            return as_text(value)
        case int() | float():
            return to_text(value)
        case list() if all(isinstance(each, str | int | float) for each in value):
            return ", ".join(filter(None, map(_to_string, value)))
        case _:
            return None


def _to_number(value: Any) -> float | int | None:
    """A number unchanged, the number in a text, or the amount in it."""
    if type(value) in NUMBERS:
        return value  # type: ignore[no-any-return]
    if not isinstance(value, str):
        return None
    text = value.strip()
    if not _SIGNED_NUMBER.fullmatch(text):
        return to_amount(text)
    return float(text) if "." in text or len(text) >= _DIGITS else int(text)


def _to_boolean(value: Any) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return value if isinstance(value, bool) else None


def _to_date(value: Any) -> str | None:
    """Text unchanged if it is a date or time. Epoch seconds or milliseconds as ISO 8601."""
    if (moment := parse_time(value)) is None:
        return None
    return value.strip() if isinstance(value, str) and value[4:5] == "-" else moment.isoformat()


def _to_list(value: Any) -> list[Any] | None:
    value = _list_of_php(value)
    return value if isinstance(value, list) else [value] if isinstance(value, dict) else None


def _to_products(value: Any) -> Any:
    return _list_of_php(value) if type(value) is dict else value if type(value) is list else None


def _list_of_php(value: Any) -> Any:
    """The values of an object whose keys are list positions: PHP writes a list with a gap in this way."""
    if isinstance(value, dict) and next(iter(value), "").isdecimal() and all(map(str.isdecimal, value)):
        return list(value.values())
    return value


def _to_capitals(value: Any) -> Any:
    """A currency code in capitals. A value that is not text stays as it is."""
    return value.strip().upper() if isinstance(value, str) else value


def _to_id(value: Any) -> str | None:
    if type(value) is not str:
        return to_text(value)
    text = value.strip()
    return (without_fraction(text) if text[-1:] == "0" else text) or None


ANYTHING: Final = Converter(lambda value: value, "a value")
TEXT: Final = Converter(to_text, "text or a number")
ID: Final = Converter(_to_id, "text or a number")
PRICE: Final = Converter(to_money, "an amount of 0 or more")
QUANTITY: Final = Converter(to_quantity, "a whole number of at least 1")
CURRENCY: Final = Converter(to_currency, "a three-letter currency")
CHANNELS: Final = ("WEB", "IOS_APP", "ANDROID_APP", "IN_STORE", "PHONE", "OTHER")
CHANNEL: Final = Converter(
    lambda value: {"channelType": value} if value in CHANNELS else None, "one of " + ", ".join(CHANNELS)
)
PRODUCTS: Final = Converter(_to_products, "a product or a list of them")
TIME: Final = Converter(stated_time, "a time: ISO 8601, or epoch seconds or milliseconds")

CONVERTERS: Final[Mapping[str, Converter]] = {  # by what is filled: Attentive's keys, and `items`
    "productId": ID,
    "productVariantId": ID,
    "price": PRICE,
    "currency": CURRENCY,
    "name": TEXT,
    "productImage": TEXT,
    "productUrl": TEXT,
    "quantity": QUANTITY,
    "type": TEXT,
    "externalEventId": ID,
    "orderId": ID,
    "salesChannel": CHANNEL,
    "items": PRODUCTS,
    "occurredAt": TIME,
}

# Declared types of properties and attributes. A value of another type is coerced if nothing is lost.
STRING: Final = Converter(_to_string, "text")
NUMBER: Final = Converter(_to_number, "a number")
BOOLEAN: Final = Converter(_to_boolean, "true or false")
DATE: Final = Converter(_to_date, "a date")
LIST: Final = Converter(_to_list, "a list")
CAPITALS: Final = Converter(_to_capitals, "text in capitals")
TYPES: Final[Mapping[str, Converter]] = {"string": STRING, "number": NUMBER, "boolean": BOOLEAN, "date": DATE}
