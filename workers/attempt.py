"""One attempt at one delivery: send, judge, return how it ended. It reads from Redis only who has opted out since."""

import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
import structlog

from app.attentive.answers import Reply, Unreachable
from app.attentive.client import AttentiveClient
from app.attentive.endpoints import BY_NAME, CUSTOM_EVENT, ELIGIBILITY, SUBSCRIBE
from app.counted import DeadLettered, DeadReason, DropReason, LeftOut, MissedJourney, UnknownCall, http_reason
from app.delivery.accounts.event_keys import EventKeys
from app.delivery.accounts.refused_attributes import split
from app.delivery.consent import ConsentRules, Learned, contacts_with_values, look_into, question, to_verify
from app.delivery.consumer import Claim
from app.delivery.dead_letter import DeadLetter
from app.delivery.delivery import Delivery, Newer, Unreadable, event_key, in_full, to_ms
from app.delivery.journal.event_rows import RowOutcome
from app.delivery.journal.journal import answer_facts, attempt_record, check_record, reported
from app.delivery.journal.recording import Recorder, event_name, not_recorded
from app.delivery.lag import DestinationLag
from app.delivery.lane import Lane
from app.delivery.opt_outs import Contact
from app.delivery.outcome import Delivered, Hold, Outcome, RetryLater, RetryWithout, Undeliverable, Unknown, judge
from app.delivery.recipients import EVERYBODY, Recipients
from app.delivery.settlement import (
    Entry,
    Settlement,
    dead_lettered,
    done,
    dropped,
    held,
    postponed,
    retried,
    retried_without,
    unresolved,
)
from app.delivery.unknown import WhenUnknown
from app.delivery.waits import NO_WAITS, waits_before
from app.metrics import DeliveryMetrics
from app.store.errors import StoreError
from app.value import changed

_MISSED: Final = {"arrived": "its event arrived late", "waited": "it waited too long"}
_ORPHANED: Final = Unreachable("its worker stopped before the end was known", ambiguous=True)
_SHORT_WAIT_MS: Final = 1000
_NOT_WAITED: Final[Mapping[str, Any]] = {}
_NEWER_WAIT: Final = timedelta(seconds=30)  # an upgrade replaces the workers within some of these
_STORE_WAIT: Final = timedelta(seconds=5)
_ASK_AGAIN: Final = RetryLater(timedelta(), "Attentive is asked again")
_CRASHED: Final = Undeliverable(DeadReason.INTERNAL_ERROR, "")
OptedOut = Callable[[Sequence[Contact]], Awaitable[object]]  # true if one of these contacts has opted out

log = structlog.get_logger()


