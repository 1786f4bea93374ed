"""How many of our calls Attentive may count within its current second, and how much of the limit others use. Pure.

A token bucket spaces calls as they leave, but a rate limit counts them as they arrive. If our process, the network or
Attentive's servers stall for a moment, well-spaced calls arrive in a bunch, and the calls after them would exceed the
limit. So each call keeps its slot for one second from the latest time at which it can have arrived: the time of its
answer less the usual duration of an answer. Without stalls, that is the time it left.
"""

from bisect import bisect_right, insort
from typing import Final

from app.attentive.answers import Reply, Unreachable

WINDOW_S: Final = 1.04  # one second, and an allowance for varying latency
_LONGEST_S: Final = 1.0  # a call that has had no answer for longer has arrived, or never will
_SMOOTHED_OVER_S: Final = 3.0
_MOST_LEARNT: Final = 0.1  # of one answer: the first after a pause may have needed a new connection


class SlidingWindow:
    """The calls of one drain. All times are monotonic seconds."""

    def __init__(self, now: float, *, before: int = 0, ago_s: float = 0.0) -> None:
        """`before` calls were in the current second of the previous drain, `ago_s` seconds ago."""
        self._began = now
        self._under_way: dict[int, float] = {}  # when each call left, by its number
        self._number = 0
        # For each answered call: the latest time at which it can have arrived, in order. The previous drain's calls
        # are assumed to have left evenly.
        self._arrived = [now - ago_s - WINDOW_S * place / before for place in reversed(range(before))]
        self._answered: list[float] = []  # when the answers arrived
        self._usual_s = 0.0  # the usual duration of an answer
        self._last = now  # when the last answer arrived
        self._others = 0.0

    def leaves(self, now: float) -> int:
        """Register a call that is about to be sent. Returns its number."""
        self._number += 1
        self._under_way[self._number] = now
        return self._number

    def returns(self, number: int, reply: Reply | Unreachable | None, now: float) -> None:
        """Register a call that has its answer or has given up. `reply` is None if it was not sent after all."""
        sent = self._under_way.pop(number)
        if reply is None:
            return
        insort(self._arrived, self._latest(sent, now))
        self._learn(min(now - sent, _LONGEST_S), now)
        self._answered.append(now)
        self._others = max(self._others, self._taken_by_others(reply, sent, now))

    def count(self, now: float) -> int:
        """How many calls may be in Attentive's second if it ended now."""
        begins = now - WINDOW_S
        del self._arrived[: bisect_right(self._arrived, begins)]
        del self._answered[: bisect_right(self._answered, now - _LONGEST_S - WINDOW_S)]
        return len(self._arrived) + sum(self._latest(sent, now) > begins for sent in self._under_way.values())

    def others(self) -> float:
        """The highest rate of other users in calls per second, as far as the answers since the last look show."""
        seen, self._others = self._others, 0.0
        return seen

    def _latest(self, sent: float, now: float) -> float:
        return sent + max(0.0, min(now - sent, _LONGEST_S) - self._usual_s)

    def _learn(self, took: float, now: float) -> None:
        """The minimum of the first second, as new connections are slow. Later it adapts over some seconds."""
        if self._last == self._began:
            self._usual_s = took
        elif now - self._began < WINDOW_S:
            self._usual_s = min(self._usual_s, took)
        else:
            self._usual_s += (took - self._usual_s) * min(_MOST_LEARNT, (now - self._last) / _SMOOTHED_OVER_S)
        self._last = now

    def _taken_by_others(self, reply: Reply | Unreachable, sent: float, now: float) -> float:
        """The used part of the limit that cannot be ours.

        All our calls that may have been counted before this answer are assumed counted, in any order of answers, so
        that our own calls never look like another user's. A drain younger than a second has not seen all of them.
        """
        if not isinstance(reply, Reply) or not reply.limit or reply.remaining is None:
            return 0.0
        if now - sent > _LONGEST_S or sent - self._began < WINDOW_S:
            return 0.0
        ours = len(self._under_way) + len(self._answered) - bisect_right(self._answered, sent - WINDOW_S)
        return max(0.0, reply.limit - reply.remaining - ours)
