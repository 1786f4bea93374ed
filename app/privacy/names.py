"""Secrets known by the name of their field: passwords, card security codes, tokens. The names are data."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

# Secret wherever they stand in a name: `new_password`, `userSsn`, `customer.credit-card-number`.
ANYWHERE: Final = (
    *("password", "passwd", "passphrase", "passcode", "pwd", "pass_word"),
    *("ssn", "social_security_number", "social_security"),
    *("cvv", "cvc", "card_verification", "security_code"),
    *("credit_card_number", "debit_card_number", "payment_card_number", "bank_account_number", "routing_number"),
    *("access_token", "auth_token", "refresh_token", "session_token", "bearer_token", "api_token"),
    *("api_key", "private_key", "secret_key", "client_secret", "security_answer"),
)
# Secret when they are the whole name: `pin` is one, `pin_code` is a postal code in India.
ALONE: Final = (
    *("pin", "pin_number", "secret", "otp", "csc", "authorization"),
    *("credit_card", "debit_card", "card_number", "card_no", "card_num", "cc_number", "cc_num", "iban"),
)

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SQUASHED_CHARS: Final = 8  # a name this long is also found in `newpassword`; a shorter one stands in too many words
_HOLD_MORE: Final = frozenset({dict, list})
_KNOWN_MOST: Final = 10_000
_NAME_CHARS: Final = 64  # of a name that is remembered, and of one before a `=` in text
_NAMING: Final = ("name", "key", "field", "id", "label")  # {"name": "password", "value": "…"}, as forms are recorded
_BLANKED: Final = bytes(
    byte if byte < 128 and (chr(byte).isalnum() or byte in b"_-.") else ord(" ") for byte in range(256)
)


def squashed(name: str) -> str:
    """ "Card-Number", "cardNumber" and "card_number" are all "cardnumber"."""
    return "".join(each for each in name if each.isalnum()).lower()


class SecretNames:
    """Tells names of secrets from others, and remembers the harmless ones: they repeat from event to event."""

    def __init__(self, more: Iterable[str] = (), harmless: Iterable[str] = ()) -> None:
        """`more` are secret as whole names; `harmless` are not, whatever the tables say."""
        self._alone = {squashed(name) for name in (*ALONE, *more)}
        self._never = {squashed(name) for name in harmless}
        self._known_harmless: set[str] = set()

    def __contains__(self, name: str) -> bool:
        if name in self._known_harmless:
            return False
        secret = self._is_secret(name)
        if not secret and len(name) <= _NAME_CHARS and len(self._known_harmless) < _KNOWN_MOST:
            self._known_harmless.add(name)
        return secret

    def _is_secret(self, name: str) -> bool:
        short = squashed(name)
        if short in self._never:
            return False
        if short in self._alone or any(long in short for long in _SQUASHED_ANYWHERE):
            return True
        words = "_" + "_".join(_WORD.findall(name)).lower() + "_"
        return any(each in words for each in _WORDS_ANYWHERE)

    def any_key(self, value: Mapping[str, Any]) -> bool:
        """Whether a secret is named anywhere in this JSON object.

        For every event: asking the set for all keys of an object at once takes a third of asking for one after another.
        """
        known = self._known_harmless
        found: list[Any] = [value]
        for each in found:  # which grows
            if type(each) is list:
                found += [inner for inner in each if type(inner) in _HOLD_MORE]
                continue
            if not known.issuperset(each) and any(key in self for key in each):
                return True
            if "value" in each and self.names_its_value(each):
                return True
            for inner in each.values():
                if type(inner) in _HOLD_MORE:
                    found.append(inner)
        return False

    def names_its_value(self, pair: Mapping[str, Any]) -> bool:
        """Whether the text in the field `value` of this object is a secret, for another field of it says so."""
        return type(pair["value"]) is str and any(
            type(name := pair.get(naming)) is str and name in self for naming in _NAMING
        )

    def any_assigned(self, json: bytes) -> bool:
        """Whether text somewhere gives a secret as `name=`, as in the address of a page."""
        *names, _ = json.split(b"=")
        return any(name[-_NAME_CHARS:].translate(_BLANKED).rpartition(b" ")[2].decode() in self for name in names)


_WORDS_ANYWHERE: Final = tuple(f"_{name}_" for name in ANYWHERE)
_SQUASHED_ANYWHERE: Final = tuple(short for name in ANYWHERE if len(short := squashed(name)) >= _SQUASHED_CHARS)
