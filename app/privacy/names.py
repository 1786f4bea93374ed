"""Secrets, recognised by their field names: passwords, card security codes, tokens, account numbers, diagnoses.

The names are data.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from app.privacy.identifiers import normalised

# Secret anywhere in a name: `new_password`, `userSsn`, `customer.credit-card-number`.
ANYWHERE: Final = (
    *("password", "passwd", "passphrase", "passcode", "pwd", "pass_word"),
    *("passwort", "kennwort", "mot_de_passe", "motdepasse", "contrasena", "contraseña", "senha", "wachtwoord"),
    *("losenord", "lösenord", "passord", "adgangskode", "salasana", "haslo", "hasło", "heslo", "jelszo", "jelszó"),
    *("parola", "sifre", "şifre", "lozinka", "пароль", "密码", "密碼", "パスワード", "비밀번호"),
    *("ssn", "social_security_number", "social_security", "social_insurance_number", "national_insurance_number"),
    *("cvv", "cvc", "card_verification", "security_code", "sicherheitscode", "kartenpruefnummer"),
    *("credit_card_number", "debit_card_number", "payment_card_number", "kreditkartennummer", "numero_tarjeta"),
    *("bank_account_number", "bank_account", "routing_number", "kontonummer", "numero_de_compte", "numero_de_cuenta"),
    *("access_token", "auth_token", "refresh_token", "session_token", "bearer_token", "api_token", "id_token"),
    *("api_key", "apikey", "private_key", "secret_key", "client_secret", "security_answer"),
    *("passport_number", "passport_no", "passnummer", "reisepassnummer", "numero_pasaporte", "numero_passeport"),
    *("driver_license", "drivers_license", "driver_licence", "drivers_licence", "driving_licence", "driving_license"),
    *("fuhrerscheinnummer", "führerscheinnummer", "national_id", "tax_id", "steuernummer", "personalausweis"),
    *("codice_fiscale", "personnummer", "aadhaar", "medical_record_number", "health_insurance_number"),
    *("diagnosis", "medical_condition", "health_condition", "diagnostico", "diagnóstico"),
)
# Secret only as the whole name: `pin` is one, `pin_code` is a postal code in India.
ALONE: Final = (
    *("pin", "pin_number", "secret", "otp", "csc", "authorization", "token", "jwt", "credentials"),
    *("credit_card", "debit_card", "card_number", "card_no", "card_num", "cc_number", "cc_num", "iban", "cc"),
    *(
        "account_number",
        "account_no",
        "acct_number",
        "sort_code",
        "kreditkarte",
        "tarjeta_de_credito",
        "carte_bancaire",
    ),
    *("passport", "reisepass", "pasaporte", "passeport", "license_number", "licence_number", "sin_number"),
    *("nino", "cpf", "curp", "dni", "tin", "mrn", "diagnose", "diagnostic", "diagnoses", "prescription", "blood_type"),
)

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_NORMALISED_CHARS: Final = 8  # names this long are also found in `newpassword`; shorter ones occur in too many words
_HOLD_MORE: Final = frozenset({dict, list})
_REMEMBERED: Final = 5_000  # names in each of two generations
_NAME_CHARS: Final = 64  # of a name that is checked and remembered; of a longer one, its beginning and end are checked
_DIGITS: Final = 4  # of a remembered name: one with more may be a telephone number or an ID
_NAMING: Final = ("name", "key", "field", "id", "label")  # {"name": "password", "value": "…"}, as forms are recorded
_BLANKED: Final = bytes(
    byte if byte >= 128 or chr(byte).isalnum() or byte in b"_-.[]%" else ord(" ") for byte in range(256)
)
_FEW: Final = 50  # occurrences of "=" in an honest event
_ASSIGNED: Final = re.compile(rb"(?<![\w.\-\[\]%\x80-\xff])([\w.\-\[\]%\x80-\xff]++)=")


class SecretNames:
    """Recognises names of secrets, and remembers harmless names, because they repeat from event to event.

    The memory is bounded, in two generations: when the young one is full it becomes the old one, and names not seen
    since then are forgotten. Names that could identify a person are not remembered.
    """

    def __init__(
        self, more: Iterable[str] = (), harmless: Iterable[str] = (), *, most_remembered: int = _REMEMBERED
    ) -> None:
        """`more` are secret as whole names. `harmless` are not, whatever the tables contain."""
        self._alone = {normalised(name) for name in (*ALONE, *more)}
        self._never = {normalised(name) for name in harmless}
        self._most = most_remembered
        self._young: set[str] = set()
        self._old: set[str] = set()

    def __contains__(self, name: str) -> bool:
        if name in self._young:
            return False
        if name in self._old:
            self._remember(name)
            return False
        if len(name) > _NAME_CHARS:
            return self._is_secret(name[:_NAME_CHARS]) or self._is_secret(name[-_NAME_CHARS:])
        if self._is_secret(name):
            return True
        if name.isascii() and "@" not in name and sum(map(str.isdigit, name)) <= _DIGITS:
            self._remember(name)
        return False

    @property
    def remembered(self) -> int:
        """The number of remembered names."""
        return len(self._young | self._old)

    def _remember(self, name: str) -> None:
        if len(self._young) >= self._most:
            self._young, self._old = set(), self._young
        self._young.add(name)

    def _is_secret(self, name: str) -> bool:
        short = normalised(name)
        if short in self._never:
            return False
        if short in self._alone:
            return True
        if _holds(short, _LONG) or (not short.isascii() and any(name in short for name in _OF_TWO_LETTERS)):
            return True
        return _holds("_" + "_".join(_WORD.findall(name)).lower() + "_", _AS_WORDS)

    def any_key(self, event: Mapping[str, Any], json: bytes) -> bool:
        """Whether this JSON object contains the name of a secret at any depth. `json` is its text.

        It runs for every event: looking up all keys of an object at once takes a third of the time of single look-ups.
        """
        objects = _usual_objects(event)
        if len(objects) != json.count(b"{"):  # there may be more
            objects = _all_objects(event)
        for each in objects:
            if not self._young.issuperset(each) and self._names_one(each, event):
                return True
            if "value" in each and self.names_its_value(each):
                return True
        return False

    def _names_one(self, given: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
        return any(name in self and not (name == "token" and given is _device_of(event)) for name in given)

    def names_its_value(self, pair: Mapping[str, Any]) -> bool:
        """Whether the field `value` of this object is a secret, according to a field next to it."""
        return type(pair["value"]) is str and any(name in self for name in names_in_pair(pair))

    def any_assigned(self, json: bytes) -> bool:
        """Whether any text contains a secret as `name=`, like the URL of a page."""
        parts = json.split(b"=", _FEW)
        if len(parts) > _FEW:
            names = set(_ASSIGNED.findall(json))
        else:
            names = {part[-_NAME_CHARS:].translate(_BLANKED).rpartition(b" ")[2] for part in parts[:-1]}
        return any(name.decode(errors="replace") in self for name in names)


def _usual_objects(event: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The event and its objects in the usual places, which nearly always are all that it contains."""
    found = [event]
    if type(properties := event.get("properties")) is dict:
        found.append(properties)
    if type(traits := event.get("traits")) is dict:
        found.append(traits)
    if type(integrations := event.get("integrations")) is dict:
        found.append(integrations)
    if type(context := event.get("context")) is dict:
        found.append(context)
        for inner in context.values():
            if type(inner) is dict:
                found.append(inner)  # noqa: PERF401 - a comprehension takes as long as five values
    return found


