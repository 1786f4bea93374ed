"""The same rules for Prometheus: a rules file, and the table that the Helm chart renders. Pure."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from app.alerts.rules import Rule, Unit

_HUMAN: Final = {
    Unit.SWITCH: "{{ $value }}",
    Unit.COUNT: "{{ $value | humanize }}",
    Unit.SHARE: "{{ $value | humanizePercentage }}",
    Unit.SECONDS: "{{ $value | humanizeDuration }}",
}


def rules_file(rules: Iterable[Rule]) -> dict[str, Any]:
    """The content of a rules file of Prometheus, for every series of this gateway."""
    found = [entry for rule in rules for entry in _entries(rule)]
    return {"groups": [{"name": "attentive-gateway", "rules": found}]}


def _entries(rule: Rule) -> Iterator[dict[str, Any]]:
    if not rule.prometheus:
        return
    for severity, threshold in (("warning", rule.thresholds.warning), ("critical", rule.thresholds.critical)):
        if threshold is not None:
            yield {
                "alert": rule.alert,
                "expr": f"{selected(rule.prometheus, '')} > {number(threshold)}",
                "for": f"{prometheus_for(rule)}s",
                "labels": {"severity": severity},
                "annotations": {"summary": summary(rule), "description": rule.advice},
            }


def chart_table(rules: Iterable[Rule]) -> list[dict[str, Any]]:
    """What the chart needs of each rule; `{of}` in an expression stands for the selector of a release."""
    return [
        {
            "name": rule.name,
            "alert": rule.alert,
            "expr": rule.prometheus,
            "warning": rule.thresholds.warning,
            "critical": rule.thresholds.critical,
            "for_s": prometheus_for(rule),
            "summary": summary(rule),
            "description": rule.advice,
        }
        for rule in rules
        if rule.prometheus
    ]


def selected(expression: str, series: str) -> str:
    """A rule's expression for the series that a selector chooses."""
    return expression.replace("{of}", series) if series else expression.replace("{of},", "").replace("{of}", "")


def summary(rule: Rule) -> str:
    """A rule's summary with the labels and the value of Prometheus."""
    return rule.summary.format(subject=_subject(rule), value=_HUMAN[rule.unit])


def _subject(rule: Rule) -> str:
    if not rule.labels:
        return "attentive-gateway"
    first, *others = rule.labels
    rest = "".join(f"{{{{ with $labels.{label} }}}}/{{{{ . }}}}{{{{ end }}}}" for label in others)
    return f"{{{{ $labels.{first} }}}}{rest}"


def prometheus_for(rule: Rule) -> int:
    """How long a condition must last in Prometheus, which sees each value once a scrape, in s."""
    return int(max(rule.thresholds.for_s, rule.prometheus_for_s))


def number(threshold: float) -> str:
    """A threshold as PromQL writes it."""
    return f"{threshold:g}" if threshold < 1e6 else f"{threshold:.0f}"
