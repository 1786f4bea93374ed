"""The Grafana dashboard as a table: one row a panel. `make docs` writes it as the JSON that Grafana reads.

What Redis knows is published by every process alike: those series are joined with `max` before they are added up.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

Json = dict[str, Any]

HERE: Final = 'namespace="$namespace"'
OF: Final = f'{HERE},destination=~"$destination"'
RETIRING: Final = f'{HERE},retiring="true"'
UNDELIVERED: Final = f'{OF},ending!="delivered"'
LANE: Final = ("destination", "endpoint")
OF_LANE: Final = "{{destination}}/{{endpoint}}"
SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_WIDE: Final = 24  # Grafana's grid


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: what it shows, in Grafana's unit, and its queries by legend."""

    title: str
    unit: str
    queries: Mapping[str, str]
    about: str = ""
    stat: bool = False  # one figure instead of a graph
    thresholds: tuple[float, float] | None = None  # from here on yellow, and red


@dataclass(frozen=True, slots=True)
class Row:
    """Panels below one heading, side by side, all equally wide."""

    title: str
    panels: tuple[Panel, ...]
    per_line: int = 3


def rate(metric: str, labels: str = HERE) -> str:
    """Per second."""
    return f"rate({metric}{{{labels}}}[$__rate_interval])"


def known(what: str, *by: str) -> str:
    """What all processes say alike, once: a metric or an expression, by labels."""
    return f"max by ({', '.join(by)}) ({what if '(' in what else f'{what}{{{OF}}}'})"


def quantiles(metric: str, by: str = "") -> dict[str, str]:
    """The median and the 99th percentile of a histogram."""
    labels, legend = (f"le, {by}", f" {{{{{by}}}}}") if by else ("le", "")
    return {
        name + legend: f"histogram_quantile({share}, sum by ({labels}) ({rate(metric + '_bucket')}))"
        for share, name in ((0.5, "p50"), (0.99, "p99"))
    }


def figure(title: str, unit: str, query: str, about: str = "", thresholds: tuple[float, float] | None = None) -> Panel:
    """A panel with one figure."""
    return Panel(title, unit, {"": query}, about, stat=True, thresholds=thresholds)


ENDED: Final = ("destination", "ending", "reason")
USED: Final = f"max(gateway_redis_memory_used_bytes{{{HERE}}})"
MOST: Final = f"max(gateway_redis_memory_max_bytes{{{HERE}}} > 0)"


def _lag(verdict: str) -> str:
    """Calls a second, by destination and priority."""
    calls = known(rate("gateway_lag_calls_total", OF + verdict), "destination", "priority", "verdict")
    return f"sum by (destination, priority) ({calls})"


IN_TIME: Final = _lag(',verdict="in_time"')
JUDGED: Final = _lag(',verdict!="limited"')

