"""Alerts in the YAML file: what they become, and how mistakes are told."""

from datetime import time
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from typer.testing import CliRunner

from app.alerts.routing import QuietHours
from app.alerts.rules import RULES, Thresholds
from app.alerts.state import Level
from app.cli import cli
from app.config.document import BadFile
from app.config.topology import load_file
from app.wiring.alerts import AlertPlans, alert_plan

HEAD: Final = """\
destinations: {acme: {api_token: t}}
sources: {shop: {write_key: k, destination: acme}}
"""
GOOD: Final = (
    HEAD
    + """\
alerts:
  name: acme production
  console: https://console.example
  heartbeat: https://hc.example/secret-heartbeat
  channels:
    team:
      url: slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/
      quiet_hours: {start: "22:00", end: "07:30", timezone: Europe/Berlin}
    on-call: {url_env: ON_CALL, severity: critical, destinations: [acme], rules: [held], after_s: 600}
  rules:
    backlog_old: {warning: 300, critical: null}
    refusals: {enabled: false}
"""
)


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "gateway.yaml"
    file.write_text(text)
    return file


def test_a_file_becomes_a_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ON_CALL", "pagerduty://key@api")
    topology = load_file(written(tmp_path, GOOD)).topology
    plan = alert_plan(topology)
    team, on_call = plan.channels
    assert team.quiet == QuietHours(time(22), time(7, 30), ZoneInfo("Europe/Berlin"))
    assert (on_call.severity, on_call.after_s) == (Level.CRITICAL, 600)
    assert on_call.concerns("held", "acme")
    assert not on_call.concerns("held", "other")
    assert not on_call.concerns("backlog_old", "acme")
    assert plan.rules["backlog_old"].thresholds == Thresholds(300, None, RULES["backlog_old"].thresholds.for_s)
    assert plan.rules["held"] == RULES["held"]
    assert "refusals" not in plan.rules
    assert plan.addresses["on-call"] == "pagerduty://key@api"
    assert plan.heartbeat == "https://hc.example/secret-heartbeat"
    assert "secret-heartbeat" not in repr(plan)
    assert "pagerduty" not in repr(plan)
    plans = AlertPlans(lambda: topology)
    assert plans.now() is plans.now()


def test_without_alerts_all_rules_are_evaluated_and_nothing_is_sent(tmp_path: Path) -> None:
    plan = alert_plan(load_file(written(tmp_path, HEAD)).topology)
    assert plan.rules == RULES
    assert plan.channels == []


@pytest.mark.parametrize(
    ("part", "line", "told"),
    [
        pytest.param("rules: {backlog: {}}", 4, "must be the name of a rule; did you mean backlog_old?", id="rule"),
        pytest.param("rules: {held: {warn: 1}}", 4, "did you mean warning?", id="key of a rule"),
        pytest.param("rules: {held: {for_s: -1}}", 4, "should be greater than or equal to 0", id="time"),
        pytest.param("channels: {a: {}}", 4, "is required, or url_env or url_file", id="no address"),
        pytest.param('channels: {a: {url: "s://x", severity: info}}', 4, "'warning' or 'critical'", id="severity"),
        pytest.param(
            'channels: {a: {url: "s://x", destinations: [acm]}}',
            4,
            "must be the name of a destination",
            id="destination",
        ),
        pytest.param('channels: {a: {url: "s://x", repeat_s: 5}}', 4, "must be 0, or at least 60", id="repeats"),
        pytest.param(
            'channels: {a: {url: "s://x", quiet_hours: {start: "25:00", end: "07:00"}}}', 4, "such as 22:00", id="hour"
        ),
        pytest.param(
            'channels: {a: {url: "s://x", quiet_hours: {start: "22:00", end: "07:00", timezone: Mars/Base}}}',
            *(4, "must be the name of a time zone"),
            id="time zone",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line_and_without_the_address(
    tmp_path: Path, part: str, line: int, told: str
) -> None:
    with pytest.raises(BadFile) as caught:
        load_file(written(tmp_path, f"{HEAD}alerts:\n  {part}\n"))
    (mistake,) = caught.value.mistakes
    assert mistake.line == line
    assert told in str(mistake)
    assert "s://x" not in str(mistake)


def test_mapping_check_checks_the_addresses_of_channels(tmp_path: Path) -> None:
    file = written(tmp_path, GOOD)
    assert CliRunner().invoke(cli, ["mapping", "check", str(file)]).exit_code == 0, "a variable need not be set"
    file.write_text(GOOD.replace("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/", "slak://a-secret"))
    bad = CliRunner().invoke(cli, ["mapping", "check", str(file)])
    assert bad.exit_code == 1
    assert f"{file}:9: alerts.channels.team.url: its address is not one that Apprise knows" in bad.stdout
    assert "a-secret" not in bad.stdout
