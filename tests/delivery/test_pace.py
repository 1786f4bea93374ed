"""What Attentive's answers say about the pace."""

from datetime import timedelta

import pytest

from app.attentive.answers import Reply, Unreachable
from app.delivery.pace import LONGEST_PAUSE, Feedback, feedback_of


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        pytest.param([], Feedback(), id="nothing says nothing"),
        pytest.param([Reply(200, limit=150)], Feedback(limit=150, answered=1), id="a header tells the limit"),
        pytest.param(
            [Reply(200, limit=150), Reply(200, limit=40)], Feedback(limit=40, answered=2), id="the last one counts"
        ),
        pytest.param([Reply(200, limit=40), Reply(200)], Feedback(limit=40, answered=2), id="silence changes nothing"),
        pytest.param([Reply(200, limit=0)], Feedback(answered=1), id="a limit of nothing is no limit"),
        pytest.param([Reply(400)], Feedback(answered=1), id="a refused call is an answer"),
        pytest.param([Reply(429)], Feedback(throttled=True, answered=1), id="a 429 cuts the pace"),
        pytest.param(
            [Reply(429, retry_after=seconds(3)), Reply(429, retry_after=seconds(1))],
            Feedback(throttled=True, pause=seconds(3), answered=2),
            id="the longest pause asked for is kept",
        ),
        pytest.param(
            [Reply(429, retry_after=seconds(900))],
            Feedback(throttled=True, pause=LONGEST_PAUSE, answered=1),
            id="no lane pauses for a quarter of an hour",
        ),
        pytest.param(
            [Reply(503, retry_after=seconds(5)), Unreachable("cut", ambiguous=True)],
            Feedback(failed=2),
            id="server errors and silence are failures, and no pause",
        ),
    ],
)
def test_answers_add_up(replies: list[Reply | Unreachable], expected: Feedback) -> None:
    assert feedback_of(replies) == expected
