"""Names and attributes of spans: what a span must not hold."""

import pytest

from app.traces.spans import shown_message_id

KEY = bytes(range(12))


@pytest.mark.parametrize(
    "message_id",
    [
        pytest.param("6a3d6a1c-5f51-4a3e-8f43-0d5f1d0a2b11", id="a UUID"),
        pytest.param("ajs-next-1700000000000-6a3d6a1c-5f51-4a3e-8f43-0d5f1d0a2b11", id="analytics.js"),
        pytest.param("ajs-0f343b0dd603610071393b0dd6036100", id="an older analytics.js"),
        pytest.param("node-next-1700000000000-6a3d6a1c-5f51-4a3e-8f43-0d5f1d0a2b11", id="analytics-node"),
        pytest.param("sha256:" + "a" * 64, id="a digest of the gateway"),
    ],
)
def test_a_generated_message_id_is_shown(message_id: str) -> None:
    assert shown_message_id(message_id, KEY) == message_id


@pytest.mark.parametrize(
    "message_id",
    [
        pytest.param("14155550132", id="a phone number"),
        pytest.param("ada-lovelace-6a3d6a1c-5f51-4a3e-8f43-0d5f1d0a2b11", id="a name before a UUID"),
        pytest.param("6a3d6a1c-5f51-4a3e-8f43-0d5f1d0a2b11-ada", id="a name after a UUID"),
        pytest.param("order-4711", id="a number of an order"),
        pytest.param("", id="nothing"),
    ],
)
def test_any_other_is_shown_as_the_events_key(message_id: str) -> None:
    assert shown_message_id(message_id, KEY) == KEY.hex()
