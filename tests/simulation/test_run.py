"""What holds for every simulation, and what follows from the arithmetic of simple ones."""

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.attentive.call import Priority
from app.delivery.pace import LONGEST_STOP, SHARE, Pace
from app.simulation.figures import PACE_USED, WAITING_CALL_BYTES
from app.simulation.lane import stop_s
from app.simulation.run import Admits, Simulation, Standing, admit_all, shared, simulate
from app.simulation.scenario import Burst, Outage, Scenario
from tests.generated import examples
from tests.simulation.scenarios import HOUR_S, ORDERS, PAGES, VIEWS, capacity, paces, scenario, scenarios

RATE: Final = 150 * SHARE * PACE_USED  # of a lane at the documented limit


def at_most_so_many(most: int) -> Admits:
    """An intake that refuses while so many calls wait."""

    def admits(standing: Standing, _public: bool) -> str:
        return "backlog_full" if standing.trusted_calls + standing.public_calls >= most else ""

    return admits


class TestEverySimulation:
    @given(scenarios(), st.sampled_from((None, 100)))
    @examples(50)
    def test_accounts_for_each_call_at_each_step(self, given: Scenario, most: int | None) -> None:
        run = Simulation(given, admit_all if most is None else at_most_so_many(most))
        while not run.is_over:
            run.step()
            for lane in run.course().lanes:
                in_time = lane.delivered - lane.missed
                assert lane.arrived == in_time + lane.missed + lane.expired + lane.waiting
                assert min(in_time, lane.missed, lane.expired, lane.waiting) >= 0

    @given(scenarios())
    @examples(50)
    def test_sends_no_faster_than_its_limits(self, given: Scenario) -> None:
        course = simulate(given)
        for lane in course.lanes:
            pace = given.capacity.paces[lane.endpoint]
            assert lane.delivered <= pace.limit * SHARE * course.ends_s + max(2.0, pace.limit / 10)
        total = [pace.ceiling for pace in given.capacity.paces.values() if pace.ceiling]
        if total:
            assert course.delivered <= total[0] * SHARE * course.ends_s + total[0]
        if given.capacity.workers:
            assert course.delivered <= given.capacity.worker_calls_per_s * (course.ends_s + 1)

    @given(scenarios())
    @examples(50)
    def test_sends_no_less_with_twice_the_limits(self, given: Scenario) -> None:
        """Where nothing expires: what is expired is only found when its turn comes, which is sooner with more."""
        capacity = replace(given.capacity, fresh_s=HOUR_S, horizon_s=HOUR_S)
        doubled = {
            name: replace(pace, limit=pace.limit * 2, ceiling=pace.ceiling and pace.ceiling * 2)
            for name, pace in capacity.paces.items()
        }
        given = replace(given, shortest_s=given.longest_s, capacity=capacity)
        before = simulate(given)
        after = simulate(replace(given, capacity=replace(capacity, paces=doubled, workers=None)))
        assert after.delivered >= before.delivered - _few(given)
        for less, more in zip(before.lanes, after.lanes, strict=True):
            assert more.peak.value <= less.peak.value + _few(given)

    @given(scenarios())
    @examples(50)
    def test_ends_with_what_it_wrote_down_last(self, given: Scenario) -> None:
        course = simulate(given)
        assert course.moments[-1].at_s == course.ends_s <= given.longest_s
        assert sum(course.moments[-1].waiting.values()) == course.waiting


def _few(given: Scenario) -> int:
    """The calls of some seconds: where a step ends, and when a stopped lane is tried again, depends on the pace."""
    return round(given.traffic.peak * LONGEST_STOP.total_seconds()) + 10


class TestABurst:
    """Three hours of 240 calls a second into a lane that sends 139.65."""

    BURST: Final = scenario(40, flows=(replace(VIEWS, per_event=1.0),), bursts=(Burst(6, HOUR_S, 3 * HOUR_S),))

    def test_waits_for_the_limit_and_is_sent_within_the_time_that_the_arithmetic_gives(self) -> None:
        (lane,) = simulate(self.BURST).lanes
        most = (240 - RATE) * 3 * HOUR_S
        assert lane.peak.value == pytest.approx(most, rel=0.01)
        assert lane.peak.at_s == pytest.approx(4 * HOUR_S, abs=20)
        assert lane.drained_s == pytest.approx(4 * HOUR_S + most / (RATE - 40), rel=0.01)
        waits = lane.waits()
        assert waits is not None
        assert waits.longest_s == pytest.approx(most / RATE, rel=0.02)
        assert (lane.missed, lane.expired) == (0, 0)

    def test_is_the_same_with_other_steps(self) -> None:
        (fine,), (coarse,) = (simulate(replace(self.BURST, step_s=step_s)).lanes for step_s in (1.0, 5.0))
        assert coarse.peak.value == pytest.approx(fine.peak.value, rel=0.01)
        assert coarse.drained_s == pytest.approx(fine.drained_s, rel=0.01)

    def test_costs_redis_what_waits(self) -> None:
        course = simulate(self.BURST)
        before, most = course.moments[0].redis_bytes, course.redis.value
        (lane,) = course.lanes
        assert most - before > lane.peak.value * WAITING_CALL_BYTES
        twice = simulate(replace(self.BURST, accounts=2))
        assert twice.redis.value == pytest.approx(2 * most)

    def test_misses_journeys_after_12_hours_and_expires_after_24(self) -> None:
        long = replace(self.BURST.traffic, bursts=(Burst(40, 0, 4 * HOUR_S),))
        (lane,) = simulate(replace(self.BURST, traffic=long)).lanes
        assert lane.missed > 0
        assert lane.expired > 0
        assert lane.waiting == 0

    def test_is_refused_beyond_the_backlog_that_is_allowed(self) -> None:
        course = simulate(self.BURST, at_most_so_many(100_000))
        (lane,) = course.lanes
        assert lane.peak.value == pytest.approx(100_000, rel=0.02)
        assert course.refused["backlog_full"] == pytest.approx((240 - RATE) * 3 * HOUR_S - 100_000, rel=0.05)
        assert course.events == pytest.approx(lane.arrived + course.refused.total(), abs=2)  # parts of events


