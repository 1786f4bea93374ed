"""The global identifier filter: finds the person of an event, or the reason why Attentive could not match one."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from app.identity.identity import Identity, Primary
from app.identity.normalise import (
    IDENTIFIER_CHARS,
    is_address_or_phone,
    is_written_as,
    region_of,
    to_e164,
    to_email,
)
from app.identity.recent import recent
from app.segment.events import (
    INEXACT,
    NUMBERS,
    SegmentEvent,
    UsableId,
    names_by_traits,
    to_text,
    usable_id,
    without_fraction,
)
from app.segment.paths import EventPath
from app.segment.placeholders import is_placeholder
from app.value import Value

Paths = tuple[EventPath, ...]
# Reads the values at the places of the usual three identifiers: e-mail address, phone number, client user ID.
_Given = Callable[[SegmentEvent], Sequence[Any]]
_EMAIL: Final[Paths] = (EventPath("traits.email"),)
_PHONE: Final[Paths] = (EventPath("traits.phone"),)
_USER_ID: Final[Paths] = (EventPath("userId"),)


@dataclass(frozen=True, slots=True)
class IdentityRules:
    """How one destination reads identities. The first path of an identifier that has a usable value counts."""

    default_region: str = "US"  # ISO 3166-1, for phone numbers without a country code
    primary: Primary = "any"
    email: Paths = _EMAIL
    phone: Paths = _PHONE
    client_user_id: Paths = _USER_ID
    shopify_id: Paths = (EventPath("traits.shopify_id"), EventPath("externalId.shopifyId"))
    klaviyo_id: Paths = (EventPath("traits.klaviyo_id"), EventPath("externalId.klaviyoId"))
    custom: tuple[tuple[str, Paths], ...] = (("username", (EventPath("traits.username"),)),)  # by Attentive's name
    phone_regions: frozenset[str] = frozenset()  # ISO 3166-1; empty: numbers of all countries are sent
    placeholders: frozenset[str] = frozenset()  # besides the usual ones: see placeholder_word
    known: Any = field(init=False, repr=False, compare=False)  # _usual_identity with a cache
    usable_id: UsableId = field(init=False, repr=False, compare=False)  # with these placeholders and a cache
    given: _Given = field(init=False, repr=False, compare=False)
    _seldom: frozenset[str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        paths = [*self.shopify_id, *self.klaviyo_id, *(path for _, paths in self.custom for path in paths)]
        traits = [path.trait for path in paths if not path.is_external_id]
        object.__setattr__(self, "_seldom", None if None in traits else frozenset(traits))
        usual = (*self.email, *self.phone, *self.client_user_id)
        object.__setattr__(self, "given", _given_by(usual))
        object.__setattr__(self, "known", recent(partial(_usual_identity, self)))
        object.__setattr__(self, "usable_id", recent(partial(usable_id, placeholders=self.placeholders)))

    def may_name_seldom(self, event: SegmentEvent) -> bool:
        """Whether the event may hold an ID of a shop system or a custom identifier. Most events do not."""
        if self._seldom is None or not self._seldom.isdisjoint(event.traits):
            return True
        context = event.raw.get("context")
        return isinstance(context, dict) and "externalId" in context

    @property
    def reads_own_id_elsewhere(self) -> bool:
        """Whether the client user ID may come from another field than `userId`."""
        return self.client_user_id != _USER_ID

    @property
    def paths(self) -> frozenset[EventPath]:
        """Every path at which an identifier may be."""
        named = (self.email, self.phone, self.client_user_id, self.shopify_id, self.klaviyo_id)
        return frozenset(path for paths in (*named, *(paths for _, paths in self.custom)) for path in paths)

    def names_person(self, event: SegmentEvent) -> bool:
        """Whether an event contains any identifier that is sent."""
        if names_by_traits(event) or any(to_text(value) is not None for value in self.given(event)):
            return True
        seldom = (*self.shopify_id, *self.klaviyo_id, *(path for _, paths in self.custom for path in paths))
        return self.may_name_seldom(event) and any(to_text(path.read(event)) is not None for path in seldom)

    @property
    def traits(self) -> frozenset[str]:
        """The traits, in dotted form, that are read as identifiers and so are not attributes."""
        texts = (path.text for path in self.paths)
        return frozenset(text.removeprefix("traits.") for text in texts if text.startswith("traits."))


def _given_by(usual: Paths) -> _Given:
    if usual == (*_EMAIL, *_PHONE, *_USER_ID):  # by default, and in half of the time
        return lambda event: ((traits := event.traits).get("email"), traits.get("phone"), event.user_id)
    reads = tuple(path.read for path in usual)
    return lambda event: [read(event) for read in reads]


class Extraction(Value, frozen=True, gc=False):
    """The filter's result. `identity` is None if no person is named (`named` False) or no identifier is usable."""

    identity: Identity | None
    named: bool
    notes: tuple[str, ...] = ()


