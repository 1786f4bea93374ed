"""E-mail addresses and phone numbers in the form that Attentive accepts.

Pure, with short-lived caches: one person's events repeat the same few values, and checking an address costs more than
a mapping.
"""

import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import Any, Final

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from phonenumbers import PhoneMetadata

from app.identity.placeholders import is_placeholder_address, is_placeholder_number
from app.identity.recent import recent

IDENTIFIER_CHARS: Final = 100  # Attentive's maximum for e-mail addresses and external IDs
_ADDRESS_CHARS: Final = 400  # with everything that may surround an address
_LEAST_DIGITS: Final = 7  # of a phone number
_MASKED: Final = "**"  # in an address that an export masked: a***@shop.example may be many people's
_LOCAL_CHARS: Final = 64  # before the @
_PLAIN_ADDRESS = re.compile(r"([A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*)@([A-Za-z0-9.-]+)")
_NUMBER_CHARS: Final = 60  # of a written phone number, with everything that may surround it
_E164 = re.compile(r"\+[1-9]\d{1,14}")
_LOOKS_LIKE_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")
_LOOKS_INTERNATIONAL = re.compile(r"\+[\d\s().-]+")
_EXPONENT = re.compile(r"\+?\d(?:\.\d+)?[eE]\+?\d{1,2}")  # as programs print a large number
_WHOLE_FLOAT = re.compile(r"(\+?\d{7,})[.,]0+")
_ABROAD = re.compile(
    r"(?:00|011)(?=\D*[1-9])"
)  # how a call to another country begins, in most countries and in the USA
_LOOKS_LOCAL = re.compile(r"\(?\d{3}\)?[\s.-]+\d{3}[\s.-]+\d{4}")


@recent
def to_email(text: str) -> str | None:
    """The address, trimmed and in lower case. None if it is not an address, too long or a placeholder."""
    if len(text) > _ADDRESS_CHARS:
        return None
    text = text.strip()
    plain = _PLAIN_ADDRESS.fullmatch(text)
    if plain is None or len(plain[1]) > _LOCAL_CHARS:
        address = _valid(text)
    else:  # nearly all: simple local parts need no check, and domains repeat. 2 µs for a new person, not 20
        domain = _valid_domain(plain[2])
        address = domain and f"{plain[1].lower()}@{domain}"
    if not address or len(address) > IDENTIFIER_CHARS or _MASKED in address or is_placeholder_address(address):
        return None
    return address


@recent
def _valid_domain(domain: str) -> str | None:
    address = _valid(f"a@{domain}")
    return address and address.removeprefix("a@")


def _valid(text: str) -> str | None:
    try:
        return validate_email(text, check_deliverability=False, allow_smtputf8=True).normalized.lower()
    except EmailNotValidError:
        return None


@recent
def to_e164(text: str, region: str) -> str | None:
    """The number as E.164 ("+14155550132"). `region` (ISO 3166-1) applies to numbers without a country code.

    None if no telephone can have this number: the numbering plan of its country has no such range, or it is a
    placeholder such as 555-555-5555. Only `region` supplies a missing country code, and no digit is added or dropped.
    """
    if len(text) > _NUMBER_CHARS:
        return None
    if _united_states().fullmatch(text):  # nearly all: the library would take 60 µs to confirm it
        return None if is_placeholder_number(text[2:]) else text
    if (written := _as_written(text)) is None:
        return None
    for number in _readings(written, region):
        if not phonenumbers.is_valid_number(number) or not _is_all_of(number, written):
            continue
        if is_placeholder_number(phonenumbers.national_significant_number(number)):
            return None
        e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        return e164 if _E164.fullmatch(e164) else None
    return None


@cache
def _united_states() -> re.Pattern[str]:
    """The numbers of the United States in E.164, according to the library's numbering plan."""
    plan: Any = PhoneMetadata.metadata_for_region("US")
    return re.compile(rf"\+1(?:{plan.fixed_line.national_number_pattern})")


def _as_written(text: str) -> str | None:
    """The number without the changes of a program that treated it as a quantity: 4915112345678.0, 4.915112345678E12.

    None if digits are lost: 4.91511E12 may have been any number.
    """
    text = text.strip()
    if _EXPONENT.fullmatch(text):
        exact = Decimal(text)
        return str(int(exact)) if exact.as_tuple().exponent == 0 else None
    whole = _WHOLE_FLOAT.fullmatch(text)
    return whole[1] if whole else text


def _readings(text: str, region: str) -> Iterator[phonenumbers.PhoneNumber]:
    """The possible readings of the text, the likeliest first.

    Digits that begin with the country code of `region` are first read with that code, then without: 4915112345678 is a
    German mobile number, but the library takes all of it for a national number that lacks the 49.
    """
    code = str(phonenumbers.country_code_for_region(region))
    if text.startswith(code) and code != "1":
        yield from _parsed(f"+{text}", None)
    yield from _parsed(text, region)
    if abroad := _ABROAD.match(text):
        yield from _parsed(f"+{text[abroad.end() :]}", None)


def _is_all_of(number: phonenumbers.PhoneNumber, text: str) -> bool:
    """Whether the number is the end of the text: if the text holds two numbers, neither is certain."""
    digits = "".join(str(unicodedata.decimal(each)) for each in text if each.isdecimal())
    last = phonenumbers.national_significant_number(number)[-_LEAST_DIGITS:]
    return digits.endswith(last + (number.extension or ""))


def _parsed(text: str, region: str | None) -> Iterator[phonenumbers.PhoneNumber]:
    try:
        yield phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return


def is_written_as(text: str, phone: str) -> bool:
    """Whether a text of digits is this number (E.164), with or without its country code."""
    return len(text) >= _LEAST_DIGITS and text.isdecimal() and phone.endswith(text.lstrip("0"))


def region_of(phone: str) -> str | None:
    """The country (ISO 3166-1) that a number in E.164 belongs to."""
    return phonenumbers.region_code_for_number(phonenumbers.parse(phone))


@recent
def is_address_or_phone(user_id: str, region: str) -> bool:
    """Whether a shop's user ID is really an e-mail address or phone number, which Attentive forbids as client ID.

    Bare digits are an ID: most databases number their users. Only a formatted number (+, blanks, dashes) is a phone.
    """
    if _LOOKS_LIKE_ADDRESS.fullmatch(user_id) or _LOOKS_INTERNATIONAL.fullmatch(user_id):
        return True
    return _LOOKS_LOCAL.fullmatch(user_id) is not None and to_e164(user_id, region) is not None
