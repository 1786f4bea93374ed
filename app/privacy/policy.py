"""What one destination withholds from its events, and how."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Check(StrEnum):
    """Why a value is withheld. Metrics and the journal use these names."""

    CARD_NUMBER = "card_number"  # the issuer's prefix, a valid length, and a valid Luhn checksum
    US_SSN = "us_ssn"  # written with its separators: 123-45-6789
    IBAN = "iban"  # in capitals, of a known country, with a valid checksum
    SECRET = "secret"  # its field is named like a password: names.py  # noqa: S105
    DENIED = "denied"  # its path is on the deny-list
    NOT_ALLOWED = "not_allowed"  # there is an allow-list, and its path is not on it


class Action(StrEnum):
    """How it is withheld."""

    OFF = "off"
    REDACT = "redact"  # REDACTED replaces it
    DROP_FIELD = "drop_field"  # the field is removed; required fields, such as the event's name, are redacted
    DROP_EVENT = "drop_event"  # the whole event is dropped


IN_WORDS: Final = {
    Check.CARD_NUMBER: "a card number",
    Check.US_SSN: "a US social security number",
    Check.IBAN: "a bank account number",
    Check.SECRET: "named like a secret",
    Check.DENIED: "on the deny-list",
    Check.NOT_ALLOWED: "not on the allow-list",
}
DEEDS: Final = {
    Action.REDACT: "redacted",
    Action.DROP_FIELD: "left out",
    Action.DROP_EVENT: "the event is dropped",
}
BY_DEFAULT: Final = MappingProxyType(
    dict.fromkeys(Check, Action.REDACT) | {Check.DENIED: Action.DROP_FIELD, Check.NOT_ALLOWED: Action.DROP_FIELD}
)
CONTACTS: Final = ("traits.email", "traits.phone")


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings of a guard. Paths are dotted, with `*` for any part of a name: "properties.products.*_note"."""

    actions: Mapping[Check, Action] = field(default_factory=lambda: BY_DEFAULT)
    secret_names: tuple[str, ...] = ()  # in addition to those of names.py
    harmless_names: tuple[str, ...] = ()  # not secret, whatever names.py contains
    id_names: tuple[str, ...] | None = None  # fields for identifiers, never checked; None: by identifiers.py
    identifiers: tuple[str, ...] = CONTACTS  # paths by which Attentive identifies a person: never checked
    deny: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()  # if it names paths below properties, traits or context, only they pass there


@dataclass(frozen=True, slots=True)
class Finding:
    """One withheld value, by its path. It never contains the value."""

    path: str
    check: Check
    action: Action

    def __str__(self) -> str:
        return f"{self.path}: {IN_WORDS[self.check]}, {DEEDS[self.action]}"
