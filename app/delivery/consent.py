"""Subscribe and unsubscribe calls in doubt: an earlier attempt may have been processed, and a repeat texts the person.

Attentive is asked first, about one contact per attempt. A contact that already has the wanted state is removed from
the call. When none is left, the call is done. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from app.attentive.answers import Reply, Unreachable
from app.attentive.endpoints import SUBSCRIBE
from app.delivery.delivery import Delivery
from app.delivery.outcome import Delivered, Hold, Outcome, RetryLater, RetryWithout, Undeliverable, Unknown, judge
from app.delivery.unknown import WhenUnknown
from app.value import changed

_CHANNELS: Final = {"phone": "TEXT", "email": "EMAIL"}


@dataclass(frozen=True, slots=True)
class ConsentRules:
    """The subscription settings of one destination."""

    types_by_source: Mapping[str, str] = field(default_factory=dict)  # what each sign-up source subscribes people to
    check_after: timedelta = timedelta(seconds=30)  # how long Attentive takes to process a call that it has accepted


@dataclass(frozen=True, slots=True)
class Learned:
    """Whether the contact already has the wanted state, and what is left of the call (None: nothing)."""

    is_so: bool
    left: Delivery | None


def contacts_of(body: bytes) -> tuple[str, ...]:
    """The contacts of a call: phone, email or both."""
    user = orjson.loads(body)["user"]
    return tuple(contact for contact in _CHANNELS if contact in user)


def contacts_with_values(body: bytes) -> list[tuple[str, str]]:
    """The contacts of a call, each with its value."""
    user = orjson.loads(body)["user"]
    return [(contact, user[contact]) for contact in _CHANNELS if contact in user]


def to_verify(delivery: Delivery) -> Delivery:
    """The same call, to be sent only after Attentive was asked about each of its contacts."""
    return changed(delivery, unverified=contacts_of(delivery.body))


def question(delivery: Delivery) -> tuple[str, str]:
    """The next contact to ask about: "phone" or "email", and its value."""
    contact = delivery.unverified[0]
    return contact, orjson.loads(delivery.body)["user"][contact]


def look_into(
    reply: Reply | Unreachable, delivery: Delivery, rules: ConsentRules, *, now: datetime
) -> Learned | Outcome:
    """What an answer shows about the call in doubt. If it shows nothing, the call goes to review."""
    match judge(reply, delivery, now=now):
        case Delivered():
            assert isinstance(reply, Reply)  # noqa: S101 - no other reply is delivered
            eligible = _eligible(reply.body)
            return _held("its answer cannot be read") if eligible is None else _learn(delivery, eligible, rules)
        case Undeliverable(reason="http_404"):  # a contact that Attentive does not know has no subscriptions
            return _learn(delivery, frozenset(), rules)
        case RetryLater(wait=wait, reason=reason):  # a question changes nothing, so it can be repeated
            return RetryLater(wait, reason)
        case Hold(whole_destination=True) as hold:
            return hold
        case Hold():
            return _held("the API token lacks the scope subscriptions:read")
        case Undeliverable(detail=detail) | Unknown(reason=detail) | RetryWithout(reason=detail):
            return _held(detail)


def _held(reason: str) -> Unknown:
    return Unknown(WhenUnknown.REVIEW, f"Attentive cannot be asked about it: {reason}")


def _learn(delivery: Delivery, eligible: frozenset[tuple[str, str]], rules: ConsentRules) -> Learned:
    contact, *unverified = delivery.unverified
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
    left = changed(delivery, body=orjson.dumps(body), unverified=tuple(unverified)) if body["user"] else None
    return Learned(is_so, left)


def _eligible(answer: bytes) -> frozenset[tuple[str, str]] | None:
    """Type and channel of the contact's subscriptions. None if the answer has another form."""
    try:
        listed = orjson.loads(answer)["subscriptionEligibilities"]
        return frozenset(
            (one["subscription"]["type"], one["subscription"]["channel"])
            for one in listed
            if one["eligibility"]["isEligible"] is True
        )
    except (ValueError, KeyError, TypeError):
        return None
