"""An attribute that Attentive refuses by name is left out of the next attempt, and kept as a dead letter of its own."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import orjson
import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from app.attentive.answers import Reply
from app.attentive.client import AttentiveClient
from app.delivery.accounts.refused_attributes import refused_attributes, split
from app.delivery.consent import ConsentRules
from app.delivery.consumer import LaneConsumer
from app.delivery.counters import read_counters
from app.delivery.dead_letter import read_dead_letter
from app.delivery.lane import Lane
from app.delivery.outbox import Outbox
from app.delivery.outbox_event import OutboxEvent, calls_of
from app.delivery.outcome import RetryWithout, Undeliverable, judge
from app.delivery.pace import Pace
from app.delivery.unknown import WhenUnknown
from app.metrics import DeliveryMetrics
from tests.builders import EMAIL, NOW, delivery
from workers.attempt import Attempts

ATTRIBUTES: Final[dict[str, Any]] = {"firstName": "Ada", "custom": {"tier": "platinum", "color": "red", "value": 1}}
V2: Final = orjson.dumps({"identifiers": {"email": EMAIL}, "attributes": ATTRIBUTES})
V1: Final = orjson.dumps({"user": {"email": EMAIL}, "properties": ATTRIBUTES["custom"]})

ANSWERS: Final = [
    pytest.param(b'{"message": "attributes.custom.tier: must be one of its options"}', ("tier",), id="as a path"),
    pytest.param(b'{"message": "Invalid value for attribute \\"tier\\""}', ("tier",), id="in escaped quotes"),
    pytest.param(b"unknown option for 'tier'", ("tier",), id="in single quotes"),
    pytest.param(b"Attribute tier does not take this option", ("tier",), id="behind the word attribute"),
    pytest.param(b"'tier' and 'color' cannot be set", ("tier", "color"), id="two of them"),
    pytest.param(b"this attribute value is not allowed", (), id="a common word that an attribute happens to be called"),
    pytest.param(b"custom.tiers: unknown", (), id="a longer name"),
    pytest.param(b"bad request", (), id="nothing"),
    pytest.param(b"", (), id="no body"),
    pytest.param(b"\xff\xfe", (), id="no text"),
]


@pytest.mark.parametrize(("answer", "names"), ANSWERS)
@pytest.mark.parametrize(("endpoint", "body"), [("user-attributes", V2), ("custom-attributes", V1)])
def test_what_an_answer_names_is_found(endpoint: str, body: bytes, answer: bytes, names: tuple[str, ...]) -> None:
    assert refused_attributes(endpoint, body, answer) == names


def test_the_call_is_split_in_the_rest_and_the_refused() -> None:
    rest, refused = map(orjson.loads, split("user-attributes", V2, ("tier",)))
    assert rest == {
        "identifiers": {"email": EMAIL},
        "attributes": {"firstName": "Ada", "custom": {"color": "red", "value": 1}},
    }
    assert refused == {"identifiers": {"email": EMAIL}, "attributes": {"custom": {"tier": "platinum"}}}
    rest, refused = map(orjson.loads, split("custom-attributes", V1, ("tier", "value")))
    assert (rest["properties"], refused["properties"]) == ({"color": "red"}, {"tier": "platinum", "value": 1})


def test_a_call_of_which_nothing_would_be_left_is_given_up_whole() -> None:
    body = orjson.dumps({"identifiers": {"email": EMAIL}, "attributes": {"custom": {"tier": "platinum"}}})
    assert refused_attributes("user-attributes", body, b"'tier' is refused") == ()


@pytest.mark.parametrize(
    ("endpoint", "status", "outcome"),
    [
        pytest.param("user-attributes", 400, RetryWithout, id="a bad request"),
        pytest.param("user-attributes", 422, RetryWithout, id="an entity that cannot be processed"),
        pytest.param("user-attributes", 404, Undeliverable, id="another status is not about attributes"),
        pytest.param("custom-event", 400, Undeliverable, id="another endpoint has no attributes"),
    ],
)
def test_the_outcome_is(endpoint: str, status: int, outcome: type) -> None:
    call = delivery(endpoint=endpoint, body=V2, deadline=NOW + timedelta(hours=1))
    assert isinstance(judge(Reply(status, body=b"'tier' is refused"), call, now=NOW), outcome)


class Attentive:
    """Knows the attribute tier, with the options gold and silver, from its own pages."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    async def send(self, _: Any, body: bytes) -> Reply:
        self.got.append(orjson.loads(body)["attributes"])
        if "tier" in self.got[-1]["custom"]:
            return Reply(400, body=b'{"message": "attributes.custom.tier: must be one of gold, silver"}')
        return Reply(202)


async def test_the_rest_is_delivered_and_the_refused_one_is_the_dead_letter(redis: Redis) -> None:
    now = datetime.now(UTC)
    call = delivery(endpoint="user-attributes", body=V2, received_at=now, deadline=now + timedelta(hours=1))
    outbox = Outbox(redis, wake=lambda *_: None, journal_entries=100)
    await outbox.submit("acme", [OutboxEvent(call.event_key, call.message_id, b"{}", calls=calls_of([call]))])
    lane, attentive = Lane("acme", "user-attributes"), Attentive()
    attempts = Attempts(
        lane,
        cast(AttentiveClient, attentive),
        DeliveryMetrics(CollectorRegistry()),
        WhenUnknown.SEND_AGAIN,
        ConsentRules(),
    )
    lease = LaneConsumer(redis, lane, Pace(1000), journal_entries=100)
    assert await lease.acquire()
    for _ in range(2):
        claim = await lease.claim(10, under_way=0)
        assert len(claim.entries) == 1
        await lease.settle([await attempts.make(entry) for entry in claim.entries])
    assert attentive.got == [ATTRIBUTES, {"firstName": "Ada", "custom": {"color": "red", "value": 1}}]
    ((entry_id, fields),) = await redis.xrange(lane.keys.destination.dead)
    dead_letter = read_dead_letter("acme", entry_id, fields[b"d"])
    assert dead_letter.body is not None
    assert orjson.loads(dead_letter.body)["attributes"] == {"custom": {"tier": "platinum"}}
    assert (dead_letter.reason, dead_letter.calls) == ("http_400", 1)
    assert dead_letter.detail == "Attentive refused 'tier'; the rest of the call is sent without it"
    (counters,) = await read_counters(redis, ["acme"])
    assert (counters.delivered, counters.dead, counters.left_out) == (1, {}, {"refused:tier": 1})
