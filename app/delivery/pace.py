"""How fast a lane may send, and what Attentive's answers say about that. Pure; the scripts keep the count.

A lane starts at its documented limit and sends at 95 % of it, so that no second sees more than the limit
(last_second.py). It learns the limit from `x-ratelimit-limit`, gives way when `x-ratelimit-remaining` shows that others
use it too, halves on a 429 and climbs back, pauses for as long as `Retry-After` asks, and stops for a while when a run
of calls got no proper answer: then one at a time goes out. Lanes of one account may share a ceiling, turn by turn.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from app.attentive.client import Reply, Unreachable

SHARE: Final = 0.95  # of the limit
PATIENCE: Final = timedelta(seconds=60)
FAILURES_TO_STOP: Final = 10  # calls in a row without a proper answer
LONGEST_STOP: Final = timedelta(seconds=30)
LONGEST_PAUSE: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Pace:
    """A lane's limit in calls per second. `fixed`: an operator said so, and what Attentive says can only lower it.

    `ceiling`: calls per second of all lanes of the account together, where there is one. `patience`: what has waited
    for longer gets a share, whatever goes before it.
    """

    limit: float
    fixed: bool = False
    ceiling: float | None = None
    patience: timedelta = PATIENCE


@dataclass(frozen=True, slots=True)
class Feedback:
    """What the answers that came in together say."""

    limit: float | None = None  # the last x-ratelimit-limit
    throttled: bool = False  # one of them was a 429
    pause: timedelta = timedelta()  # the longest Retry-After of a 429
    answered: int = 0  # calls that Attentive answered, gladly or not
    failed: int = 0  # calls that got no answer, or a server's error


def feedback_of(replies: Iterable[Reply | Unreachable]) -> Feedback:
    """The sum of some answers, in the order they came."""
    limit: float | None = None
    throttled, pause, answered, failed = False, timedelta(), 0, 0
    for reply in replies:
        match reply:
            case Reply(status=status) if status < 500:
                answered += 1
            case _:
                failed += 1
        if isinstance(reply, Reply):
            limit = reply.limit or limit
            if reply.status == 429:
                throttled = True
                pause = max(pause, min(reply.retry_after or timedelta(), LONGEST_PAUSE))
    return Feedback(limit, throttled, pause, answered, failed)
