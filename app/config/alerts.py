"""Alerts, as the YAML file describes them: channels, thresholds, and when to keep quiet."""

from dataclasses import replace
from datetime import time
from typing import Annotated, Any, ClassVar, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from app.alerts.rules import RULES, Evaluator, Thresholds
from app.config.console import WebAddress
from app.config.values import Frozen, Name, SecretRef, Title, nearest

_KNOWN: Final = [name for name, rule in RULES.items() if rule.evaluator is not Evaluator.PROMETHEUS or rule.prometheus]


def _rule(name: str) -> str:
    if name not in RULES:
        raise ValueError(f"must be the name of a rule; {nearest(name, _KNOWN)}")
    return name


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("must be the name of a time zone, such as America/New_York") from None
    return name


def _time_of_day(given: Any) -> Any:
    if isinstance(given, str):
        try:
            return time.fromisoformat(given)
        except ValueError:
            pass
    if isinstance(given, time):
        return given
    raise ValueError("must be a time of day, such as 22:00")


RuleName = Annotated[str, AfterValidator(_rule)]
Seconds = Annotated[float, Field(ge=0, le=365 * 86_400, allow_inf_nan=False)]
Threshold = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class QuietHoursSettings(Frozen):
    """A part of each day in which a channel gets critical alerts alone. What is still so afterwards is sent then."""

    start: Annotated[time, BeforeValidator(_time_of_day)] = Field(description="when they begin, such as 22:00")
    end: Annotated[time, BeforeValidator(_time_of_day)] = Field(description="when they end, such as 07:00")
    timezone: Annotated[str, AfterValidator(_zone)] = Field("UTC", description="the time zone of both")


class AlertChannel(Frozen):
    """Where alerts go. The address is an Apprise URL, or the address of a Slack webhook as Slack shows it."""

    indirect: ClassVar = "url"

    url: SecretRef = Field(
        description="the address with its secrets, such as slack://…, pagerduty://…, mailtos://…, twilio://…, "
        "json://…; or url_env, or url_file"
    )
    severity: Literal["warning", "critical"] = Field("warning", description="the lowest severity that it gets")
    destinations: tuple[Name, ...] | None = Field(
        None, description="alerts about these destinations alone, and those that concern no destination. Default: all"
    )
    rules: tuple[RuleName, ...] | None = Field(None, description="alerts of these rules alone. Default: all")
    after_s: Seconds = Field(0, description="alerts that have lasted this long alone: for those who are asked second")
    repeat_s: Seconds = Field(0, description="repeat a message when the alert is still open after this time; 0: never")
    recoveries: bool = Field(True, description="whether it gets a message when an alert has ended")
    digest: bool = Field(True, description="whether more than 5 messages within 30 s become one. PagerDuty: never")
    quiet_hours: QuietHoursSettings | None = Field(None, description="when it gets critical alerts alone, see below")

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if 0 < self.repeat_s < 60:
            raise ValueError("repeat_s must be 0, or at least 60")
        return self


class RuleSettings(Frozen):
    """Another threshold or another time for one rule, or an end of it. docs/alerts.md lists the rules."""

    enabled: bool = Field(True, description="whether the rule is evaluated")
    warning: Threshold | None = Field(None, description="above this it is a warning; null: it never is")
    critical: Threshold | None = Field(None, description="above this it is critical; null: it never is")
    for_s: Seconds = Field(0, description="how long it must be so, in seconds")

    def on(self, usual: Thresholds) -> Thresholds:
        """The usual thresholds of a rule with what is stated here in their place."""
        given = {name: getattr(self, name) for name in self.model_fields_set - {"enabled"}}
        return replace(usual, **given)


class Alerts(Frozen):
    """Who gets a message when something needs attention, and when. See docs/alerts.md."""

    indirect: ClassVar = "heartbeat"

    name: Title = Field("attentive-gateway", min_length=1, description="what messages call this gateway")
    console: WebAddress | None = Field(None, description="address of the console, for a link in each message")
    channels: dict[Name, AlertChannel] = Field({}, description="where alerts go, by name, see below")
    rules: dict[RuleName, RuleSettings] = Field({}, description="thresholds that differ from the usual, see below")
    heartbeat: SecretRef | None = Field(
        None,
        description="address that is requested once a minute while alerts are evaluated, for a service that calls when "
        "that stops; or heartbeat_env, or heartbeat_file",
    )

    def thresholds(self) -> dict[str, Thresholds]:
        """Those of every rule that is evaluated."""
        settings = {name: self.rules.get(name, RuleSettings()) for name in RULES}
        return {name: each.on(RULES[name].thresholds) for name, each in settings.items() if each.enabled}
