"""What Attentive may count of ours within its second, by our own clock; and what others take of the same limit. Pure.

A token bucket spaces the calls as they leave, but a limit counts them as they arrive. When something on the way stands
still for a moment (our process, the network, Attentive's door), calls that left well spaced arrive in one bunch, and
those that follow a moment later are one too many. So each call keeps its place for a second from the latest moment at
which it can have arrived: its answer, less what an answer usually takes. On a steady road that is the moment it left.
"""

from bisect import bisect_right, insort
from typing import Final

from app.attentive.client import Reply, Unreachable

WINDOW_S: Final = 1.04  # a second, and some time for the road to vary
_LONGEST_S: Final = 1.0  # a call without an answer for longer has arrived, or never will
_SMOOTHED_OVER_S: Final = 3.0
_MOST_LEARNT: Final = 0.1  # of one answer: the first after a pause may have needed a new connection


class LastSecond:
    """The calls of one drain. All times are monotonic seconds."""

    def __init__(self, now: float, *, before: int = 0, ago_s: float = 0.0) -> None:
        """`before` calls stood in the second of the drain before this one, `ago_s` ago."""
        self._began = now
        self._under_way: dict[int, float] = {}  # when each one left, by its number
        self._number = 0
        # The latest moment at which each answered one can have arrived, in order; those of the drain before left about
        # evenly.
        self._arrived = [now - ago_s - WINDOW_S * place / before for place in reversed(range(before))]
        self._answered: list[float] = []  # when their answers came
        self._usual_s = 0.0  # what an answer takes
        self._last = now  # when the last one came
        self._others = 0.0

    def leaves(self, now: float) -> int:
        """A call is about to be sent; its number."""
        self._number += 1
        self._under_way[self._number] = now
        return self._number

    def returns(self, number: int, reply: Reply | Unreachable | None, now: float) -> None:
        """A call has its answer, or has given up; None when it was not sent after all."""
        sent = self._under_way.pop(number)
        if reply is None:
            return
        insort(self._arrived, self._latest(sent, now))
        self._learn(min(now - sent, _LONGEST_S), now)
        self._answered.append(now)
        self._others = max(self._others, self._taken_by_others(reply, sent, now))

    def count(self, now: float) -> int:
        """How many calls may stand in Attentive's second, if it ended now."""
        begins = now - WINDOW_S
        del self._arrived[: bisect_right(self._arrived, begins)]
        del self._answered[: bisect_right(self._answered, now - _LONGEST_S - WINDOW_S)]
        return len(self._arrived) + sum(self._latest(sent, now) > begins for sent in self._under_way.values())

    def others(self) -> float:
        """The most calls a second that others made, as far as the answers since the last look can tell."""
        seen, self._others = self._others, 0.0
        return seen

    def _latest(self, sent: float, now: float) -> float:
        return sent + max(0.0, min(now - sent, _LONGEST_S) - self._usual_s)

    def _learn(self, took: float, now: float) -> None:
        """The least of the first second, for new connections are slow; later it follows, over some seconds."""
        if self._last == self._began:
            self._usual_s = took
        elif now - self._began < WINDOW_S:
            self._usual_s = min(self._usual_s, took)
        else:
            self._usual_s += (took - self._usual_s) * min(_MOST_LEARNT, (now - self._last) / _SMOOTHED_OVER_S)
        self._last = now

    def _taken_by_others(self, reply: Reply | Unreachable, sent: float, now: float) -> float:
        """What is gone of the limit and cannot have been ours.

        All of ours that may have been counted before this answer are taken for counted, in whatever order answers come:
        so our own pace never looks like somebody else's. A drain that is younger than a second has not seen them all.
        """
        if not isinstance(reply, Reply) or not reply.limit or reply.remaining is None:
            return 0.0
        if now - sent > _LONGEST_S or sent - self._began < WINDOW_S:
            return 0.0
        ours = len(self._under_way) + len(self._answered) - bisect_right(self._answered, sent - WINDOW_S)
        return max(0.0, reply.limit - reply.remaining - ours)
