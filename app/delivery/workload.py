"""How much of the backlog could be sent now, in seconds of one worker's time. Scale workers by this.

A long backlog alone does not call for another worker. A lane sends no faster than its pace, however many workers there
are, and only one drain at a time sends from it. So each lane counts for what it could send within the next `WINDOW_S`:

    sendable = min(due, WINDOW_S * min(rate, one worker's rate))
    seconds  = sum of all lanes' sendable / one worker's rate

A lane at Attentive's limit counts for that limit's share of a worker, whatever its backlog. A lane that is held,
stopped or paused counts nothing. `seconds / WINDOW_S` workers would be busy all the time. To overload none of them,
plan each with somewhat less than the window: 8 of 10 s. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from app.delivery.lane import Lane

WINDOW_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class LaneWork:
    """What one lane has to send, and how fast it may."""

    lane: Lane
    due: int  # calls that could be sent now, including those under way, without those that wait for a retry
    rate: float  # calls per second that its pace allows now; 0 while it must not send
    held: bool = False  # the endpoint is held or stopped
    destination_held: bool = False

    def sendable(self, one_worker: float) -> float:
        """Calls that could be sent within the next `WINDOW_S`, if a worker sends `one_worker` calls per second."""
        return min(self.due, WINDOW_S * min(self.rate, one_worker))


def seconds_of_work(lanes: Iterable[LaneWork], *, one_worker: float) -> float:
    """How long one worker that sends `one_worker` calls per second would need for what all lanes could send."""
    return sum(lane.sendable(one_worker) for lane in lanes) / one_worker
