"""A tracker's call in, an Attentive call out: the whole road through a real Redis."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.stack import DESTINATION, WRITE_KEY, Stack, message_id, wait_until

PERSON = {"traits": {"email": "Jane.Doe@Example.com", "phone": "(415) 555-0132"}}


def track(event: str = "Signed Up", **fields: Any) -> dict[str, Any]:
    return {"event": event, "userId": "u-1042", "messageId": message_id(), "context": PERSON, **fields}


def calls_with(gateway: Stack, text: str) -> list[dict[str, Any]]:
    return gateway.ledger(contains=text)


def attempts_of(gateway: Stack, event: dict[str, Any]) -> list[int]:
    """The numbers of the attempts that the journal has. The ledger has a call before the worker has its answer."""
    steps = [json.loads(line) for line in gateway.run("trace", "--json", event["messageId"]).stdout.splitlines()]
    return [step["attempt"] for step in steps if step["step"] == "attempt"]


def of_event(printed: str, event: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of these dead letters, printed as NDJSON, that hold the event."""
    return [each for each in map(json.loads, printed.splitlines()) if each["message_id"] == event["messageId"]]


def test_a_track_call_reaches_attentive_as_a_custom_event(gateway: Stack) -> None:
    event = track(properties={"plan": "gold"}, timestamp=datetime.now(UTC).isoformat())
    answer = gateway.post("/v1/track", event)
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    wait_until(lambda: bool(gateway.ledger(message_id=event["messageId"])), "the event is in the ledger")
    (call,) = gateway.ledger(message_id=event["messageId"])
    assert call["path"] == "/v1/events/custom"
    assert call["body"]["type"] == "Signed Up"
    assert call["body"]["properties"] == {"plan": "gold"}
    assert call["body"]["user"] == {
        "email": "jane.doe@example.com",
        "phone": "+14155550132",
        "externalIdentifiers": {"clientUserId": "u-1042"},
    }


def test_an_identify_call_becomes_an_identity_link_and_user_attributes(gateway: Stack) -> None:
    user = f"user-{message_id()}"
    traits = {"email": f"{user}@example.com", "firstName": "Maya", "loyalty_tier": "gold"}
    event = {"userId": user, "messageId": message_id(), "traits": traits}
    assert gateway.post("/v1/identify", event).status_code == 200
    wait_until(lambda: len(calls_with(gateway, user)) == 2, "both calls are in the ledger")
    paths = {call["path"]: call["body"] for call in calls_with(gateway, user)}
    assert paths["/v1/identity-resolution/user-identifiers"]["clientUserId"] == user
    assert paths["/v2/user/attributes"]["attributes"] == {"firstName": "Maya", "custom": {"loyalty_tier": "gold"}}


def test_a_partly_bad_batch_keeps_its_good_events(gateway: Stack) -> None:
    good = [{"type": "track", **track()} for _ in range(3)]
    batch = [good[0], {"type": "track", "userId": "u-1"}, good[1], "no event", good[2]]
    answer = gateway.post("/v1/batch", {"batch": batch})
    assert answer.status_code == 200
    assert answer.json()["accepted"] == 3
    assert [(why["index"], why["field"]) for why in answer.json()["refused"]] == [(1, "event"), (3, "event")]
    ids = [event["messageId"] for event in good]
    wait_until(lambda: all(len(gateway.ledger(message_id=one)) == 1 for one in ids), "each good event arrives")


def test_a_message_id_that_comes_twice_is_sent_once(gateway: Stack) -> None:
    event = track()
    repeats = gateway.ended("dropped", "duplicate")
    for _ in range(3):
        assert gateway.post("/v1/track", event).json() == {"success": True}
    assert gateway.post("/v1/batch", {"batch": [{"type": "track", **event}] * 2}).status_code == 200
    wait_until(lambda: gateway.waiting() == 0, "nothing waits")
    assert len(gateway.ledger(message_id=event["messageId"])) == 1
    assert gateway.ended("dropped", "duplicate") == repeats + 4


def test_an_event_of_nobody_is_dropped_and_said_so(gateway: Stack) -> None:
    event = {"event": "Signed Up", "anonymousId": "a-1", "messageId": message_id()}
    assert gateway.post("/v1/track", event).status_code == 200
    trace = gateway.run("trace", event["messageId"])
    assert trace.returncode == 0, trace.stderr
    assert "no_identity" in trace.stdout


@pytest.mark.parametrize(
    ("fault", "attempts"),
    [
        pytest.param({"kind": "status", "status": 503, "count": 2}, 3, id="two server errors"),
        pytest.param({"kind": "status", "status": 429, "count": 1, "retry_after": "1"}, 2, id="one refusal for pace"),
        pytest.param({"kind": "reset", "count": 1}, 2, id="a connection cut before the call is processed"),
        pytest.param({"kind": "html", "status": 502, "count": 1}, 2, id="a gateway's HTML error page"),
    ],
)
def test_a_passing_fault_delays_an_event_and_loses_nothing(
    gateway: Stack, fault: dict[str, Any], attempts: int
) -> None:
    event = track()
    gateway.fault(path="/v1/events/custom", **fault)
    assert gateway.post("/v1/track", event).status_code == 200
    wait_until(lambda: len(gateway.ledger(message_id=event["messageId"])) == 1, "the event arrives", 30)
    wait_until(lambda: gateway.waiting() == 0, "its last attempt is recorded")
    assert attempts_of(gateway, event) == list(range(1, attempts + 1))


