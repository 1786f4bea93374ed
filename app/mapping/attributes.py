"""Traits of an identify call as Attentive's attributes: v2 with its named fields, or v1, where all are custom ones."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from app.identity.extract import IdentityRules
from app.mapping.cleaning import ATTRIBUTE_NAME_CHARS, ATTRIBUTES, clean_name
from app.mapping.kinds import Kind, Scalar, as_text, kind_of, suits
from app.mapping.well_known import PRECISE_LOCATION, named_fields
from app.value import Value

IDENTIFIER_TRAITS: Final = frozenset({"email", "phone", "id", "userId", "anonymousId"})
NAMES: Final = 100  # Attentive's most, of all people together


@dataclass(frozen=True, slots=True)
class AttributeRules:
    """How one destination wants traits."""

    identifiers: frozenset[str] = IdentityRules().traits  # dotted; these say who it is and are no attributes
    join_lists: bool = True  # a list of scalars becomes text; False: it is left out
    precise_location: bool = False  # whether latitude and longitude are sent
    most_names: int | None = NAMES  # different custom attributes that the account may have; None: any number
    kinds: Mapping[str, Kind] = field(default_factory=dict)  # types that are known without having been seen


class AttributeGuard(Value, frozen=True, gc=False):
    """What the account's custom attributes are known to be, held against one event; and what the event adds to that.

    A value of another type than its attribute's is left out alone: Attentive would refuse all it came with, for ever.
    """

    rules: AttributeRules
    known: Mapping[str, str]  # name → type, of all people so far
    first_seen: dict[str, str] = msgspec.field(default_factory=dict)  # the same, of names that were not known
    counts: list[str] = msgspec.field(default_factory=list)  # fields of the books

    def passed(self, name: str, value: Scalar, notes: list[str]) -> Scalar | None:
        """The value, in the form to send; None when the account cannot take it."""
        kind = self.known.get(name)
        if kind is None and not self._has_room(name):
            self.counts.append("left_out:names")
            notes.append(f"traits: {name!r} would be one more than the account's {self.rules.most_names}, left out")
            return None
        if (declared := self.rules.kinds.get(name)) == "string":
            value = as_text(value)
        if (kind := declared or kind) is not None and not suits(value, kind):
            self.counts.append(f"left_out:type:{name}")
            notes.append(f"traits: {name!r} is a {kind} in this account, here it is a {kind_of(value)}, left out")
            return None
        if name not in self.known:
            self.first_seen[name] = kind or kind_of(value)
        return value

    def _has_room(self, name: str) -> bool:
        most = self.rules.most_names
        return most is None or name in self.rules.kinds or len(self.known) + len(self.first_seen) < most


def user_attributes(traits: Mapping[str, Any], guard: AttributeGuard, notes: list[str]) -> dict[str, Any] | None:
    """`attributes` of a v2 user attributes call, or None when the traits say nothing but who it is."""
    flat = flattened(traits, guard.rules, notes)
    attributes = named_fields(flat)
    if custom := _custom(flat, guard, notes):
        attributes["custom"] = custom
    return attributes or None


def custom_attributes(traits: Mapping[str, Any], guard: AttributeGuard, notes: list[str]) -> dict[str, Any] | None:
    """`properties` of a v1 custom attributes call, or None when the traits say nothing but who it is."""
    return _custom(flattened(traits, guard.rules, notes), guard, notes) or None


def _custom(flat: Mapping[str, Scalar], guard: AttributeGuard, notes: list[str]) -> dict[str, Scalar]:
    """At most a hundred, by the names that Attentive takes."""
    custom: dict[str, Scalar] = {}
    for path, value in flat.items():
        name = clean_name(path.replace(".", "_"))
        if len(name) > ATTRIBUTE_NAME_CHARS:
            notes.append(f"traits: a name of more than {ATTRIBUTE_NAME_CHARS} characters, left out")
        elif name in custom:
            notes.append(f"traits: two names become {name!r}, the first one is sent")
        elif len(custom) == ATTRIBUTES:
            notes.append(f"traits: more than {ATTRIBUTES}, the rest is left out")
            break
        elif (passed := guard.passed(name, value, notes)) is not None:
            custom[name] = passed
    return custom


def flattened(traits: Mapping[str, Any], rules: AttributeRules, notes: list[str]) -> dict[str, Scalar]:
    """The traits that are no identifiers, as scalars by dotted path. Blank text says nothing, like null."""
    flat: dict[str, Scalar] = {}
    for path, value in _leaves(traits, rules, ""):
        if isinstance(value, list):
            value = _joined(value) if rules.join_lists else None
            if value is None:
                notes.append(f"traits.{path}: a list, left out")
                continue
        if path in PRECISE_LOCATION and not rules.precise_location:
            notes.append(f"traits.{path}: a precise location, left out")
        elif path in flat:
            notes.append("traits: a dotted name and a nested one are the same, the first one is sent")
        elif not isinstance(value, str) or value.strip():
            flat[path] = value
    return flat


def _leaves(traits: Mapping[str, Any], rules: AttributeRules, prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in traits.items():
        path = prefix + key
        if value is None or not key or path in IDENTIFIER_TRAITS or path in rules.identifiers:
            continue
        if isinstance(value, dict):
            yield from _leaves(value, rules, path + ".")
        else:
            yield path, value


def _joined(values: list[Any]) -> str | None:
    """A list of scalars as text: "red, 42, true". None for a list that holds anything else."""
    given = [value for value in values if value is not None]
    return ", ".join(map(as_text, given)) if all(isinstance(value, str | int | float) for value in given) else None
