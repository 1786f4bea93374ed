"""How an attempt ended: Attentive's answer, judged. Pure.

Source: Attentive's list of statuses; where it is silent, HTTP's own meaning of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from app.attentive.client import Reply, Unreachable
from app.delivery.backoff import LONGEST_WAIT, LONGEST_WAIT_BUSY, backoff

HOLD: Final = timedelta(seconds=30)  # of an endpoint, after a 403
HOLD_DESTINATION: Final = timedelta(minutes=10)  # after a 401; the sweep asks sooner whether the token works again
_SHORTEST_BUSY_WAIT: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Delivered:
    """Attentive accepted the call."""

    status: int


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Another attempt after `wait`. `ambiguous`: Attentive may have acted on this one."""

    wait: timedelta
    reason: str
    ambiguous: bool = False


@dataclass(frozen=True, slots=True)
class Undeliverable:
    """Given up: a dead letter with this stable `reason` and a `detail` for people."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Our key is at fault, not this event: it waits with its whole destination or endpoint, and no attempt is spent."""

    whole_destination: bool
    reason: str
    wait: timedelta = HOLD


Outcome = Delivered | RetryLater | Undeliverable | Hold
Backoff = Callable[..., timedelta]


def judge(
    reply: Reply | Unreachable, *, attempt: int, now: datetime, deadline: datetime, backoff: Backoff = backoff
) -> Outcome:
    """What follows when attempt number `attempt` (from 1) brought `reply`. No retry is made after `deadline`."""
    match reply:
        case Reply(status=status) if 200 <= status < 300:
            return Delivered(status)
        case Reply(status=401):
            return Hold(True, "401: Attentive refuses the API token", HOLD_DESTINATION)
        case Reply(status=403):
            return Hold(False, "403: the API token lacks this endpoint's scope", HOLD)
        case Reply(status=408 | 425 | 429 as status, retry_after=asked):
            wait = max(backoff(attempt, longest=LONGEST_WAIT_BUSY), asked or _SHORTEST_BUSY_WAIT)
            return _again(wait, f"HTTP {status}", False, now, deadline)
        case Reply(status=status, retry_after=asked) if status >= 500 and status not in (501, 505):
            wait = max(backoff(attempt, longest=LONGEST_WAIT), asked or timedelta())
            return _again(wait, f"HTTP {status}", True, now, deadline)
        case Reply(status=status):
            return Undeliverable(f"http_{status}", f"Attentive answered {status}: the same call would fail again")
        case Unreachable(reason=reason, ambiguous=ambiguous):
            return _again(backoff(attempt, longest=LONGEST_WAIT), reason, ambiguous, now, deadline)


def _again(wait: timedelta, reason: str, ambiguous: bool, now: datetime, deadline: datetime) -> Outcome:
    if now + wait > deadline:
        return Undeliverable("expired", f"no success before its deadline; last: {reason}")
    return RetryLater(wait, reason, ambiguous)
