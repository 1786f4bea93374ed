"""How an attempt ended: Attentive's answer, judged. Pure.

Source: Attentive's list of statuses; where it is silent, HTTP's own meaning of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from app.attentive.client import Reply, Unreachable
from app.attentive.endpoints import BY_NAME
from app.delivery.backoff import LONGEST_WAIT, LONGEST_WAIT_BUSY, backoff
from app.delivery.delivery import Delivery
from app.delivery.unknown import WhenUnknown

HOLD: Final = timedelta(seconds=30)  # of an endpoint, after a 403
HOLD_DESTINATION: Final = timedelta(minutes=10)  # after a 401; the sweep asks sooner whether the token works again
LINK_WITHIN: Final = timedelta(minutes=1)  # an identity link of the same moment has arrived by then
_SHORTEST_BUSY_WAIT: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Delivered:
    """Attentive accepted the call."""

    status: int


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Another attempt after `wait`. `ambiguous`: Attentive may have acted on this one, and gets it again."""

    wait: timedelta
    reason: str
    ambiguous: bool = False


@dataclass(frozen=True, slots=True)
class Undeliverable:
    """Given up: a dead letter with this stable `reason` and a `detail` for people."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Attentive may have acted on the call, and nobody can tell: by `policy` it is held for review, or given up."""

    policy: WhenUnknown
    reason: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Our key is at fault, not this event: it waits with its whole destination or endpoint, and no attempt is spent."""

    whole_destination: bool
    reason: str
    wait: timedelta = HOLD


Outcome = Delivered | RetryLater | Undeliverable | Unknown | Hold
Backoff = Callable[..., timedelta]


def judge(
    reply: Reply | Unreachable,
    delivery: Delivery,
    *,
    now: datetime,
    policy: WhenUnknown = WhenUnknown.SEND_AGAIN,
    backoff: Backoff = backoff,
) -> Outcome:
    """What follows when this attempt at `delivery` brought `reply`. No retry is made after its deadline.

    `policy` is its endpoint's, for an outcome that is unknown.
    """
    match reply:
        case Reply(status=status) if 200 <= status < 300:
            return Delivered(status)
        case Reply(status=401):
            return Hold(True, "401: Attentive refuses the API token", HOLD_DESTINATION)
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
        case Reply(status=status):
            return Undeliverable(f"http_{status}", f"Attentive answered {status}: the same call would fail again")
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
        return Undeliverable("expired", f"no success before its deadline; last: {reason}")
    return RetryLater(wait, reason, ambiguous)


def _was_so_already(endpoint: str, status: int, body: bytes) -> bool:
    return any(status == known and text in body for known, text in BY_NAME[endpoint].already)


def _link_may_come(delivery: Delivery, now: datetime) -> bool:
    """Whether Attentive can know the person by an identity link alone, and has not been given a minute to get it.

    A call that has waited long itself counts as well: in a burst, links wait longer than events.
    """
    if delivery.attempt > 1 and now - delivery.received_at >= LINK_WITHIN:
        return False
    body: dict[str, Any] = orjson.loads(delivery.body)
    user = body.get("user")
    return isinstance(user, dict) and not user.keys() & {"phone", "email"}
