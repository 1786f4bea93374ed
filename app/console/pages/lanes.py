"""The lanes: their backlogs, rates and holds. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.console.pages.overview import HoldLine, hold_line
from app.delivery.backlog import LaneDepth
from app.delivery.lane import Lane
from app.delivery.workload import LaneWork
from app.operations.destinations import DestinationStatus
from app.store.keys import STREAMS


@dataclass(frozen=True, slots=True)
class LaneRow:
    """One lane that is in use."""

    destination: str
    endpoint: str
    state: str  # sending, held or paused
    waiting: int
    by_stream: Sequence[tuple[str, int]]  # of those that are not empty
    retries: int
    due: int
    rate: float  # calls each second that are allowed now
    used: float  # attempts each second lately
    oldest: timedelta | None  # how long the oldest call has waited
    drains_in: timedelta | None  # at the rate that is allowed now; None while nothing is sent


@dataclass(frozen=True, slots=True)
class MissedJourneys:
    """Calls of one destination that Attentive accepted too late to start a journey."""

    destination: str
    arrived: int  # their events came in late
    waited: int  # they waited too long here


@dataclass(frozen=True, slots=True)
class LanesPage:
    """All lanes that hold a call or sent one lately, the number of idle ones, and every hold."""

    rows: Sequence[LaneRow]
    idle: int
    holds: Sequence[tuple[str, HoldLine]]  # with the destination
    missed: Sequence["MissedJourneys"]

    @property
    def waiting(self) -> int:
        """All calls."""
        return sum(row.waiting for row in self.rows)


def lanes_page(
    depths: Sequence[LaneDepth],
    work: Sequence[LaneWork],
    oldest: Mapping[Lane, datetime],
    statuses: Sequence[DestinationStatus],
    used: Mapping[str, Mapping[str, float]],
    now: datetime,
) -> LanesPage:
    """The page. `depths` and `work` are of the same lanes, in one order; `used` is by destination and endpoint."""
    rows = [
        _row(depth, each, oldest.get(depth.lane), used.get(depth.lane.destination, {}), now)
        for depth, each in zip(depths, work, strict=True)
    ]
    busy = sorted((row for row in rows if row.waiting or row.used), key=lambda row: (-row.waiting, -row.used))
    holds = [(status.name, hold_line(hold, status.token, now)) for status in statuses for hold in status.holds]
    missed = [each for status in statuses if (each := _missed(status)) is not None]
    return LanesPage(busy, len(rows) - len(busy), holds, missed)


def _missed(status: DestinationStatus) -> MissedJourneys | None:
    missed = status.counters.missed
    if not any(missed.values()):
        return None
    return MissedJourneys(status.name, missed.get("arrived", 0), missed.get("waited", 0))


def _row(
    depth: LaneDepth, work: LaneWork, oldest: datetime | None, lately: Mapping[str, float], now: datetime
) -> LaneRow:
    used = lately.get(depth.lane.endpoint, 0.0)
    held = work.held or work.destination_held
    return LaneRow(
        destination=depth.lane.destination,
        endpoint=depth.lane.endpoint,
        state="held" if held else "sending" if work.rate and (depth.total or used) else "paused",
        waiting=depth.total,
        by_stream=[(name, count) for name, count in zip(STREAMS, depth.by_stream, strict=True) if count],
        retries=depth.retries,
        due=work.due,
        rate=work.rate,
        used=round(used, 1),
        oldest=None if oldest is None else max(timedelta(), now - oldest),
        drains_in=timedelta(seconds=work.due / work.rate) if work.rate else None,
    )
