"""How an attempt ended, judged by Attentive's answer. Pure.

Source: Attentive's list of statuses, and HTTP's own meaning for statuses that it does not list.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from app.attentive.answers import Reply, Unreachable
from app.attentive.endpoints import BY_NAME
from app.counted import DeadReason, http_reason
from app.delivery.accounts.refused_attributes import refused_attributes
from app.delivery.backoff import LONGEST_WAIT, LONGEST_WAIT_BUSY, backoff
from app.delivery.delivery import Delivery
from app.delivery.unknown import WhenUnknown

HOLD: Final = timedelta(seconds=30)  # of an endpoint, after a 403
REFUSED_TOKEN: Final = "401: Attentive refuses the API token"  # noqa: S105
HOLD_DESTINATION: Final = timedelta(minutes=10)  # after a 401; the sweep checks the token more often
LINK_WITHIN: Final = timedelta(minutes=1)  # an identity link of the same moment has arrived by then
_SHORTEST_BUSY_WAIT: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Delivered:
    """Attentive accepted the call."""

    status: int


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Another attempt follows after `wait`. `ambiguous`: Attentive may have processed this one and get it twice."""

    wait: timedelta
    reason: str
    ambiguous: bool = False


@dataclass(frozen=True, slots=True)
class Undeliverable:
    """Given up: a dead letter with this stable `reason`, and a `detail` for people."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """It is unknown whether Attentive processed the call. `policy` decides what happens next."""

    policy: WhenUnknown
    reason: str


@dataclass(frozen=True, slots=True)
class Hold:
    """The token is at fault, not the event. The destination or endpoint waits, and no attempt is used up."""

    whole_destination: bool
    reason: str
    wait: timedelta = HOLD


@dataclass(frozen=True, slots=True)
class RetryWithout:
    """Attentive refused these custom attributes by name. The call is sent without them, and they are dead-lettered."""

    attributes: tuple[str, ...]
    reason: str


Outcome = Delivered | RetryLater | RetryWithout | Undeliverable | Unknown | Hold
Backoff = Callable[..., timedelta]


def judge(
    reply: Reply | Unreachable,
    delivery: Delivery,
    *,
    now: datetime,
    policy: WhenUnknown = WhenUnknown.SEND_AGAIN,
    backoff: Backoff = backoff,
) -> Outcome:
    """What follows from `reply` to this attempt at `delivery`. There are no retries after its deadline.

    `policy` is the endpoint's policy for an unknown outcome.
    """
    match reply:
        case Reply(status=status) if 200 <= status < 300:
            return Delivered(status)
        case Reply(status=401):
            return Hold(True, REFUSED_TOKEN, HOLD_DESTINATION)
        case Reply(status=403):
            return Hold(False, "403: the API token lacks this endpoint's scope", HOLD)
        case Reply(status=408 | 425 | 429 as status, retry_after=asked):
            wait = max(backoff(delivery.attempt, longest=LONGEST_WAIT_BUSY), asked or _SHORTEST_BUSY_WAIT)
            return _again(wait, f"HTTP {status}", delivery, now)
        case Reply(status=status, retry_after=asked) if status >= 500 and status not in (501, 505):
            wait = max(backoff(delivery.attempt, longest=LONGEST_WAIT), asked or timedelta())
            return _unknown(wait, f"HTTP {status}", delivery, now, policy)
        case Reply(status=404) if _link_may_come(delivery, now):
            return _again(LINK_WITHIN, "HTTP 404, its identity link may still be on its way", delivery, now)
        case Reply(status=status, body=body) if _was_so_already(delivery.endpoint, status, body):
            return Delivered(status)
        case Reply(status=400 | 422 as status, body=body) if names := _refused(delivery, body, now):
            return RetryWithout(names, f"HTTP {status}")
        case Reply(status=status):
            return Undeliverable(http_reason(status), f"Attentive answered {status}: the same call would fail again")
        case Unreachable(reason=reason, ambiguous=ambiguous):
            wait = backoff(delivery.attempt, longest=LONGEST_WAIT)
            if ambiguous:
                return _unknown(wait, reason, delivery, now, policy)
            return _again(wait, reason, delivery, now)


def _unknown(wait: timedelta, reason: str, delivery: Delivery, now: datetime, policy: WhenUnknown) -> Outcome:
    if policy is WhenUnknown.SEND_AGAIN:
        return _again(wait, reason, delivery, now, ambiguous=True)
    return Unknown(policy, reason)


def _again(wait: timedelta, reason: str, delivery: Delivery, now: datetime, *, ambiguous: bool = False) -> Outcome:
    if now + wait > delivery.deadline:
        return Undeliverable(DeadReason.EXPIRED, f"no success before its deadline; last: {reason}")
    return RetryLater(wait, reason, ambiguous)


def _refused(delivery: Delivery, answer: bytes, now: datetime) -> tuple[str, ...]:
    """The attributes to leave out of the next attempt, if there is time for one."""
    return refused_attributes(delivery.endpoint, delivery.body, answer) if now <= delivery.deadline else ()


def _was_so_already(endpoint: str, status: int, body: bytes) -> bool:
    return any(status == known and text in body for known, text in BY_NAME[endpoint].already)


def _link_may_come(delivery: Delivery, now: datetime) -> bool:
    """Whether the person is known by an identity link alone, and the link may still arrive.

    Attentive gets a minute for that. It also applies to a call that waited long: in a burst, links wait longer than
    events.
    """
    if delivery.attempt > 1 and now - delivery.received_at >= LINK_WITHIN:
        return False
    body: dict[str, Any] = orjson.loads(delivery.body)
    user = body.get("user")
    return isinstance(user, dict) and not user.keys() & {"phone", "email"}
