"""Rate limits as Attentive documents them: calls per second for each key and path.

Refused calls do not use up the limit. Independently of the limits, every arrival is counted, so that a test can check a
client's busiest second.
"""

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

WINDOW_S = 1.0
UNLIMITED = 1_000_000  # the headers' value without limits


class Allowance(NamedTuple):
    """The state of one limit right after a call arrived."""

    allowed: bool
    limit: int  # calls per second
    remaining: int


@dataclass(slots=True)
class Busiest:
    """The most calls that arrived within any one second."""

    recent: deque[float]
    most: int = 0

    def arrive(self, now: float) -> None:
        """Count one arrival."""
        recent = self.recent
        recent.append(now)
        horizon = now - WINDOW_S
        while recent[0] <= horizon:
            recent.popleft()
        if len(recent) > self.most:
            self.most = len(recent)


class Limits:
    """The calls of the last second, by key and endpoint."""

    def __init__(self) -> None:
        """Start with nothing counted."""
        self._taken: dict[tuple[str, str], deque[float]] = {}
        self._busiest: dict[tuple[str, str], Busiest] = {}

    def arrive(self, key: str, label: str, limit: int | None, now: float, *, fixed: bool) -> Allowance:
        """Count a call of this key (by name) and endpoint, and return whether the limit allows it.

        `fixed` windows start at each full second; otherwise any one second counts.
        """
        who = (key, label)
        busiest = self._busiest.get(who)
        if busiest is None:
            busiest = self._busiest[who] = Busiest(deque())
            self._taken[who] = deque()
        busiest.arrive(now)
        if limit is None:
            return Allowance(allowed=True, limit=UNLIMITED, remaining=UNLIMITED)

        taken = self._taken[who]
        horizon = now // 1 if fixed else now - WINDOW_S
        while taken and (taken[0] < horizon if fixed else taken[0] <= horizon):
            taken.popleft()
        if len(taken) >= limit:
            return Allowance(allowed=False, limit=limit, remaining=0)
        taken.append(now)
        return Allowance(allowed=True, limit=limit, remaining=limit - len(taken))

    def busiest(self) -> dict[str, dict[str, int]]:
        """The most calls within any one second, by key name and endpoint."""
        table: dict[str, dict[str, int]] = {}
        for (key, label), busiest in self._busiest.items():
            table.setdefault(key, {})[label] = busiest.most
        return table
