"""Traits of an identify call as Attentive user attributes: the well-known ones by name, the others as custom ones.

Source: Segment's reserved traits on the left, Attentive's v2 user attributes on the right.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from app.identity.extract import IdentityRules
from app.mapping.cleaning import ATTRIBUTE_NAME_CHARS, ATTRIBUTES, clean_name

_COUNTRY = re.compile(r"[A-Za-z]{2,3}")
_OLDEST: Final = 1000  # years: what is more is no age
IDENTIFIER_TRAITS: Final = frozenset({"email", "phone", "id", "userId", "anonymousId"})


@dataclass(frozen=True, slots=True)
class AttributeRules:
    """How one destination wants traits."""

    identifiers: frozenset[str] = IdentityRules().traits  # dotted; these say who it is and are no attributes


@dataclass(frozen=True, slots=True)
class WellKnown:
    """One named field of Attentive and the traits it is read from, dotted, first present wins."""

    group: str | None  # None: directly under `attributes`
    name: str
    traits: tuple[str, ...]
    kind: str = "text"  # text | date | integer | country


WELL_KNOWN: Final = (
    WellKnown(None, "firstName", ("firstName", "first_name")),
    WellKnown(None, "lastName", ("lastName", "last_name")),
    WellKnown("demographic", "language", ("language",)),
    WellKnown("demographic", "dateOfBirth", ("birthday", "dateOfBirth", "date_of_birth"), "date"),
    WellKnown("demographic", "age", ("age",), "integer"),
    WellKnown("demographic", "organization", ("company.name", "organization")),
    WellKnown("demographic", "title", ("title",)),
    WellKnown("demographic", "website", ("website",)),
    WellKnown("location", "address1", ("address.street", "address.address1")),
    WellKnown("location", "address2", ("address.street2", "address.address2")),
    WellKnown("location", "city", ("address.city", "city")),
    WellKnown("location", "state", ("address.state", "state")),
    WellKnown("location", "zip", ("address.postalCode", "address.postal_code", "address.zip")),
    WellKnown("location", "country", ("address.country", "country"), "country"),
    WellKnown("location", "timezone", ("timezone",)),
)


def user_attributes(traits: Mapping[str, Any], rules: AttributeRules, notes: list[str]) -> dict[str, Any] | None:
    """`attributes` of a v2 user attributes call, or None when the traits say nothing but who it is.

    Custom values are scalars: objects are flattened with `_`, lists of scalars joined with `, `. At most 100 of them.
    """
    flat: dict[str, Any] = {}
    for path, value in _flatten(traits, skip=IDENTIFIER_TRAITS | rules.identifiers, notes=notes):
        if path in flat:
            notes.append("traits: a dotted name and a nested one are the same, the first one is sent")
        else:
            flat[path] = value
    attributes: dict[str, Any] = {}
    for field in WELL_KNOWN:
        for path in field.traits:
            if path in flat and (value := _as_kind(flat[path], field.kind)) is not None:
                target = attributes.setdefault(field.group, {}) if field.group else attributes
                if field.name not in target:
                    target[field.name] = value
                del flat[path]
    custom: dict[str, Any] = {}
    for path, value in flat.items():
        name = clean_name(path.replace(".", "_"))
        if len(name) > ATTRIBUTE_NAME_CHARS:
            notes.append(f"traits: a name of more than {ATTRIBUTE_NAME_CHARS} characters, left out")
        elif name in custom:
            notes.append(f"traits: two names become {name!r}, the first one is sent")
        elif len(custom) == ATTRIBUTES:
            notes.append(f"traits: more than {ATTRIBUTES}, the rest is left out")
            break
        else:
            custom[name] = value
    if custom:
        attributes["custom"] = custom
    return attributes or None


def _date_in(text: str) -> str | None:
    """The day as it is written, whatever zone stands behind it: a birthday does not move."""
    try:
        return datetime.fromisoformat(text.strip()).date().isoformat()
    except ValueError:
        return None


def _flatten(
    traits: Mapping[str, Any], *, skip: frozenset[str], notes: list[str], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    for key, value in traits.items():
        path = prefix + key
        if value is None or path in skip or key == "":
            continue
        if isinstance(value, dict):
            yield from _flatten(value, skip=skip, notes=notes, prefix=path + ".")
        elif isinstance(value, list):
            if value and all(isinstance(element, str | int | float) for element in value):
                yield path, ", ".join(map(str, value))
            else:
                notes.append("traits: a list of objects, left out")
        else:
            yield path, value


def _as_kind(value: Any, kind: str) -> Any:
    match kind:
        case "date":
            return _date_in(value) if isinstance(value, str) else None
        case "integer":
            whole = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _OLDEST
            return int(value) if whole else None
        case "country":  # ISO 3166-1; a country written out stays a custom attribute
            return value.upper() if isinstance(value, str) and _COUNTRY.fullmatch(value) else None
        case _:
            return (str(value).strip() or None) if isinstance(value, str | int | float) else None
