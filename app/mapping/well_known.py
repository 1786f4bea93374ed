"""The well-known traits: Attentive's named fields of a person (v2), and where in the traits each is read from.

Source: Segment's reserved traits on the right, Attentive's v2 user attributes on the left; every named field of that
API has a row.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from app.mapping.kinds import Scalar, as_text

_OLDEST: Final = 1000  # years: what is more is no age
_COUNTRY = re.compile(r"[A-Z]{2,3}")
_REGION = re.compile(r"[A-Z]{2}-[A-Z0-9]{1,3}")
_LOCALE = re.compile(r"([a-z]{2})[-_]([A-Z]{2})")

Form = Callable[[Scalar], Scalar | None]  # the value as Attentive wants it, or None: then it is no such thing


def _text(value: Scalar) -> Scalar | None:
    return None if isinstance(value, bool) else as_text(value).strip() or None


def _day(value: Scalar) -> Scalar | None:
    """The day as it is written, whatever zone stands behind it: a birthday does not move."""
    try:
        return datetime.fromisoformat(value.strip()).date().isoformat() if isinstance(value, str) else None
    except ValueError:
        return None


def _years(value: Scalar) -> Scalar | None:
    if isinstance(value, str) and value.strip().isdecimal() and len(value) <= len(str(_OLDEST)):
        value = int(value)
    whole = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _OLDEST
    return int(value) if whole else None


def _matching(pattern: re.Pattern[str]) -> Form:
    def code(value: Scalar) -> Scalar | None:
        written = value.strip().upper() if isinstance(value, str) else ""
        return written if pattern.fullmatch(written) else None

    return code


def _part_of_locale(group: int) -> Form:
    def part(value: Scalar) -> Scalar | None:
        found = _LOCALE.fullmatch(value.strip()) if isinstance(value, str) else None
        return found[group] if found else None

    return part


def _degrees(most: int) -> Form:
    def degrees(value: Scalar) -> Scalar | None:
        try:
            number = None if isinstance(value, bool) else float(value)
        except ValueError:
            return None
        if number is None or not -most <= number <= most:
            return None
        return f"{number:.6f}".rstrip("0").rstrip(".")

    return degrees


@dataclass(frozen=True, slots=True)
class WellKnown:
    """One named field and the traits it is read from, dotted; the first one with a value of this form wins."""

    group: str | None  # None: directly under `attributes`
    name: str
    traits: tuple[str, ...]
    form: Form = _text
    precise_location: bool = False  # Attentive bans it as sensitive: read only where the settings say so


WELL_KNOWN: Final = (
    WellKnown(None, "firstName", ("firstName", "first_name")),
    WellKnown(None, "lastName", ("lastName", "last_name")),
    WellKnown("demographic", "language", ("language",)),
    WellKnown("demographic", "dateOfBirth", ("birthday", "dateOfBirth", "date_of_birth", "birthdate"), _day),
    WellKnown("demographic", "age", ("age",), _years),
    WellKnown("demographic", "organization", ("company.name", "company", "organization")),
    WellKnown("demographic", "title", ("title",)),
    WellKnown("demographic", "website", ("website",)),
    WellKnown("location", "address1", ("address.street", "address.address1", "address1", "address")),
    WellKnown("location", "address2", ("address.street2", "address.address2", "address2")),
    WellKnown("location", "city", ("address.city", "city")),
    WellKnown("location", "state", ("address.state", "state")),
    WellKnown("location", "zip", ("address.postalCode", "address.postal_code", "address.zip", "postalCode", "zip")),
    WellKnown("location", "country", ("address.country", "country"), _matching(_COUNTRY)),
    WellKnown("location", "region", ("address.region", "region"), _matching(_REGION)),
    WellKnown("location", "timezone", ("timezone",)),
    WellKnown("location", "latitude", ("address.latitude", "latitude"), _degrees(90), precise_location=True),
    WellKnown("location", "longitude", ("address.longitude", "longitude"), _degrees(180), precise_location=True),
    WellKnown("locale", "language", ("locale",), _part_of_locale(1)),
    WellKnown("locale", "country", ("locale",), _part_of_locale(2)),
)
PRECISE_LOCATION: Final = frozenset(path for row in WELL_KNOWN if row.precise_location for path in row.traits)


def named_fields(flat: dict[str, Scalar]) -> dict[str, Any]:
    """The named fields of these traits (by dotted path). What they are made of is taken out of `flat`."""
    fields: dict[str, Any] = {}
    used: set[str] = set()
    for row in WELL_KNOWN:
        for path in row.traits:
            if path in flat and (value := row.form(flat[path])) is not None:
                group = fields.setdefault(row.group, {}) if row.group else fields
                group.setdefault(row.name, value)
                used.add(path)
    for path in used:
        del flat[path]
    return fields
