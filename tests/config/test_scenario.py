"""A scenario's values with their units, in both spellings, and its page."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from app.config.scenario import USUAL_MIX, ScenarioSettings, clock, number, rate, scenario_of, share, size, span

PAGE: Final = (Path(__file__).parents[2] / "docs/simulation.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("read", "given", "value"),
    [
        pytest.param(rate, "200/s", 200.0, id="a rate by the second"),
        pytest.param(rate, "12,000/min", 200.0, id="a rate by the minute"),
        pytest.param(rate, "8.64M/day", 100.0, id="a rate by the day"),
        pytest.param(rate, 5, 5.0, id="a plain rate"),
        pytest.param(span, "20m", 1200.0, id="minutes"),
        pytest.param(span, "1.5h", 5400.0, id="hours"),
        pytest.param(clock, "18:05", 65_100.0, id="a time of day"),
        pytest.param(share, "30%", 0.3, id="percent"),
        pytest.param(share, 0.3, 0.3, id="a part of one"),
        pytest.param(number, "10M", 10**7, id="millions"),
        pytest.param(number, "1,200,000", 1_200_000, id="with commas"),
        pytest.param(size, "8GB", 8 * 10**9, id="decimal bytes"),
        pytest.param(size, "8GiB", 8 * 2**30, id="binary bytes"),
    ],
)
def test_a_value_is_read_with_its_unit(read: Callable[[Any], float], given: object, value: float) -> None:
    assert read(given) == pytest.approx(value)


@pytest.mark.parametrize(
    ("read", "given"),
    [
        pytest.param(rate, "200", id="a rate without a unit"),
        pytest.param(rate, True, id="a rate that is a switch"),
        pytest.param(rate, "1e999/s", id="a rate in another notation"),
        pytest.param(rate, "11M/s", id="a rate beyond all"),
        pytest.param(span, "0m", id="no time"),
        pytest.param(span, "20", id="a time without a unit"),
        pytest.param(span, "999d", id="a time beyond all"),
        pytest.param(clock, "24:00", id="no time of day"),
        pytest.param(share, "-1%", id="a negative share"),
        pytest.param(size, "8", id="a size without a unit"),
        pytest.param(size, "9" * 400 + "GB", id="a size beyond all"),
        pytest.param(number, None, id="no number"),
        pytest.param(number, "9" * 400, id="a number beyond all"),
    ],
)
def test_anything_else_is_refused(read: Callable[[Any], float], given: object) -> None:
    with pytest.raises(ValueError, match=r"^must be "):
        read(given)


def test_bursts_and_outages_have_a_short_spelling() -> None:
    short = {"rate": "1/s", "bursts": ["10x@18:00+3h"], "outages": ["19:00+20m:purchase,identity"]}
    whole = {
        "rate": "1/s",
        "bursts": [{"factor": 10, "at": "18:00", "lasts": "3h"}],
        "outages": [{"at": "19:00", "lasts": "20m", "endpoints": ["purchase", "identity"]}],
    }
    assert scenario_of(short, ".".join) == scenario_of(whole, ".".join)


def test_the_usual_mix_is_whole() -> None:
    assert sum(USUAL_MIX.values()) == pytest.approx(1)


def test_each_key_is_on_the_page() -> None:
    rows = re.findall(r"^\| `(\w+)`[^|]* \|", PAGE, re.MULTILINE)
    assert set(rows) == set(ScenarioSettings.model_fields) - {"name"}
