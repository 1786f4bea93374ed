"""The comparison of a simulated with a real run: its figures follow from what happened to each event."""

import math
from dataclasses import replace

import pytest

from benchmarks.simulation import FRESH_S, LASTS_S, LIMIT, SCENARIO, compared, deviation, figures_of, simulated
from benchmarks.timeline import Event, Kind, Run


def run(*events: Event) -> Run:
    return Run(1, LIMIT, LIMIT, events, 0, LIMIT)


def test_the_simulated_run_has_something_of_everything() -> None:
    figures = simulated()
    assert all(figure > 0 for _, figure in figures.rows())
    assert figures.last_waited_s < LASTS_S, "the real run ends before its backlog is empty"
    traffic = SCENARIO.traffic
    assert figures.delivered + figures.expired == pytest.approx(
        traffic.events_per_s * (LASTS_S + 5 * traffic.bursts[0].lasts_s), abs=2
    )


def test_the_real_figures_follow_from_the_events() -> None:
    figures = figures_of(
        run(
            Event(Kind.ORDER, 0.0, (1.0,)),
            Event(Kind.ORDER, 0.0, (3.0,)),
            Event(Kind.VIEW, 1.5, (60.0,)),
            Event(Kind.VIEW, 2.0, (70.0,)),
            Event(Kind.VIEW, 2.0, ()),
        )
    )
    assert (figures.delivered, figures.missed, figures.expired) == (4, 2, 1)
    assert figures.most_waiting == 4
    assert figures.most_waiting_at_s == pytest.approx(2.0)
    assert figures.last_waited_s == 70.0
    assert figures.order_mean_s == 2.0
    assert figures.view_mean_s == pytest.approx((58.5 + 68) / 2)
    assert FRESH_S < 58


@pytest.mark.parametrize(
    ("one", "other", "off"),
    [
        pytest.param(110, 100, 0.1, id="too much"),
        pytest.param(90, 100, -0.1, id="too little"),
        pytest.param(0, 0, 0.0, id="nothing in both"),
        pytest.param(1, 0, math.inf, id="something that did not happen"),
    ],
)
def test_a_deviation_is_a_part_of_the_real_figure(one: float, other: float, off: float) -> None:
    assert deviation(one, other) == pytest.approx(off)


def test_the_worst_deviation_counts_in_both_directions() -> None:
    real = replace(simulated(), missed=100, expired=100)
    paced = replace(real, missed=104, expired=88)
    rows, worst = compared(replace(real, missed=120), paced, real)
    assert worst == pytest.approx(-0.12)
    assert ("journeys missed", "120", "100", "+20.0%", "104", "+4.0%") in rows


def test_a_slower_pace_delivers_less() -> None:
    assert simulated(0.9).delivered < simulated().delivered
    assert simulated(0.9).calls_per_s == pytest.approx(simulated().calls_per_s * 0.9)
