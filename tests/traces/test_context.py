"""What counts as a traceparent. Source: W3C Trace Context."""

import pytest

from app.traces.context import TraceContext, read_traceparent

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CONTEXT = TraceContext(TRACE, SPAN)


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        pytest.param(f"00-{TRACE}-{SPAN}-01", True, id="sampled"),
        pytest.param(f"00-{TRACE}-{SPAN}-00", False, id="not sampled"),
        pytest.param(f"00-{TRACE}-{SPAN}-ff", True, id="with flags of later versions"),
        pytest.param(f"cc-{TRACE}-{SPAN}-01-what-the-future-holds", True, id="of a later version"),
        pytest.param(f" 00-{TRACE}-{SPAN}-01 ", True, id="with blanks around it"),
    ],
)
def test_a_valid_one_is_read(header: str, sampled: bool) -> None:
    found = read_traceparent(header.encode())
    assert found is not None
    assert (found.context, found.sampled) == (CONTEXT, sampled)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("", id="empty"),
        pytest.param(f"00-{TRACE}-{SPAN}", id="without flags"),
        pytest.param(f"00-{TRACE.upper()}-{SPAN}-01", id="in capitals"),
        pytest.param(f"00-{'0' * 32}-{SPAN}-01", id="without a trace"),
        pytest.param(f"00-{TRACE}-{'0' * 16}-01", id="without a span"),
        pytest.param(f"ff-{TRACE}-{SPAN}-01", id="of the invalid version"),
        pytest.param(f"00-{TRACE}-{SPAN}-01-more", id="with more than its version has"),
        pytest.param(f"cc-{TRACE}-{SPAN}-01-{'x' * 1000}", id="too long"),
        pytest.param("00-\xff\xfe", id="with bytes that are no text"),
    ],
)
def test_any_other_counts_as_none(header: str) -> None:
    assert read_traceparent(header.encode("latin-1")) is None


def test_its_stored_form_is_read_again() -> None:
    found = read_traceparent(CONTEXT.traceparent)
    assert found is not None
    assert (found.context, found.sampled, len(CONTEXT.traceparent)) == (CONTEXT, True, 55)
