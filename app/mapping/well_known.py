"""The well-known traits: Attentive's named fields of a person (v2), and where in the traits each is read from.

Source: Segment's reserved traits on the right, Attentive's v2 user attributes on the left; every named field of that
API has a row.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from app.mapping.attribute_types import Scalar, as_text
from app.mapping.converters import Converter
from app.mapping.countries import COUNTRIES

_OLDEST: Final = 1000  # years: a higher number is not an age
_ZIP: Final = ("postalCode", "postal_code", "zip", "zipCode", "zip_code", "postcode")
_COUNTRY = re.compile(r"[A-Z]{2,3}")
_REGION = re.compile(r"[A-Z]{2}-[A-Z0-9]{1,3}")
_LOCALE = re.compile(r"([a-z]{2})[-_]([A-Z]{2})")


def _text(value: Scalar) -> Scalar | None:
    return None if isinstance(value, bool) else as_text(value).strip() or None


def _day(value: Scalar) -> Scalar | None:
    """The date as written, without its time zone: a birthday does not move."""
    try:
        return datetime.fromisoformat(value.strip()).date().isoformat() if isinstance(value, str) else None
    except ValueError:
        return None


def _years(value: Scalar) -> Scalar | None:
    if isinstance(value, str) and value.strip().isdecimal() and len(value) <= len(str(_OLDEST)):
        value = int(value)
    whole = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _OLDEST
    return int(value) if whole else None


def _region(value: Scalar) -> Scalar | None:
    written = value.strip().upper() if isinstance(value, str) else ""
    return written if _REGION.fullmatch(written) else None


def _part_of_locale(group: int) -> Converter:
    def part(value: Scalar) -> Scalar | None:
        found = _LOCALE.fullmatch(value.strip()) if isinstance(value, str) else None
        return found[group] if found else None

    return Converter(part, "a locale such as en-US")


def _degrees(most: int) -> Converter:
    def degrees(value: Scalar) -> Scalar | None:
        try:
            number = None if isinstance(value, bool) else float(value)
        except ValueError:
            return None
        if number is None or not -most <= number <= most:
            return None
        return f"{number:.6f}".rstrip("0").rstrip(".")

    return Converter(degrees, "degrees")


def _country(value: Scalar) -> Scalar | None:
    """A code of two or three letters as it is, a name in English as its code."""
    if not isinstance(value, str):
        return None
    written = value.strip()
    if (code := COUNTRIES.get(written.casefold())) is not None:
        return code
    return written.upper() if _COUNTRY.fullmatch(written.upper()) else None


TEXT: Final = Converter(_text, "text")
DAY: Final = Converter(_day, "an ISO 8601 date")
YEARS: Final = Converter(_years, "a whole number of years")
COUNTRY: Final = Converter(_country, "a country")
REGION: Final = Converter(_region, "a region of ISO 3166-2")


@dataclass(frozen=True, slots=True)
class WellKnown:
    """One named field and the traits that fill it, dotted. The first trait with a value of this form wins."""

    group: str | None  # None: directly under `attributes`
    name: str
    traits: tuple[str, ...]
    to: Converter = TEXT
    precise_location: bool = False  # Attentive bans it as sensitive: read only if the settings allow it
    paths: tuple[str, ...] = field(init=False)  # its own name, as overrides write it ("location.zip"), then the traits

    def __post_init__(self) -> None:
        own = f"{self.group}.{self.name}" if self.group else self.name
        object.__setattr__(self, "paths", tuple(dict.fromkeys((own, *self.traits))))


WELL_KNOWN: Final = (
    WellKnown(None, "firstName", ("firstName", "first_name")),
    WellKnown(None, "lastName", ("lastName", "last_name")),
    WellKnown("demographic", "language", ("language",)),
    WellKnown("demographic", "dateOfBirth", ("birthday", "dateOfBirth", "date_of_birth", "birthdate", "dob"), DAY),
    WellKnown("demographic", "age", ("age",), YEARS),
    WellKnown("demographic", "organization", ("company.name", "company", "organization")),
    WellKnown("demographic", "title", ("title",)),
    WellKnown("demographic", "website", ("website",)),
    WellKnown("location", "address1", ("address.street", "address.address1", "address1", "address")),
    WellKnown("location", "address2", ("address.street2", "address.address2", "address2")),
    WellKnown("location", "city", ("address.city", "city")),
    WellKnown("location", "state", ("address.state", "state")),
    WellKnown("location", "zip", tuple(f"{place}{name}" for place in ("address.", "") for name in _ZIP)),
    WellKnown("location", "country", ("address.country", "country"), COUNTRY),
    WellKnown("location", "region", ("address.region", "region"), REGION),
    WellKnown("location", "timezone", ("timezone",)),
    WellKnown("location", "latitude", ("address.latitude", "latitude"), _degrees(90), precise_location=True),
    WellKnown("location", "longitude", ("address.longitude", "longitude"), _degrees(180), precise_location=True),
    WellKnown("locale", "language", ("locale",), _part_of_locale(1)),
    WellKnown("locale", "country", ("locale",), _part_of_locale(2)),
)
_ROWS: Final[dict[str, list[int]]] = {}  # by trait, the rows that may read it
for _number, _row in enumerate(WELL_KNOWN):
    for _path in _row.paths:
        _ROWS.setdefault(_path, []).append(_number)
PRECISE_LOCATION: Final = frozenset(path for row in WELL_KNOWN if row.precise_location for path in row.paths)


def named_fields(flat: dict[str, Scalar], notes: list[str]) -> dict[str, Any]:
    """The named fields of these traits (by dotted path). The traits used are removed from `flat`.

    A trait with the exact name of a field outweighs all others.
    """
    fields: dict[str, Any] = {}
    used: set[str] = set()
    unfit: dict[str, str] = {}
    numbers = {number for path in flat for number in _ROWS.get(path, ())}
    for row in [WELL_KNOWN[number] for number in sorted(numbers)]:
        for path in row.paths:
            if path not in flat:
                continue
            if (value := row.to.convert(flat[path])) is None:
                unfit[path] = row.to.wanted
                continue
            if row.to is COUNTRY and value != str(flat[path]).strip().upper():
                notes.append(f"traits.{path}: the name of a country, sent as its code")
            group = fields.setdefault(row.group, {}) if row.group else fields
            group.setdefault(row.name, value)
            used.add(path)
    for path, wanted in unfit.items():
        if path not in used:
            notes.append(f"traits.{path}: not {wanted}, sent as a custom attribute")
    for path in used:
        del flat[path]
    return fields