def test_a_refused_key_holds_the_destination_and_costs_no_attempt(gateway: Stack) -> None:
    event = track()
    gateway.fault(kind="status", status=401, path="/v1/events/custom")
    gateway.fault(kind="status", status=401, path="/v1/me")  # else the hold would end by itself
    assert gateway.post("/v1/track", event).status_code == 200
    wait_until(lambda: "held" in gateway.run("trace", event["messageId"]).stdout, "the event is held")
    assert gateway.ledger(message_id=event["messageId"]) == []
    gateway.heal()
    gateway.release_holds()
    wait_until(lambda: len(gateway.ledger(message_id=event["messageId"])) == 1, "it arrives once the hold is over")
    wait_until(lambda: gateway.waiting() == 0, "its second attempt is recorded")
    assert attempts_of(gateway, event) == [1, 1]


def test_what_attentive_refuses_for_good_is_a_dead_letter_that_can_be_replayed(gateway: Stack) -> None:
    event = track()
    gateway.fault(kind="status", status=400, count=1, path="/v1/events/custom", message="jane.doe@example.com is odd")
    assert gateway.post("/v1/track", event).status_code == 200
    wait_until(
        lambda: event["messageId"] in gateway.run("dead-letters", "list", "--json").stdout, "it is a dead letter"
    )
    (dead_letter,) = of_event(gateway.run("dead-letters", "list", "--json").stdout, event)
    assert dead_letter["reason"] == "http_400"
    assert dead_letter["last_answer"]["status"] == 400
    assert "jane.doe@example.com" not in json.dumps(dead_letter)

    shown = gateway.run("dead-letters", "show", dead_letter["id"])
    assert "jane.doe@example.com" not in shown.stdout.lower()
    revealed = gateway.run("dead-letters", "show", dead_letter["id"], "--reveal")
    assert "Jane.Doe@Example.com" in revealed.stdout

    replayed = gateway.run("dead-letters", "replay", dead_letter["id"])
    assert (replayed.returncode, replayed.stdout.strip()) == (0, "1 sent again")
    wait_until(lambda: len(gateway.ledger(message_id=event["messageId"])) == 1, "the replay arrives")
    assert gateway.run("dead-letters", "show", dead_letter["id"]).returncode == 1


def test_an_unmappable_event_goes_through_the_mapping_again_when_replayed(gateway: Stack) -> None:
    event = track("Order Completed", properties={"order_id": message_id(), "products": "none"})
    assert gateway.post("/v1/track", event).status_code == 200
    listed = gateway.run("dead-letters", "list", "--reason", "unmappable", "--endpoint", "none", "--json")
    (dead_letter,) = of_event(listed.stdout, event)
    assert dead_letter["detail"].startswith("items_missing: properties.products")
    replayed = gateway.run("dead-letters", "replay", dead_letter["id"])
    assert replayed.stdout.startswith("1 kept, still unmappable")
    purged = gateway.run("dead-letters", "purge", dead_letter["id"], "--yes")
    assert purged.stdout.strip() == "1 dead letter deleted."


def test_an_event_too_old_to_be_of_use_is_kept_and_sent_when_asked_for(gateway: Stack) -> None:
    event = track(timestamp=(datetime.now(UTC) - timedelta(days=10)).isoformat())
    assert gateway.post("/v1/track", event).status_code == 200
    listed = gateway.run("dead-letters", "list", "--reason", "too_old", "--json").stdout
    (dead_letter,) = of_event(listed, event)
    assert "still too_old" in gateway.run("dead-letters", "replay", dead_letter["id"]).stdout
    assert gateway.run("dead-letters", "replay", "--ignore-age", dead_letter["id"]).stdout.strip() == "1 sent again"
    wait_until(lambda: len(gateway.ledger(message_id=event["messageId"])) == 1, "it is sent")


def test_trace_tells_the_whole_story_without_personal_data(gateway: Stack) -> None:
    event = track()
    gateway.post("/v1/track", event)
    wait_until(lambda: bool(gateway.ledger(message_id=event["messageId"])), "the event is in the ledger")
    wait_until(lambda: "delivered" in gateway.run("trace", event["messageId"]).stdout, "the journal knows the end")
    story = gateway.run("trace", event["messageId"]).stdout
    for part in ("received", "forward", "custom-event", "attempt", "200", "j***@example.com"):
        assert part.lower() in story.lower()
    for secret in ("jane.doe", "555-0132", "+14155550132", "u-1042", WRITE_KEY):
        assert secret not in story.lower()