NO_PERSON: Final = Extraction(None, named=False)


def extract_identity(event: SegmentEvent, rules: IdentityRules) -> Extraction:
    """Read the identifiers of an event, each in the form in which it is sent.

    `anonymousId` never counts. An identifier that cannot be used is left out with a note.
    """
    given = rules.given(event)
    try:
        usual: Extraction = rules.known(*given)  # saves half of the 1.7 µs that checking each identifier again takes
    except TypeError:  # a list or an object, which names no person
        usual = _usual_identity(rules, *given)
    if event.left_out:
        usual = _with_left_out(usual, event)
    if not rules.may_name_seldom(event):
        return usual
    notes = list(usual.notes)
    identity = usual.identity or Identity()
    user_id = identity.client_user_id
    shopify_id = _first(_read(event, rules.shopify_id), _foreign_id, rules, notes)
    klaviyo_id = _first(_read(event, rules.klaviyo_id), _foreign_id, rules, notes)
    if user_id is not None and user_id in (shopify_id, klaviyo_id):
        notes.append("clientUserId: equal to Shopify's or Klaviyo's ID, left out")
        user_id = None
    custom = tuple(
        (name, value)
        for name, paths in rules.custom
        if (value := _first(_read(event, paths), _bounded, rules, notes)) is not None
    )
    if identity.email or identity.phone or user_id or shopify_id or klaviyo_id or len(custom) > 1:
        custom = tuple(each for each in custom if _is_own(*each, identity, rules, notes))
    if identity.email or identity.phone or user_id or custom or shopify_id or klaviyo_id:
        identity = Identity(identity.email, identity.phone, user_id, custom, shopify_id, klaviyo_id)
        return Extraction(identity, named=True, notes=tuple(notes))
    return Extraction(None, named=usual.named or len(notes) > len(usual.notes), notes=tuple(notes))


def _is_own(name: str, value: str, identity: Identity, rules: IdentityRules, notes: list[str]) -> bool:
    """Whether a custom identifier may be linked to the rest: an address or number must be that of the event."""
    if not is_address_or_phone(value, rules.default_region):
        return True
    if identity.email is not None and to_email(value) == identity.email:
        return True
    if identity.phone is not None and to_e164(value, rules.default_region) == identity.phone:
        return True
    notes.append(f"{name}: an e-mail address or phone number that may be another person's, left out")
    return False


def _with_left_out(found: Extraction, event: SegmentEvent) -> Extraction:
    """Add the IDs that were left out when the event was read. A user ID names a person, even an unusable one."""
    notes = tuple(f"{field}: {reason}" for field, reason in event.left_out)
    named = found.named or any(field == "userId" for field, _ in event.left_out)
    return Extraction(found.identity, named=named, notes=(*notes, *found.notes))


