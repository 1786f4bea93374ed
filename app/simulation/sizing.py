"""How much Redis holds, and how many processes the traffic needs. Pure."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from app.delivery.workload import WINDOW_S, LaneWork, seconds_of_work
from app.simulation.figures import (
    DEAD_LETTER_BYTES,
    GATEWAY_EVENTS_PER_S,
    JOURNAL_ENTRY_BYTES,
    MEMORY_HEADROOM,
    MESSAGE_ID_BYTES,
    PERSON_BYTES,
    PLANNED_LOAD,
    REDIS_DELIVERY_US,
    REDIS_INTAKE_US,
    WAITING_CALL_BYTES,
    WORKER_LOAD,
)

SPARE: Final = 2  # of each kind of process, so that one may fail


@dataclass(frozen=True, slots=True)
class Stored:
    """What Redis holds for one account."""

    calls: int
    message_ids: int
    journal_entries: int
    dead_letter_bytes: int

    @property
    def bytes(self) -> int:
        """Its size, without people."""
        return (
            self.calls * WAITING_CALL_BYTES
            + self.message_ids * MESSAGE_ID_BYTES
            + self.journal_entries * JOURNAL_ENTRY_BYTES
            + self.dead_letter_bytes
        )


def redis_bytes(stored: Stored, *, accounts: int, people: int) -> int:
    """The memory of the Redis of equal accounts, which know `people` together."""
    return accounts * stored.bytes + people * PERSON_BYTES


def dead_letters_bytes(dead_letters: int, most_bytes: int) -> int:
    """The memory of dead letters, of which the oldest are evicted beyond `most_bytes`."""
    return min(dead_letters * DEAD_LETTER_BYTES, most_bytes)


def maxmemory(expected_bytes: float) -> float:
    """The `maxmemory` for what is expected at most."""
    return expected_bytes * MEMORY_HEADROOM


def gateways_for(events_per_s: float) -> int:
    """Gateway processes for so many single events per second; batches need fewer."""
    return max(SPARE, math.ceil(events_per_s / (GATEWAY_EVENTS_PER_S * PLANNED_LOAD)))


def workers_for(lanes: Iterable[LaneWork], *, accounts: int, one_worker: float) -> int:
    """Workers for what the lanes of each account may send."""
    return max(SPARE, math.ceil(accounts * seconds_of_work(lanes, one_worker=one_worker) / (WINDOW_S * WORKER_LOAD)))


def redis_load(events_per_s: float, calls_per_s: float) -> float:
    """The share of one core that Redis needs for so many events taken in and calls sent."""
    return (events_per_s * REDIS_INTAKE_US + calls_per_s * REDIS_DELIVERY_US) / 1e6


def shards_for(events_per_s: float, calls_per_s: float) -> int:
    """The number of Redis servers that the accounts must be spread over."""
    return max(1, math.ceil(redis_load(events_per_s, calls_per_s) / PLANNED_LOAD))
