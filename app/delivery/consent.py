"""Subscribe and unsubscribe calls in doubt: an earlier attempt may have been acted on, and a repeat texts the person.

Attentive is asked first, about one contact in each attempt. A contact for which it is so already is taken out of the
call; when none is left, the call is done. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from app.attentive.client import Reply, Unreachable
from app.attentive.endpoints import SUBSCRIBE
from app.delivery.delivery import Delivery
from app.delivery.outcome import Delivered, Hold, Outcome, RetryLater, Undeliverable, Unknown, judge
from app.delivery.unknown import WhenUnknown
from app.value import changed

_CHANNELS: Final = {"phone": "TEXT", "email": "EMAIL"}


@dataclass(frozen=True, slots=True)
class ConsentRules:
    """What one destination's settings say of its subscriptions."""

    types_by_source: Mapping[str, str] = field(default_factory=dict)  # what each sign-up source subscribes people to
    check_after: timedelta = timedelta(seconds=30)  # so long does Attentive take to act on what it has accepted


@dataclass(frozen=True, slots=True)
class Learned:
    """Whether it is so already for the contact that was asked about, and what is left to do: None for nothing."""

    is_so: bool
    left: Delivery | None


def contacts_of(body: bytes) -> tuple[str, ...]:
    """Which of phone and email a call is about."""
    user = orjson.loads(body)["user"]
    return tuple(contact for contact in _CHANNELS if contact in user)


def doubted(delivery: Delivery) -> Delivery:
    """The same call, not to be sent before each of its contacts was asked about."""
    return changed(delivery, doubts=contacts_of(delivery.body))


def question(delivery: Delivery) -> tuple[str, str]:
    """What to ask about next: "phone" or "email", and which."""
    contact = delivery.doubts[0]
    return contact, orjson.loads(delivery.body)["user"][contact]


def look_into(
    reply: Reply | Unreachable, delivery: Delivery, rules: ConsentRules, *, now: datetime
) -> Learned | Outcome:
    """What the answer to a question says of the call in doubt. What cannot be known is held for review."""
    match judge(reply, delivery, now=now):
        case Delivered():
            assert isinstance(reply, Reply)  # noqa: S101 - no other reply is delivered
            eligible = _eligible(reply.body)
            return _held("its answer cannot be read") if eligible is None else _learn(delivery, eligible, rules)
        case Undeliverable(reason="http_404"):  # nobody known is subscribed to nothing
            return _learn(delivery, frozenset(), rules)
        case RetryLater(wait=wait, reason=reason):  # a question changes nothing, and may be asked again
            return RetryLater(wait, reason)
        case Hold(whole_destination=True) as hold:
            return hold
        case Hold():
            return _held("the API token lacks the scope subscriptions:read")
        case Undeliverable(detail=detail) | Unknown(reason=detail):
            return _held(detail)


def _held(reason: str) -> Unknown:
    return Unknown(WhenUnknown.HOLD, f"Attentive cannot be asked about it: {reason}")


def _learn(delivery: Delivery, eligible: frozenset[tuple[str, str]], rules: ConsentRules) -> Learned:
    contact, *doubts = delivery.doubts
    body: dict[str, Any] = orjson.loads(delivery.body)
    channel = _CHANNELS[contact]
    if delivery.endpoint == SUBSCRIBE.name:
        source = body.get("signUpSourceId", "")
        kind = body.get("subscriptionType") or rules.types_by_source.get(source, "MARKETING")
        is_so = (kind, channel) in eligible
    else:
        ending = {one["type"] for one in body.get("subscriptions", ()) if one["channel"] == channel}
        is_so = not any(which == channel and (not ending or kind in ending) for kind, which in eligible)
    if is_so:
        body["user"].pop(contact)
        if "subscriptions" in body:
            body["subscriptions"] = [one for one in body["subscriptions"] if one["channel"] != channel]
    left = changed(delivery, body=orjson.dumps(body), doubts=tuple(doubts)) if body["user"] else None
    return Learned(is_so, left)


def _eligible(answer: bytes) -> frozenset[tuple[str, str]] | None:
    """Type and channel of what the contact is subscribed to; None for an answer of another form."""
    try:
        listed = orjson.loads(answer)["subscriptionEligibilities"]
        return frozenset(
            (one["subscription"]["type"], one["subscription"]["channel"])
            for one in listed
            if one["eligibility"]["isEligible"] is True
        )
    except (ValueError, KeyError, TypeError):
        return None
