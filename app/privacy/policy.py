"""What one destination wants kept out of its events, and what is done about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Check(StrEnum):
    """What a value is withheld for. It is counted, and said in the journal, by this name."""

    CARD_NUMBER = "card_number"  # the issuer's digits, the right length, and a good Luhn checksum
    US_SSN = "us_ssn"  # written with its separators: 123-45-6789
    IBAN = "iban"  # in capitals, of a known country, with a good checksum
    SECRET = "secret"  # its field is named like a password: names.py  # noqa: S105
    DENIED = "denied"  # its path is on the deny-list
    NOT_ALLOWED = "not_allowed"  # there is an allow-list, and its path is not on it


class Action(StrEnum):
    """What is done about it."""

    OFF = "off"
    REDACT = "redact"  # REDACTED stands in its place
    DROP_FIELD = "drop_field"  # the field is taken out; one of the event's own fields, such as its name, is redacted
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
# Long numbers stand in these fields every day, and one in ten of those that begin like a card passes for one.
ID_NAMES: Final = (
    *("id", "order_id", "order_number", "checkout_id", "cart_id", "transaction_id", "product_id", "variant_id"),
    *("variant", "sku", "gtin", "upc", "ean", "barcode", "tracking_number", "shopify_id", "klaviyo_id"),
)
CONTACTS: Final = ("traits.email", "traits.phone")


@dataclass(frozen=True, slots=True)
class Policy:
    """All that a guard is told. Paths are dotted, with `*` for any part of a name: "properties.products.*_note"."""

    actions: Mapping[Check, Action] = field(default_factory=lambda: BY_DEFAULT)
    secret_names: tuple[str, ...] = ()  # beside those of names.py
    harmless_names: tuple[str, ...] = ()  # no secrets here, whatever names.py says
    id_names: tuple[str, ...] = ID_NAMES  # bare digits in such a field are an id and no card number
    identifiers: tuple[str, ...] = CONTACTS  # paths by which Attentive knows a person: never looked into
    deny: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()  # where it names anything below properties, traits or context, only that passes there


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was withheld, by its path; never the value."""

    path: str
    check: Check
    action: Action

    def __str__(self) -> str:
        return f"{self.path}: {IN_WORDS[self.check]}, {DEEDS[self.action]}"
