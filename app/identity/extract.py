"""The global identifier filter: from an event to the person, or to the reason why Attentive could not know them."""

from dataclasses import dataclass

from app.identity.identity import Identity
from app.identity.normalise import IDENTIFIER_CHARS, is_address_or_phone, to_e164, to_email
from app.segment.events import SegmentEvent
from app.value import Value


@dataclass(frozen=True, slots=True)
class IdentityRules:
    """How one destination reads identities."""

    default_region: str = "US"  # ISO 3166-1, for phone numbers without a country code
    custom_identifiers: tuple[str, ...] = ("username",)  # traits that become Attentive customIdentifiers


class Extraction(Value, frozen=True, gc=False):
    """What the filter found. `identity` is None when nobody is named (`named` False) or no name is usable."""

    identity: Identity | None
    named: bool
    notes: tuple[str, ...] = ()


def extract_identity(event: SegmentEvent, rules: IdentityRules) -> Extraction:
    """Pass an event only when `traits.email`, `traits.phone` or `userId` is present, and normalise what it gives.

    `anonymousId` never counts. An identifier that cannot be used is left out with a note.
    """
    traits = event.traits
    given_email, given_phone = _text(traits.get("email")), _text(traits.get("phone"))
    if given_email is None and given_phone is None and event.user_id is None:
        return Extraction(None, named=False)
    notes: list[str] = []
    email = to_email(given_email) if given_email else None
    if given_email and email is None:
        notes.append("traits.email: not an e-mail address, left out")
    phone = to_e164(given_phone, rules.default_region) if given_phone else None
    if given_phone and phone is None:
        notes.append("traits.phone: not a phone number, left out")
    identity = Identity(
        email=email,
        phone=phone,
        client_user_id=_client_user_id(event.user_id, phone, rules, notes),
        custom=_custom_identifiers(event, rules, notes),
    )
    if not (email or phone or identity.client_user_id or identity.custom):
        return Extraction(None, named=True, notes=tuple(notes))
    return Extraction(identity, named=True, notes=tuple(notes))


def _client_user_id(user_id: str | None, phone: str | None, rules: IdentityRules, notes: list[str]) -> str | None:
    if user_id is None:
        return None
    if is_address_or_phone(user_id, rules.default_region) or (phone and user_id == phone.removeprefix("+")):
        notes.append("userId: an e-mail address or phone number, not sent as clientUserId")
        return None
    return _bounded("userId", user_id, notes)


def _custom_identifiers(event: SegmentEvent, rules: IdentityRules, notes: list[str]) -> tuple[tuple[str, str], ...]:
    found = ((name, _text(event.traits.get(name))) for name in rules.custom_identifiers)
    return tuple((name, value) for name, value in found if value and _bounded(f"traits.{name}", value, notes))


def _bounded(path: str, value: str, notes: list[str]) -> str | None:
    if len(value) <= IDENTIFIER_CHARS:
        return value
    notes.append(f"{path}: longer than {IDENTIFIER_CHARS} characters, left out")
    return None


def _text(value: object) -> str | None:
    """Identifiers as text: numbers become it; null, blanks, booleans and containers are absent."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return None
