"""Opt-ins and opt-outs: which events become a subscribe or unsubscribe call, besides the calls of the catalogue.

There are none by default: consent is never guessed. An event is an act, which counts each time; a trait is a state,
which an identify call repeats on every page, and counts when it is new. Source: Attentive's subscribers API.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.attentive.call import AttentiveCall, Priority
from app.attentive.endpoints import SUBSCRIBE, UNSUBSCRIBE
from app.identity.identity import Identity
from app.mapping.names import canonical, folded
from app.mapping.users import contacts, external_identifiers
from app.segment.events import SegmentEvent
from app.segment.paths import EventPath

CONTACTS: Final = {"text": "phone", "email": "email"}  # what each channel reaches
_CHANNELS: Final = {contact: channel.upper() for channel, contact in CONTACTS.items()}
Scalar = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Occasion:
    """When somebody says it: a track event by name, or an identify call (`event` None), where `path` holds `value`."""

    event: str | None
    path: EventPath | None = None
    value: Scalar | None = None

    def fits(self, event: SegmentEvent) -> bool:
        """Whether the condition holds; the name is looked at before."""
        if self.path is None:
            return True
        found = self.path.read(event)
        same_kind = isinstance(found, bool) == isinstance(self.value, bool)  # in Python 1 is True
        return same_kind and isinstance(found, Scalar) and found == self.value


@dataclass(frozen=True, slots=True)
class Subscription:
    """One rule: on this occasion, these contacts are subscribed or unsubscribed, as `body` says."""

    occasion: Occasion
    opt_in: bool
    once_in_s: int
    body: Mapping[str, Any] = field(default_factory=dict)  # all but the person
    contacts: frozenset[str] = frozenset(CONTACTS.values())
    types: tuple[str, ...] = ()  # of an opt-out: these alone; none: all of them
    ask_first: bool = False

    def call_for(self, identity: Identity, notes: list[str]) -> AttentiveCall | None:
        """The call, or None when no contact of this person is known."""
        user = contacts(identity, self.contacts)
        if not user:
            what, wanted = "opt-in" if self.opt_in else "opt-out", " or ".join(sorted(self.contacts))
            notes.append(f"{what}: no {wanted} is known, not sent")
            return None
        body: dict[str, Any] = {"user": user, **self.body}
        if self.types:
            body["subscriptions"] = [
                {"type": kind, "channel": _CHANNELS[contact]} for kind in self.types for contact in user
            ]
        if self.opt_in and (external := external_identifiers(identity)):
            body["externalIdentifiers"] = external
        endpoint = SUBSCRIBE if self.opt_in else UNSUBSCRIBE
        return AttentiveCall(endpoint, body, Priority.HIGH, self.once_in_s, self.ask_first)


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """The rules of one destination, found by event."""

    rules: tuple[Subscription, ...] = ()
    _by_name: Mapping[str | None, list[Subscription]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index: dict[str | None, list[Subscription]] = {}
        for rule in self.rules:
            name = rule.occasion.event
            index.setdefault(None if name is None else folded(canonical(name)), []).append(rule)
        object.__setattr__(self, "_by_name", index)

    def calls_for(self, event: SegmentEvent, identity: Identity, notes: list[str]) -> tuple[AttentiveCall, ...]:
        """What the event says of subscriptions. Where it says both, the opt-out counts."""
        if not self._by_name:
            return ()
        rules = [rule for rule in self._rules_for(event) if rule.occasion.fits(event)]
        if any(rule.opt_in for rule in rules) and not all(rule.opt_in for rule in rules):
            notes.append("opt-in: the same event opts out, not sent")
            rules = [rule for rule in rules if not rule.opt_in]
        return tuple(call for rule in rules if (call := rule.call_for(identity, notes)) is not None)

    def _rules_for(self, event: SegmentEvent) -> Iterator[Subscription]:
        if event.type == "identify":
            yield from self._by_name.get(None, ())
        elif event.type == "track" and event.name is not None:
            yield from self._by_name.get(folded(canonical(event.name)), ())
