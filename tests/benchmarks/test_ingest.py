"""The comparison can be started, says what it needs, and does its sums right."""

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from benchmarks import ingest, stages
from benchmarks.event import MESSAGE_ID, PEOPLE, bodies
from benchmarks.measure import Measurement
from benchmarks.report import Report, markdown

ROOT = Path(__file__).parents[2]


def measurement(per_second: float) -> Measurement:
    return Measurement(per_second, p50_ms=1.0, p99_ms=2.0, server_us=50.0, redis_us=10.0)


def report(*rounds: tuple[float, float, float, float]) -> Report:
    return Report("a machine", [dict(zip("abcd", map(measurement, rates), strict=True)) for rates in rounds])


@pytest.mark.parametrize("module", ["benchmarks.ingest", "benchmarks.stages"])
def test_help_is_given(module: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )

    assert "usage" in run.stdout


@pytest.mark.parametrize("options", [["--rounds", "0"], ["--rounds", "51"], ["--seconds", "61"], ["--seconds", "x"]])
def test_the_time_it_may_take_is_bounded(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        ingest.main(options)

    assert "a whole number from 1 to" in capsys.readouterr().err


def test_without_wrk_one_line_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert ingest.main([]) == 1
    assert capsys.readouterr().err == "benchmark failed: wrk is not installed: apt-get install wrk\n"


def test_each_line_of_the_load_is_one_persons_event_with_a_place_for_its_id() -> None:
    events = [orjson.loads(line) for line in bodies().splitlines()]

    assert len(events) == PEOPLE
    assert {event["messageId"] for event in events} == {MESSAGE_ID}
    for path in ("email", "phone"):
        assert len({event["context"]["traits"][path] for event in events}) == PEOPLE
    assert len({event["userId"] for event in events}) == PEOPLE


def test_ratios_are_taken_within_a_round() -> None:
    slow_machine, fast_machine = (4_000.0, 2_000.0, 300.0, 1_000.0), (40_000.0, 20_000.0, 2_500.0, 10_000.0)

    ratio = report(slow_machine, fast_machine, fast_machine).ratio("c")

    assert [ratio.least, ratio.median, ratio.most] == pytest.approx([10 / 3, 4.0, 4.0])


@pytest.mark.parametrize(("gateway", "said"), [(3_000.0, "reached"), (2_999.0, "missed")])
def test_the_reach_is_three_times_the_obvious_way(gateway: float, said: str) -> None:
    assert report((9_000.0, 8_000.0, 1_000.0, gateway)).comparisons()[-1] == f"reach: d ≥ 3 x c: {said}"


def test_the_json_holds_every_round() -> None:
    content = report((4.0, 3.0, 1.0, 2.0), (8.0, 6.0, 2.0, 4.0)).as_json()

    assert content["servers"]["d"]["per_second"] == {"median": 3.0, "min": 2.0, "max": 4.0, "rounds": [2.0, 4.0]}
    assert content["ratios"]["d/a"]["median"] == 0.5


def test_markdown_puts_figures_to_the_right() -> None:
    assert markdown(("server", "rate"), [("(a)", "1")]) == "| server | rate |\n| --- | ---: |\n| (a) | 1 |"


def test_every_stage_of_the_hot_path_still_exists() -> None:
    measured = list(stages.stages(repetitions=1))

    assert all(stage.median_us > 0 for stage in measured)
    assert any(not stage.on_every_event for stage in measured)
