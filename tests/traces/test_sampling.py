"""Which requests and attempts are traced, and below what."""

import pytest

from app.traces.context import TraceContext
from app.traces.sampling import STORY_ENDS_MS, Place, place_of_attempt, place_of_request

OWN = TraceContext("1" * 32, "2" * 16)
CALLER = TraceContext("a" * 32, "b" * 16)
SAMPLED, UNSAMPLED = CALLER.traceparent.encode(), CALLER.traceparent.removesuffix("01").encode() + b"00"
NEW, CONTINUED, LINKED = Place(OWN), Place(OWN.within(CALLER), parent=CALLER), Place(OWN, link=CALLER)


@pytest.mark.parametrize(
    ("header", "drawn", "trusted", "place"),
    [
        pytest.param(None, False, True, None, id="neither drawn nor asked for"),
        pytest.param(None, True, False, NEW, id="drawn"),
        pytest.param(SAMPLED, False, True, CONTINUED, id="a trusted caller records it"),
        pytest.param(UNSAMPLED, False, True, None, id="a trusted caller does not record it"),
        pytest.param(UNSAMPLED, True, True, CONTINUED, id="a trusted caller does not record it, and it is drawn"),
        pytest.param(SAMPLED, False, False, None, id="a public caller cannot force it"),
        pytest.param(SAMPLED, True, False, LINKED, id="a public caller is linked"),
        pytest.param(b"nonsense", True, True, NEW, id="an invalid header is absent"),
        pytest.param(b"nonsense", False, True, None, id="an invalid header forces nothing"),
    ],
)
def test_a_request(header: bytes | None, drawn: bool, trusted: bool, place: Place | None) -> None:
    assert place_of_request(OWN, header, drawn=drawn, trusted=trusted) == place


@pytest.mark.parametrize(
    ("traceparent", "attempt", "age_ms", "place"),
    [
        pytest.param(CALLER.traceparent, 1, 0, CONTINUED, id="the first attempt continues the request"),
        pytest.param(CALLER.traceparent, 1, STORY_ENDS_MS, CONTINUED, id="the first attempt just in time"),
        pytest.param(CALLER.traceparent, 1, STORY_ENDS_MS + 1, LINKED, id="the first attempt at an old call"),
        pytest.param(CALLER.traceparent, 2, 0, LINKED, id="a retry"),
        pytest.param("", 1, 0, NEW, id="a request that is not traced"),
        pytest.param("damaged", 1, 0, NEW, id="a damaged context"),
    ],
)
def test_an_attempt(traceparent: str, attempt: int, age_ms: int, place: Place) -> None:
    assert place_of_attempt(OWN, traceparent, attempt=attempt, age_ms=age_ms) == place
