"""The words in which request bodies are described, and what they refuse.

A check takes a parsed JSON value and the switches, and raises `Misfit` when the value breaks a rule. Written by hand
rather than in pydantic: strictness is a switch at run time, and a misfit must read as one field and one rule.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from app.sandbox.config import SandboxConfig
from app.sandbox.times import parse_iso8601, parse_rfc3339

Check = Callable[[Any, SandboxConfig], None]

E164 = re.compile(r"\+[1-9]\d{1,14}", re.ASCII)
CURRENCY = re.compile(r"[A-Za-z]{3}")
INT64_MAX = 2**63 - 1

TYPE_FORBIDDEN = frozenset("\"'(){}[]\\|,")
KEY_FORBIDDEN = {"documented": frozenset('"{}[]\\|'), "union": TYPE_FORBIDDEN}


class Misfit(Exception):  # noqa: N818  # a value that fits no rule; nothing went wrong here
    """A value breaks a rule. `path` grows from the inside out while the checks unwind."""

    def __init__(self, rule: str, *path: str) -> None:
        """Say which rule, and below which keys if the checking function looked that deep itself."""
        super().__init__(rule)
        self.rule = rule
        self.path = list(path)

    def within(self, name: str) -> "Misfit":
        """The same misfit, seen from one level further out."""
        self.path.insert(0, name)
        return self

    def __str__(self) -> str:
        """Field and rule: "items.0.price.0.value: must be a number"."""
        return f"{'.'.join(self.path) or 'body'}: {self.rule}"


@dataclass(frozen=True, slots=True)
class Required:
    """Marks a key of a `Shape` that must be there."""

    check: Check


class Shape:
    """An object with known keys."""

    def __init__(
        self, fields: Mapping[str, Check | Required], *, closed: bool = False, not_empty: bool = False
    ) -> None:
        """Describe an object. `closed` refuses unknown keys whatever the switch says; `not_empty` wants a known key."""
        self._checks = {n: field.check if isinstance(field, Required) else field for n, field in fields.items()}
        self._required = tuple(name for name, field in fields.items() if isinstance(field, Required))
        self._closed = closed
        self._not_empty = not_empty

    def __call__(self, value: Any, config: SandboxConfig) -> None:
        """Refuse what is no such object."""
        if type(value) is not dict:
            raise Misfit("must be an object")
        for name in self._required:
            if name not in value:
                raise Misfit("is required", name)
        empty = True
        checks = self._checks
        for name, inner in value.items():
            check = checks.get(name)
            if check is None:
                if self._closed or config.refuse_unknown_keys:
                    raise Misfit(f"is not a known key; known are {', '.join(checks)}", name)
                continue
            empty = False
            try:
                check(inner, config)
            except Misfit as misfit:
                misfit.within(name)
                raise
        if empty and self._not_empty:
            raise Misfit(f"must have at least one of {', '.join(checks)}")


class Each:
    """A list whose entries all pass one check."""

    def __init__(self, check: Check, *, not_empty: bool = False) -> None:
        """Describe a list."""
        self._check = check
        self._not_empty = not_empty

    def __call__(self, value: Any, config: SandboxConfig) -> None:
        """Refuse what is no such list."""
        if type(value) is not list:
            raise Misfit("must be an array")
        if self._not_empty and not value:
            raise Misfit("must not be empty")
        for index, inner in enumerate(value):
            try:
                self._check(inner, config)
            except Misfit as misfit:
                misfit.within(str(index))
                raise


def one_of(*choices: str) -> Check:
    """One of these strings, case-sensitive."""
    allowed = frozenset(choices)

    def check(value: Any, _: SandboxConfig) -> None:
        if type(value) is not str or value not in allowed:
            raise Misfit(f"must be one of {', '.join(repr(choice) for choice in choices)}")

    return check


def identifier(longest: int | None = None) -> Check:
    """A string with something in it, and no longer than this."""

    def check(value: Any, config: SandboxConfig) -> None:
        text(value, config)
        if longest is not None and len(value) > longest:
            raise Misfit(f"must be no longer than {longest} characters")

    return check


def text(value: Any, _: SandboxConfig) -> None:
    """A string that is neither empty nor blank."""
    if type(value) is not str:
        raise Misfit("must be a string")
    if not value or value.isspace():
        raise Misfit("must not be empty")


def any_text(value: Any, _: SandboxConfig) -> None:
    """A string, even an empty one."""
    if type(value) is not str:
        raise Misfit("must be a string")


def flag(value: Any, _: SandboxConfig) -> None:
    """True or false."""
    if type(value) is not bool:
        raise Misfit("must be true or false")


def whole(value: Any, _: SandboxConfig) -> None:
    """A whole number that fits 64 bits."""
    if type(value) is not int or not -INT64_MAX <= value <= INT64_MAX:
        raise Misfit("must be a whole number")


def amount(value: Any, _: SandboxConfig) -> None:
    """A sum of money in major units: a number, not a string, not negative."""
    if type(value) not in (int, float) or not math.isfinite(value):
        raise Misfit("must be a number")
    if value < 0:
        raise Misfit("must not be negative")


def currency(value: Any, _: SandboxConfig) -> None:
    """An ISO 4217 code by its form."""
    if type(value) is not str or CURRENCY.fullmatch(value) is None:
        raise Misfit("must be three letters (ISO 4217)")


def phone(value: Any, config: SandboxConfig) -> None:
    """A phone number in E.164 form."""
    text(value, config)
    if E164.fullmatch(value) is None:
        raise Misfit("must be a phone number in E.164 form, such as +15005550006")


def iso8601(value: Any, config: SandboxConfig) -> None:
    """A date-time as the eCommerce events take it."""
    text(value, config)
    if parse_iso8601(value) is None:
        raise Misfit("must be an ISO 8601 date-time, such as 2021-03-30T14:38:29.000Z")


def rfc3339(value: Any, config: SandboxConfig) -> None:
    """A date-time as custom events take it: the offset is not optional."""
    text(value, config)
    if parse_rfc3339(value) is None:
        raise Misfit("must be an RFC 3339 date-time with a UTC offset, such as 2021-03-30T14:38:29.000Z")


def event_type(value: Any, config: SandboxConfig) -> None:
    """A custom event's type."""
    text(value, config)
    if bad := TYPE_FORBIDDEN.intersection(value):
        raise Misfit(f"must not contain {min(bad)}")