ROWS: Final = (
    Row(
        "Now",
        (
            figure("Events waiting", "short", f"sum({known('gateway_events_waiting', 'destination')})"),
            figure("Oldest call", "s", f"max(gateway_oldest_waiting_seconds{{{OF}}})", "", (60, 900)),
            figure("Dead letters", "short", f"sum({known('gateway_dead_letters', 'destination')})", "", (1, 1000)),
            figure(
                "Held for review",
                "short",
                f"sum({known('gateway_unknown_outcomes_in_review', 'destination')})",
                "",
                (1, 100),
            ),
            figure("Held", "short", f"sum({known('gateway_held', *LANE)})", "Nothing is sent to so many now.", (1, 2)),
            figure("Redis memory", "percentunit", f"{USED} / {MOST}", "Of its maxmemory.", (0.7, 0.85)),
            figure(
                "Workers needed",
                "short",
                f"sum({known('gateway_sendable_work_seconds', 'destination')}) / 10",
                "By the work that the lanes' limits let out now.",
            ),
            figure("Pods without Redis", "short", f"count(gateway_redis_up{{{HERE}}} == 0) or vector(0)", "", (1, 2)),
        ),
        per_line=4,
    ),
    Row(
        "Intake",
        (
            Panel("Requests", "reqps", {"{{status}}": f"sum by (status) ({rate('gateway_http_requests_total')})"}),
            Panel("Time to answer", "s", quantiles("gateway_http_request_seconds")),
            Panel("Refused", "ops", {"{{code}}": f"sum by (code) ({rate('gateway_refused_total')})"}),
            Panel(
                "Events accepted",
                "ops",
                {"{{source}}": f"sum by (source) ({rate('gateway_events_accepted_total')})"},
            ),
            Panel(
                "Retiring keys still in use",
                "ops",
                {"{{source}} {{key}}": f"sum by (source, key) ({rate('gateway_events_accepted_total', RETIRING)})"},
                "Take a key away once nothing is seen of it.",
            ),
            Panel(
                "Configurations that run",
                "short",
                {"{{sha256}}": f"count by (sha256) (gateway_config_info{{{HERE}}})"},
                "Pods by the checksum of their file: more than one is a change on its way.",
            ),
        ),
    ),
    Row(
        "What becomes of events",
        (
            Panel(
                "Received and ended",
                "ops",
                {
                    "received": f"sum({known(rate('gateway_events_received_total', OF), 'destination')})",
                    "{{ending}}": f"sum by (ending) ({known(rate('gateway_events_ended_total', OF), *ENDED)})",
                },
            ),
            Panel(
                "Not delivered",
                "ops",
                {
                    "{{ending}}: {{reason}}": "sum by (ending, reason) "
                    f"({known(rate('gateway_events_ended_total', UNDELIVERED), *ENDED)})"
                },
            ),
            Panel("From receipt to acceptance", "s", quantiles("gateway_delivery_age_seconds"), "All destinations."),
            Panel("Dead letters", "short", {"{{destination}}": known("gateway_dead_letters", "destination")}),
            Panel(
                "Dead letters sent again",
                "ops",
                {"{{destination}}": known(rate("gateway_events_replayed_total", OF), "destination")},
            ),
            Panel(
                "Calls spared: they say nothing new",
                "ops",
                {"{{destination}}": known(rate("gateway_calls_unchanged_total", OF), "destination")},
            ),
        ),
    ),
    Row(
        "Lag",
        (
            Panel(
                "Calls in time",
                "percentunit",
                {"{{destination}}: {{priority}}": f"{IN_TIME} / {JUDGED}"},
                "Without those that waited for Attentive's limit.",
            ),
            Panel(
                "Error budget: how fast it burns",
                "short",
                {
                    "{{destination}}: {{priority}}, {{window}}": known(
                        "gateway_lag_burn_rate", "destination", "priority", "window"
                    )
                },
                "1: it lasts for 30 days. Alerts begin at 14.4 (fast) and 6 (slow).",
            ),
            Panel(
                "Late calls by what they waited for",
                "ops",
                {
                    "{{destination}}: {{priority}}, Attentive's limit": _lag(',verdict="limited"'),
                    "{{destination}}: {{priority}}, a hold": _lag(',verdict="held"'),
                    "{{destination}}: {{priority}}, our own delay": _lag(',verdict="late"'),
                },
                "Those that waited for the limit use no error budget.",
            ),
        ),
    ),
    Row(
        "Lanes",
        (
            Panel(
                "Calls waiting",
                "short",
                {OF_LANE: f"sum by (destination, endpoint) ({known('gateway_deliveries_waiting', *LANE, 'priority')})"},
            ),
            Panel("Oldest call", "s", {OF_LANE: f"{known('gateway_oldest_waiting_seconds', *LANE)} > 0"}),
            Panel(
                "Held",
                "short",
                {OF_LANE: f"{known('gateway_held', *LANE)} > 0"},
                "Without an endpoint: the whole destination.",
            ),
            Panel("Sent", "ops", {OF_LANE: f"sum by (destination, endpoint) ({rate('gateway_attempts_total', OF)})"}),
            Panel(
                "May be sent",
                "ops",
                {OF_LANE: known("gateway_lane_rate", *LANE)},
                "95 % of Attentive's limit, less after a 429, nothing while held.",
            ),
            Panel(
                "Seconds of sendable work",
                "s",
                {
                    "{{destination}}": known("gateway_sendable_work_seconds", "destination"),
                    "all": f"sum({known('gateway_sendable_work_seconds', 'destination')})",
                },
                "One worker can do 10; the autoscaler follows the sum of all destinations.",
            ),
        ),
    ),
    Row(
        "People and their traits",
        (
            Panel(
                "Withheld by the privacy guard",
                "ops",
                {"{{check}}: {{action}}": f"sum by (check, action) ({rate('gateway_privacy_withheld_total')})"},
            ),
            Panel(
                "Events enriched", "ops", {"{{source}}": f"sum by (source) ({rate('gateway_events_enriched_total')})"}
            ),
            Panel(
                "Stored profiles",
                "short",
                {"{{destination}}: {{source}}": known("gateway_profiles", "destination", "source")},
            ),
            Panel(
                "Identify calls that join two people",
                "ops",
                {
                    "{{source}}: {{verdict}}": known(
                        rate("gateway_identity_merges_total", OF), "destination", "source", "verdict"
                    )
                },
            ),
            Panel("Custom attributes", "short", {"{{destination}}": known("gateway_attributes", "destination")}),
            Panel(
                "Attributes left out",
                "ops",
                {
                    "{{reason}}: {{attribute}}": known(
                        rate("gateway_attributes_left_out_total", OF), "destination", "reason", "attribute"
                    )
                },
            ),
        ),
    ),
    Row(
        "Attentive and Redis",
        (
            Panel("Answers", "ops", {"{{answer}}": f"sum by (answer) ({rate('gateway_attempts_total', OF)})"}),
            Panel("Time Attentive takes", "s", quantiles("gateway_attempt_seconds", "endpoint")),
            Panel(
                "Outcomes that nobody knows",
                "ops",
                {"{{then}}": f"sum by (then) ({known(rate('gateway_unknown_outcomes_total', OF), *LANE, 'then')})"},
                "By what followed; send_again: the possible duplicates.",
            ),
            Panel("Redis memory", "bytes", {"used": USED, "maxmemory": MOST}),
        ),
    ),
)


