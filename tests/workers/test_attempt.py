"""What becomes of a delivery when our own code fails while it is attempted."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import lz4.block
import orjson
import pytest
from prometheus_client import CollectorRegistry

from app.attentive.call import Priority
from app.attentive.client import AttentiveClient, Reply
from app.attentive.endpoints import ADD_TO_CART, BY_NAME, CUSTOM_EVENT, SUBSCRIBE, UNSUBSCRIBE
from app.delivery.backlog import Entry, Lane, Settlement
from app.delivery.consent import ConsentRules
from app.delivery.delivery import Delivery, to_ms
from app.delivery.unknown import WhenUnknown, default_policy
from app.metrics import DeliveryMetrics
from workers.attempt import Attempts

NOW: Final = datetime.now(UTC)


class Attentive:
    """Gets every call, and then our own code fails."""

    def __init__(self, *, in_client: bool) -> None:
        self.in_client = in_client
        self.got: list[bytes] = []

    async def send(self, _: Any, body: bytes) -> Reply:
        self.got.append(body)
        if self.in_client:
            raise RuntimeError("jane@example.com")
        return cast(Reply, "no reply that anything of ours could judge")


async def attempted(endpoint: str, policy: WhenUnknown, *, in_client: bool = True) -> Settlement:
    delivery = Delivery(
        message_id="m",
        source="shop",
        endpoint=endpoint,
        priority=Priority.NORMAL,
        body=b'{"user":{"email":"jane@example.com"}}',
        event=b"{}",
        received_ms=to_ms(NOW),
        deadline_ms=to_ms(NOW + timedelta(hours=1)),
    )
    attentive = Attentive(in_client=in_client)
    metrics = DeliveryMetrics(CollectorRegistry())
    attempts = Attempts(Lane("acme", endpoint), cast(AttentiveClient, attentive), metrics, policy, ConsentRules())
    settlement = await attempts.make(Entry(1, b"1-1", delivery.packed()))
    assert attentive.got == [delivery.body]
    assert b"jane@example.com" not in settlement.record
    return settlement


@pytest.mark.parametrize("in_client", [True, False], ids=["in the client", "with the answer"])
@pytest.mark.parametrize("endpoint", [SUBSCRIBE.name, UNSUBSCRIBE.name])
async def test_a_call_that_texts_people_is_held_for_review(endpoint: str, in_client: bool) -> None:
    settlement = await attempted(endpoint, default_policy(BY_NAME[endpoint]), in_client=in_client)
    assert (settlement.verb, settlement.ending) == ("unknown", "unknown:held")
    assert settlement.counted == f"unknown_calls:{endpoint}:hold"
    letter = orjson.loads(settlement.payload)
    assert (letter["reason"], letter["endpoint"]) == ("unknown_outcome", endpoint)
    assert "may have been sent" in letter["detail"]


@pytest.mark.parametrize("in_client", [True, False], ids=["in the client", "with the answer"])
async def test_a_call_that_may_be_repeated_is_a_dead_letter(in_client: bool) -> None:
    settlement = await attempted(CUSTOM_EVENT.name, WhenUnknown.SEND_AGAIN, in_client=in_client)
    assert (settlement.verb, settlement.ending) == ("dead", "dead:internal_error")


@pytest.mark.parametrize("policy", [WhenUnknown.HOLD, WhenUnknown.GIVE_UP])
async def test_a_call_that_the_settings_do_not_repeat_is_held_for_review(policy: WhenUnknown) -> None:
    assert (await attempted(ADD_TO_CART.name, policy)).ending == "unknown:held"


@pytest.mark.parametrize(
    ("stored", "kept"),
    [
        pytest.param(b'{"v":99}', '{"v":99}', id="of another version"),
        pytest.param(b"\xff\x00", "\\xff\x00", id="of bytes that are no text"),
        pytest.param(
            b'{"v":99}\n' + lz4.block.compress(b'{}\n{"a":1}'), '{"v":99}\n{}\n{"a":1}', id="packed by another"
        ),
    ],
)
async def test_what_cannot_be_read_is_a_dead_letter_in_which_nothing_of_it_is_lost(stored: bytes, kept: str) -> None:
    attempts = Attempts(
        Lane("acme", CUSTOM_EVENT.name),
        cast(AttentiveClient, Attentive(in_client=True)),
        DeliveryMetrics(CollectorRegistry()),
        WhenUnknown.HOLD,
        ConsentRules(),
    )
    settlement = await attempts.make(Entry(1, b"1-1", stored))
    assert (settlement.verb, settlement.ending) == ("dead", "dead:unreadable")
    assert orjson.loads(settlement.payload)["event"] == {"stored": kept}
