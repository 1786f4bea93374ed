"""One attempt at one delivery: send, judge, and say how it ended. Redis is not touched here."""

import traceback
from datetime import UTC, datetime, timedelta
from typing import Final

import orjson
import structlog

from app.attentive.client import AttentiveClient, Reply, Unreachable
from app.attentive.endpoints import BY_NAME, ELIGIBILITY
from app.delivery.backlog import Entry, Lane, Settlement, buried, done, held, left_open, retried
from app.delivery.consent import ConsentRules, Learned, doubted, look_into, question
from app.delivery.dead_letters import DeadLetter
from app.delivery.delivery import Delivery, Unreadable, event_key, in_full
from app.delivery.journal import answer_facts, attempt_record, check_record
from app.delivery.outcome import Delivered, Hold, Outcome, RetryLater, Undeliverable, Unknown, judge
from app.delivery.unknown import WhenUnknown, counted
from app.metrics import DeliveryMetrics
from app.value import changed

_ORPHANED: Final = Unreachable("its worker stopped before the end was known", ambiguous=True)
_ASK_AGAIN: Final = RetryLater(timedelta(), "Attentive is asked again")

log = structlog.get_logger()


class Attempts:
    """The attempts of one drain. `policy` is what follows an outcome that nobody knows."""

    def __init__(
        self,
        lane: Lane,
        attentive: AttentiveClient,
        metrics: DeliveryMetrics,
        policy: WhenUnknown,
        consent: ConsentRules,
    ) -> None:
        self._lane = lane
        self._attentive = attentive
        self._metrics = metrics
        self._policy = policy
        self._consent = consent

    async def make(self, entry: Entry) -> Settlement:
        """Send one delivery once. Never raises: a bug of ours buries it, or has it reviewed."""
        try:
            delivery = Delivery.unpacked(entry.payload)
        except Unreadable as damage:
            return _bury_unreadable(entry, str(damage))
        try:
            return await (self._ask(entry, delivery) if delivery.doubts else self._send(entry, delivery))
        except Exception as bug:
            log.exception("delivery.crashed", message_id=delivery.message_id, endpoint=delivery.endpoint)
            return self._crashed(entry, delivery, bug)

    def orphaned(self, entry: Entry) -> Settlement:
        """The end of an attempt whose drain was killed: it may have been sent, and no answer is known."""
        try:
            delivery = Delivery.unpacked(entry.payload)
        except Unreadable as damage:
            return _bury_unreadable(entry, str(damage))
        log.warning("delivery.orphaned", lane=str(self._lane), message_id=delivery.message_id)
        if delivery.doubts:  # no more than a question was under way
            return retried(entry, delivery, attempt_record(delivery, _ORPHANED, _ASK_AGAIN), _ASK_AGAIN.wait)
        outcome = judge(_ORPHANED, delivery, now=datetime.now(UTC), policy=self._policy, backoff=_at_once)
        return self._settlement(entry, delivery, _ORPHANED, outcome)

    async def _send(self, entry: Entry, delivery: Delivery) -> Settlement:
        if entry.late or datetime.now(UTC) > delivery.deadline:
            return _bury_expired(entry, delivery)
        reply = await self._attentive.send(BY_NAME[delivery.endpoint], delivery.body)
        now = datetime.now(UTC)
        outcome = judge(reply, delivery, now=now, policy=self._policy)
        self._observe(delivery, reply, outcome, now)
        return changed(self._settlement(entry, delivery, reply, outcome), reply=reply)

    async def _ask(self, entry: Entry, delivery: Delivery) -> Settlement:
        """Ask Attentive about one contact of a call that may have been acted on, in place of sending it."""
        contact, value = question(delivery)
        reply = await self._attentive.subscriptions(contact, value)
        self._count(ELIGIBILITY.name, reply)
        found = look_into(reply, delivery, self._consent, now=datetime.now(UTC))
        record = check_record(delivery, contact, reply, found)
        match found:
            case Learned(left=left):
                return done(entry, delivery, record) if left is None else retried(entry, left, record, timedelta())
            case outcome:  # an unknown outcome was counted when it came about
                return changed(self._settlement(entry, delivery, reply, outcome), record=record, counted="")

    def _settlement(self, entry: Entry, delivery: Delivery, reply: Reply | Unreachable, outcome: Outcome) -> Settlement:
        record = attempt_record(delivery, reply, outcome)
        match outcome:
            case Delivered():
                return done(entry, delivery, record)
            case RetryLater(wait=wait, ambiguous=ambiguous):
                counts = counted(delivery.endpoint, WhenUnknown.SEND_AGAIN) if ambiguous else ""
                return changed(retried(entry, delivery, record, wait), counted=counts)
            case Hold():
                return held(entry, delivery, record, outcome)
            case Undeliverable(reason=reason, detail=detail):
                return buried(entry, delivery, record, DeadLetter.of(delivery, reason, detail, answer_facts(reply)))
            case Unknown(policy=WhenUnknown.CHECK):
                waits = retried(entry, doubted(delivery), record, self._consent.check_after)
                return changed(waits, counted=counted(delivery.endpoint, WhenUnknown.CHECK))
            case Unknown(policy=policy, reason=reason):
                kept = policy is WhenUnknown.HOLD
                letter = DeadLetter.of(delivery, "unknown_outcome", reason, answer_facts(reply)) if kept else None
                ending = left_open(entry, delivery, record, policy, letter)
                return changed(ending, counted=counted(delivery.endpoint, policy))

    def _crashed(self, entry: Entry, delivery: Delivery, bug: Exception) -> Settlement:
        """Our own mistake: the delivery is kept, with the place that failed. It may have been sent before."""
        place = traceback.extract_tb(bug.__traceback__)[-1]
        detail = f"{type(bug).__name__} in {place.name}, line {place.lineno}"
        record = orjson.dumps({"endpoint": delivery.endpoint, "attempt": delivery.attempt, "outcome": detail})
        if self._policy is WhenUnknown.SEND_AGAIN:
            return buried(entry, delivery, record, DeadLetter.of(delivery, "internal_error", detail, {}))
        # A dead letter is replayed by the thousand: one that must not be sent twice is looked at alone.
        letter = DeadLetter.of(delivery, "unknown_outcome", f"{detail}, and it may have been sent", {})
        counts = counted(delivery.endpoint, WhenUnknown.HOLD)
        return changed(left_open(entry, delivery, record, WhenUnknown.HOLD, letter), counted=counts)

    def _count(self, endpoint: str, reply: Reply | Unreachable) -> str:
        answer = str(reply.status) if isinstance(reply, Reply) else "unreachable"
        self._metrics.attempted(self._lane.destination, endpoint, answer, reply.took.total_seconds())
        return answer

    def _observe(self, delivery: Delivery, reply: Reply | Unreachable, outcome: Outcome, now: datetime) -> None:
        lane = self._lane
        answer = self._count(lane.endpoint, reply)
        if isinstance(outcome, Delivered):
            self._metrics.delivered((now - delivery.received_at).total_seconds())
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


def _at_once(_attempt: int, *, longest: timedelta) -> timedelta:
    """No backoff: nothing is known against Attentive."""
    return timedelta()


def _bury_expired(entry: Entry, delivery: Delivery) -> Settlement:
    """It waited past its deadline, through an outage or a hold: too late to be of use, kept to be replayed."""
    reason, detail = "expired", "it waited past its deadline and was not sent again"
    record = orjson.dumps({"endpoint": delivery.endpoint, "outcome": "dead letter", "reason": reason, "detail": detail})
    return buried(entry, delivery, record, DeadLetter.of(delivery, reason, detail, {}))


def _bury_unreadable(entry: Entry, detail: str) -> Settlement:
    """Stored bytes that nobody can read: kept as they are, out of the lane's way."""
    letter = DeadLetter(
        message_id="?",
        source="?",
        reason="unreadable",
        detail=detail,
        event=orjson.dumps({"stored": in_full(entry.payload).decode(errors="backslashreplace")}),
        received_at=datetime.now(UTC),
    )
    key = event_key("?", entry.id.decode())
    return Settlement(entry, "dead", key, 1, "?", b"{}", ending="dead:unreadable", payload=letter.to_json())
