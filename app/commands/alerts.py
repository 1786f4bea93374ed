"""`attentive-gateway alerts`: what is open, whether channels work, mutes, history, and the rules for Prometheus."""

import re
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer
import yaml
from rich.table import Table

from app.alerts.prometheus import rules_file
from app.alerts.register import HistoryEntry
from app.alerts.rules import RULES, Evaluator, Rule, Unit, shown, span
from app.commands.common import audit, fail, out, parse_span, table_with, whole, with_redis
from app.commands.mapping_show import Config
from app.commands.trial import topology_of
from app.operations.alerts import (
    ChannelStatus,
    OpenAlert,
    Overview,
    history,
    mute_alert,
    overview,
    send_test,
    unmute_alert,
)
from app.operations.operator import Operator
from app.wiring.alerts import alert_plan

commands = typer.Typer(no_args_is_help=True, help="Show alerts, their rules, channels and history, and mute them.")

RuleName = Annotated[str, typer.Argument(metavar="RULE", help="The rule, such as backlog_old.")]
Subject = Annotated[
    str | None,
    typer.Argument(metavar="SUBJECT", help="One subject of the rule, as `alerts list` shows it. Without it, all."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object for each line.")]
_COLOURS: Final = {"pending": "dim", "warning": "yellow", "critical": "red"}
_LEVEL: Final = {0: "ok", 1: "warning", 2: "critical"}
_PART: Final = re.compile(r"(?<=<!-- rules -->\n).*?(?=<!-- /rules -->)", re.DOTALL)


@commands.callback()
def alerts() -> None:
    """Show alerts, their rules, channels and history, and mute them."""


@commands.command("list")
def list_alerts(as_json: AsJson = False) -> None:
    """List open alerts, the worst first, and the state of each channel.

    An alert is pending while its condition has not lasted for the time of its rule; nothing is sent about it yet.
    """
    found = with_redis(overview)
    if as_json:
        for each in found.alerts:
            out.out(orjson.dumps(_facts(each)).decode(), highlight=False)
        return
    if found.evaluated_at is None:
        out.print("No worker has evaluated the alerts yet. Is one running?", style="yellow")
    elif not found.alerts:
        out.print(f"No alert is open. Evaluated at {found.evaluated_at:%Y-%m-%d %H:%M:%S} UTC.")
    else:
        out.print(_table_of(found.alerts), highlight=False)
    _print_mutes(found)
    if found.channels:
        out.print(_channels(found.channels), highlight=False)
    else:
        out.print("No channel is configured, so nothing is sent: see docs/alerts.md.", style="yellow")


def _table_of(alerts: list[OpenAlert]) -> Table:
    table = table_with("State", whole("Rule"), "Subject", "Value", "Since (UTC)", "Sent to")
    for each in alerts:
        sent = ", ".join(each.sent_to) or "-"
        table.add_row(
            f"[{_COLOURS[each.state.name]}]{each.state.name}[/]",
            each.id.rule,
            each.id.subject or "-",
            "-" if each.rule.unit is Unit.SWITCH else each.value,
            f"{each.since:%Y-%m-%d %H:%M:%S}" if each.since else "-",
            f"{sent} (muted)" if each.muted else sent,
        )
    return table


def _channels(channels: list[ChannelStatus]) -> Table:
    table = table_with(whole("Channel"), "Kind", "From", "Waiting", "Last attempt")
    for each in channels:
        report = each.report
        last = f"failed: {report.failure}" if report.failure else "sent" if report.sent_at else "-"
        table.add_row(each.channel.name, each.kind, each.channel.severity.name.lower(), f"{each.waiting:,}", last)
    return table


def _print_mutes(found: Overview) -> None:
    for alert, until in found.mutes.items():
        what = f"{alert.rule} {alert.subject}".rstrip()
        out.print(f"Muted until {until:%Y-%m-%d %H:%M} UTC: {what}", highlight=False, markup=False)


def _facts(each: OpenAlert) -> dict[str, Any]:
    return {
        "rule": each.id.rule,
        "alert": each.rule.alert,
        "subject": each.id.subject,
        "labels": dict(zip(each.rule.labels, each.id.labels, strict=False)),
        "state": each.state.name,
        "value": each.state.value,
        "since": each.since.isoformat() if each.since else None,
        "sent_to": each.sent_to,
        "muted": each.muted,
    }


@commands.command("test")
def try_channels(
    channel: Annotated[
        str | None, typer.Argument(metavar="CHANNEL", help="The channel. Without it, all of them.")
    ] = None,
) -> None:
    """Send a test message to a channel, at once and from here. The exit status is 1 if a channel refuses it."""

    async def work(operator: Operator) -> dict[str, str]:
        answers = await send_test(operator, channel)
        for name, failure in answers.items():
            await audit(operator, "test channel", channel=name, sent=str(not failure))
        return answers

    answers = with_redis(work)
    for name, failure in answers.items():
        out.print(f"{name}: {f'not sent: {failure}' if failure else 'sent'}", highlight=False, markup=False)
    if any(answers.values()):
        raise typer.Exit(1)


@commands.command("mute")
def mute(
    rule: RuleName,
    subject: Subject = None,
    last: Annotated[str, typer.Option("--for", metavar="TIME", help="How long, such as 30m, 2h or 1d.")] = "1h",
) -> None:
    """Mute a rule, or one subject of it, for a time. An alert that is still firing afterwards is sent then."""
    time = parse_span(last)

    async def work(operator: Operator) -> datetime:
        until = await mute_alert(operator, rule, subject, time)
        await audit(operator, "mute alert", rule=rule, subject=subject or "", hours=f"{time / timedelta(hours=1):g}")
        return until

    until = with_redis(work)
    out.print(f"Muted until {until:%Y-%m-%d %H:%M:%S} UTC.", highlight=False)


@commands.command("unmute")
def unmute(rule: RuleName, subject: Subject = None) -> None:
    """End a mute."""

    async def work(operator: Operator) -> None:
        await unmute_alert(operator, rule, subject)
        await audit(operator, "unmute alert", rule=rule, subject=subject or "")

    with_redis(work)
    out.print("The mute has ended.")


@commands.command("history")
def print_history(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Number of changes.")] = 50, as_json: AsJson = False
) -> None:
    """List past changes, the newest first: when alerts began, got worse and ended, and which channels got a message."""
    entries = with_redis(lambda operator: history(operator, limit))
    if as_json:
        for each in entries:
            facts = asdict(each) | {"level": _LEVEL[each.level], "before": _LEVEL[each.before]}
            out.out(orjson.dumps(facts).decode(), highlight=False)
    elif not entries:
        out.print("No alert has changed yet.")
    else:
        table = table_with("Time (UTC)", whole("Rule"), "Subject", "Change", "Value", "Sent to")
        for each in entries:
            table.add_row(*_history_row(each))
        out.print(table, highlight=False)


def _history_row(entry: HistoryEntry) -> tuple[str, ...]:
    same = entry.level is entry.before
    change = "sent" if same else f"{_LEVEL[entry.before]} → {_LEVEL[entry.level]}"
    rule = RULES.get(entry.alert.rule)
    value = f"{entry.value:g}" if rule is None else shown(rule.unit, entry.value)
    return (
        f"{entry.at:%Y-%m-%d %H:%M:%S}",
        entry.alert.rule,
        entry.alert.subject or "-",
        change,
        value,
        ", ".join(entry.sent_to) or "-",
    )


@commands.command("rules")
def rules(
    config: Config = None,
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="Print them as a rules file of Prometheus, in YAML.")
    ] = False,
) -> None:
    """List all rules with their thresholds, those of the configuration included. Redis is not needed."""
    topology = topology_of(config)
    in_use = RULES if topology is None else alert_plan(topology).rules
    if prometheus:
        out.out(yaml.safe_dump(rules_file(in_use.values()), sort_keys=False, width=120), highlight=False, end="")
        return
    table = table_with(whole("Rule"), "Fires when", "Warning", "Critical")
    for rule in in_use.values():
        name, *facts, since, evaluator = _rule_row(rule)
        when = f"after {since}" if rule.thresholds.for_s else since
        table.add_row(f"{name}\n{when}, by {evaluator}", *facts)
    out.print(table, highlight=False)