def _usual_identity(rules: IdentityRules, *given: Any) -> Extraction:
    """The person named by an e-mail address, a phone number and a client user ID, in this order."""
    notes: list[str] = []
    emails, phones = len(rules.email), len(rules.email) + len(rules.phone)
    email = _first(zip(rules.email, given[:emails], strict=True), _email, rules, notes)
    phone = _first(zip(rules.phone, given[emails:phones], strict=True), _phone, rules, notes)
    ids = list(zip(rules.client_user_id, given[phones:], strict=True))
    if email is None and rules.email:  # an empty list: addresses are never sent
        email = _email_among(ids, rules, notes)
    user_id = _first(ids, _client_user_id, rules, notes)
    if email is None and phone is None and user_id is None and all(note.endswith(_NOT_TEXT) for note in notes):
        return NO_PERSON  # lists and objects name no person
    if user_id is not None and phone is not None and is_written_as(user_id.removeprefix("+"), phone):
        notes.append("clientUserId: equal to the phone number, left out")
        user_id = None
    identity = Identity(email, phone, user_id) if email or phone or user_id else None
    return Extraction(identity, named=True, notes=tuple(notes))


_PLACEHOLDER: Final = "a placeholder, left out"
_NOT_TEXT: Final = "not text, left out"
Check = Callable[[str, IdentityRules], tuple[str | None, str]]  # the form that is sent, or None and the mistake


def _read(event: SegmentEvent, paths: Paths) -> Iterable[tuple[EventPath, Any]]:
    return ((path, path.read(event)) for path in paths)


def _first(given: Iterable[tuple[EventPath, Any]], check: Check, rules: IdentityRules, notes: list[str]) -> str | None:
    for path, value in given:
        if value is None or (text := to_text(value)) is None:
            if value and not isinstance(value, str):
                notes.append(f"{path.text}: {_unreadable(value)}")
            continue
        usable, fault = check(text, rules)
        if usable is not None:
            return usable
        notes.append(f"{path.text}: {fault}")
    return None


def _unreadable(value: Any) -> str:
    return INEXACT if type(value) in NUMBERS else _NOT_TEXT


def _email_among(ids: Iterable[tuple[EventPath, Any]], rules: IdentityRules, notes: list[str]) -> str | None:
    """The first e-mail address found where the shop's own ID is expected."""
    for path, value in ids:
        text = to_text(value)
        if text is not None and "@" in text and (address := _email(text, rules)[0]) is not None:
            notes.append(f"{path.text}: an e-mail address, sent as email")
            return address
    return None


def _email(text: str, rules: IdentityRules) -> tuple[str | None, str]:
    if is_placeholder(text, rules.placeholders):
        return None, _PLACEHOLDER
    return to_email(text), "not an e-mail address, left out"


def _phone(text: str, rules: IdentityRules) -> tuple[str | None, str]:
    if is_placeholder(text, rules.placeholders):
        return None, _PLACEHOLDER
    phone = to_e164(text, rules.default_region)
    if phone is not None and rules.phone_regions and region_of(phone) not in rules.phone_regions:
        return None, "a phone number of a country that the account does not send to, left out"
    return phone, "not a phone number, left out"


def _client_user_id(text: str, rules: IdentityRules) -> tuple[str | None, str]:
    if is_address_or_phone(text, rules.default_region):
        return None, "an e-mail address or phone number, not sent as clientUserId"
    return _bounded(text, rules)


def _foreign_id(text: str, rules: IdentityRules) -> tuple[str | None, str]:
    if is_address_or_phone(text, rules.default_region):
        return None, "an e-mail address or phone number, left out"
    return _bounded(text, rules)


def _bounded(text: str, rules: IdentityRules) -> tuple[str | None, str]:
    if is_placeholder(text, rules.placeholders):
        return None, _PLACEHOLDER
    text = without_fraction(text)
    if len(text) <= IDENTIFIER_CHARS:
        return text, ""
    return None, f"longer than {IDENTIFIER_CHARS} characters, left out"
