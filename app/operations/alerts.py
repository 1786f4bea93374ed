"""Alerts for operators: what is open, how channels fare, a test message, mutes and history."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from app.alerts.channels import Post, kind_of
from app.alerts.messages import test_message
from app.alerts.register import (
    ChannelReport,
    HistoryEntry,
    Side,
    count_waiting,
    is_muted,
    mute,
    read_channels,
    read_history,
    read_mutes,
    read_states,
    unmute,
)
from app.alerts.routing import Channel
from app.alerts.rules import RULES, AlertId, Rule, shown
from app.alerts.state import AlertState
from app.clock import now_ms
from app.delivery.delivery import from_ms
from app.operations.operator import BadRequest, NotFound, Operator
from app.store.keys import AlertKeys
from app.wiring.alerts import alert_plan

MISSING: Final = "its address is a secret that is not at hand here"


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert that is pending, a warning or critical."""

    id: AlertId
    rule: Rule
    state: AlertState
    muted: bool

    @property
    def since(self) -> datetime | None:
        """When it began; of a pending one: since when its condition holds."""
        began = self.state.since or self.state.pending
        return from_ms(began) if began else None

    @property
    def value(self) -> str:
        """What was measured last."""
        return shown(self.rule.unit, self.state.value)

    @property
    def sent_to(self) -> list[str]:
        """The channels that got a message about it."""
        return [channel for channel, sent in self.state.sent.items() if sent.level]


@dataclass(frozen=True, slots=True)
class ChannelStatus:
    """How one channel fares."""

    channel: Channel
    kind: str  # "slack"; empty where the address is not at hand
    report: ChannelReport
    waiting: int  # messages


@dataclass(frozen=True, slots=True)
class Overview:
    """All alerts at a moment."""

    alerts: list[OpenAlert]
    channels: list[ChannelStatus]
    mutes: dict[AlertId, datetime]
    evaluated_at: datetime | None  # None: no worker has done so yet


async def overview(operator: Operator) -> Overview:
    """What is open, the worst first, and how the channels fare."""
    redis, plan, now = operator.redis, alert_plan(operator.topology), now_ms()
    mutes = await read_mutes(redis, now)
    found = [
        OpenAlert(alert, RULES[alert.rule], stored.state, is_muted(alert, mutes))
        for side in Side
        for alert, stored in (await read_states(redis, side)).items()
        if alert.rule in RULES and stored.state.name != "ok"
    ]
    names = [channel.name for channel in plan.channels]
    reports, waiting = await read_channels(redis), await count_waiting(redis, names)
    channels = [
        ChannelStatus(channel, kind_of(plan.addresses.get(channel.name, "")), reports.get(channel.name, _UNUSED), count)
        for channel, count in zip(plan.channels, waiting, strict=True)
    ]
    evaluated = await redis.get(AlertKeys.evaluated)
    return Overview(
        sorted(found, key=lambda each: (-each.state.level, each.id.field)),
        channels,
        {alert: from_ms(until) for alert, until in mutes.items()},
        None if evaluated is None else from_ms(int(evaluated)),
    )


_UNUSED: Final = ChannelReport()


async def send_test(operator: Operator, channel: str | None) -> dict[str, str]:
    """Send a test message to one channel, or to all. By channel: why it was not taken, empty where it was."""
    plan = alert_plan(operator.topology)
    names = [each.name for each in plan.channels]
    if not names:
        raise BadRequest("No channel is configured. Add one to `alerts.channels` in the file of GATEWAY_CONFIG.")
    if channel is not None and channel not in names:
        raise BadRequest(f"There is no channel {channel!r}. The channels are: {', '.join(names)}.")
    message = test_message(plan.sender, now_ms())
    answers = {}
    for name in [channel] if channel is not None else names:
        address = plan.addresses.get(name)
        answers[name] = MISSING if address is None else await Post(address).send(message)
    return answers


async def mute_alert(operator: Operator, rule: str, subject: str | None, span: timedelta) -> datetime:
    """Send nothing about a rule, or about one subject of it, for so long. Until when."""
    alert = await _alert_named(operator, rule, subject)
    until = now_ms() + span // timedelta(milliseconds=1)
    await mute(operator.redis, alert, until)
    return from_ms(until)


async def unmute_alert(operator: Operator, rule: str, subject: str | None) -> None:
    """End a mute."""
    if not await unmute(operator.redis, await _alert_named(operator, rule, subject)):
        raise NotFound("That alert is not muted. `attentive-gateway alerts list` shows those that are.")


async def _alert_named(operator: Operator, rule: str, subject: str | None) -> AlertId:
    """The alert of a rule and a subject as `alerts list` shows it."""
    if rule not in RULES:
        raise BadRequest(f"There is no rule {rule!r}. The rules are: {', '.join(RULES)}.")
    if subject is None:
        return AlertId(rule)
    for side in Side:
        for alert in await read_states(operator.redis, side):
            if alert.rule == rule and alert.subject == subject:
                return alert
    labels, names = subject.split("/"), RULES[rule].labels
    if len(labels) > len(names):
        raise BadRequest(f"{subject!r} is not a subject of {rule}, which has: {'/'.join(names) or 'none'}.")
    return AlertId(rule, (*labels, *[""] * (len(names) - len(labels))))


async def history(operator: Operator, count: int) -> list[HistoryEntry]:
    """The newest changes, the newest first."""
    return await read_history(operator.redis, count)
