"""The Helm chart beside the program: what is generated is fresh, and what it names in the program is there.

What the chart makes of its values is asked in tests/helm/, by the real Helm.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft7Validator
from prometheus_client import CollectorRegistry

from app import __version__, metrics
from app.alerts.rules import RULES
from app.commands.settings import environment_name
from app.ingest.paths import TRACKING_PATHS
from app.settings import SECRET_VARIABLES, Settings
from helm.dashboard import ROWS
from helm.generate import CHART, SET_BY_THE_CHART, documented, generated
from tests.documents import read_yaml
from tests.fakes import described_api

VALUES: Final[dict[str, Any]] = read_yaml(CHART / "values.yaml")
SCHEMA: Final[dict[str, Any]] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
ALERTS: Final = {rule.alert: rule.prometheus for rule in RULES.values() if rule.prometheus}
QUERIES: Final = [query for row in ROWS for panel in row.panels for query in panel.queries.values()]
OPERATIONS: Final = {"/healthz", "/readyz", "/metrics", "/scaling", "/docs", "/openapi.json", "/console"}


@pytest.mark.parametrize("file", generated(), ids=lambda file: file.name)
def test_what_is_generated_is_up_to_date(file: Path) -> None:
    assert file.read_text(encoding="utf-8") == generated()[file], "run `make docs`"


def test_chart_and_program_have_one_version() -> None:
    chart = read_yaml(CHART / "Chart.yaml")
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


def test_every_setting_is_a_value_of_the_chart_or_set_by_it_or_a_secret() -> None:
    rest = {*SET_BY_THE_CHART, *SECRET_VARIABLES.values()}
    names = {environment_name(field, info) for field, info in Settings.model_fields.items() if field not in rest}
    assert VALUES["settings"].keys() == names, "run `make docs`"


def leaves(values: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all values."""
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*above, name))
        else:
            yield (*above, name)


def test_every_value_is_documented() -> None:
    told = {value.path for value in documented((CHART / "values.yaml").read_text(encoding="utf-8"))}
    silent = [path for path in leaves(VALUES) if not any(path[:length] in told for length in range(1, len(path) + 1))]
    assert silent == []


def unheard_of(
    schema: dict[str, Any], values: dict[str, Any], above: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """What the schema allows and values.yaml does not mention; what is empty there is free."""
    for name, part in schema["properties"].items():
        path = (*above, name)
        if name not in values:
            yield path
        elif "properties" in part and values[name] and not name.endswith("Probe"):
            yield from unheard_of(part, values[name], path)


def test_schema_and_values_know_of_the_same() -> None:
    assert [error.message for error in Draft7Validator(SCHEMA).iter_errors(VALUES)] == []
    assert list(unheard_of(SCHEMA, VALUES)) == [("global",)]


def published() -> dict[str, set[str]]:
    """Every series the program has, by name, with its labels."""
    registry = CollectorRegistry()
    ingest, delivery = metrics.IngestMetrics(registry), metrics.DeliveryMetrics(registry)
    ingest.answered("/v1/track", 200, 0.01)
    ingest.accepted("shop", 1, 1, retiring=False)
    ingest.refused("rate_limited")
    ingest.limit_reached("rate_limited", "shop")
    delivery.attempted("acme", "identity", "503", 0.01)
    ingest.withheld("shop", "email", "drop")
    ingest.enriched("shop", 1)
    delivery.delivered(0.1)
    config = metrics.ConfigMetrics(registry)
    config.runs("0" * 64)
    config.removed({"acme": 1})
    series = {sample.name: set(sample.labels) for family in registry.collect() for sample in family.samples}
    for family in (row.empty() for row in metrics.Family):
        suffix = "_total" if family.type == "counter" else ""
        series[family.name + suffix] = set(family._labelnames)
    return series


def test_no_counter_has_a_second_series_of_when_it_was_made() -> None:
    assert [name for name in published() if name.endswith("_created")] == []


@pytest.mark.parametrize("query", [*QUERIES, *ALERTS.values()])
def test_what_is_asked_of_prometheus_is_there(query: str) -> None:
    known = published()
    names = re.findall(r"gateway_\w+", query)
    assert [name for name in names if name not in known] == []
    labels = {label for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(", ")}
    labels |= set(re.findall(r'(\w+)(?:=~|!=|=)\\?"', query))
    assert labels <= {"namespace", "service", "pod", "le"}.union(*(known[name] for name in names or known))


def test_the_readme_tells_of_every_alert() -> None:
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (AttentiveGateway\w+) \|", readme, re.MULTILINE) == list(ALERTS)


def test_trackers_reach_all_they_need_from_outside_and_no_page_for_operators() -> None:
    documents = described_api().openapi()["paths"].items()
    served = {path for path, page in documents if "tracking" in page.get("get", {}).get("tags", [])}
    assert "/sourceConfig" in served
    served |= {form.path for form in TRACKING_PATHS}

    def public(path: str) -> bool:
        return any(path == prefix or path.startswith(prefix + "/") for prefix in VALUES["publicPaths"])

    assert [path for path in served if not public(path)] == []
    assert [path for path in OPERATIONS if public(path)] == []
