"""The figures of a burst follow from what happened to each event, and the picture shows them."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from benchmarks.timeline import Aim, Event, Kind, Run, percentile

SECONDS: Final = 20


def run(
    *, per_second: float = 95, order_took: float = 0.1, arrivals: int = 1, throttled: int = 0, workers: int = 1
) -> Run:
    """Page views that all came at once and left evenly, and an order each second; `arrivals` of the first view."""
    views = [Event(Kind.VIEW, 0.0, ((place + 1) / per_second,)) for place in range(int(SECONDS * per_second))]
    views[0] = Event(Kind.VIEW, 0.0, views[0].arrived * arrivals)
    orders = [Event(Kind.ORDER, float(second), (second + order_took,)) for second in range(SECONDS)]
    return Run(workers, 100, 95, [*views, *orders], throttled, busiest=96)


class TestARun:
    def test_knows_its_share_of_the_ceiling(self) -> None:
        assert run(per_second=94).share == pytest.approx(1.0, abs=0.005)
        assert run(per_second=46.5).share == pytest.approx(0.5, abs=0.005)

    def test_knows_its_slowest_stretch(self) -> None:
        even = run(per_second=94)
        paused = [event for event in even.events if not 8 <= event.arrived[0] < 9]
        assert even.least_share == pytest.approx(1.0, abs=0.02)
        assert Run(1, 100, 95, paused, 0, 96).least_share == pytest.approx(0.8, abs=0.02)

    def test_knows_what_waited(self) -> None:
        moments, waiting = run(per_second=95).backlog(1.0)
        assert (moments[0], waiting[0]) == (0.0, SECONDS * 95 + 1)
        assert waiting[10] == pytest.approx(SECONDS * 95 / 2, abs=2)
        assert waiting[-1] == 0

    def test_knows_what_left_each_second(self) -> None:
        _, sent = run(per_second=95).sends()
        assert set(sent[:-1]) == {96.0}

    def test_tells_orders_from_views(self) -> None:
        assert run(order_took=0.3).latencies(Kind.ORDER) == pytest.approx([0.3] * SECONDS)
        assert run().latencies(Kind.VIEW)[-1] == pytest.approx(SECONDS)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        pytest.param({}, [], id="all is well"),
        pytest.param({"per_second": 80}, ["of the ceiling, not 95%"], id="too slow"),
        pytest.param({"throttled": 3}, ["3 calls were answered 429"], id="too fast"),
        pytest.param({"order_took": 2.5}, ["an order took 2.5 s, not 2"], id="orders that wait"),
        pytest.param({"arrivals": 0}, ["1 events were lost"], id="an event that never came"),
        pytest.param({"arrivals": 2}, ["1 calls came twice"], id="an event that came twice"),
    ],
)
def test_an_aim_says_what_was_missed(facts: dict[str, Any], said: Sequence[str]) -> None:
    missed = Aim().missed(run(**facts))
    assert len(missed) == len(said)
    assert all(part in whole for part, whole in zip(said, missed, strict=True))


@pytest.mark.parametrize(("share", "value"), [(0.5, 50.5), (0.99, 99.01)])
def test_a_percentile_lies_between_the_values(share: float, value: float) -> None:
    assert percentile([float(number) for number in range(1, 101)], share) == pytest.approx(value)


def test_the_picture_has_a_column_for_each_run_and_is_always_the_same(tmp_path: Path) -> None:
    from benchmarks.plot import draw  # it loads a plotting library, which no other process of tests needs

    first, second = tmp_path / "first.svg", tmp_path / "second.svg"
    for file in (first, second):
        draw([run(), run(workers=2)], file)
    assert first.read_bytes() == second.read_bytes()
    text = " ".join(ET.parse(first).getroot().itertext())
    for label in ("1 worker", "2 workers", "calls waiting", "limit: 100", "ceiling: 95", "orders, high priority"):
        assert label in text
