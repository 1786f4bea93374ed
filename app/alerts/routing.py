"""Which channel gets which alert, and when. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, tzinfo

from app.alerts.state import Level


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A part of the day, which may span midnight, in which only critical alerts are sent."""

    start: time
    end: time
    zone: tzinfo = UTC

    def include(self, now: int) -> bool:
        """Whether this moment, in epoch ms, is within."""
        local = datetime.fromtimestamp(now / 1000, self.zone).time()
        if self.start <= self.end:
            return self.start <= local < self.end
        return local >= self.start or local < self.end


@dataclass(frozen=True, slots=True)
class Channel:
    """What one channel gets. Its address is a secret, and kept apart."""

    name: str
    severity: Level = Level.WARNING  # and above
    destinations: frozenset[str] | None = None  # None: all, and what concerns none
    rules: frozenset[str] | None = None
    after_s: float = 0.0  # it gets only alerts that have lasted this long
    repeat_s: float = 0.0
    recoveries: bool = True
    quiet: QuietHours | None = None
    digest: bool = True  # whether many messages become one

    def concerns(self, rule: str, destination: str | None) -> bool:
        """Whether alerts of this rule about this destination are its business."""
        if self.rules is not None and rule not in self.rules:
            return False
        return self.destinations is None or destination is None or destination in self.destinations

    def wants(self, level: Level, age_ms: int, now: int) -> bool:
        """Whether to tell it now of an alert that has been open for so long."""
        if level < self.severity or age_ms < self.after_s * 1000:
            return False
        return level is Level.CRITICAL or self.quiet is None or not self.quiet.include(now)
