"""Personal data made unreadable, for everything that is not Redis' lanes or a call to Attentive."""

import re
from typing import Any, Final

_EMAIL = re.compile(r"[^\s@\"'<>,;:=]{0,64}@[^\s@\"'<>,;:]{1,255}")
# This machine is nobody: the address that a process listens on can be read.
_PHONE = re.compile(r"(?<![\w.-])(?!127\.0\.0\.1(?!\.?[\w-]))\+?\d[\d\s().-]{6,18}\d(?![\w-])")


def mask_email(address: str) -> str:
    """ "jane@example.com" → "j***@example.com"."""
    name, _, domain = address.rpartition("@")
    return f"{name[:1]}***@{domain}" if name and domain else "***"


def mask_phone(number: str) -> str:
    """ "+14155550132" → "+1***32"."""
    return f"{number[:2]}***{number[-2:]}" if len(number) > 6 else "***"


def mask_id(user_id: str) -> str:
    """ "customer-1042" → "cu***42": enough to recognise an id that one knows, too little to learn it."""
    return f"{user_id[:2]}***{user_id[-2:]}" if len(user_id) > 6 else "***"


def mask_text(text: str) -> str:
    """Free text with every e-mail address and phone number in it masked."""
    if "@" in text:
        text = _EMAIL.sub(lambda found: mask_email(found[0]), text)
    return _PHONE.sub(lambda found: mask_phone(found[0]), text)


PERSONAL: Final = frozenset(
    {
        *("traits", "user", "identifiers", "externalIdentifiers", "customIdentifiers", "attributes"),
        *("email", "phone", "userId", "previousId", "anonymousId", "clientUserId", "shopifyId", "klaviyoId"),
        *("username", "ip"),
        "custom-attributes",  # a call to this endpoint: its properties are those of a person
    }
)


def mask_personal(value: Any, *, personal: bool = False) -> Any:
    """A JSON value with what names a person masked: all below traits and users, and addresses and numbers elsewhere."""
    match value:
        case dict():
            return {key: mask_personal(inner, personal=personal or key in PERSONAL) for key, inner in value.items()}
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
