"""The whole journey of one event on one page: read it, then decide what becomes of it. Pure.

`read` applies the privacy guard and parses the event. The shell then looks up the profile of its person in Redis, and
`decide` determines who the event is about and which calls it becomes, or why there are none. Intake, replays,
`mapping try` and the tests all use these two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, ClassVar, Final, Literal

from app.attentive.call import AttentiveCall
from app.attentive.endpoints import UNSUBSCRIBE
from app.counted import DeadReason, DropReason
from app.delivery.delivery import FRESH, HORIZON, MS, Delivery, to_ms
from app.delivery.recipients import EVERYBODY, Recipients
from app.erasure.subject import Subject
from app.identity.enrichment import Facts, ProfileRules, one_identifier, unlinked, with_profile
from app.identity.extract import Extraction, IdentityRules, extract_identity
from app.identity.identity import Identity
from app.mapping.apply import apply_rule
from app.mapping.attributes import AttributeGuard, AttributeRules
from app.mapping.catalogue import Catalogue, Rule
from app.mapping.size import TooLarge, written
from app.mapping.subscriptions import Subscriptions
from app.mapping.transforms import Unmappable
from app.privacy.guard import Guard
from app.privacy.policy import Action, Finding
from app.segment.events import SegmentEvent, parse_event
from app.segment.integrations import asks_to_unsubscribe, excluded_by
from app.segment.times import occurred_at
from app.value import Value

NOTED_FINDINGS: Final = 20  # per event, in the journal; all are counted
NOTHING: Final[Mapping[str, str]] = {}


class Reading(Value, frozen=True, gc=False):
    """One event as read, without what the privacy guard withheld."""

    personal: ClassVar = frozenset({"original"})

    event: SegmentEvent
    original: bytes  # its JSON, which dead letters keep
    findings: Sequence[Finding] = ()  # everything that was withheld
    found: Extraction | None = None  # the person that the event itself names; None if extraction failed


class Known(Value, frozen=True, gc=False):
    """What the gateway knows in addition to the event."""

    attributes: Mapping[str, str] = NOTHING  # types of the account's custom attributes, by name
    profile: Facts = NOTHING  # the stored identifiers of the person
    # True: name the person by one contact alone, so that no one is linked. False: by all identifiers, because the
    # profiles verify the link. None: as the plan configures it.
    unlinked: bool | None = None


NOTHING_KNOWN: Final = Known()


class Forward(Value, frozen=True, gc=False):
    """The event becomes these deliveries, at least one."""

    deliveries: tuple[Delivery, ...]
    notes: tuple[str, ...] = ()
    counts: tuple[str, ...] = ()  # counter fields that it increments
    attributes: Mapping[str, str] = NOTHING  # new custom attributes, with their types


class Drop(Value, frozen=True, gc=False):
    """The event ends here on purpose."""

    reason: DropReason
    notes: tuple[str, ...] = ()
    counts: tuple[str, ...] = ()


class Fail(Value, frozen=True, gc=False):
    """The event should have become a call but cannot. It is kept whole as a dead letter, to be replayed later."""

    reason: str
    detail: str
    notes: tuple[str, ...] = ()
    counts: tuple[str, ...] = ()


class Erase(Value, frozen=True, gc=False):
    """The event requests the erasure of a person, and becomes that request."""

    subject: Subject
    notes: tuple[str, ...] = ()
    counts: tuple[str, ...] = ()


Decision = Forward | Drop | Fail | Erase


@dataclass(frozen=True, slots=True)
class Plan:
    """How a destination treats the events of one source."""

    identity: IdentityRules = field(default_factory=IdentityRules)
    catalogue: Catalogue = field(default_factory=Catalogue)
    attributes: AttributeRules = field(default_factory=AttributeRules)
    fresh_ms: int = FRESH // MS  # older events go after all fresh ones
    horizon_ms: int = HORIZON // MS  # older events are not sent
    any_age: bool = False  # accept events of any age, even those that are not sent
    guard: Guard = field(default_factory=Guard)  # asked before the event is parsed
    profiles: ProfileRules = field(default_factory=ProfileRules)  # of the source
    merges: Literal["send", "block"] = "send"  # a call that names identifiers of two people
    subscriptions: Subscriptions = field(default_factory=Subscriptions)
    erasures: bool = False  # whether the source's `delete` events are carried out
    recipients: Recipients = EVERYBODY  # calls about other people are not sent
    public: bool = False  # the source is public: its calls never delay those of trusted sources
    one_identifier: bool = False  # the source is public: only verified identify calls name more than one identifier


def read(raw: Any, as_sent: bytes, plan: Plan) -> Reading:
    """Read one event: apply the guard, parse the rest, and extract the person that it names.

    `raw` is the decoded event, `as_sent` its JSON. Raises InvalidEvent, and RecursionError if it is nested too deeply.
    """
    inspected = plan.guard.inspect(raw, as_sent)
    event = parse_event(inspected.event, plan.identity.names_person, plan.identity.usable_id)
    try:
        found = extract_identity(event, plan.identity)
    except Exception:  # a bug of ours: `decide` raises it again, so it costs this event alone
        found = None
    return Reading(event, inspected.json, inspected.findings, found)


def decide(
    reading: Reading, plan: Plan, *, source: str, received_at: datetime, known: Known = NOTHING_KNOWN
) -> Decision:
    """Decide what becomes of one event: the calls that it turns into, or the reason why there are none.

    `received_at` is UTC. Equal arguments give equal decisions.
    """
    person = _who(reading, plan, known)
    return _what(reading, person, plan, source, received_at, known) if isinstance(person, _Person) else person


class _Person(Value, frozen=True, gc=False):
    """An identity that the account can know, with the notes so far."""

    identity: Identity
    notes: list[str]


def _who(reading: Reading, plan: Plan, known: Known) -> _Person | Drop | Erase:
    """Decide who the event is about, and whether it may be sent at all."""
    event, findings = reading.event, reading.findings
    withheld = tuple(map(str, findings[:NOTED_FINDINGS])) if findings else ()
    if event.type == "delete":
        return Erase(_subject(event, plan), withheld) if plan.erasures else Drop(DropReason.ERASURE_NOT_ALLOWED)
    if findings and any(finding.action is Action.DROP_EVENT for finding in findings):
        return Drop(DropReason.PRIVACY, withheld)
    if (name := excluded_by(event.integrations)) is not None:
        return Drop(DropReason.INTEGRATIONS, (*withheld, f"{name}: excludes Attentive"))
    found = with_profile(reading.found or extract_identity(event, plan.identity), known.profile, plan.identity)
    notes = [*withheld, *found.notes]
    if (identity := found.identity) is None:
        return Drop(DropReason.UNUSABLE_IDENTITY if found.named else DropReason.NO_IDENTITY, tuple(notes))
    if known.unlinked and (identity := unlinked(identity, plan.identity.primary)) is None:
        return Drop(DropReason.MERGE_BLOCKED, tuple(notes))
    if not identity.has(plan.identity.primary):
        return Drop(DropReason.NO_PRIMARY_IDENTIFIER, tuple(notes))
    if known.unlinked is None and plan.one_identifier:
        identity = one_identifier(identity, plan.identity.primary)
    return _Person(identity, notes)


def _what(
    reading: Reading, person: _Person, plan: Plan, source: str, received_at: datetime, known: Known
) -> Forward | Drop | Fail:
    """Decide which calls the event becomes."""
    event, notes = reading.event, person.notes
    rules = plan.catalogue.rules_for(event)
    consents = plan.subscriptions.calls_for(event, person.identity, notes)
    if (
        event.integrations
        and (place := asks_to_unsubscribe(event.integrations))
        and not any(call.endpoint is UNSUBSCRIBE for call in consents)
    ):
        notes.append(f"{place}: not carried out, because only rules of subscriptions.opt_out unsubscribe people")
    if not rules and not consents:
        reason = DropReason.EVENT_NOT_ALLOWED if event.type == "track" else DropReason.NOT_FORWARDED
        return Drop(reason, tuple(notes))
    stated = occurred_at(event, received_at, notes)
    moment = stated or received_at
    received_ms, moment_ms = _receipt_ms(received_at), to_ms(moment)
    age_ms = received_ms - moment_ms
    horizon_ms = (rules[0].horizon_ms if rules else None) or plan.horizon_ms  # all rules of an event share one
    added = None
    if (name := plan.attributes.secondary) and (contact := person.identity.secondary(plan.identity.primary)):
        added = {name: contact}
        person = _Person(person.identity.without_secondary(plan.identity.primary), notes)
    guard = AttributeGuard(plan.attributes, known.attributes, added)
    calls: _Calls | Fail
    if stated is None and _lose_worth_with_age(rules, consents):
        calls = Fail(DeadReason.TIME_UNREADABLE, "states a time that cannot be read, and may be old", tuple(notes))
    elif age_ms > horizon_ms and not plan.any_age and _lose_worth_with_age(rules, consents):
        calls = Fail(DeadReason.TOO_OLD, "occurred too long before it arrived to be of use", tuple(notes))
    else:
        calls = _catalogue_calls(rules, reading.event, person, moment, guard)
    if isinstance(calls, Fail):
        consents = tuple(call for call in consents if call.endpoint is UNSUBSCRIBE)
        if not consents:
            return calls
        notes.append(f"{calls.reason}: {calls.detail}; the opt-out alone is sent")
        calls = []
    for call in consents:
        calls.append((call, written(call, notes, guard.counts)))
    if calls and not plan.recipients.are_all:
        calls = _for_recipients(calls, plan.recipients, notes)
        if not calls:
            return Drop(DropReason.NOT_DELIVERED, tuple(notes), tuple(guard.counts))
    if not calls:
        unusable = any(rule.endpoint.dated for rule in rules)
        if unusable:
            names = ", ".join(rule.endpoint.name for rule in rules if rule.endpoint.dated)
            notes.append(f"{names}: takes no Shopify or Klaviyo ID, and nothing else is known of the person")
        reason = DropReason.UNUSABLE_IDENTITY if unusable else DropReason.NO_CONTENT
        return Drop(reason, tuple(notes), tuple(guard.counts))
    if age_ms > plan.fresh_ms and not plan.any_age and any(call.endpoint.dated for call, _ in calls):
        notes.append(f"stale: it occurred {age_ms / 3_600_000:.1f} h before it arrived, and starts no journey")
    deliveries = _deliveries(calls, reading, plan, source, received_ms, moment_ms, horizon_ms)
    return Forward(deliveries, tuple(notes), tuple(guard.counts), guard.first_seen)


_Calls = list[tuple[AttentiveCall, bytes]]  # each with its JSON


def _catalogue_calls(
    rules: Sequence[Rule], event: SegmentEvent, person: _Person, moment: datetime, guard: AttributeGuard
) -> _Calls | Fail:
    """The calls that the catalogue makes of the event, or the reason why it cannot."""
    calls: _Calls = []
    notes = person.notes
    try:
        for rule in rules:
            call = apply_rule(rule, event, person.identity, moment, guard, notes)
            if call is not None:
                calls.append((call, written(call, notes, guard.counts)))
    except Unmappable as verdict:
        return Fail(DeadReason.UNMAPPABLE, f"{verdict.reason}: {verdict.detail}", tuple(notes), tuple(guard.counts))
    except TooLarge as verdict:
        return Fail(DeadReason.TOO_LARGE, str(verdict), tuple(notes), tuple(guard.counts))
    return calls


def _for_recipients(calls: _Calls, recipients: Recipients, notes: list[str]) -> _Calls:
    """The calls that the destination may send."""
    kept: _Calls = []
    for call, body in calls:
        if recipients.include(call.body):
            kept.append((call, body))
        else:
            notes.append(f"{call.endpoint.name}: not sent, because the destination delivers to {recipients.limit}")
    return kept


def _deliveries(
    calls: _Calls, reading: Reading, plan: Plan, source: str, received_ms: int, moment_ms: int, horizon_ms: int
) -> tuple[Delivery, ...]:
    """The calls as they are stored. Those that describe a moment expire with it."""
    deliveries: tuple[Delivery, ...] = ()
    for call, body in calls:
        dated = call.endpoint.dated
        delivery = Delivery(
            message_id=reading.event.message_id,
            source=source,
            endpoint=call.endpoint.name,
            priority=call.priority,
            body=body,
            event=reading.original,
            received_ms=received_ms,
            deadline_ms=(moment_ms if dated else received_ms) + horizon_ms,
            calls=len(calls),
            unverified=tuple(call.body["user"]) if call.verify_first else (),
            dedupe_window_s=call.dedupe_window_s,
            fresh_until_ms=moment_ms + plan.fresh_ms if dated else None,
            public=plan.public,
        )
        deliveries += (delivery,)
    return deliveries


_receipt_ms: Final = lru_cache(maxsize=8)(to_ms)  # all events of a request were received at one moment


def _lose_worth_with_age(rules: Sequence[Rule], consents: Sequence[AttentiveCall]) -> bool:
    return any(rule.endpoint.dated for rule in rules) or any(call.endpoint.dated for call in consents)


def _subject(event: SegmentEvent, plan: Plan) -> Subject:
    """The person that a `delete` event names, by all its identifiers."""
    identity = extract_identity(event, plan.identity).identity or Identity()
    return Subject.of(
        emails=filter(None, [identity.email]),
        phones=filter(None, [identity.phone]),
        user_ids=filter(None, [event.user_id, identity.client_user_id]),
        anonymous_ids=filter(None, [event.anonymous_id]),
    )