def test_logs_and_metrics_name_no_person_and_no_secret(gateway: Stack) -> None:
    gateway.post("/v1/track", track())
    wait_until(lambda: gateway.waiting() == 0, "nothing waits", 40)
    pages = str(gateway.metrics()) + str(gateway.metrics(gateway.worker_port))
    said = (gateway.log("gateway") + gateway.log("worker") + pages).lower()
    for secret in ("jane.doe", "5550132", "555-0132", "u-1042", WRITE_KEY, "sandbox-token"):
        assert secret not in said


def test_the_counters_balance(gateway: Stack) -> None:
    """Every event received has ended in exactly one way, and the sums of the metrics page say so."""
    good = [{"type": "track", **track()} for _ in range(20)]
    identifies = [{"type": "identify", **track(), "traits": {"plan": "gold", "n": n}} for n in range(3)]
    odd = [
        {"type": "page", "anonymousId": "a-1"},
        {"type": "group", "userId": "u-1", "groupId": "g"},
        {"type": "track", **track("Product Viewed", properties={"price": "free"})},
        {"type": "track", **track(timestamp="2020-01-01T00:00:00Z")},
        good[0],
    ]
    before = gateway.metrics()
    assert gateway.post("/v1/batch", {"batch": [*good, *identifies, *odd]}).status_code == 200
    wait_until(lambda: gateway.waiting() == 0, "nothing waits", 40)
    after = gateway.metrics()
    received = f'gateway_events_received_total{{destination="{DESTINATION}"}}'
    replayed = f'gateway_events_replayed_total{{destination="{DESTINATION}"}}'
    endings = {name: value for name, value in after.items() if name.startswith("gateway_events_ended_total")}
    assert after[received] - before[received] == 28
    assert after[received] + after[replayed] == sum(endings.values())
    grown = {name: value - before.get(name, 0) for name, value in endings.items() if value != before.get(name, 0)}
    assert sorted(grown.values()) == [1, 1, 1, 1, 1, 23]
    depths = [value for name, value in after.items() if name.startswith("gateway_deliveries_waiting")]
    assert sum(depths) == 0


def test_a_quiet_lane_wakes_at_once(gateway: Stack) -> None:
    """The first event after a pause does not wait for a sweep to be found: hints work."""
    wait_until(lambda: gateway.waiting() == 0, "nothing waits", 40)
    event = track()
    gateway.post("/v1/track", event)
    wait_until(lambda: bool(gateway.ledger(message_id=event["messageId"])), "it arrives", 5)


def test_unknown_paths_and_methods_answer_in_the_form_trackers_survive(gateway: Stack) -> None:
    for answer in (gateway.http.get("/v1/track"), gateway.http.post("/v1/nothing"), gateway.http.post("/healthz")):
        assert answer.status_code in (404, 405)
        assert {"code", "message", "error"} <= set(answer.json())


def test_the_api_is_described(gateway: Stack) -> None:
    operators = f"http://127.0.0.1:{gateway.admin_port}"
    document = gateway.http.get(f"{operators}/openapi.json").json()
    assert {"/v1/track", "/v1/identify", "/v1/page", "/v1/batch", "/readyz"} <= set(document["paths"])
    assert gateway.http.get(f"{operators}/docs").status_code == 200


def test_health_pages_answer_on_gateway_and_worker(gateway: Stack) -> None:
    for port in (gateway.admin_port, gateway.worker_port):
        for page in ("healthz", "readyz", "metrics", "scaling"):
            answer = gateway.http.get(f"http://127.0.0.1:{port}/{page}")
            assert answer.status_code == 200


def test_the_public_port_has_none_of_the_pages_for_operators(gateway: Stack) -> None:
    for page in ("/metrics", "/scaling", "/docs", "/openapi.json"):
        assert gateway.http.get(page).status_code == 404
    assert gateway.http.get("/readyz").json() == {"status": "ready"}
    page = f"http://127.0.0.1:{gateway.admin_port}/metrics"
    answer = gateway.http.get(page, headers={"Origin": "https://shop.example"})
    assert [name for name in answer.headers if name.startswith("access-control")] == []


def test_a_lane_never_exceeds_the_documented_limit(gateway: Stack) -> None:
    started = time.monotonic()
    batch = [
        {"type": "identify", "userId": f"u-{n}-{message_id()}", "traits": {"email": f"p{n}@example.com"}}
        for n in range(30)
    ]
    assert gateway.post("/v1/batch", {"batch": batch}).status_code == 200
    wait_until(lambda: gateway.waiting() == 0, "all are sent", 20)
    assert time.monotonic() - started > 2, "30 identity calls at 10 a second take more than 2 s"
    summary = gateway.summary()
    busiest, late_s = summary["busiest_second"]["sandbox"], gateway.standstill.worst_s
    assert max(busiest.values()) <= 150 * (1 + late_s)
    assert busiest["POST /v1/identity-resolution/user-identifiers"] <= 10 * (1 + late_s)
