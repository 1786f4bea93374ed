"""Values of sources as JSON has them. Pure."""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from app.rows.codes import BadRow, Code
from app.segment.events import to_text

LEFT_OUT: Final = object()  # in place of a value that is not sent
_EXACT: Final = 2**53


def key_text(value: Any) -> str | None:
    """A value of a key as text. None for what is no key: a truth value, a list, nothing."""
    match value:
        case bool() | None:
            return None
        case int() | float():
            return to_text(value)
        case Decimal():
            return str(value.normalize()) if value != value.to_integral_value() else str(int(value))
        case UUID() | date():
            return str(value)
        case _:
            return None


def json_values(row: Mapping[str, Any], is_read: Callable[[str], bool]) -> dict[str, Any]:
    """The values of a row as JSON has them, without those that are null or blank.

    Raises BadRow for a value that JSON cannot hold, unless its column is not read.
    """
    values: dict[str, Any] = {}
    for name, given in row.items():
        if type(given) is str:  # nearly always
            if given and not given.isspace():
                values[name] = given
            continue
        try:
            value = json_value(name, given)
        except BadRow:
            if is_read(name):
                raise
            continue
        if value is not LEFT_OUT:
            values[name] = value
    return values


def json_value(name: str, value: Any) -> Any:
    """A value as JSON has it. What is null, blank or not a number is left out. Raises BadRow."""
    kind = type(value)
    if kind is str:
        return value if value and not value.isspace() else LEFT_OUT
    if kind is int or kind is bool:
        return value
    match value:
        case None:
            return LEFT_OUT
        case bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else LEFT_OUT
        case Decimal():
            return _number(value)
        case datetime():
            moment = value if value.tzinfo else value.replace(tzinfo=UTC)
            return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date() | time():
            return value.isoformat()
        case UUID():
            return str(value)
        case timedelta():
            return value.total_seconds()
        case list() | tuple():
            inner = [json_value(name, each) for each in value]
            return [each for each in inner if each is not LEFT_OUT] or LEFT_OUT
        case dict():
            named = {str(key): json_value(name, each) for key, each in value.items()}
            return {key: each for key, each in named.items() if each is not LEFT_OUT} or LEFT_OUT
        case _:
            raise BadRow(Code.VALUE_UNSUPPORTED, f"The column {name!r} holds {kind.__name__}, which JSON cannot hold.")


def _number(value: Decimal) -> Any:
    """The number that a decimal is. One of more digits than a float holds stays text: no amount is rounded."""
    if not value.is_finite():
        return LEFT_OUT
    if value == value.to_integral_value():
        return int(value) if abs(value) < _EXACT else str(value)
    return float(value) if Decimal(repr(float(value))) == value else str(value)