class Attempts:
    """The attempts of one drain. `policy` is what follows an unknown outcome."""

    def __init__(
        self,
        lane: Lane,
        attentive: AttentiveClient,
        metrics: DeliveryMetrics,
        policy: WhenUnknown,
        consent: ConsentRules,
        recipients: Recipients = EVERYBODY,
        event_keys: EventKeys | None = None,
        share: float = 0.0,
        lag: DestinationLag | None = None,
        opted_out: OptedOut | None = None,
    ) -> None:
        self._lane = lane
        self._attentive = attentive
        self._metrics = metrics
        self._policy = policy
        self._consent = consent
        self._recipients = recipients
        self._event_keys = event_keys if lane.endpoint == CUSTOM_EVENT.name else None
        self._recorder = Recorder(share)
        self._lag = lag
        self._opted_out = opted_out if lane.endpoint == SUBSCRIBE.name else None
        self._waits = NO_WAITS

    def follow(self, claim: Claim) -> None:
        """Take over the facts of the last claim: who watches calls, and what the lane waits for."""
        self._recorder.watch(claim.watching)
        self._waits = claim.waits

    async def make(self, entry: Entry) -> Settlement:
        """Send one delivery once. Never raises: a bug of ours buries it, or has it reviewed."""
        try:
            delivery = Delivery.unpacked(entry.payload)
        except Newer as newer:
            return _unreadable(entry, str(newer)) if entry.late else postponed(entry, datetime.now(UTC) + _NEWER_WAIT)
        except Unreadable as damage:
            return _unreadable(entry, str(damage))
        if not self._recipients.are_all and not self._recipients.include(orjson.loads(delivery.body)):
            return _not_delivered(entry, delivery, self._recipients)
        return await self._attempt(entry, delivery)

    async def _attempt(self, entry: Entry, delivery: Delivery) -> Settlement:
        try:
            if self._opted_out is not None and await self._opted_out(contacts_with_values(delivery.body)):
                return _superseded(entry, delivery)
            return await (self._ask(entry, delivery) if delivery.unverified else self._send(entry, delivery))
        except StoreError:  # it is not known whether the person has opted out since
            return postponed(entry, datetime.now(UTC) + _STORE_WAIT)
        except Exception as bug:
            log.exception("delivery.crashed", message_id=delivery.message_id, endpoint=delivery.endpoint)
            return self._crashed(entry, delivery, bug)

    def orphaned(self, entry: Entry) -> Settlement | None:
        """The end of an attempt whose drain was killed: it may have been sent, and no answer is known.

        None for one that a newer release stored: it stays claimed until a drain can read it.
        """
        try:
            delivery = Delivery.unpacked(entry.payload)
        except Newer:
            return None
        except Unreadable as damage:
            return _unreadable(entry, str(damage))
        log.warning("delivery.orphaned", lane=str(self._lane), message_id=delivery.message_id)
        return self._orphaned(entry, delivery)

    def _orphaned(self, entry: Entry, delivery: Delivery) -> Settlement:
        if delivery.unverified:  # no more than a question was under way
            event = event_name(delivery.event)
            record = attempt_record(delivery, event, _ORPHANED, _ASK_AGAIN)
            return self._noted(retried(entry, delivery, record, datetime.now(UTC), timedelta()), delivery, _ASK_AGAIN)
        outcome = judge(_ORPHANED, delivery, now=datetime.now(UTC), policy=self._policy, backoff=_at_once)
        return self._settlement(entry, delivery, _ORPHANED, outcome)

    async def _send(self, entry: Entry, delivery: Delivery) -> Settlement:
        sent_at = datetime.now(UTC)
        if entry.late or sent_at > delivery.deadline:
            return self._expired(entry, delivery)
        sent_ms = to_ms(sent_at)
        if self._lag is not None:
            self._lag.note(delivery, sent_ms, self._waits)
        waited = self._waited(delivery, sent_ms)
        reply = await self._attentive.send(BY_NAME[delivery.endpoint], delivery.body)
        now = datetime.now(UTC)
        outcome = judge(reply, delivery, now=now, policy=self._policy)
        self._observe(delivery, reply, outcome, now)
        return changed(self._settlement(entry, delivery, reply, outcome, **waited), reply=reply)

    def _waited(self, delivery: Delivery, sent_ms: int) -> Mapping[str, Any]:
        """What the call waited for, for the journal; nothing if that is not worth a word."""
        if sent_ms - (delivery.failed_ms or delivery.received_ms) < _SHORT_WAIT_MS:
            return _NOT_WAITED
        return {"waited_ms": waits_before(delivery, sent_ms, self._waits).by_cause()}

    async def _ask(self, entry: Entry, delivery: Delivery) -> Settlement:
        """Ask Attentive about one contact of a call that may have been acted on, in place of sending it."""
        contact, value = question(delivery)
        reply = await self._attentive.subscriptions(contact, value)
        self._count(ELIGIBILITY.name, reply)
        found = look_into(reply, delivery, self._consent, now=datetime.now(UTC))
        record = check_record(delivery, event_name(delivery.event), contact, reply, found)
        return changed(self._looked_into(entry, delivery, reply, found, record), asked=reply)

    def _looked_into(
        self, entry: Entry, delivery: Delivery, reply: Reply | Unreachable, found: Learned | Outcome, record: bytes
    ) -> Settlement:
        match found:
            case Learned(left=Delivery() as left):
                return self._noted(retried(entry, left, record, datetime.now(UTC), timedelta()), delivery, _ASK_AGAIN)
            case Learned():
                return self._noted(done(entry, delivery, record), delivery, Delivered(200))
            case outcome:  # an unknown outcome was counted when it came about
                ending = changed(self._settlement(entry, delivery, reply, outcome), record=record, counted="")
                return self._noted(ending, delivery, outcome)  # a question is not a call to record

    def _settlement(
        self, entry: Entry, delivery: Delivery, reply: Reply | Unreachable, outcome: Outcome, **more: Any
    ) -> Settlement:
        event = event_name(delivery.event)
        missed = delivery.missed_journey(datetime.now(UTC)) if isinstance(outcome, Delivered) else None
        if missed:
            more["journeys"] = f"none started: {_MISSED[missed]}"
        record = attempt_record(delivery, event, reply, outcome, **more)
        ending = self._ended(entry, delivery, reply, outcome, record)
        recorded = self._recorder.of(delivery, event, reply, *reported(outcome))
        return changed(ending, recorded=recorded, counted=MissedJourney(missed).field if missed else ending.counted)

    def _ended(
        self, entry: Entry, delivery: Delivery, reply: Reply | Unreachable, outcome: Outcome, record: bytes
    ) -> Settlement:
        match outcome:
            case Delivered():
                return done(entry, delivery, record)
            case RetryLater(wait=wait, ambiguous=ambiguous):
                counts = UnknownCall(delivery.endpoint, WhenUnknown.SEND_AGAIN).field if ambiguous else ""
                return changed(retried(entry, delivery, record, datetime.now(UTC), wait), counted=counts)
            case RetryWithout(attributes=names, reason=reason):
                return _without(entry, delivery, record, names, reply)
            case Hold():
                return held(entry, delivery, record, outcome)
            case Undeliverable(reason=reason, detail=detail):
                return dead_lettered(
                    entry, delivery, record, DeadLetter.of(delivery, reason, detail, answer_facts(reply))
                )
            case Unknown(policy=WhenUnknown.VERIFY):
                waits = retried(entry, to_verify(delivery), record, datetime.now(UTC), self._consent.check_after)
                return changed(waits, counted=UnknownCall(delivery.endpoint, WhenUnknown.VERIFY).field)
            case Unknown(policy=policy, reason=reason):
                kept = policy is WhenUnknown.REVIEW
                dead_letter = (
                    DeadLetter.of(delivery, DeadReason.UNKNOWN_OUTCOME, reason, answer_facts(reply)) if kept else None
                )
                ending = unresolved(entry, delivery, record, policy, dead_letter)
                return changed(ending, counted=UnknownCall(delivery.endpoint, policy).field)

    def _crashed(self, entry: Entry, delivery: Delivery, bug: Exception) -> Settlement:
        """Our own mistake: the delivery is kept, with the place that failed. It may have been sent before."""
        place = traceback.extract_tb(bug.__traceback__)[-1]
        detail = f"{type(bug).__name__} in {place.name}, line {place.lineno}"
        facts = {"source": delivery.source, "endpoint": delivery.endpoint, "attempt": delivery.attempt}
        record = orjson.dumps(facts | {"outcome": detail})
        if self._policy is WhenUnknown.SEND_AGAIN:
            dead_letter = DeadLetter.of(delivery, DeadReason.INTERNAL_ERROR, detail, {})
            return self._noted(dead_lettered(entry, delivery, record, dead_letter), delivery, _CRASHED)
        # A dead letter is replayed by the thousand: one that must not be sent twice is looked at alone.
        dead_letter = DeadLetter.of(delivery, DeadReason.UNKNOWN_OUTCOME, f"{detail}, and it may have been sent", {})
        counts = UnknownCall(delivery.endpoint, WhenUnknown.REVIEW).field
        ending = changed(unresolved(entry, delivery, record, WhenUnknown.REVIEW, dead_letter), counted=counts)
        return self._noted(ending, delivery, _CRASHED)

    def _expired(self, entry: Entry, delivery: Delivery) -> Settlement:
        """It waited past its deadline, through an outage or a hold: too late to be of use, kept to be replayed."""
        reason, detail = DeadReason.EXPIRED, "it waited past its deadline and was not sent again"
        facts = {"source": delivery.source, "event": event_name(delivery.event), "endpoint": delivery.endpoint}
        record = orjson.dumps(facts | {"outcome": "dead letter", "reason": reason, "detail": detail})
        ending = dead_lettered(entry, delivery, record, DeadLetter.of(delivery, reason, detail, {}))
        return self._noted(ending, delivery, Undeliverable(reason, detail))

    def _noted(self, settlement: Settlement, delivery: Delivery, outcome: Outcome) -> Settlement:
        """With its row in the journal's index: no call was made that could be recorded."""
        return changed(settlement, recorded=not_recorded(delivery, event_name(delivery.event), reported(outcome)[0]))

    def _count(self, endpoint: str, reply: Reply | Unreachable) -> str:
        answer = str(reply.status) if isinstance(reply, Reply) else "unreachable"
        self._metrics.attempted(self._lane.destination, endpoint, answer, reply.took.total_seconds())
        return answer

    def _observe(self, delivery: Delivery, reply: Reply | Unreachable, outcome: Outcome, now: datetime) -> None:
        lane = self._lane
        answer = self._count(lane.endpoint, reply)
        if isinstance(outcome, Delivered):
            self._metrics.delivered((now - delivery.received_at).total_seconds())
            if self._event_keys is not None:
                self._event_keys.note(lane.destination, delivery.body)
        else:
            log.info(
                "delivery.attempted",
                destination=lane.destination,
                endpoint=lane.endpoint,
                message_id=delivery.message_id,
                attempt=delivery.attempt,
                answer=answer,
                outcome=type(outcome).__name__,
            )