def properties(value: Any, config: SandboxConfig) -> None:
    """A custom event's properties: any JSON, but keys without forbidden characters at every depth."""
    if type(value) is not dict:
        raise Misfit("must be an object")
    _property_keys(value, KEY_FORBIDDEN[config.forbidden_characters])


def _property_keys(value: Any, forbidden: frozenset[str]) -> None:
    if type(value) is dict:
        for name, inner in value.items():
            if not forbidden.isdisjoint(name):
                raise Misfit(f"key must not contain {min(forbidden.intersection(name))}", name)
            if type(inner) in (dict, list):
                try:
                    _property_keys(inner, forbidden)
                except Misfit as misfit:
                    misfit.within(name)
                    raise
    else:
        for index, inner in enumerate(value):
            if type(inner) in (dict, list):
                try:
                    _property_keys(inner, forbidden)
                except Misfit as misfit:
                    misfit.within(str(index))
                    raise


def attributes(value: Any, config: SandboxConfig) -> None:
    """Custom attributes: at least one, scalars only, names of at most 200 characters, fixed options respected."""
    if type(value) is not dict:
        raise Misfit("must be an object")
    if not value:
        raise Misfit("must have at least one attribute")
    forbidden = KEY_FORBIDDEN[config.forbidden_characters]
    for name, inner in value.items():
        if not name or len(name) > 200:
            raise Misfit("attribute name must be 1 to 200 characters", name[:40])
        if bad := forbidden.intersection(name):
            raise Misfit(f"attribute name must not contain {min(bad)}", name)
        if type(inner) not in (str, int, float, bool):
            raise Misfit("must be a string, a number, true or false", name)
        options = config.attribute_options.get(name)
        if options is not None and inner not in options:
            raise Misfit("must be one of the options of this attribute", name)


def capped_attributes(value: Any, config: SandboxConfig) -> None:
    """Custom attributes of a v2 call, which also limits how many there are."""
    attributes(value, config)
    if config.attribute_names_max is not None and len(value) > config.attribute_names_max:
        raise Misfit(f"must have at most {config.attribute_names_max} attributes")
