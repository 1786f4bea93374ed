"""The global identifier filter: from an event to the person, or to the reason why Attentive could not know them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Final

from app.identity.identity import Identity, Primary
from app.identity.normalise import IDENTIFIER_CHARS, is_address_or_phone, to_e164, to_email
from app.segment.events import SegmentEvent, names_by_traits, to_text
from app.segment.paths import EventPath, Reader
from app.value import Value

PEOPLE_KNOWN: Final = 8192  # of whom is remembered what they were named by, and as whom that is sent

Paths = tuple[EventPath, ...]


@dataclass(frozen=True, slots=True)
class IdentityRules:
    """How one destination reads identities. Of the paths of an identifier, the first with a usable value counts."""

    default_region: str = "US"  # ISO 3166-1, for phone numbers without a country code
    primary: Primary = "any"
    email: Paths = (EventPath("traits.email"),)
    phone: Paths = (EventPath("traits.phone"),)
    client_user_id: Paths = (EventPath("userId"),)
    shopify_id: Paths = (EventPath("traits.shopify_id"),)
    klaviyo_id: Paths = (EventPath("traits.klaviyo_id"),)
    custom: tuple[tuple[str, Paths], ...] = (("username", (EventPath("traits.username"),)),)  # by Attentive's name
    known: Any = field(init=False, repr=False, compare=False)  # _usual_identity, remembered: as given() → Extraction
    _usual: tuple[Reader, ...] = field(init=False, repr=False, compare=False)
    _seldom: frozenset[str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        paths = [*self.shopify_id, *self.klaviyo_id, *(path for _, paths in self.custom for path in paths)]
        traits = [path.trait for path in paths]
        object.__setattr__(self, "_seldom", None if None in traits else frozenset(traits))
        usual = (*self.email, *self.phone, *self.client_user_id)
        object.__setattr__(self, "_usual", tuple(path.read for path in usual))
        remembering = lru_cache(maxsize=PEOPLE_KNOWN, typed=True)
        object.__setattr__(self, "known", remembering(partial(_usual_identity, self)))

    def given(self, event: SegmentEvent) -> list[Any]:
        """What stands where the usual three identifiers are looked for: address, phone number, client user id."""
        return [read(event) for read in self._usual]

    def may_name_seldom(self, event: SegmentEvent) -> bool:
        """Whether the event may hold an identifier of a shop system or of one's own: most do not, told by one look."""
        return self._seldom is None or not self._seldom.isdisjoint(event.traits)

    @property
    def paths(self) -> frozenset[EventPath]:
        """Everywhere that an identifier may stand."""
        named = (self.email, self.phone, self.client_user_id, self.shopify_id, self.klaviyo_id)
        return frozenset(path for paths in (*named, *(paths for _, paths in self.custom)) for path in paths)

    def names_somebody(self, event: SegmentEvent) -> bool:
        """Whether an event gives an e-mail address, a phone number or a user id where these are looked for."""
        return names_by_traits(event) or any(to_text(value) is not None for value in self.given(event))

    @property
    def traits(self) -> frozenset[str]:
        """The traits, dotted, that are read as identifiers, and so are no attributes."""
        texts = (path.text for path in self.paths)
        return frozenset(text.removeprefix("traits.") for text in texts if text.startswith("traits."))


class Extraction(Value, frozen=True, gc=False):
    """What the filter found. `identity` is None when nobody is named (`named` False) or no name is usable."""

    identity: Identity | None
    named: bool
    notes: tuple[str, ...] = ()


NOBODY: Final = Extraction(None, named=False)


def extract_identity(event: SegmentEvent, rules: IdentityRules) -> Extraction:
    """Pass an event only when an e-mail address, a phone number or a user id is present, and normalise what it gives.

    `anonymousId` never counts. An identifier that cannot be used is left out with a note.
    """
    given = rules.given(event)
    try:
        usual: Extraction = rules.known(*given)  # half of the 1.7 µs that looking at each identifier again takes
    except TypeError:  # of a list or an object, which names nobody
        usual = _usual_identity(rules, *given)
    if not usual.named or not rules.may_name_seldom(event):
        return usual
    notes = list(usual.notes)
    identity = usual.identity or Identity()
    user_id = identity.client_user_id
    shopify_id = _first(_read(event, rules.shopify_id), _bounded, rules, notes)
    klaviyo_id = _first(_read(event, rules.klaviyo_id), _bounded, rules, notes)
    if user_id is not None and user_id in (shopify_id, klaviyo_id):
        notes.append("clientUserId: the same as Shopify's or Klaviyo's id, left out")
        user_id = None
    custom = tuple(
        (name, value)
        for name, paths in rules.custom
        if (value := _first(_read(event, paths), _bounded, rules, notes)) is not None
    )
    if identity.email or identity.phone or user_id or custom or shopify_id or klaviyo_id:
        identity = Identity(identity.email, identity.phone, user_id, custom, shopify_id, klaviyo_id)
        return Extraction(identity, named=True, notes=tuple(notes))
    return Extraction(None, named=True, notes=tuple(notes))


def _usual_identity(rules: IdentityRules, *given: Any) -> Extraction:
    """Who is named by what stands at the places of e-mail address, phone number and client user id, in this order."""
    notes: list[str] = []
    emails, phones = len(rules.email), len(rules.email) + len(rules.phone)
    email = _first(zip(rules.email, given[:emails], strict=True), _email, rules, notes)
    phone = _first(zip(rules.phone, given[emails:phones], strict=True), _phone, rules, notes)
    user_id = _first(zip(rules.client_user_id, given[phones:], strict=True), _client_user_id, rules, notes)
    if email is None and phone is None and user_id is None and not notes:
        return NOBODY
    if user_id is not None and phone is not None and user_id == phone.removeprefix("+"):
        notes.append("clientUserId: the same as the phone number, left out")
        user_id = None
    identity = Identity(email, phone, user_id) if email or phone or user_id else None
    return Extraction(identity, named=True, notes=tuple(notes))


Check = Callable[[str, IdentityRules], tuple[str | None, str]]  # the form that is sent, or None and what is wrong


def _read(event: SegmentEvent, paths: Paths) -> Iterable[tuple[EventPath, Any]]:
    return ((path, path.read(event)) for path in paths)


def _first(given: Iterable[tuple[EventPath, Any]], check: Check, rules: IdentityRules, notes: list[str]) -> str | None:
    for path, value in given:
        if value is None or (text := to_text(value)) is None:
            continue
        usable, fault = check(text, rules)
        if usable is not None:
            return usable
        notes.append(f"{path.text}: {fault}")
    return None


def _email(text: str, _: IdentityRules) -> tuple[str | None, str]:
    return to_email(text), "not an e-mail address, left out"


def _phone(text: str, rules: IdentityRules) -> tuple[str | None, str]:
    return to_e164(text, rules.default_region), "not a phone number, left out"


def _client_user_id(text: str, rules: IdentityRules) -> tuple[str | None, str]:
    if is_address_or_phone(text, rules.default_region):
        return None, "an e-mail address or phone number, not sent as clientUserId"
    return _bounded(text, rules)


def _bounded(text: str, _: IdentityRules) -> tuple[str | None, str]:
    if len(text) <= IDENTIFIER_CHARS:
        return text, ""
    return None, f"longer than {IDENTIFIER_CHARS} characters, left out"
