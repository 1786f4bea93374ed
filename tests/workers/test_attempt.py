"""The fate of a delivery if our own code fails during an attempt."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import lz4.block
import orjson
import pytest
from prometheus_client import CollectorRegistry

from app.attentive.answers import Reply
from app.attentive.client import AttentiveClient
from app.attentive.endpoints import ADD_TO_CART, BY_NAME, CUSTOM_EVENT, SUBSCRIBE, UNSUBSCRIBE
from app.delivery.consent import ConsentRules
from app.delivery.dead_letter import read_dead_letter
from app.delivery.delivery import Delivery
from app.delivery.lane import Lane
from app.delivery.recipients import Deliver, Recipients
from app.delivery.settlement import Entry, Settlement
from app.delivery.unknown import WhenUnknown, default_policy
from app.metrics import DeliveryMetrics
from tests.builders import Raw, delivery
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


def call_about_jane(endpoint: str, **changes: Any) -> Delivery:
    """A call that came in when the tests began, and is to be sent within a day."""
    fields: Raw = {
        "endpoint": endpoint,
        "body": b'{"user":{"email":"jane@example.com"}}',
        "event": b"{}",
        "received_at": NOW,
        "deadline": NOW + timedelta(days=1),
    }
    return delivery(**(fields | changes))


async def attempted(endpoint: str, policy: WhenUnknown, *, in_client: bool = True) -> Settlement:
    call = call_about_jane(endpoint)
    attentive = Attentive(in_client=in_client)
    metrics = DeliveryMetrics(CollectorRegistry())
    attempts = Attempts(Lane("acme", endpoint), cast(AttentiveClient, attentive), metrics, policy, ConsentRules())
    settlement = await attempts.make(Entry(1, b"1-1", call.packed()))
    assert attentive.got == [call.body]
    assert b"jane@example.com" not in settlement.record
    return settlement


@pytest.mark.parametrize("in_client", [True, False], ids=["in the client", "with the answer"])
@pytest.mark.parametrize("endpoint", [SUBSCRIBE.name, UNSUBSCRIBE.name])
async def test_a_call_that_texts_people_is_held_for_review(endpoint: str, in_client: bool) -> None:
    settlement = await attempted(endpoint, default_policy(BY_NAME[endpoint]), in_client=in_client)
    assert (settlement.verb, settlement.ending) == ("unknown", "unknown:review")
    assert settlement.counted == f"unknown_calls:{endpoint}:review"
    dead_letter = read_dead_letter("acme", b"1-1", settlement.payload)
    assert (dead_letter.reason, dead_letter.endpoint) == ("unknown_outcome", endpoint)
    assert "may have been sent" in dead_letter.detail


@pytest.mark.parametrize("in_client", [True, False], ids=["in the client", "with the answer"])
async def test_a_call_that_may_be_repeated_is_a_dead_letter(in_client: bool) -> None:
    settlement = await attempted(CUSTOM_EVENT.name, WhenUnknown.SEND_AGAIN, in_client=in_client)
    assert (settlement.verb, settlement.ending) == ("dead", "dead:internal_error")


@pytest.mark.parametrize("policy", [WhenUnknown.REVIEW, WhenUnknown.GIVE_UP])
async def test_a_call_that_the_settings_do_not_repeat_is_held_for_review(policy: WhenUnknown) -> None:
    assert (await attempted(ADD_TO_CART.name, policy)).ending == "unknown:review"


def attempts_of_a_lane() -> Attempts:
    return Attempts(
        Lane("acme", CUSTOM_EVENT.name),
        cast(AttentiveClient, Attentive(in_client=True)),
        DeliveryMetrics(CollectorRegistry()),
        WhenUnknown.REVIEW,
        ConsentRules(),
    )


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
    settlement = await attempts_of_a_lane().make(Entry(1, b"1-1", stored))
    assert (settlement.verb, settlement.ending) == ("dead", "dead:unreadable")
    assert orjson.loads(read_dead_letter("acme", b"1-1", settlement.payload).event) == {"stored": kept}


NEWER: Final = b'{"v":99,"fresh":null,"deadline":4102444800000,"more":1}\n' + lz4.block.compress(b"of a newer release")


async def test_what_a_newer_release_stored_waits_as_it_is_for_a_worker_that_reads_it() -> None:
    settlement = await attempts_of_a_lane().make(Entry(1, b"1-1", NEWER))
    assert (settlement.verb, settlement.payload, settlement.record) == ("retry", NEWER, b"")
    assert settlement.due_ms > 0


async def test_what_a_newer_release_stored_is_a_dead_letter_once_it_is_past_its_deadline() -> None:
    settlement = await attempts_of_a_lane().make(Entry(1, b"1-1", NEWER, late=True))
    assert (settlement.verb, settlement.ending) == ("dead", "dead:unreadable")


def test_an_orphan_that_a_newer_release_stored_stays_claimed_for_it_may_have_been_sent() -> None:
    assert attempts_of_a_lane().orphaned(Entry(1, b"1-1", NEWER)) is None


@pytest.mark.parametrize("endpoint", [CUSTOM_EVENT.name, SUBSCRIBE.name])
async def test_a_call_that_its_destination_no_longer_delivers_ends_without_an_attempt(endpoint: str) -> None:
    attentive = Attentive(in_client=False)
    call = call_about_jane(endpoint, unverified=("email",))
    attempts = Attempts(
        Lane("acme", endpoint),
        cast(AttentiveClient, attentive),
        DeliveryMetrics(CollectorRegistry()),
        WhenUnknown.REVIEW,
        ConsentRules(),
        Recipients(Deliver.NONE),
    )
    settlement = await attempts.make(Entry(1, b"1-1", call.packed()))
    assert (settlement.verb, settlement.ending) == ("dropped", "dropped:not_delivered")
    assert orjson.loads(settlement.record)["detail"] == "the destination delivers to no one"
    assert attentive.got == []


@pytest.mark.parametrize(
    ("received_h", "cause"), [(1, "waited"), (13, "arrived"), (None, None)], ids=["late here", "late there", "in time"]
)
async def test_a_call_that_is_accepted_too_late_for_journeys_is_counted(
    received_h: int | None, cause: str | None
) -> None:
    class Accepting(Attentive):
        async def send(self, _: Any, body: bytes) -> Reply:
            return Reply(200)

    occurred = NOW if received_h is None else NOW - timedelta(hours=14)
    call = call_about_jane(
        CUSTOM_EVENT.name,
        body=b'{"user":{"email":"jane@example.com"},"type":"Joined"}',
        received_at=occurred + timedelta(hours=received_h or 0),
        fresh_until=occurred + timedelta(hours=12),
    )
    client = cast(AttentiveClient, Accepting(in_client=False))
    metrics = DeliveryMetrics(CollectorRegistry())
    attempts = Attempts(Lane("acme", CUSTOM_EVENT.name), client, metrics, WhenUnknown.SEND_AGAIN, ConsentRules())
    settlement = await attempts.make(Entry(1, b"1-1", call.packed()))
    assert (settlement.verb, settlement.counted) == ("done", f"missed:{cause}" if cause else "")
    assert ("journeys" in orjson.loads(settlement.record)) is (cause is not None)


@pytest.mark.parametrize(("out", "verb"), [(True, "dropped"), (False, "unknown")], ids=["since then", "never"])
async def test_an_opt_in_that_waited_is_not_sent_once_its_person_has_opted_out(out: bool, verb: str) -> None:
    asked: list[tuple[str, str]] = []

    async def opted_out(contacts: Sequence[tuple[str, str]]) -> bool:
        asked.extend(contacts)
        return out

    attentive = Attentive(in_client=True)
    attempts = Attempts(
        Lane("acme", SUBSCRIBE.name),
        cast(AttentiveClient, attentive),
        DeliveryMetrics(CollectorRegistry()),
        WhenUnknown.REVIEW,
        ConsentRules(),
        opted_out=opted_out,
    )
    settlement = await attempts.make(Entry(1, b"1-1", call_about_jane(SUBSCRIBE.name).packed()))
    assert (settlement.verb, asked, len(attentive.got)) == (verb, [("email", "jane@example.com")], int(not out))
