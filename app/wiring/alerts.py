"""From the configuration to the alerts that a process evaluates and sends."""

from collections.abc import Callable
from dataclasses import replace
from zoneinfo import ZoneInfo

from app.alerts.messages import Sender
from app.alerts.observe import Watched
from app.alerts.plan import AlertPlan
from app.alerts.routing import Channel, QuietHours
from app.alerts.rules import RULES
from app.alerts.state import Level
from app.config.alerts import AlertChannel, QuietHoursSettings
from app.config.topology import Topology
from app.config.values import is_placeholder
from app.delivery.retention import Retention
from app.wiring.shared import all_lanes, all_objectives


def alert_plan(topology: Topology) -> AlertPlan:
    """What is evaluated, and who gets messages."""
    alerts = topology.alerts
    secrets = {name: channel.url for name, channel in alerts.channels.items() if not is_placeholder(channel.url)}
    heartbeat = alerts.heartbeat
    return AlertPlan(
        {name: replace(RULES[name], thresholds=thresholds) for name, thresholds in alerts.thresholds().items()},
        [_channel(name, channel) for name, channel in alerts.channels.items()],
        {name: secret.get_secret_value() for name, secret in secrets.items()},
        Sender(alerts.name, alerts.console),
        None if heartbeat is None or is_placeholder(heartbeat) else heartbeat.get_secret_value(),
    )


def _channel(name: str, settings: AlertChannel) -> Channel:
    return Channel(
        name,
        Level[settings.severity.upper()],
        None if settings.destinations is None else frozenset(settings.destinations),
        None if settings.rules is None else frozenset(settings.rules),
        settings.after_s,
        settings.repeat_s,
        settings.recoveries,
        None if settings.quiet_hours is None else _quiet_hours(settings.quiet_hours),
        settings.digest,
    )


def _quiet_hours(settings: QuietHoursSettings) -> QuietHours:
    return QuietHours(settings.start, settings.end, ZoneInfo(settings.timezone))


def watched(topology: Topology, retention: Retention, *, managed_redis: bool = False) -> Watched:
    """What the rules look at."""
    lanes, sources = all_lanes(topology), list(topology.sources)
    return Watched(lanes, sources, retention, all_objectives(topology), managed_redis)


class AlertPlans:
    """The plan of the topology that is in use, made once for each."""

    def __init__(self, running: Callable[[], Topology]) -> None:
        """`running` returns the topology that is in use now."""
        self._running = running
        self._made: tuple[Topology, AlertPlan] | None = None

    def now(self) -> AlertPlan:
        """The plan; the same object until the topology changes."""
        topology = self._running()
        if self._made is None or self._made[0] is not topology:
            self._made = (topology, alert_plan(topology))
        return self._made[1]