class TestAnOutage:
    def test_stops_the_lanes_which_are_tried_again_and_then_catch_up(self) -> None:
        course = simulate(scenario(50, outages=(Outage(HOUR_S, 1200.0),)))
        views = next(lane for lane in course.lanes if lane.endpoint == VIEWS.endpoint)
        assert 30 * 1200 <= views.peak.value <= 30 * (1200 + LONGEST_STOP.total_seconds() + 2)
        assert views.drained_s is not None
        assert views.drained_s > HOUR_S + 1200
        assert (course.missed, course.expired, course.waiting) == (0, 0, 0)

    def test_of_one_endpoint_leaves_the_others_alone(self) -> None:
        course = simulate(scenario(50, outages=(Outage(HOUR_S, 600.0, frozenset({VIEWS.endpoint})),)))
        peaks = {lane.endpoint: lane.peak.value for lane in course.lanes}
        assert peaks[VIEWS.endpoint] > 0
        assert peaks[PAGES.endpoint] == 0

    def test_is_tried_less_and_less_often(self) -> None:
        assert [stop_s(stops) for stops in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]


class TestPriorities:
    def test_send_an_order_at_once_while_page_views_wait(self) -> None:
        course = simulate(scenario(600, longest_s=HOUR_S))
        (lane,) = (lane for lane in course.lanes if lane.endpoint == ORDERS.endpoint)
        orders, pages = lane.waits(Priority.HIGH), lane.waits(Priority.LOW)
        assert orders is not None
        assert pages is not None
        assert orders.longest_s == 0
        assert pages.longest_s > 100

    def test_give_public_sources_half_of_the_pace(self) -> None:
        trusted = replace(PAGES, public=False, per_event=0.7)
        course = simulate(scenario(1000, flows=(replace(PAGES, per_event=0.3), trusted), longest_s=HOUR_S / 2))
        standing = course.lanes[0]
        assert standing.delivered == pytest.approx(RATE * HOUR_S / 2, rel=0.01)
        assert standing.waiting > 0


class TestCapacity:
    def test_a_ceiling_is_shared_evenly_by_the_lanes_that_wait_for_it(self) -> None:
        limits = {name: replace(pace, ceiling=20.0) for name, pace in paces().items()}
        course = simulate(scenario(100, capacity=capacity(paces=limits), longest_s=HOUR_S))
        views, pages = (lane.delivered for lane in course.lanes)
        assert views == pytest.approx(pages, rel=0.01)
        assert views + pages == pytest.approx(20 * SHARE * PACE_USED * HOUR_S, rel=0.01)

    def test_too_few_workers_are_a_limit_too(self) -> None:
        slow = capacity(workers=1, worker_calls_per_s=10.0)
        course = simulate(scenario(50, capacity=slow, longest_s=HOUR_S))
        assert course.delivered == pytest.approx(10 * HOUR_S, rel=0.01)

    def test_slow_answers_limit_a_lane(self) -> None:
        slow = capacity(concurrency=4, latency_s=1.0, paces=paces() | {PAGES.endpoint: Pace(150)})
        course = simulate(scenario(50, capacity=slow, longest_s=HOUR_S))
        assert all(lane.rate == 4 for lane in course.lanes)

    def test_quiet_traffic_takes_few_steps(self) -> None:
        course = simulate(scenario(1, shortest_s=48 * HOUR_S))
        assert len(course.moments) < 1000
        assert course.worst is None


@pytest.mark.parametrize(
    ("wants", "total", "granted"),
    [
        pytest.param([1, 2, 3], 10, [1, 2, 3], id="enough for all"),
        pytest.param([1, 9, 9], 9, [1, 4, 4], id="what one leaves is for the others"),
        pytest.param([5, 5], 0, [0, 0], id="nothing to share"),
        pytest.param([], 5, [], id="no lanes"),
    ],
)
def test_shares_are_even(wants: list[int], total: int, granted: list[int]) -> None:
    assert shared(wants, total) == granted
