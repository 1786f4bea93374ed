"""What an operator does with dead letters: mends them, takes them out, sends them again without being in the way."""

import json
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.embedded import RedisBinary
from tests.stack import Stack, message_id, stack, wait_until
from tests.waiting import hear_interrupts, patient

pytestmark = pytest.mark.timeout(180)  # each command is a process of its own
CUSTOM, PURCHASE = "/v1/events/custom", "/v1/events/ecommerce/purchase"
PACE = 25.0  # calls a second


@pytest.fixture(scope="module")
def running(redis_binary: RedisBinary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    environment = {"EDITOR": "sed -i s/too-cheap/p-1/"}
    folder = tmp_path_factory.mktemp("letters")
    with stack(folder, redis_binary, environment=environment, limits={"custom-event": PACE}) as started:
        yield started


@pytest.fixture
def gateway(running: Stack) -> Iterator[Stack]:
    yield running
    running.heal()
    running.run("dead-letters", "purge", "--all", "--yes")


def track(event: str, **fields: Any) -> dict[str, Any]:
    traits = {"email": "ada@example.com"}
    return {"type": "track", "event": event, "messageId": message_id(), "context": {"traits": traits}} | fields


def dead_letters(gateway: Stack) -> list[dict[str, Any]]:
    return [
        json.loads(line) for line in gateway.run("dead-letters", "list", "--json", "--limit", "999").stdout.splitlines()
    ]


def settled(gateway: Stack) -> None:
    wait_until(lambda: gateway.waiting() == 0, "nothing waits", 40)


def bury(gateway: Stack, number: int) -> list[str]:
    """So many events that Attentive refuses; their message ids."""
    gateway.fault(kind="status", status=400, path=CUSTOM)
    batch = [track("Signed Up") for _ in range(number)]
    assert gateway.post("/v1/batch", {"batch": batch}).status_code == 200
    settled(gateway)
    gateway.heal()
    return [event["messageId"] for event in batch]


def arrived(gateway: Stack, ids: list[str]) -> Counter[str]:
    """How often each reached Attentive."""
    calls = (call["body"]["externalEventId"] for call in gateway.ledger(path=CUSTOM))
    return Counter(each for each in calls if each in set(ids))


def test_a_dead_letter_is_mended_and_sent(gateway: Stack, tmp_path: Path) -> None:
    gateway.fault(kind="status", status=400, path=PURCHASE, count=1)
    product = {"product_id": "too-cheap", "price": 0.01}
    event = track("Order Completed", properties={"order_id": message_id(), "products": [product]})
    gateway.post("/v1/track", event)
    settled(gateway)
    (dead_letter,) = dead_letters(gateway)
    refused = gateway.run("dead-letters", "edit", dead_letter["id"], "--set", "items.0.price.0.value=free")
    assert refused.returncode == 1
    assert "Nothing is changed: items.0.price.0.value: must be a number" in refused.stderr

    edited = gateway.run("dead-letters", "edit", dead_letter["id"], "--set", "items.0.price.0.value=19.99")
    assert edited.returncode == 0, edited.stderr
    assert "Changed: items.0.price.0.value" in edited.stdout
    (mended,) = dead_letters(gateway)
    assert mended["id"] != dead_letter["id"]
    assert mended["died_at"][:19] == dead_letter["died_at"][:19], "it is as old as it was"
    in_editor = gateway.run("dead-letters", "edit", mended["id"])
    assert "Changed: items.0.productId, items.0.productVariantId" in in_editor.stdout
    (mended,) = dead_letters(gateway)
    story = gateway.run("trace", event["messageId"]).stdout
    assert "edited" in story
    assert "19.99" not in story

    assert gateway.run("dead-letters", "replay", mended["id"]).stdout.strip() == "1 sent again"
    settled(gateway)
    (call,) = gateway.ledger(order_id=event["properties"]["order_id"])
    (item,) = call["body"]["items"]
    assert (item["productId"], item["price"][0]["value"]) == ("p-1", 19.99)
    gone = gateway.run("dead-letters", "edit", dead_letter["id"], "--set", "orderId=1")
    assert f"There is no dead letter {dead_letter['id']}" in gone.stderr


def test_dead_letters_are_exported_masked_unless_asked_for_whole(gateway: Stack, tmp_path: Path) -> None:
    ids = bury(gateway, 3)
    masked = gateway.run("dead-letters", "export")
    assert {json.loads(line)["message_id"] for line in masked.stdout.splitlines()} == set(ids)
    assert "ada@example.com" not in masked.stdout
    file = tmp_path / "letters.ndjson"
    whole = gateway.run("dead-letters", "export", str(file), "--reveal")
    assert "personal data" in whole.stderr
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["call"]["user"]["email"] for line in lines] == ["ada@example.com"] * 3
    assert {line["original"]["messageId"] for line in lines} == set(ids)
    assert file.stat().st_mode & 0o077 == 0, "nobody else may read it"
    again = gateway.run("dead-letters", "export", str(file))
    assert (again.returncode, "cannot be written" in again.stderr) == (1, True)


def test_a_replay_lets_what_comes_in_go_first(gateway: Stack) -> None:
    replayed_too_soon = True
    while replayed_too_soon:  # as where the test stands still for seconds
        ids = bury(gateway, 100)
        assert gateway.run("dead-letters", "replay", "--all", "--yes").stdout.splitlines()[-1] == "100 sent again"
        wait_until(lambda: arrived(gateway, ids).total() > 0, "the replay is under way")  # noqa: B023
        live = track("Checkout Started")
        gateway.post("/v1/track", live)
        before = arrived(gateway, ids).total()
        replayed_too_soon = before > 75
        settled(gateway)
    order = [call["body"]["externalEventId"] for call in gateway.ledger(path=CUSTOM)]
    place = order.index(live["messageId"])
    assert set(order[place:]) & set(ids), "it did not wait for the replay"
    between = sum(each in set(ids) for each in order[:place]) - before
    assert between <= 0.5 * PACE, "only what was under way already went before it"
    assert arrived(gateway, ids) == Counter(ids)


def test_a_paced_replay_can_be_stopped_and_goes_on_where_it_was(gateway: Stack) -> None:
    ids = bury(gateway, 60)
    command = gateway.command("dead-letters", "replay", "--reason", "http_400", "--rate", "4", "--yes")
    replay = subprocess.Popen(
        command, env=gateway.environment, stdout=subprocess.PIPE, text=True, preexec_fn=hear_interrupts
    )
    wait_until(lambda: arrived(gateway, ids).total() > 1, "some are sent, with a quarter of a minute to go")
    replay.send_signal(signal.SIGINT)
    said, _ = replay.communicate(timeout=patient(30))
    assert replay.returncode == 130
    assert "of 60. Run the same command to continue with the rest" in said
    settled(gateway)
    sent = arrived(gateway, ids)
    assert 0 < sent.total() < 60
    assert len(dead_letters(gateway)) == 60 - sent.total()
    assert gateway.run("dead-letters", "replay", "--reason", "http_400", "--yes").returncode == 0
    settled(gateway)
    assert arrived(gateway, ids) == Counter(ids), "each once"
