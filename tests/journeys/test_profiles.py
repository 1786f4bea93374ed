"""Profiles through real processes: sent once, known from then on, in few round trips, and never by half."""

import json
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from typing import Any, Final

import httpx
import pytest
import redis

from app.embedded import RedisBinary
from app.profiles.profile import Profile, read_record, record_name
from app.store.keys import DestinationKeys
from tests.local import local_client
from tests.stack import DESTINATION, SOURCE, WRITE_KEY, Stack, message_id, stack, wait_until
from tests.waiting import patient

IDENTITY: Final = "/v1/identity-resolution/user-identifiers"
ATTRIBUTES: Final = "/v2/user/attributes"
EVENTS: Final = "/v1/events/custom"
APP_KEY: Final = "app-key"


@pytest.fixture(scope="module")
def remembering(redis_binary: RedisBinary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A gateway that blocks merges, with a second source that remembers browsers too."""
    app = {"write_key": APP_KEY, "trust": "server", "profiles": {"anonymous_id": True}}
    folder = tmp_path_factory.mktemp("profiles")
    with stack(folder, redis_binary, destination={"merges": "block"}, sources={"app": app}) as running:
        yield running


@pytest.fixture
def store(remembering: Stack) -> Iterator[redis.Redis]:
    with redis.Redis(port=remembering.redis_port) as client:
        yield client


def somebody() -> str:
    return f"user-{message_id()}"


def identify(user: str, email: str, **traits: Any) -> dict[str, Any]:
    return {"userId": user, "messageId": message_id(), "traits": {"email": email, **traits}}


def track(user: str, **fields: Any) -> dict[str, Any]:
    return {"event": "Signed Up", "userId": user, "messageId": message_id(), **fields}


def sent_about(gateway: Stack, event: dict[str, Any]) -> dict[str, Any]:
    """Whom the sandbox was told that this event is about."""
    wait_until(lambda: bool(gateway.ledger(message_id=event["messageId"])), "the event arrives")
    user: dict[str, Any] = gateway.ledger(message_id=event["messageId"])[0]["body"]["user"]
    return user


def lookups(store: redis.Redis) -> int:
    """How often profiles were read."""
    stats: Any = store.info("commandstats")
    return int(stats.get("cmdstat_mget", {}).get("calls", 0))


def test_what_an_identify_tells_reaches_a_hundred_later_events_in_few_round_trips(
    remembering: Stack, store: redis.Redis
) -> None:
    user = somebody()
    assert remembering.post("/v1/identify", identify(user, f"{user}@example.com", phone="+14155550132")).is_success
    asked = lookups(store)
    named = track(user, context={"traits": {"email": "else@example.com"}})
    del named["userId"]
    assert remembering.post("/v1/track", named).is_success
    assert lookups(store) == asked, "an event that says whom it is about asks nobody"

    events = [track(user) for _ in range(100)]
    with ExitStack() as opened:
        connections = [opened.enter_context(_connected(remembering)) for _ in events]
        redis_process = remembering.processes["redis"]
        redis_process.send_signal(signal.SIGSTOP)  # so that all of them wait at one moment
        try:
            for connection, event in zip(connections, events, strict=True):
                connection.request("POST", "/v1/track", json.dumps({**event, "writeKey": WRITE_KEY}))
            assert remembering.http.get("/healthz").is_success, "it has read them all before this"
        finally:
            redis_process.send_signal(signal.SIGCONT)
        assert {connection.getresponse().status for connection in connections} == {200}
    assert lookups(store) - asked <= 3, "one for those who came first, one for all others"
    person = {"email": f"{user}@example.com", "phone": "+14155550132", "externalIdentifiers": {"clientUserId": user}}
    wanted = {event["messageId"] for event in events}

    def arrived() -> set[str]:
        calls = [call["body"] for call in remembering.ledger(contains=user) if call["path"] == EVENTS]
        return {body["externalEventId"] for body in calls if body["user"] == person}

    wait_until(lambda: arrived() == wanted, "all of them arrive, about the person")
    trace = remembering.run("trace", events[0]["messageId"]).stdout
    assert "e-mail from the profile; phone from the profile" in trace
    assert user not in trace
    metrics = remembering.metrics()
    assert metrics[f'gateway_events_enriched_total{{source="{SOURCE}"}}'] >= 100
    assert metrics[f'gateway_profiles{{destination="{DESTINATION}",source="{SOURCE}"}}'] >= 1


@contextmanager
def _connected(gateway: Stack) -> Iterator[HTTPConnection]:
    """A connection that the gateway has accepted: it has answered on it."""
    with closing(HTTPConnection("127.0.0.1", gateway.gateway_port, timeout=patient(15))) as connection:
        connection.request("GET", "/healthz")
        assert connection.getresponse().read()
        yield connection


def test_an_alias_a_browser_and_a_replay_find_the_same_person(remembering: Stack) -> None:
    user, before, browser = somebody(), somebody(), somebody()
    email = f"{user}@example.com"
    old = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    late = track(user, timestamp=old)  # a dead letter, long before anybody knows who this is
    with local_client(base_url=str(remembering.http.base_url), auth=(APP_KEY, "")) as app:
        assert app.post("/v1/track", json=late).is_success
        assert app.post("/v1/alias", json={"previousId": before, "userId": user, "messageId": message_id()}).is_success
        told = {**identify(before, email), "anonymousId": browser}
        assert app.post("/v1/identify", json=told).is_success
        events = [track(user), track(before), {**track(user), "userId": None, "anonymousId": browser}]
        assert app.post("/v1/batch", json={"batch": [{"type": "track", **event} for event in events]}).is_success
    assert [sent_about(remembering, event)["email"] for event in events] == [email] * 3
    dead_letters = remembering.run("dead-letters", "list", "--reason", "too_old", "--json").stdout.splitlines()
    (dead_letter,) = [each for each in map(json.loads, dead_letters) if each["message_id"] == late["messageId"]]
    assert remembering.run("dead-letters", "replay", "--ignore-age", dead_letter["id"]).stdout.strip() == "1 sent again"
    assert sent_about(remembering, late)["email"] == email


def test_an_identify_that_would_merge_two_people_is_blocked_and_counted(remembering: Stack) -> None:
    ada, bea = somebody(), somebody()
    for who in (ada, bea):
        assert remembering.post("/v1/identify", identify(who, f"{who}@example.com", plan="gold")).is_success
    joining = identify(ada, f"{bea}@example.com", plan="silver")
    assert remembering.post("/v1/identify", joining).is_success
    wait_until(lambda: remembering.waiting() == 0, "nothing waits", 40)

    links = [call["body"] for call in remembering.ledger(contains=bea) if call["path"] == IDENTITY]
    assert [link["clientUserId"] for link in links] == [bea], "nobody is tied to somebody else's address"
    silver = [
        call["body"]
        for call in remembering.ledger(contains=bea)
        if call["path"] == ATTRIBUTES and call["body"]["attributes"]["custom"]["plan"] == "silver"
    ]
    assert [body["identifiers"] for body in silver] == [{"email": f"{bea}@example.com"}]
    assert (
        f'gateway_identity_merges_total{{destination="{DESTINATION}",source="{SOURCE}",verdict="block"}}'
        in remembering.metrics()
    )
    assert "link: blocked" in remembering.run("trace", joining["messageId"]).stdout

    event = track(ada)
    assert remembering.post("/v1/track", event).is_success
    assert sent_about(remembering, event)["email"] == f"{ada}@example.com", "what was blocked is not stored"


def test_events_link_no_more_than_identify_calls_may(remembering: Stack) -> None:
    """Of one user ID with twelve addresses, and of one number with twelve; nor with the address of somebody else."""
    shared, ada = somebody(), somebody()
    assert remembering.post("/v1/identify", identify(ada, f"{ada}@example.com")).is_success
    mails = [f"{number}.{shared}@example.com" for number in range(12)]
    for mail in mails:
        assert remembering.post("/v1/track", track(shared, context={"traits": {"email": mail}})).is_success
    claimed = {"traits": {"email": f"{ada}@example.com"}}
    assert remembering.post("/v1/track", track(shared, context=claimed)).is_success
    phone = "+14155550177"
    for number in range(12):
        event = track(shared, context={"traits": {"email": f"p{number}.{shared}@example.com", "phone": phone}})
        del event["userId"]
        assert remembering.post("/v1/track", event).is_success
    wait_until(lambda: remembering.waiting() == 0, "nothing waits", 40)

    about = [call["body"]["user"] for call in remembering.ledger(contains=shared) if call["path"] == EVENTS]
    linked = [user for user in about if len(user) > 1]
    assert len([user for user in linked if "externalIdentifiers" in user]) == 5, "of the user ID"
    assert len([user for user in linked if user.get("phone") == phone]) == 5, "of the number"
    assert len([user for user in about if user.get("email") in mails]) == 12, "the others are sent by their address"
    (foreign,) = [call["body"]["user"] for call in remembering.ledger(contains=f"{ada}@") if call["path"] == EVENTS]
    assert foreign == {"email": f"{ada}@example.com"}


def test_a_gateway_killed_at_any_moment_remembers_what_it_took_in_and_nothing_else(
    remembering: Stack, store: redis.Redis
) -> None:
    people = [somebody() for _ in range(300)]
    calls = [identify(user, f"{user}@example.com") for user in people]
    answered, may_send = threading.Semaphore(0), threading.Semaphore(100)  # the others are sent to a dead gateway

    def send(call: dict[str, Any]) -> None:
        may_send.acquire()
        try:
            remembering.post("/v1/identify", call)
        except httpx.TransportError:
            return
        answered.release()

    with ThreadPoolExecutor(16) as senders:
        sending = [senders.submit(send, call) for call in calls]
        try:
            for _ in range(40):
                assert answered.acquire(timeout=patient(20))
            remembering.kill("gateway")
        finally:
            may_send.release(len(calls))
        for sent in sending:
            sent.result()
    keys = DestinationKeys(DESTINATION)
    journal: Any = store.xrange(keys.journal)
    taken = {fields[b"m"].decode() for _, fields in journal if fields[b"s"] == b"received"}
    ids = {call["messageId"] for call in calls}
    assert {call["messageId"] for call in calls if _remembered(store, call)} == ids & taken
    assert ids - taken, "it was killed before all of them were in"
    remembering.start("gateway")
    again = [{"type": "identify", **call} for call in calls]  # as trackers do, who got no answer
    assert remembering.post("/v1/batch", {"batch": again}).is_success
    assert all(_remembered(store, call) for call in calls)


def _remembered(store: redis.Redis, call: dict[str, Any]) -> bool:
    """Whether the profile of this person is stored, with all that belongs to it."""
    keys, name = DestinationKeys(DESTINATION), record_name(SOURCE, "u", call["userId"])
    stored: Any = store.get(keys.profile(name))
    if stored is None:
        return False
    record = read_record(stored)
    assert isinstance(record, Profile)
    assert record.facts["email"][0] == call["traits"]["email"]
    return all(store.hexists(keys.contacts(digest), bytes.fromhex(digest)) for digest in record.contacts)  # type: ignore[arg-type]
