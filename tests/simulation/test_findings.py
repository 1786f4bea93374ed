"""What a simulation means, in sentences."""

from dataclasses import replace

import pytest

from app.simulation.findings import clock, duration, findings_of, gigabytes, per_second, percent
from app.simulation.run import simulate
from app.simulation.scenario import Burst, Outage
from tests.simulation.scenarios import HOUR_S, VIEWS, capacity, paces, scenario

MIDNIGHT_S = 0.0


def test_quiet_traffic_is_good_news() -> None:
    findings = findings_of(simulate(scenario(1)), MIDNIGHT_S)
    assert findings.what_happens[0].startswith("Nothing waits")
    assert "No journey is missed." in findings.what_happens
    assert findings.what_would_help == ()
    assert not findings.is_bad


def test_a_burst_names_what_waits_longest_until_when_and_which_limit_would_help() -> None:
    flows = (replace(VIEWS, per_event=1.0),)
    course = simulate(scenario(40, flows=flows, bursts=(Burst(6, HOUR_S, HOUR_S),)))
    findings = findings_of(course, 17 * HOUR_S)
    assert "product-view waits longest" in findings.what_happens[0]
    assert "calls at 19:00" in findings.what_happens[0]
    assert "It is empty at 20:0" in findings.what_happens[0]
    limit, made_of = findings.what_would_help
    assert "240 calls/s come in for product-view" in limit
    assert "With a limit of 260 calls/s" in limit
    assert "Product Viewed 100 %" in made_of
    higher = replace(course.scenario, capacity=capacity(paces=paces(product_view=260.0)))
    assert simulate(higher).worst is None, "the limit that would help does not"


def test_late_calls_are_bad_news() -> None:
    short = capacity(fresh_s=300.0, horizon_s=600.0)
    findings = findings_of(simulate(scenario(50, outages=(Outage(HOUR_S, 1200.0),), capacity=short)), MIDNIGHT_S)
    assert findings.is_bad
    assert any("start no journey" in sentence for sentence in findings.what_happens)
    assert any("become dead letters" in sentence for sentence in findings.what_happens)


def test_too_few_workers_are_named_before_limits() -> None:
    slow = capacity(workers=1, worker_calls_per_s=10.0)
    findings = findings_of(simulate(scenario(50, capacity=slow, longest_s=HOUR_S)), MIDNIGHT_S)
    assert [sentence.partition(":")[0] for sentence in findings.what_would_help] == ["Run more workers"]


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        pytest.param(clock(18 * HOUR_S), "18:00", id="a time of day"),
        pytest.param(clock(25.5 * HOUR_S), "01:30 (+1 d)", id="the next day"),
        pytest.param(duration(45), "45 s", id="seconds"),
        pytest.param(duration(754), "13 min", id="minutes"),
        pytest.param(duration(12_000), "3 h 20 min", id="hours"),
        pytest.param(duration(7200), "2 h", id="full hours"),
        pytest.param(gigabytes(8.5e8), "850 MB", id="megabytes"),
        pytest.param(gigabytes(3.94e9), "3.9 GB", id="gigabytes"),
        pytest.param(per_second(1234.5), "1,234", id="a high rate"),
        pytest.param(per_second(0.0211), "0.021", id="a low rate"),
        pytest.param(percent(1, 3000), "less than 0.1 %", id="almost nothing"),
        pytest.param(percent(1, 8), "12 %", id="percent"),
        pytest.param(percent(1, 0), "0.0 %", id="of nothing"),
    ],
)
def test_figures_are_short(shown: str, text: str) -> None:
    assert shown == text
