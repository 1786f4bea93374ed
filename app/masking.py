"""Masks personal data, for every place except Redis's lanes and calls to Attentive."""

import re
from contextlib import suppress
from typing import Any, Final

import orjson

_EMAIL = re.compile(r"[^\s@\"'<>,;:=]{0,64}@[^\s@\"'<>,;:]{1,255}")
_DAY, _CLOCK = r"\d{4}-(?:0\d|1[0-2])-[0-3]\d", r"[0-2]\d:[0-5]\d(?::[0-6]\d(?:[.,]\d{1,9})?)?"
_TIME = rf"(?<![\w.-]){_DAY}[T ]{_CLOCK}(?:Z|[+-]\d\d:?\d\d)?(?!\d)"
# Addresses of this machine identify no person: the address that a process listens on stays readable.
_PHONE = r"(?<![\w.-])(?!127\.0\.0\.1(?!\.?[\w-]))\+?\d[\d\s().-]{6,18}\d(?![\w-])"
_TIME_OR_PHONE = re.compile(f"(?P<time>{_TIME})|{_PHONE}")  # a time is not a phone number, even with microseconds

_CONTROLS: Final = dict.fromkeys(
    (*range(0x20), *range(0x7F, 0xA0), 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)), "\ufffd"
)
_CONTROLS_OF_LINES: Final = {code: mark for code, mark in _CONTROLS.items() if chr(code) not in "\n\t"}


def mask_email(address: str) -> str:
    """ "jane@example.com" → "j***@example.com"."""
    name, _, domain = address.rpartition("@")
    return f"{name[:1]}***@{domain}" if name and domain else "***"


def mask_phone(number: str) -> str:
    """ "+14155550132" → "+1***32"."""
    return f"{number[:2]}***{number[-2:]}" if len(number) > 6 else "***"


def mask_id(user_id: str) -> str:
    """ "customer-1042" → "cu***42": enough to recognise a known ID, too little to learn an unknown one."""
    return f"{user_id[:2]}***{user_id[-2:]}" if len(user_id) > 6 else "***"


def mask_text(text: str) -> str:
    """Text with every e-mail address and phone number masked."""
    if "@" in text:
        text = _EMAIL.sub(lambda found: mask_email(found[0]), text)
    return _TIME_OR_PHONE.sub(lambda found: found["time"] or mask_phone(found[0]), text)


def printable(text: str) -> str:
    """Text in which no character controls a terminal, hides others or changes their direction."""
    return text if text.isprintable() else text.translate(_CONTROLS)


def printable_lines(text: str) -> str:
    """The same for a text of several lines."""
    return text if text.isprintable() else text.translate(_CONTROLS_OF_LINES)


# Short answers in which nothing is masked, as they are shown: nearly all calls get an equal one.
_UNMASKED: Final[dict[bytes, str]] = {}
_MOST_UNMASKED: Final = 64
_SHORT_BYTES: Final = 64


def _remember(body: bytes, shown: str) -> None:
    if len(_UNMASKED) >= _MOST_UNMASKED:  # each is different, so none is worth keeping
        _UNMASKED.clear()
    _UNMASKED[body] = shown


def mask_answer(body: bytes, chars: int) -> str:
    """The first characters of an answer's body. JSON is masked by its keys, other bodies as text."""
    if (known := _UNMASKED.get(body)) is not None:
        return known[:chars]
    if body[:1] in (b"{", b"["):
        with suppress(ValueError, RecursionError):
            answer = orjson.loads(body)
            masked = mask_personal(answer)
            text = orjson.dumps(masked).decode()
            if masked == answer and len(body) <= _SHORT_BYTES:
                _remember(body, text)
            return text[:chars]
    return mask_text(body[: chars * 4].decode(errors="replace").strip())[:chars]


PERSONAL: Final = frozenset(
    {
        *("traits", "user", "identifiers", "externalIdentifiers", "customIdentifiers", "attributes"),
        *("email", "phone", "userId", "previousId", "anonymousId", "clientUserId", "shopifyId", "klaviyoId"),
        *("username", "ip"),
        "custom-attributes",  # a call to this endpoint: its properties are personal
    }
)


# Of properties: compared by letters and digits alone, in lower case.
_PERSONAL_NAMES: Final = frozenset(
    {
        *("firstname", "lastname", "middlename", "fullname", "givenname", "familyname", "surname", "maidenname"),
        *("username", "nickname", "displayname", "tel", "cell", "whatsapp", "msisdn"),
        # messages between people and to the shop
        *("giftmessage", "giftnote", "ordernote", "ordernotes", "customernote", "customernotes", "deliverynotes"),
        *("deliveryinstructions", "shippinginstructions", "personalmessage"),
        *("address1", "address2", "addressline1", "addressline2", "street", "street1", "street2", "housenumber"),
        *("zip", "zipcode", "postalcode", "postcode", "dob", "dateofbirth", "birthday", "birthdate"),
        *("mobile", "telephone", "phonenumber", "mobilenumber", "emailaddress", "ipaddress", "latitude", "longitude"),
        *("ssn", "passport", "passportnumber", "driverlicense", "accountnumber", "customerid", "userid"),
    }
)
_PERSONAL_ENDS: Final = ("address", "phone", "email", "firstname", "lastname", "fullname")
_PEOPLE: Final = frozenset(
    {"customer", "recipient", "buyer", "contact", "person", "guest", "sender", "payer", "cardholder", "addressee"}
)
_ADDRESSES: Final = frozenset({"shipping", "billing", "shipto", "billto"})
_NAMES_OF_PEOPLE: Final = frozenset(f"{role}name" for role in _PEOPLE | _ADDRESSES)
_OF_A_PRODUCT: Final = frozenset({"sku", "productid", "variantid", "price", "quantity", "productname", "itemid"})


def _is_personal(name: str, value: Any, beside: dict[str, Any]) -> bool:
    """Whether a key names personal data. `name` does so unless the object is a product."""
    if name in PERSONAL:
        return True
    plain = _plain(name)
    if plain in _PERSONAL_NAMES or plain in _NAMES_OF_PEOPLE or plain.endswith(_PERSONAL_ENDS):
        return True
    if plain in _PEOPLE:
        return isinstance(value, dict | str)
    if plain in _ADDRESSES:  # "shipping" may also be an amount
        return isinstance(value, dict)
    return plain == "name" and _OF_A_PRODUCT.isdisjoint(map(_plain, beside))


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def mask_personal(value: Any, *, personal: bool = False) -> Any:
    """A JSON value with personal data masked.

    That is everything below traits, users and keys for personal data, and addresses and numbers elsewhere.
    """
    match value:
        case dict():
            return {
                key: mask_personal(inner, personal=personal or _is_personal(key, inner, value))
                for key, inner in value.items()
            }
        case list():
            return [mask_personal(inner, personal=personal) for inner in value]
        case str() if not personal:
            return mask_text(value)
        case None | bool():
            return value
        case _ if personal:
            return "***"
        case _:
            return value
