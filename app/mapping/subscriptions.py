"""Opt-ins and opt-outs: which events become a subscribe or unsubscribe call, besides the calls of the catalogue.

There are none by default: consent is never guessed. An event is an action and counts every time. A trait is a state
that an identify call repeats on every page, and counts when it is new. Source: Attentive's subscribers API.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from app.attentive.call import AttentiveCall, Priority
from app.attentive.endpoints import SUBSCRIBE, UNSUBSCRIBE
from app.identity.identity import Identity
from app.mapping.names import canonical, normalised
from app.mapping.users import contacts, external_identifiers
from app.segment.events import SegmentEvent
from app.segment.paths import EventPath

CONTACTS: Final = {"text": "phone", "email": "email"}  # the identifier that each channel uses
_CHANNELS: Final = {contact: channel.upper() for channel, contact in CONTACTS.items()}
Scalar = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Occasion:
    """The trigger of a rule: a track event by name, or an identify call (`event` None) whose `path` has `value`."""

    event: str | None
    path: EventPath | None = None
    value: Scalar | None = None

    def fits(self, event: SegmentEvent) -> bool:
        """Whether the condition holds. The caller has checked the name."""
        if self.path is None:
            return True
        found = self.path.read(event)
        same_kind = isinstance(found, bool) == isinstance(self.value, bool)  # in Python, 1 == True
        return same_kind and isinstance(found, Scalar) and found == self.value


@dataclass(frozen=True, slots=True)
class Subscription:
    """One rule: on this occasion, these contacts are subscribed or unsubscribed, as `body` defines."""

    occasion: Occasion
    opt_in: bool
    dedupe_window_s: int
    body: Mapping[str, Any] = field(default_factory=dict)  # everything except the person
    contacts: frozenset[str] = frozenset(CONTACTS.values())
    types: tuple[str, ...] = ()  # of an opt-out: only these; empty: all
    verify_first: bool = False
    sources: tuple[str, ...] | None = None  # only events of these sources; None: of all
    allowed: bool = True  # whether the current source may trigger it
    priority: Priority = Priority.HIGH

    @property
    def _what(self) -> str:
        return "opt-in" if self.opt_in else "opt-out"

    def call_for(self, identity: Identity, notes: list[str]) -> AttentiveCall | None:
        """The call. None if the person has none of the contacts."""
        user = contacts(identity, self.contacts)
        if not user:
            notes.append(f"{self._what}: no {' or '.join(sorted(self.contacts))} is known, not sent")
            return None
        body: dict[str, Any] = {"user": user, **self.body}
        if self.types:
            body["subscriptions"] = [
                {"type": kind, "channel": _CHANNELS[contact]} for kind in self.types for contact in user
            ]
        if self.opt_in and (external := external_identifiers(identity)):
            body["externalIdentifiers"] = external
        endpoint = SUBSCRIBE if self.opt_in else UNSUBSCRIBE
        return AttentiveCall(endpoint, body, self.priority, self.dedupe_window_s, self.verify_first)

    def for_source(self, source: str, consent: Literal["none", "named", "any"]) -> "Subscription | None":
        """The rule as it applies to events of a source with this right. None if it does not apply."""
        if self.sources is not None and source not in self.sources:
            return None
        allowed = consent == "any" or (consent == "named" and self.sources is not None)
        return replace(self, allowed=allowed)

    def refuse(self, notes: list[str]) -> None:
        """Note that the source may not trigger it."""
        notes.append(f"{self._what}: the rule does not list this source, which may not change consent, not sent")


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """The rules of one destination, found by event."""

    rules: tuple[Subscription, ...] = ()
    _by_name: Mapping[str | None, list[Subscription]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index: dict[str | None, list[Subscription]] = {}
        for rule in self.rules:
            name = rule.occasion.event
            index.setdefault(None if name is None else normalised(canonical(name)), []).append(rule)
        object.__setattr__(self, "_by_name", index)

    def for_source(self, source: str, consent: Literal["none", "named", "any"]) -> "Subscriptions":
        """The rules as they apply to events of one source."""
        if not self.rules:
            return self
        return Subscriptions(
            tuple(each for rule in self.rules if (each := rule.for_source(source, consent)) is not None)
        )

    def calls_for(self, event: SegmentEvent, identity: Identity, notes: list[str]) -> tuple[AttentiveCall, ...]:
        """The calls for the consent that the event states. If it states both, the opt-out counts."""
        if not self._by_name:
            return ()
        rules = []
        for rule in self._rules_for(event):
            if rule.occasion.fits(event):
                rules.append(rule) if rule.allowed else rule.refuse(notes)
        if any(rule.opt_in for rule in rules) and not all(rule.opt_in for rule in rules):
            notes.append("opt-in: not sent, because the event opts out too")
            rules = [rule for rule in rules if not rule.opt_in]
        return tuple(call for rule in rules if (call := rule.call_for(identity, notes)) is not None)

    def _rules_for(self, event: SegmentEvent) -> Iterator[Subscription]:
        if event.type == "identify":
            yield from self._by_name.get(None, ())
        elif event.type == "track" and event.name is not None:
            yield from self._by_name.get(normalised(canonical(event.name)), ())