def dashboard() -> Json:
    """What Grafana imports."""
    panels: list[Json] = []
    y = 0
    for row in ROWS:
        panels.append(_at(len(panels), 0, y, _WIDE, 1) | {"type": "row", "title": row.title, "collapsed": False})
        y += 1
        width, height = _WIDE // row.per_line, 4 if row.panels[0].stat else 8
        for place, panel in enumerate(row.panels):
            line, column = divmod(place, row.per_line)
            where = _at(len(panels), column * width, y + line * height, width, height)
            panels.append(where | _panel(panel))
        y += -(-len(row.panels) // row.per_line) * height
    return {
        "uid": "attentive-gateway",
        "title": "attentive-gateway",
        "tags": ["attentive-gateway"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": _variables()},
        "panels": panels,
    }


def _at(number: int, x: int, y: int, width: int, height: int) -> Json:
    return {"id": number + 1, "gridPos": {"x": x, "y": y, "w": width, "h": height}}


def _panel(panel: Panel) -> Json:
    defaults: Json = {"unit": panel.unit, "min": 0}
    if panel.thresholds is not None:
        yellow, red = panel.thresholds
        steps = [
            {"color": "green", "value": None},
            {"color": "yellow", "value": yellow},
            {"color": "red", "value": red},
        ]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    return {
        "type": "stat" if panel.stat else "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": SOURCE, "expr": query, "legendFormat": legend or "__auto"}
            for place, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def _variables() -> list[Json]:
    def labels(name: str, query: str, **more: Any) -> Json:
        return {"name": name, "type": "query", "datasource": SOURCE, "query": query, "refresh": 2, "sort": 1, **more}

    return [
        {"name": "datasource", "type": "datasource", "query": "prometheus"},
        labels("namespace", "label_values(gateway_redis_up, namespace)"),
        labels(
            "destination",
            f"label_values(gateway_events_waiting{{{HERE}}}, destination)",
            multi=True,
            includeAll=True,
            allValue=".*",
        ),
    ]