def _rule_row(rule: Rule) -> tuple[str, ...]:
    limits = rule.thresholds
    return (
        rule.name,
        rule.when,
        _threshold(rule, limits.warning),
        _threshold(rule, limits.critical),
        span(limits.for_s) if limits.for_s else "at once",
        rule.evaluator.value,
    )


def _threshold(rule: Rule, threshold: float | None) -> str:
    if threshold is None:
        return "-"
    return "yes" if rule.unit is Unit.SWITCH else f"> {shown(rule.unit, threshold)}"


@commands.command("page", hidden=True)
def page(file: Annotated[Path, typer.Argument(help="docs/alerts.md")]) -> None:
    """Write the generated part of a page again."""
    text = file.read_text(encoding="utf-8")
    if not _PART.search(text):
        fail(f"{file} has no part that is generated.")
    file.write_text(renewed(text), encoding="utf-8")


def renewed(text: str) -> str:
    """The page with its generated part as it would be now."""
    return _PART.sub(lambda _: _page(), text)


def _page() -> str:
    lines = ["| Rule | Fires when | Warning | Critical | After | Prometheus |", "|---|---|---|---|---|---|"]
    for rule in RULES.values():
        if rule.evaluator is Evaluator.PROMETHEUS:
            continue
        name, when, *rest, _ = _rule_row(rule)
        seen = "yes" if rule.prometheus else "-"
        lines.append(f"| [`{name}`](#{rule.alert.lower()}) | {when} | {' | '.join(rest)} | {seen} |")
    return "\n".join([*lines, ""])
