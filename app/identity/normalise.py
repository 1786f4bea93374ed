"""E-mail addresses and phone numbers in the one form Attentive accepts.

Pure, and cached: one person's events repeat the same few values, and checking an address costs more than a mapping.
"""

import re
from functools import lru_cache
from typing import Final

import phonenumbers
from email_validator import EmailNotValidError, validate_email

IDENTIFIER_CHARS: Final = 100  # Attentive's maximum for e-mail addresses and external ids
_LOCAL_CHARS: Final = 64  # before the @
_PLAIN_ADDRESS = re.compile(r"([A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*)@([A-Za-z0-9.-]+)")
_NORTH_AMERICAN = re.compile(r"\+1[2-9][0-9]{9}")
_E164 = re.compile(r"\+[1-9]\d{1,14}")
_LOOKS_LIKE_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")
_LOOKS_INTERNATIONAL = re.compile(r"\+[\d\s().-]+")
_LOOKS_LOCAL = re.compile(r"\(?\d{3}\)?[\s.-]+\d{3}[\s.-]+\d{4}")


@lru_cache(maxsize=8192)
def to_email(text: str) -> str | None:
    """The address trimmed and lowercased, or None when it is no address or longer than Attentive takes."""
    text = text.strip()
    plain = _PLAIN_ADDRESS.fullmatch(text)
    if plain is None or len(plain[1]) > _LOCAL_CHARS:
        address = _valid(text)
    else:  # nearly all: what is before the @ needs no judge, and people share domains. 2 µs for a new person, not 20
        domain = _valid_domain(plain[2])
        address = domain and f"{plain[1].lower()}@{domain}"
    return address if address and len(address) <= IDENTIFIER_CHARS else None


@lru_cache(maxsize=8192)
def _valid_domain(domain: str) -> str | None:
    address = _valid(f"a@{domain}")
    return address and address.removeprefix("a@")


def _valid(text: str) -> str | None:
    try:
        return validate_email(text, check_deliverability=False, allow_smtputf8=True).normalized.lower()
    except EmailNotValidError:
        return None


@lru_cache(maxsize=8192)
def to_e164(text: str, region: str) -> str | None:
    """The number as E.164 ("+14155550132"); `region` (ISO 3166-1) reads numbers without a country code.

    None when the text is no possible phone number: a country code is never guessed beyond `region`.
    """
    if _NORTH_AMERICAN.fullmatch(text):  # as it should be: the parser would take 10 µs to say the same
        return text
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None  # too short, too long, or complete only within its own town
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return e164 if _E164.fullmatch(e164) else None


@lru_cache(maxsize=8192)
def is_address_or_phone(user_id: str, region: str) -> bool:
    """Whether a shop's user id is in truth an e-mail address or a phone number, which Attentive forbids as client id.

    Bare digits are an id: most databases number their users, and only a written number (+, blanks, dashes) is a phone.
    """
    if _LOOKS_LIKE_ADDRESS.fullmatch(user_id) or _LOOKS_INTERNATIONAL.fullmatch(user_id):
        return True
    return _LOOKS_LOCAL.fullmatch(user_id) is not None and to_e164(user_id, region) is not None
