"""What a call waited for before an attempt."""

from typing import Any

import pytest

from app.delivery.waits import LaneWaits, Waits, waits_before
from tests.builders import delivery

S = 1000
RECEIVED = 1_800_000_000_000


@pytest.mark.parametrize(
    ("sent_s", "times_s", "lane_s", "waits_s"),
    [
        pytest.param(3, {}, (None, None, None), (0, 0, 0, 3), id="for us alone"),
        pytest.param(30, {}, (4, None, None), (0, 0, 26, 4), id="for us, and then for the limit"),
        pytest.param(30, {}, (-60, None, None), (0, 0, 30, 0), id="the lane waited for its limit already"),
        pytest.param(30, {}, (None, -60, 20), (0, 20, 0, 10), id="for the end of a hold that it came into"),
        pytest.param(30, {}, (None, 5, 20), (0, 15, 0, 15), id="a hold began after it had come in"),
        pytest.param(30, {}, (None, -60, -5), (0, 0, 0, 30), id="a hold had ended before it came in"),
        pytest.param(30, {}, (22, -60, 20), (0, 20, 8, 2), id="for a hold, for us, and for the limit"),
        pytest.param(30, {}, (5, -60, 20), (0, 20, 10, 0), id="a lane that is held does not wait for its limit"),
        pytest.param(30, {"failed": 2, "due": 10}, (None, None, None), (8, 0, 0, 20), id="for the retry, and for us"),
        pytest.param(30, {"failed": 2, "due": 10}, (-60, None, None), (8, 0, 20, 0), id="for the retry and the limit"),
        pytest.param(30, {"failed": 2, "due": 2}, (None, 1, 12), (0, 10, 0, 18), id="a retry at once, and a hold"),
        pytest.param(-1, {}, (None, None, None), (0, 0, 0, 0), id="a clock that is slow"),
    ],
)
def test_the_wait_before_an_attempt_by_cause(
    sent_s: int,
    times_s: dict[str, int],
    lane_s: tuple[int | None, int | None, int | None],
    waits_s: tuple[int, int, int, int],
) -> None:
    times: dict[str, Any] = {f"{name}_ms": RECEIVED + at_s * S for name, at_s in times_s.items()}
    lane = LaneWaits(*(0 if at_s is None else RECEIVED + at_s * S for at_s in lane_s))
    waits = waits_before(delivery(received_ms=RECEIVED, **times), RECEIVED + sent_s * S, lane)
    assert waits == Waits(*(waited_s * S for waited_s in waits_s))


def test_only_causes_that_took_time_are_named() -> None:
    assert Waits(retry_ms=5, own_ms=1).by_cause() == {"retry": 5, "own": 1}
