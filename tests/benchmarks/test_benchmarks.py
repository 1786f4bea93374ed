"""The comparison starts, names what it needs, and computes correctly."""

import os
from pathlib import Path

import orjson
import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import stages
from benchmarks.event import BATCH, MESSAGE_ID, PEOPLE, batches, tracks
from benchmarks.rows import Reach, Row, at_least, at_most
from benchmarks.tables import markdown
from tests.forking import run_forked
from tests.waiting import patient


@pytest.mark.parametrize(
    "module",
    [
        *(
            "benchmarks",
            "benchmarks.stages",
            "benchmarks.delivery_stages",
            "benchmarks.mapping",
            "benchmarks.alerts",
            "benchmarks.guard",
            "benchmarks.redis_cost",
            "benchmarks.console",
        ),
    ],
)
def test_help_is_given(module: str) -> None:
    run = run_forked(module, ["--help"], environment=os.environ, timeout=patient(30))

    assert run.returncode == 0, run.stderr
    assert "usage" in run.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(["--rounds", "0"], "a whole number from 1 to 50", id="no round"),
        pytest.param(["--rounds", "51"], "a whole number from 1 to 50", id="too many rounds"),
        pytest.param(["--seconds", "61"], "a whole number from 1 to 60", id="too long"),
        pytest.param(["--seconds", "x"], "a whole number from 1 to 60", id="no number"),
        pytest.param(["tracks"], "there is no part 'tracks': choose from track, batch", id="a part that is not there"),
    ],
)
def test_what_is_asked_for_is_checked(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        benchmarks.main(options)

    assert said in capsys.readouterr().err


def test_without_wrk_one_line_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert benchmarks.main([]) == 1
    assert capsys.readouterr().err == "benchmark failed: wrk is not installed: apt-get install wrk\n"


def test_each_line_of_the_load_is_one_persons_event_with_a_place_for_its_id() -> None:
    events = [orjson.loads(line) for line in tracks().lines.splitlines()]

    assert len(events) == PEOPLE
    assert {event["messageId"] for event in events} == {MESSAGE_ID}
    for path in ("email", "phone"):
        assert len({event["context"]["traits"][path] for event in events}) == PEOPLE
    assert len({event["userId"] for event in events}) == PEOPLE


def test_batches_hold_the_same_events() -> None:
    batched = [event for line in batches().lines.splitlines() for event in orjson.loads(line)["batch"]]

    assert len(batched) == PEOPLE
    assert len({event["userId"] for event in batched}) == PEOPLE
    assert batches().events == BATCH


@pytest.mark.parametrize(
    ("reach", "ratio", "verdict", "read_as"),
    [
        pytest.param(at_least(5), 5.0, "reached", "5 x", id="as much as was aimed at"),
        pytest.param(at_least(5), 4.99, "missed", "5 x", id="less"),
        pytest.param(at_most(3), 3.0, "reached", "at most 3 x", id="no more than was allowed"),
        pytest.param(at_most(3), 3.01, "missed", "at most 3 x", id="more than was allowed"),
        pytest.param(at_most(1 / 50), 0.019, "reached", "at most 0.02 x", id="a small share"),
        pytest.param(Reach(), 0.5, "reported", "-", id="only reported"),
    ],
)
def test_a_row_says_whether_its_aim_is_reached(reach: Reach, ratio: float, verdict: str, read_as: str) -> None:
    row = Row("1", "this", "that", (0.0, ratio, 100.0), reach)

    assert (row.verdict, row.cells()[-1], row.cells()[-2]) == (verdict, verdict, read_as)


def test_the_json_holds_every_round() -> None:
    content = Row("1", "this", "that", (2.0, 5.0, 4.0), at_least(3)).as_json()

    assert (content["ratios"], content["median"], content["verdict"]) == ([2.0, 5.0, 4.0], 4.0, "reached")


def test_markdown_puts_figures_to_the_right() -> None:
    assert markdown(("server", "rate"), [("(a)", "1")]) == "| server | rate |\n| --- | ---: |\n| (a) | 1 |"


def test_every_stage_of_the_hot_path_still_exists() -> None:
    measured = list(stages.stages(repetitions=1))

    assert all(stage.median_us > 0 for stage in measured)
    assert any(not stage.on_every_event for stage in measured)
