"""One event's whole journey on one page: whom it is about, which calls it becomes, or why it goes no further. Pure.

The guard comes first, on the event as it came in (`Plan.guard.inspect`); its findings are all that is known of what it
withheld.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

from app.attentive.call import AttentiveCall
from app.attentive.endpoints import UNSUBSCRIBE
from app.delivery.delivery import FRESH, HORIZON, MS, Delivery, to_ms
from app.delivery.subject import Subject
from app.identity.extract import Extraction, IdentityRules, extract_identity
from app.identity.identity import Identity
from app.identity.memory import Facts, MemoryRules, contact_alone, with_memory
from app.mapping.apply import apply_rule
from app.mapping.attributes import AttributeGuard, AttributeRules
from app.mapping.catalogue import Catalogue, Rule
from app.mapping.fields import Unmappable
from app.mapping.size import TooLarge, written
from app.mapping.subscriptions import Subscriptions
from app.privacy.guard import Guard
from app.privacy.policy import Action, Finding
from app.segment.events import SegmentEvent
from app.segment.times import occurred_at
from app.value import Value

NOTED_FINDINGS: Final = 20  # of one event, in the journal; all are counted
NOTHING: Final[Mapping[str, str]] = {}
DESTINATION_NAME: Final = "attentive"  # ours in Segment's `integrations` object, compared without case


class DropReason(StrEnum):
    """Why an event is dropped on purpose. It is counted, and said in the journal, by this name."""

    NO_IDENTITY = "no_identity"  # the global filter: neither traits.email, traits.phone nor userId
    UNUSABLE_IDENTITY = "unusable_identity"  # something was given, and none of it can be sent
    NO_PRIMARY_IDENTIFIER = "no_primary_identifier"  # the e-mail address or phone number that the account asks for
    NOT_FORWARDED = "not_forwarded"  # no rule for this type of call
    EVENT_NOT_ALLOWED = "event_not_allowed"  # a custom event that the settings do not let through
    NOTHING_TO_SAY = "nothing_to_say"  # an identify with one identifier and no traits
    JOIN_HELD = "join_held"  # an identity link that would make two people one, where the settings hold such links
    INTEGRATIONS = "integrations"  # the sender excluded Attentive in `integrations`
    PRIVACY = "privacy"  # it held what the settings let no event hold
    DELETION_NOT_ALLOWED = "deletion_not_allowed"  # it asks to forget somebody, which its source may not


class Forward(Value, frozen=True, gc=False):
    """The event becomes these deliveries, at least one."""

    deliveries: tuple[Delivery, ...]
    notes: tuple[str, ...] = ()
    counts: tuple[str, ...] = ()  # fields of the books that this adds one to
    attributes: Mapping[str, str] = NOTHING  # custom attributes that were not known, and their types


class Drop(Value, frozen=True, gc=False):
    """The event ends here on purpose."""

    reason: DropReason
    notes: tuple[str, ...] = ()
    counts: tuple[str, ...] = ()


class Bury(Value, frozen=True, gc=False):
    """The event should have become a call and cannot: a dead letter, kept whole, to be replayed once that is mended."""

    reason: str
    detail: str
    notes: tuple[str, ...] = ()
    counts: tuple[str, ...] = ()


class Forget(Value, frozen=True, gc=False):
    """The event asks that a person be forgotten. It becomes a deletion, and ends here."""

    subject: Subject
    notes: tuple[str, ...] = ()
    counts: tuple[str, ...] = ()


Decision = Forward | Drop | Bury | Forget


@dataclass(frozen=True, slots=True)
class Plan:
    """What a destination wants done with events."""

    identity: IdentityRules = field(default_factory=IdentityRules)
    catalogue: Catalogue = field(default_factory=Catalogue)
    attributes: AttributeRules = field(default_factory=AttributeRules)
    fresh_ms: int = FRESH // MS  # an event older than this goes after all that are fresh
    horizon_ms: int = HORIZON // MS  # an event older than this is not sent
    any_age: bool = False  # but taken in, however old it arrives
    guard: Guard = field(default_factory=Guard)  # asked before the event is parsed
    memory: MemoryRules = field(default_factory=MemoryRules)  # of the source
    joins: Literal["send", "hold"] = "send"  # an identify that names identifiers of two people
    subscriptions: Subscriptions = field(default_factory=Subscriptions)
    deletions: bool = False  # whether `delete` events of this source are carried out


def decide(
    event: SegmentEvent,
    plan: Plan,
    *,
    original: bytes,
    source: str,
    received_at: datetime,
    found: Extraction | None = None,
    findings: Sequence[Finding] = (),
    attributes: Mapping[str, str] = NOTHING,
    remembered: Facts = NOTHING,
    apart: bool = False,
) -> Decision:
    """Everything decided about one event that the guard let through, with these `findings`.

    `original` is its JSON, kept in its deliveries; `received_at` is UTC; `found` is whom it says it is about, where
    somebody has looked already; `attributes` are the custom attributes that the account is known to have, with their
    types; `remembered` is what memory knows of its person. `apart`: the person is named in a way that ties nobody to
    another.
    """
    withheld = tuple(map(str, findings[:NOTED_FINDINGS])) if findings else ()
    if event.type == "delete":
        return Forget(_subject(event, plan), withheld) if plan.deletions else Drop(DropReason.DELETION_NOT_ALLOWED)
    if findings and any(finding.action is Action.DROP_EVENT for finding in findings):
        return Drop(DropReason.PRIVACY, withheld)
    if not _wanted(event):
        return Drop(DropReason.INTEGRATIONS, withheld)
    found = with_memory(found or extract_identity(event, plan.identity), remembered, plan.identity)
    notes = [*withheld, *found.notes]
    if (identity := found.identity) is None:
        return Drop(DropReason.UNUSABLE_IDENTITY if found.named else DropReason.NO_IDENTITY, tuple(notes))
    if apart and (identity := contact_alone(identity, plan.identity.primary)) is None:
        return Drop(DropReason.JOIN_HELD, tuple(notes))
    if not identity.has(plan.identity.primary):
        return Drop(DropReason.NO_PRIMARY_IDENTIFIER, tuple(notes))
    rules = plan.catalogue.rules_for(event)
    consents = plan.subscriptions.calls_for(event, identity, notes)
    if not rules and not consents:
        reason = DropReason.EVENT_NOT_ALLOWED if event.type == "track" else DropReason.NOT_FORWARDED
        return Drop(reason, tuple(notes))
    moment = occurred_at(event, received_at, notes)
    received_ms, moment_ms = to_ms(received_at), to_ms(moment)
    too_old = not plan.any_age and received_ms - moment_ms > plan.horizon_ms
    guard = AttributeGuard(plan.attributes, attributes)
    calls = (
        Bury("too_old", "occurred too long before it arrived to be of use", tuple(notes))
        if too_old and _lose_worth_with_age(rules, consents)
        else _calls(rules, event, identity, moment, guard, notes)
    )
    if isinstance(calls, Bury):
        consents = tuple(call for call in consents if call.endpoint is UNSUBSCRIBE)
        if not consents:
            return calls
        notes.append(f"{calls.reason}: {calls.detail}; the opt-out alone is sent")
        calls = []
    for call in consents:
        calls.append((call, written(call, notes, guard.counts)))
    if not calls:
        nobody = any(rule.endpoint.dated for rule in rules)  # known by an id alone that events cannot carry
        reason = DropReason.UNUSABLE_IDENTITY if nobody else DropReason.NOTHING_TO_SAY
        return Drop(reason, tuple(notes), tuple(guard.counts))
    deliveries: tuple[Delivery, ...] = ()
    for call, body in calls:
        dated = call.endpoint.dated
        delivery = Delivery(
            message_id=event.message_id,
            source=source,
            endpoint=call.endpoint.name,
            priority=call.priority,
            body=body,
            event=original,
            received_ms=received_ms,
            deadline_ms=(moment_ms if dated else received_ms) + plan.horizon_ms,
            calls=len(calls),
            doubts=tuple(call.body["user"]) if call.ask_first else (),
            once_in_s=call.once_in_s,
            fresh_until_ms=moment_ms + plan.fresh_ms if dated else None,
        )
        deliveries += (delivery,)
    return Forward(deliveries, tuple(notes), tuple(guard.counts), guard.first_seen)


def _calls(
    rules: Sequence[Rule],
    event: SegmentEvent,
    identity: Identity,
    moment: datetime,
    guard: AttributeGuard,
    notes: list[str],
) -> list[tuple[AttentiveCall, bytes]] | Bury:
    """What the catalogue makes of the event, each call with its JSON, or why it cannot."""
    calls: list[tuple[AttentiveCall, bytes]] = []
    try:
        for rule in rules:
            call = apply_rule(rule, event, identity, moment, guard, notes)
            if call is not None:
                calls.append((call, written(call, notes, guard.counts)))
    except Unmappable as verdict:
        return Bury("unmappable", f"{verdict.reason}: {verdict.detail}", tuple(notes), tuple(guard.counts))
    except TooLarge as verdict:
        return Bury("too_large", str(verdict), tuple(notes), tuple(guard.counts))
    return calls


def _lose_worth_with_age(rules: Sequence[Rule], consents: Sequence[AttentiveCall]) -> bool:
    return any(rule.endpoint.dated for rule in rules) or any(call.endpoint.dated for call in consents)


def _subject(event: SegmentEvent, plan: Plan) -> Subject:
    """Everybody whom a `delete` event names, by all that it names them by."""
    identity = extract_identity(event, plan.identity).identity or Identity()
    return Subject.of(
        emails=filter(None, [identity.email]),
        phones=filter(None, [identity.phone]),
        user_ids=filter(None, [event.user_id, identity.client_user_id]),
        anonymous_ids=filter(None, [event.anonymous_id]),
    )


def _wanted(event: SegmentEvent) -> bool:
    """The sender's say in `integrations`: our own name decides, else `All`, else yes. An object of options is a yes."""
    integrations = event.integrations
    if not isinstance(integrations, dict):
        return True
    for name, wanted in integrations.items():
        if name.lower() == DESTINATION_NAME:
            return wanted is not False
    return integrations.get("All") is not False
