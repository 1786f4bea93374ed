"""What Attentive may count of our calls: never too little, and never attributed to other users of the limit."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.attentive.answers import Reply, Unreachable
from app.delivery.sliding_window import WINDOW_S, SlidingWindow
from tests.generated import examples

LIMIT: Final = 10
OK: Final = Reply(200)


def answered(*calls: tuple[float, float], usual_s: float = 0.01) -> SlidingWindow:
    """A drain that has long known how long an answer usually takes, after calls that left and came back then."""
    second = SlidingWindow(-10)
    second.returns(second.leaves(-10), OK, -10 + usual_s)
    numbers = {call: second.leaves(call[0]) for call in sorted(calls)}
    for call in sorted(calls, key=lambda times: times[1]):
        second.returns(numbers[call], OK, call[1])
    return second


class TestACall:
    @pytest.mark.parametrize(
        ("left", "came_back", "counts_until"),
        [
            pytest.param(0.0, 0.01, 0.0 + WINDOW_S, id="usual: for a second from when it left"),
            pytest.param(0.0, 0.41, 0.4 + WINDOW_S, id="held up on its way: it may have arrived as late as that"),
            pytest.param(0.0, 9.00, 0.99 + WINDOW_S, id="without an answer for long: it has arrived long ago"),
        ],
    )
    def test_keeps_its_place_for_a_second(self, left: float, came_back: float, counts_until: float) -> None:
        second = SlidingWindow(-10)
        second.returns(second.leaves(-10), OK, -10 + 0.01)
        number = second.leaves(left)
        for moment in (left, min(came_back, counts_until) - 0.05):
            assert second.count(moment) == 1
        second.returns(number, OK, came_back)
        if came_back < counts_until:
            assert second.count(counts_until - 0.02) == 1
        assert second.count(max(counts_until, came_back) + 0.02) == 0

    def test_of_the_drain_before_is_not_forgotten(self) -> None:
        second = SlidingWindow(0, before=100, ago_s=0.2)
        assert second.count(0) == pytest.approx(100 * (WINDOW_S - 0.2) / WINDOW_S, abs=2)
        assert second.count(0.4) == pytest.approx(100 * (WINDOW_S - 0.6) / WINDOW_S, abs=2)
        assert second.count(1) == 0
        assert SlidingWindow(0, before=100, ago_s=5).count(0) == 0

    def test_that_fails_keeps_its_place_too(self) -> None:
        second = SlidingWindow(0)
        second.returns(second.leaves(0), Unreachable("cut", ambiguous=True), 0.2)
        assert second.count(0.9) == 1

    def test_of_a_slow_road_counts_from_when_it_left(self) -> None:
        """Where every answer takes 600 ms, there is nothing to wait for: calls arrive as they leave."""
        second = SlidingWindow(0)
        for step in range(400):
            now = step / 20
            number = second.leaves(now)
            second.returns(number, OK, now + 0.6)
        assert second.count(20.6) == pytest.approx((WINDOW_S - 0.6) * 20, abs=1)

    def test_through_a_new_connection_does_not_make_the_road_look_slow(self) -> None:
        second = SlidingWindow(0)
        second.returns(second.leaves(0), OK, 0.4)
        second.returns(second.leaves(0.5), OK, 0.52)
        second.returns(second.leaves(0.6), OK, 0.9)
        assert second.count(0.85 + WINDOW_S) == 1


@examples(200)
@given(
    usual=st.lists(st.floats(0.001, 0.02), min_size=60, max_size=60),
    stalls=st.dictionaries(st.integers(0, 59), st.floats(0.05, 0.7), max_size=4),
    share=st.floats(0, 1),
)
def test_no_second_sees_more_than_the_limit_whatever_is_held_up(
    usual: Sequence[float], stalls: Mapping[int, float], share: float
) -> None:
    """Calls leave as soon as there is room. Each arrives somewhere between its leaving and its answer."""
    second = SlidingWindow(0)
    second.returns(second.leaves(0), OK, 0.01)
    coming: list[tuple[float, int]] = []
    arrivals: list[float] = []
    now, left = 2.0, 0
    while left < len(usual):
        for moment, number in sorted(coming):
            if moment <= now:
                second.returns(number, OK, moment)
                coming.remove((moment, number))
        while left < len(usual) and second.count(now) < LIMIT:
            took = stalls.get(left, usual[left])
            coming.append((now + took, second.leaves(now)))
            arrivals.append(now + took * share)
            left += 1
        now += 0.02
    arrivals.sort()
    assert min(late - early for early, late in zip(arrivals, arrivals[LIMIT:], strict=False)) > 0.9


class TestOthers:
    def at_work(self, *, seconds: float, per_second: int, reply: Any) -> SlidingWindow:
        """A drain that sends evenly; `reply` gets how many of its calls the last second holds."""
        second, sent = SlidingWindow(0), list[float]()
        for step in range(int(seconds * per_second)):
            now = step / per_second
            sent = [moment for moment in sent if moment > now - 1] + [now]
            second.returns(second.leaves(now), reply(len(sent)), now + 0.01)
        return second

    def test_are_not_seen_in_our_own_pace(self) -> None:
        drain = self.at_work(seconds=3, per_second=10, reply=lambda ours: Reply(200, limit=10, remaining=10 - ours))
        assert drain.others() == 0

    def test_are_what_is_gone_of_the_limit_beside_ours(self) -> None:
        drain = self.at_work(
            seconds=3, per_second=20, reply=lambda ours: Reply(200, limit=150, remaining=max(0, 150 - ours - 100))
        )
        assert drain.others() == pytest.approx(100, abs=2)
        assert drain.others() == 0, "each look begins anew"

    def test_are_unknown_to_a_drain_that_has_just_begun(self) -> None:
        """Its predecessor's calls are ours as well, and it has not seen them."""
        drain = self.at_work(seconds=0.9, per_second=10, reply=lambda _: Reply(200, limit=150, remaining=5))
        assert drain.others() == 0

    @pytest.mark.parametrize(
        "reply",
        [
            pytest.param(Reply(200), id="no header"),
            pytest.param(Reply(200, limit=150), id="no word of what remains"),
            pytest.param(Reply(200, remaining=0), id="no word of the limit"),
            pytest.param(Reply(200, limit=0, remaining=0), id="a limit of nothing"),
            pytest.param(Reply(200, limit=100, remaining=500), id="more left than there is"),
            pytest.param(Unreachable("cut", ambiguous=True), id="no answer"),
        ],
    )
    def test_are_not_guessed(self, reply: Any) -> None:
        assert self.at_work(seconds=3, per_second=10, reply=lambda _: reply).others() == 0

    def test_answers_may_come_in_any_order(self) -> None:
        """Fifty calls at once, answered last to first: the counts in the answers are of many moments."""
        second = SlidingWindow(0)
        numbers = [second.leaves(5) for _ in range(50)]
        for place, number in reversed(list(enumerate(numbers, start=1))):
            second.returns(number, Reply(200, limit=150, remaining=150 - place), 5.3)
        assert second.others() == 0

    def test_an_answer_from_long_ago_says_nothing(self) -> None:
        second = SlidingWindow(0)
        number = second.leaves(5)
        second.returns(number, Reply(200, limit=150, remaining=0), 9)
        assert second.others() == 0


def test_times_move_on() -> None:
    """What no second holds any more is forgotten: a lane runs for months."""
    second = answered(*((step / 10, step / 10 + 0.01) for step in range(100)))
    moments = [second.count(10 + step / 10) for step in range(12)]
    assert all(later <= earlier for earlier, later in pairwise(moments))
    assert moments[-1] == 0
