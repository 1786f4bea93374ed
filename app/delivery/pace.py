"""How fast a lane may send, and what Attentive's answers reveal about that. Pure; the scripts keep the count.

A lane starts at its documented limit and sends at 95 % of it, so that no second exceeds the limit (sliding_window.py).
It learns the limit from `x-ratelimit-limit`, slows down when `x-ratelimit-remaining` shows other users of the limit,
halves its rate on a 429 and recovers, and pauses for as long as `Retry-After` asks. After a run of calls without a
proper answer it stops for a while, then tries one call at a time. The lanes of an account may share a ceiling.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from app.attentive.answers import Reply, Unreachable

SHARE: Final = 0.95  # of the limit
STARVATION_LIMIT: Final = timedelta(seconds=60)
FAILURES_TO_STOP: Final = 10  # consecutive calls without a proper answer
LONGEST_STOP: Final = timedelta(seconds=30)
LONGEST_PAUSE: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Pace:
    """A lane's limit in calls per second. If an operator set it (`fixed`), Attentive's own limit can only lower it.

    `ceiling`: calls per second of all lanes of the account together, if there is one. `starvation_limit`: calls that
    have waited longer get a reserved share of the tokens, regardless of priority.
    """

    limit: float
    fixed: bool = False
    ceiling: float | None = None
    starvation_limit: timedelta = STARVATION_LIMIT


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a group of answers reveals together."""

    limit: float | None = None  # the last x-ratelimit-limit
    throttled: bool = False  # at least one was a 429
    pause: timedelta = timedelta()  # the longest Retry-After of a 429
    answered: int = 0  # calls that Attentive answered, with any status but a server error
    failed: int = 0  # calls that got no answer, or a server error


def feedback_of(replies: Iterable[Reply | Unreachable]) -> Feedback:
    """The feedback of some answers, in the order of arrival."""
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
