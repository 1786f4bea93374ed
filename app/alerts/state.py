"""The state of one alert: ok, pending, warning or critical, and what each channel has been sent about it. Pure.

A value above a threshold for the rule's time raises the level; a value below 80 % of the lowest threshold for some
seconds ends the alert. A critical alert stays critical until then. What a channel was sent is kept beside the level, so
that whatever comes between (quiet hours, a mute, too many changes), it gets one message about the level that holds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from typing import Final, Protocol

import msgspec

from app.alerts.rules import Thresholds

HYSTERESIS: Final = 0.8  # of a threshold: below that, an alert ends
CLEAR_MS: Final = 10_000  # for so long
MOST_MESSAGES: Final = 3  # about one alert to one channel within the next
FLAP_MS: Final = 600_000
_FOR_EVER: Final = 1 << 60


class Level(IntEnum):
    """How bad it is."""

    OK = 0
    WARNING = 1
    CRITICAL = 2


class Kind(StrEnum):
    """The content of a message."""

    TRIGGER = "trigger"
    ESCALATION = "escalation"
    REMINDER = "reminder"
    RECOVERY = "recovery"


@dataclass(frozen=True, slots=True)
class Sent:
    """What one channel was sent last, and when, in epoch ms."""

    level: Level = Level.OK
    at: tuple[int, ...] = ()  # within FLAP_MS
    last: int = 0
    critical_at: int = 0  # when it was last sent a critical level


@dataclass(frozen=True, slots=True)
class AlertState:
    """One rule and one subject. Times are epoch ms."""

    level: Level = Level.OK
    since: int = 0  # when the alert began; 0 while there is none
    value: float = 0.0
    pending: int | None = None  # since when the condition of a higher level holds
    clear: int | None = None  # since when the value is low enough for the alert to end
    sent: Mapping[str, Sent] = field(default_factory=dict)  # by channel

    @property
    def name(self) -> str:
        """The state in a word."""
        if self.level is Level.OK:
            return "ok" if self.pending is None else "pending"
        return self.level.name.lower()

    @property
    def is_over(self) -> bool:
        """Whether nothing of it needs to be kept."""
        return self.level is Level.OK and self.pending is None and not self.sent

    def to_json(self) -> bytes:
        """The stored form."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, stored: bytes) -> "AlertState":
        """What was stored; a new state for what another release stored."""
        try:
            return msgspec.json.decode(stored, type=AlertState)
        except msgspec.DecodeError:
            return cls()


@dataclass(frozen=True, slots=True)
class Notice:
    """A message that one channel has to be sent."""

    channel: str
    kind: Kind
    level: Level  # at a recovery: the one that has ended
    flapping: bool = False  # the last one for a while, because there were so many


class Route(Protocol):
    """What a channel gets, see routing.py."""

    @property
    def name(self) -> str:
        """The name of the channel."""

    @property
    def recoveries(self) -> bool:
        """Whether it gets a message when an alert has ended."""

    @property
    def repeat_s(self) -> float:
        """The time until it gets a reminder of an alert that has not ended; 0: never."""

    def wants(self, level: Level, age_ms: int, now: int) -> bool:
        """Whether to tell it now of an alert that has been at this level for so long."""


def step(state: AlertState, value: float, thresholds: Thresholds, now: int) -> AlertState:
    """The state after a look at the value."""
    wanted = _wanted(state.level, value, thresholds)
    if wanted > state.level:
        pending = now if state.pending is None else state.pending
        if now - pending < thresholds.for_s * 1000:
            return replace(state, value=value, pending=pending, clear=None)
        since = state.since if state.level else now
        return replace(state, level=wanted, since=since, value=value, pending=None, clear=None)
    if wanted < state.level:
        clear = now if state.clear is None else state.clear
        if now - clear < CLEAR_MS:
            return replace(state, value=value, pending=None, clear=clear)
        return replace(state, level=Level.OK, since=0, value=value, pending=None, clear=None)
    return replace(state, value=value, pending=None, clear=None)


def _wanted(level: Level, value: float, thresholds: Thresholds) -> Level:
    """The level that this value calls for, given the one there is: an alert keeps its level until it ends."""
    lowest = min(each for each in (thresholds.warning, thresholds.critical, float("inf")) if each is not None)
    if level is Level.OK:
        if thresholds.critical is not None and value > thresholds.critical:
            return Level.CRITICAL
        return Level.WARNING if value > lowest and thresholds.warning is not None else Level.OK
    if thresholds.critical is not None and value > thresholds.critical:
        return Level.CRITICAL
    return level if value > lowest * HYSTERESIS else Level.OK


def announce(
    state: AlertState, routes: Sequence[Route], now: int, *, muted: bool = False
) -> tuple[AlertState, list[Notice]]:
    """What each channel has to be sent now, and the state once it is."""
    sent: dict[str, Sent] = {}
    notices: list[Notice] = []
    for route in routes:
        before = _recent(state.sent.get(route.name, Sent()), now)
        after, notice = _notify(state, route, before, now, muted)
        if notice is not None:
            notices.append(notice)
        if after.level or after.at:
            sent[route.name] = after
    return replace(state, sent=sent), notices


def _recent(sent: Sent, now: int) -> Sent:
    return replace(sent, at=tuple(at for at in sent.at if now - at < FLAP_MS))


def _notify(state: AlertState, route: Route, sent: Sent, now: int, muted: bool) -> tuple[Sent, Notice | None]:
    kind = _kind(state, route, sent, now)
    if kind is None:
        return sent, None
    if kind is Kind.RECOVERY and not route.recoveries:
        return replace(sent, level=Level.OK), None
    level = max(state.level, sent.level)
    may = route.wants(level, now - state.since if state.level else _FOR_EVER, now)
    if not may or (muted and kind is not Kind.RECOVERY):
        return sent, None
    first_critical = state.level is Level.CRITICAL and now - sent.critical_at >= FLAP_MS
    if len(sent.at) >= MOST_MESSAGES and not first_critical:
        return sent, None
    critical_at = now if state.level is Level.CRITICAL else sent.critical_at
    notice = Notice(route.name, kind, level, flapping=len(sent.at) == MOST_MESSAGES - 1)
    return Sent(state.level, (*sent.at, now), now, critical_at), notice


def _kind(state: AlertState, route: Route, sent: Sent, now: int) -> Kind | None:
    if state.level is sent.level:
        due = state.level and route.repeat_s and now - sent.last >= route.repeat_s * 1000
        return Kind.REMINDER if due else None
    if state.level is Level.OK:
        return Kind.RECOVERY
    if state.level < sent.level:  # of an alert before this one: it was not sent the end of that one
        return None
    return Kind.TRIGGER if sent.level is Level.OK else Kind.ESCALATION
