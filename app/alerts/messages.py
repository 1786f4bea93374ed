"""The text of alerts: what happened, what it means, what to do first, and where to look. Pure.

A message names rules, destinations, endpoints, sources and counts. It holds nothing that a tracker wrote.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from app.alerts.rules import RULES, AlertId, shown
from app.alerts.state import FLAP_MS, Kind, Level, Notice

_TITLES: Final = {
    Kind.TRIGGER: "{level}",
    Kind.ESCALATION: "now {level}",
    Kind.REMINDER: "still {level}",
    Kind.RECOVERY: "resolved",
}
_FLAPPING: Final = f"It keeps changing: nothing more is sent about it for up to {FLAP_MS // 60_000} minutes."


@dataclass(frozen=True, slots=True)
class Message:
    """What one channel is sent."""

    kind: Kind
    level: Level
    title: str
    body: str
    key: str  # shared by all messages about one alert: an incident is resolved by it
    at: int  # epoch ms

    def to_json(self) -> bytes:
        """The stored form."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, stored: bytes) -> "Message":
        """What was stored. Raises msgspec.DecodeError."""
        return msgspec.json.decode(stored, type=Message)


@dataclass(frozen=True, slots=True)
class Sender:
    """The gateway that sends messages, as they name it."""

    name: str = "attentive-gateway"
    url: str | None = None  # of its console


def message_of(alert: AlertId, value: float, notice: Notice, now: int, sender: Sender) -> Message:
    """The message about one change of one alert."""
    rule = RULES[alert.rule]
    summary = rule.summary.format(subject=alert.subject or sender.name, value=shown(rule.unit, value))
    if notice.kind is Kind.RECOVERY:
        summary = f"{alert.subject}: {rule.alert}" if alert.subject else rule.alert
    title = _TITLES[notice.kind].format(level=notice.level.name.lower())
    lines = [f"It is over: {rule.when}." if notice.kind is Kind.RECOVERY else rule.advice]
    if notice.flapping:
        lines.append(_FLAPPING)
    if sender.url:
        lines.append(f"{sender.url}/")
    subject = f"[{sender.name}] {title}: {summary}"
    return Message(notice.kind, notice.level, subject, "\n".join(lines), key_of(alert, sender), now)


def key_of(alert: AlertId, sender: Sender) -> str:
    """What an incident is known by to services that resolve it."""
    return ":".join(("attentive-gateway", sender.name, alert.rule, alert.subject)).rstrip(":")


def digest_of(messages: Sequence[Message]) -> Message:
    """One message in place of many."""
    first = messages[0]
    worst = max(message.level for message in messages)
    over = all(message.kind is Kind.RECOVERY for message in messages)
    name = first.title.partition("]")[0].removeprefix("[")
    lines = [message.title.partition("] ")[2] for message in messages]
    kind = Kind.RECOVERY if over else Kind.TRIGGER
    title = f"[{name}] {len(messages)} alerts changed"
    return Message(kind, worst, title, "\n".join(lines), f"{first.key}:digest", messages[-1].at)


def test_message(sender: Sender, now: int) -> Message:
    """What `alerts test` sends."""
    body = "This is a test. Alerts of this gateway reach this channel."
    key = f"attentive-gateway:{sender.name}:test"
    return Message(Kind.TRIGGER, Level.WARNING, f"[{sender.name}] test", body, key, now)
