"""`python -m helm.generate` (in `make docs`): writes what in the chart follows from something else.

The settings in values.yaml and the schema from the program's own Settings, the README from the comments of values.yaml,
the dashboard from its table, the alerts from the program's own rules.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic_core import PydanticUndefined

from app.alerts.prometheus import chart_table
from app.alerts.rules import RULES
from app.commands.settings import environment_name
from app.settings import SECRET_VARIABLES, Settings
from helm.dashboard import dashboard
from helm.schema import Json, or_null, values_schema

CHART: Final = Path(__file__).parent / "attentive-gateway"
SET_BY_THE_CHART: Final = frozenset(
    {
        *("config", "sync_state", "host", "port", "admin_host", "admin_port", "worker_host", "worker_port"),
        *("console_host", "console_port"),
    }
)
_SETTINGS: Final = re.compile(r"(?<=  # <settings>\n).*?(?=  # </settings>\n)", re.DOTALL)
_VALUES: Final = re.compile(r"(?<=<!-- values -->\n).*?(?=<!-- /values -->)", re.DOTALL)
_ALERTS: Final = re.compile(r"(?<=<!-- alerts -->\n).*?(?=<!-- /alerts -->)", re.DOTALL)
_KEY: Final = re.compile(r"^( *)([\w-]+):")
_COMMENT: Final = re.compile(r"^ *# ?(-- )?(.*)$")


@dataclass(frozen=True, slots=True)
class Value:
    """One value of the chart, as its comment tells of it."""

    path: tuple[str, ...]
    about: str
    section: str


def generated() -> dict[Path, str]:
    """Every file that is written here, and what should be in it."""
    values = _SETTINGS.sub(lambda _: "".join(_settings_lines()), (CHART / "values.yaml").read_text(encoding="utf-8"))
    readme = _VALUES.sub(lambda _: _tables(values), (CHART / "README.md").read_text(encoding="utf-8"))
    readme = _ALERTS.sub(lambda _: _alerts(), readme)
    return {
        CHART / "values.yaml": values,
        CHART / "values.schema.json": _json(_described(values_schema(_settings_rules()), documented(values))),
        CHART / "README.md": readme,
        CHART / "files" / "dashboard.json": _json(dashboard()),
        CHART / "files" / "alerts.yaml": _yaml(chart_table(RULES.values())),
    }


def _json(content: Json) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _yaml(content: list[Json]) -> str:
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120))


def chart_settings() -> Iterator[str]:
    """The fields of Settings that are values of the chart: neither secrets nor set by the chart itself."""
    return (name for name in Settings.model_fields if name not in {*SET_BY_THE_CHART, *SECRET_VARIABLES.values()})


def _settings_lines() -> Iterator[str]:
    for name in chart_settings():
        info = Settings.model_fields[name]
        default = info.get_default(call_default_factory=True)
        usual = "" if default in (None, PydanticUndefined) else f"; default {json.dumps(default)}"
        yield f"  # -- {info.description}{usual}\n  {environment_name(name, info)}: null\n"


def _settings_rules() -> dict[str, Json]:
    """The same rules that the program has for them, and null."""
    properties: dict[str, Json] = Settings.model_json_schema()["properties"]
    rules = {}
    for name in chart_settings():
        info = Settings.model_fields[name]
        rule = properties[str(info.validation_alias or name)]
        ours = {word: rule[word] for word in rule if word not in ("title", "default", "description")}
        rules[environment_name(name, info)] = _or_null(ours)
    return rules


def _or_null(rule: Json) -> Json:
    if "type" not in rule:
        return {"anyOf": [*rule.get("anyOf", [rule]), {"type": "null"}]}
    return or_null(rule | ({"enum": [*rule["enum"], None]} if "enum" in rule else {}))


def documented(values: str) -> list[Value]:
    """Every value that has a comment, in the order of the file."""
    found, path = [], list[tuple[int, str]]()
    section, about = "", list[str]()
    for line in values.splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        elif comment := _COMMENT.match(line):
            about = [comment[2]] if comment[1] else [*about, comment[2]] if about else []
        elif key := _KEY.match(line):
            indent = len(key[1])
            path = [(depth, name) for depth, name in path if depth < indent] + [(indent, key[2])]
            if about:
                found.append(Value(tuple(name for _, name in path), " ".join(about), section))
            about = []
        else:
            about = []
    return found


def default_of(values: Any, path: tuple[str, ...]) -> Any:
    """What values.yaml has there."""
    for name in path:
        values = values[name]
    return values


def _tables(values: str) -> str:
    defaults, text, section = yaml.safe_load(values), "", ""
    for value in documented(values):
        if value.section != section:
            section = value.section
            text += f"\n### {section}\n\n| Value | Default | Meaning |\n|---|---|---|\n"
        default = default_of(defaults, value.path)
        inside = isinstance(default, dict) and any(
            other.path[:-1] == value.path for other in documented(values)
        )  # each of its keys has a row of its own
        shown = "" if inside else f"`{json.dumps(default, ensure_ascii=False)}`"
        text += f"| `{'.'.join(value.path)}` | {shown} | {value.about.replace('|', chr(92) + '|')} |\n"
    return text + "\n"


def _alerts() -> str:
    rows = [f"| {rule.alert} | {rule.when} |" for rule in RULES.values() if rule.prometheus]
    return "\n".join(["| Alert | When |", "|---|---|", *rows, ""])


def _described(schema: Json, values: list[Value]) -> Json:
    """The schema with each value's comment as its description, which editors show."""
    described: Json = json.loads(json.dumps(schema))  # shared parts become parts of their own
    for value in values:
        part = described
        for name in value.path:
            part = part["properties"][name]
        part["description"] = value.about
    return described


def main() -> None:
    """Write them all."""
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
