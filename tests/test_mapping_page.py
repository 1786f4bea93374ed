"""docs/mapping.md is correct: generated parts are up to date, and every example gives its result."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from app.commands.mapping_page import renewed
from app.identity.identity import Identity
from app.mapping.expressions import Evaluation, JmesPath
from app.pipeline import Drop
from tests.builders import EMAIL, calls, decided, parsed, planned, track

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = (ROOT / "docs" / "mapping.md").read_text(encoding="utf-8")
EXAMPLE: Final = re.compile(r"### ([^\n]+)\n|```yaml\n(.*?)```\s+```json\n(.*?)```\s+```json\n(.*?)```", re.DOTALL)
RECIPE: Final = re.compile(r"^\| ([^|]+) \| (`{1,2})(.+?)\2 \| `(.+?)` \|$", re.MULTILINE)
SHARED: Final = {"user", "occurredAt", "externalEventId"}


def examples() -> list[object]:
    """Mapping, event and calls of each example, by the heading that it stands under."""
    found: list[object] = []
    heading = ""
    for match in EXAMPLE.finditer(PAGE):
        if match[1]:
            heading = match[1]
        else:
            parts = (match[2], json.loads(match[3]), json.loads(match[4]))
            found.append(pytest.param(*parts, id=f"{heading}: {parts[1].get('event', parts[1].get('type'))}"))
    return found


def test_what_is_generated_is_up_to_date() -> None:
    assert renewed(PAGE) == PAGE, "run `make docs`"


@pytest.mark.parametrize(("mapping", "event", "expected"), examples())
def test_an_example_does_what_it_says(mapping: str, event: dict[str, Any], expected: dict[str, Any]) -> None:
    raw = track("", userId="7") | event
    raw["context"] = {"traits": {"email": EMAIL}, **event.get("context", {})}
    if not expected:
        assert isinstance(decided(raw, plan=planned(mapping)), Drop)
        return
    found = calls(raw, plan=planned(mapping))
    assert {name: {k: v for k, v in body.items() if k not in SHARED} for name, body in found} == expected


def test_every_kind_of_change_has_an_example() -> None:
    told = "".join(match[2] or "" for match in EXAMPLE.finditer(PAGE))
    for word in ("drop", "rename", "properties", "keep", "type", "externalEventId", "occurredAt", "to", "priority"):
        assert re.search(rf"\b{word}:", told), word
    for word in ("item", "items", "orderId", "salesChannel", "send", "other", "page", "screen", "constant", "jmespath"):
        assert re.search(rf"\b{word}:", told), word


def recipes() -> list[object]:
    return [
        pytest.param(found[3].strip().replace("\\|", "|"), json.loads(found[4]), id=found[1].strip())
        for found in RECIPE.finditer(PAGE[PAGE.index("## JMESPath") :])
    ]


@pytest.mark.parametrize(("expression", "expected"), recipes())
def test_a_recipe_gives_what_it_says(expression: str, expected: Any) -> None:
    properties = re.search(r"these properties:\n\n```json\n(.*?)```", PAGE, re.DOTALL)
    assert properties
    event = parsed(track("x", json.loads(properties[1])))
    scope = Evaluation(event, Identity(email=EMAIL), event.properties, "properties.")
    assert JmesPath(expression).read(scope) == expected


def test_there_are_examples_and_recipes() -> None:
    assert len(examples()) >= 7
    assert len(recipes()) >= 12
