"""Unknown outcomes counted for people: how many calls Attentive may have processed twice to any effect."""

import pytest

from app.attentive.endpoints import BY_NAME, Repeat
from app.delivery.unknown import SENT_BY_HAND, WhenUnknown
from app.operations.unknown_outcomes import possible_duplicates, tally_of

HARMLESS = next(name for name, endpoint in BY_NAME.items() if endpoint.repeat is Repeat.HARMLESS)
COUNTED = next(name for name, endpoint in BY_NAME.items() if endpoint.repeat is not Repeat.HARMLESS)


@pytest.mark.parametrize(
    ("endpoint", "possible"),
    [
        pytest.param(COUNTED, 5, id="a repeat that counts twice"),
        pytest.param(HARMLESS, 0, id="a repeat that changes nothing"),
        pytest.param("no-such-endpoint", 5, id="an endpoint that only another release knows"),
    ],
)
def test_calls_that_were_sent_again_may_be_duplicates(endpoint: str, possible: int) -> None:
    calls = {
        (endpoint, WhenUnknown.SEND_AGAIN.value): 3,
        (endpoint, SENT_BY_HAND): 2,
        (endpoint, WhenUnknown.REVIEW.value): 7,
        ("another", WhenUnknown.SEND_AGAIN.value): 100,
    }
    found = tally_of("acme", endpoint, calls)
    assert (found.sent_again, found.in_review, found.verified, found.given_up) == (5, 7, 0, 0)
    assert possible_duplicates([found]) == possible
