"""The type of a custom attribute: the type of the first value that Attentive received under its name in the account.

Attentive refuses a value of another type on every attempt, together with the rest of its call.
Source: Attentive's attributes API, v1 and v2; the example there takes "24" for a number.
"""

import re
from datetime import datetime
from typing import Final, Literal

from app.segment.events import to_text

Scalar = str | int | float | bool

_NUMERIC: Final = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
_DATED: Final = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?", re.ASCII)


AttributeType = Literal["number", "boolean", "date", "string"]  # as in Redis and in the settings


def type_of(value: Scalar) -> AttributeType:
    """The type that this value gives an attribute if it is the first."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float) or _NUMERIC.fullmatch(value):
        return "number"
    return "date" if _is_date(value) else "string"


def accepts(value: Scalar, type_: str) -> bool:
    """Whether an attribute of this type accepts the value. A string accepts any text, even digits."""
    return isinstance(value, str) if type_ == "string" else type_of(value) == type_


def as_text(value: Scalar) -> str:
    """The value as text, as JSON writes it. A whole number has no fraction: the postal code 2134.0 becomes "2134"."""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else to_text(value) or str(value)


def _is_date(text: str) -> bool:
    if not _DATED.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