def _all_objects(event: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The event and all objects in it, at any depth."""
    found: list[Any] = [event]
    for each in found:  # which grows
        found += [inner for inner in (each if type(each) is list else each.values()) if type(inner) in _HOLD_MORE]
    return [each for each in found if type(each) is dict]


def names_in_pair(pair: Mapping[str, Any]) -> tuple[str, ...]:
    """The names that a pair such as {"name": "password", "value": "…"} gives its value."""
    return tuple(name for naming in _NAMING if type(name := pair.get(naming)) is str)


def _device_of(event: Mapping[str, Any]) -> Any:
    """`context.device` of an event, whose `token` is the address for push messages and not a secret."""
    context = event.get("context")
    return context.get("device") if type(context) is dict else None


def _by_beginning(names: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    names = sorted(names)
    return {start: tuple(name for name in names if name[:3] == start) for start in {name[:3] for name in names}}


def _holds(text: str, names: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether the text contains one of these names, given by their first three letters."""
    starts = names.keys() & map("".join, zip(text, text[1:], text[2:], strict=False))
    return bool(starts) and any(name in text for start in starts for name in names[start])


_LONG: Final = _by_beginning(
    short for name in ANYWHERE if len(short := normalised(name)) >= _NORMALISED_CHARS or not short.isascii()
)
_OF_TWO_LETTERS: Final = tuple(name for name in ANYWHERE if len(name) < 3)
_AS_WORDS: Final = _by_beginning(f"_{name}_" for name in ANYWHERE)
