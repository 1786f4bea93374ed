"""How much of the backlog could be sent now, in seconds of one worker's time: what the number of workers follows.

A long backlog alone is no reason for another worker. A lane lets out no more than its pace, however many workers there
are, and one drain at a time sends from it. So each lane counts for what it would let out within the next `WINDOW_S`:

    sendable = min(due, WINDOW_S * min(rate, one worker's rate))
    seconds  = sum of all lanes' sendable / one worker's rate

A lane that is at Attentive's limit stays at that limit's share of a worker, whatever its backlog; one that is held,
stopped or told to pause counts nothing. As many workers as `seconds / WINDOW_S` are busy all the time; to have none
overloaded, give each somewhat less than the window: 8 of 10 s.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis

from app.delivery.backlog import Lane, LaneDepth
from app.delivery.pace import FAILURES_TO_STOP, SHARE, Pace

WINDOW_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class LaneWork:
    """What one lane has to send, and how fast it may."""

    lane: Lane
    due: int  # calls that wait for nothing but their turn; those under way included, those before their retry not
    rate: float  # calls per second that its pace allows now; 0 while nothing may be sent
    held: bool = False  # the endpoint's own hold or stop
    destination_held: bool = False

    def sendable(self, one_worker: float) -> float:
        """Calls that could be sent within the next `WINDOW_S`, when a worker sends `one_worker` calls per second."""
        return min(self.due, WINDOW_S * min(self.rate, one_worker))


def seconds_of_work(lanes: Iterable[LaneWork], *, one_worker: float) -> float:
    """How long one worker, who sends `one_worker` calls per second, would need for what all lanes would let out."""
    return sum(lane.sendable(one_worker) for lane in lanes) / one_worker


async def read_workload(redis: Redis, depths: Sequence[LaneDepth], paces: Mapping[Lane, Pace]) -> list[LaneWork]:
    """What the lanes could send now. Raises RedisError."""
    seconds, microseconds = await redis.time()
    now_ms = seconds * 1000 + microseconds / 1000
    async with redis.pipeline(transaction=False) as pipeline:
        for depth in depths:
            keys = depth.lane.keys
            pipeline.zcount(keys.retry, "-inf", now_ms)
            pipeline.hmget(keys.pace, ["rate", "pause", "failures"])
            pipeline.exists(keys.hold)
            pipeline.exists(keys.destination.hold)
        facts = await pipeline.execute()
    lanes = []
    for depth, i in zip(depths, range(0, len(facts), 4), strict=True):
        retries_due, (rate, pause, failures), held, destination_held = facts[i : i + 4]
        stands = held or destination_held or float(pause or 0) > now_ms or int(failures or 0) >= FAILURES_TO_STOP
        allowed = float(rate) if rate else paces[depth.lane].limit * SHARE  # before the first claim: the documented one
        lanes.append(
            LaneWork(
                depth.lane,
                due=sum(depth.by_stream) + retries_due,
                rate=0.0 if stands else allowed,
                held=bool(held),
                destination_held=bool(destination_held),
            )
        )
    return lanes