def _without(
    entry: Entry, delivery: Delivery, record: bytes, names: tuple[str, ...], reply: Reply | Unreachable
) -> Settlement:
    """Another attempt without the attributes that Attentive refused. They are a dead letter of their own."""
    rest, refused = split(delivery.endpoint, delivery.body, names)
    status = reply.status if isinstance(reply, Reply) else 400
    detail = f"Attentive refused {', '.join(map(repr, names))}; the rest of the call is sent without it"
    dead_letter = DeadLetter.of(
        changed(delivery, body=refused, calls=1), http_reason(status), detail, answer_facts(reply)
    )
    return retried_without(
        entry, delivery, record, datetime.now(UTC), rest, dead_letter, LeftOut(names[0], "refused").field
    )


def _at_once(_attempt: int, *, longest: timedelta) -> timedelta:
    """No backoff: nothing is known against Attentive."""
    return timedelta()


def _not_delivered(entry: Entry, delivery: Delivery, recipients: Recipients) -> Settlement:
    """It was queued before the destination was limited to other people. It is not sent later, either."""
    return _dropped(entry, delivery, DropReason.NOT_DELIVERED, f"the destination delivers to {recipients.limit}")


def _superseded(entry: Entry, delivery: Delivery) -> Settlement:
    """The opt-in waited, and the person has opted out since."""
    return _dropped(entry, delivery, DropReason.OPTED_OUT, "the person has opted out since")


def _dropped(entry: Entry, delivery: Delivery, reason: DropReason, detail: str) -> Settlement:
    event = event_name(delivery.event)
    facts = {"source": delivery.source, "event": event, "endpoint": delivery.endpoint}
    record = orjson.dumps(facts | {"outcome": "not delivered", "reason": reason, "detail": detail})
    settlement = dropped(entry, delivery, record, reason)
    return changed(settlement, recorded=not_recorded(delivery, event, RowOutcome.NOT_DELIVERED))


def _unreadable(entry: Entry, detail: str) -> Settlement:
    """Stored bytes that cannot be read: kept as they are, out of the lane's way."""
    dead_letter = DeadLetter(
        message_id="?",
        source="?",
        reason=DeadReason.UNREADABLE,
        detail=detail,
        event=orjson.dumps({"stored": in_full(entry.payload).decode(errors="backslashreplace")}),
        received_at=datetime.now(UTC),
    )
    key = event_key("?", entry.id.decode())
    return Settlement(
        entry,
        "dead",
        key,
        1,
        "?",
        b"{}",
        ending=DeadLettered(DeadReason.UNREADABLE).field,
        payload=dead_letter.packed(),
    )
