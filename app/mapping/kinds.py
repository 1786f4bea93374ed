"""The type of a custom attribute: that of the first value Attentive ever saw under its name, in all of the account.

A value of another type is refused by Attentive on every attempt, together with all that it came with.
Source: Attentive's attributes API, v1 and v2; the example there takes "24" for a number.
"""

import re
from datetime import datetime
from typing import Final, Literal

Scalar = str | int | float | bool

_NUMERIC: Final = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
_DATED: Final = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?", re.ASCII)


Kind = Literal["number", "boolean", "date", "string"]  # as they stand in Redis and in the settings


def kind_of(value: Scalar) -> Kind:
    """The type that an attribute gets when this is the first value of it."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float) or _NUMERIC.fullmatch(value):
        return "number"
    return "date" if _is_date(value) else "string"


def suits(value: Scalar, kind: str) -> bool:
    """Whether an attribute of this type takes the value. Any text suits a string, though it looks like a number."""
    return isinstance(value, str) if kind == "string" else kind_of(value) == kind


def as_text(value: Scalar) -> str:
    """The value as text, as JSON writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_date(text: str) -> bool:
    if not _DATED.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
