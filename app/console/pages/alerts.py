"""The alerts: what is open, how channels fare, what is muted, and what has changed. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from app.alerts.register import HistoryEntry
from app.alerts.rules import RULES, AlertId, Unit, shown
from app.alerts.state import Level
from app.operations.alerts import ChannelStatus, Overview

_CHIP: Final = {"critical": "bad", "warning": "warn", "pending": "quiet", "ok": "good"}


@dataclass(frozen=True, slots=True)
class AlertRow:
    """One open alert."""

    state: str
    chip: str
    rule: str
    subject: str
    summary: str
    advice: str
    since: datetime | None
    sent_to: Sequence[str]
    muted: bool


@dataclass(frozen=True, slots=True)
class MuteRow:
    """What is muted."""

    rule: str
    subject: str
    until: datetime


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One change of the past."""

    at: datetime
    rule: str
    subject: str
    level: str
    chip: str
    value: str
    sent_to: Sequence[str]


@dataclass(frozen=True, slots=True)
class AlertsPage:
    """The page."""

    alerts: Sequence[AlertRow]
    channels: Sequence[ChannelStatus]
    mutes: Sequence[MuteRow]
    changes: Sequence[ChangeRow]
    evaluated: timedelta | None  # how long ago; None: never


def seen_by(alert: AlertId, destinations: Collection[str], sources: Collection[str]) -> bool:
    """Whether a user of some destinations and their sources may see an alert. What is about neither, all may."""
    rule = RULES.get(alert.rule)
    about = dict(zip(rule.labels, alert.labels, strict=False)) if rule else {}
    if "destination" in about:
        return about["destination"] in destinations
    return not about.get("source") or about["source"] in sources


def alerts_page(found: Overview, history: Sequence[HistoryEntry], now: datetime) -> AlertsPage:
    """The page of what was found."""
    return AlertsPage(
        [
            AlertRow(
                state=each.state.name,
                chip=_CHIP[each.state.name],
                rule=each.id.rule,
                subject=each.id.subject,
                summary=each.rule.summary.format(subject=each.id.subject or "the gateway", value=each.value),
                advice=each.rule.advice,
                since=each.since,
                sent_to=each.sent_to,
                muted=each.muted,
            )
            for each in found.alerts
        ],
        found.channels,
        [MuteRow(alert.rule, alert.subject, until) for alert, until in found.mutes.items()],
        [_change(entry) for entry in history],
        None if found.evaluated_at is None else max(timedelta(), now - found.evaluated_at),
    )


def _change(entry: HistoryEntry) -> ChangeRow:
    rule, level = RULES.get(entry.alert.rule), entry.level.name.lower()
    without_value = rule is None or rule.unit is Unit.SWITCH or entry.level is Level.OK
    return ChangeRow(
        entry.at,
        entry.alert.rule,
        entry.alert.subject,
        "ended" if entry.level is Level.OK else level,
        _CHIP[level],
        "" if rule is None or without_value else shown(rule.unit, entry.value),
        entry.sent_to,
    )
