"""What operators do in the console, and that the audit log knows of it without a value."""

import asyncio
import re
from datetime import UTC, datetime
from typing import Final

import httpx
import orjson
import pytest
from redis.asyncio import Redis

from app.console.jobs import JobState
from app.delivery.dead_letter import DeadLetterQueue
from app.delivery.lane import Lane
from app.erasure.subject import Subject
from app.store.keys import ConsoleKeys, DestinationKeys
from tests.console.opened import EMAIL, Opened, keep_letter
from tests.waiting import patient

PRICE: Final = "items.0.price.0.value=24.5"


async def waiting(redis: Redis, endpoint: str = "product-view", destination: str = "acme") -> int:
    return sum([await redis.xlen(stream) for stream in Lane(destination, endpoint).keys.streams])


def address_in(answer: httpx.Response) -> str:
    assert answer.status_code == 303, answer.text
    return answer.headers["location"].partition("?")[0]


async def finished(console: Opened, job_id: str) -> JobState:
    for _ in range(int(patient(2000))):
        job = await console.parts.jobs.find(job_id)
        if job is not None and job.over:
            return job.state
        await asyncio.sleep(0.01)
    raise AssertionError("the job did not end")


async def test_a_dead_letter_is_edited_checked_and_replayed(console: Opened, redis: Redis) -> None:
    letter = await keep_letter(redis)
    browser = await console.user("otto")
    path = f"/dead-letters/acme/{letter}"
    wrong = await browser.post(f"{path}/edit", data={"settings": "items.0.price.0.value=cheap"})
    assert wrong.status_code == 422
    assert "items.0.price.0.value" in wrong.text
    shown = await browser.post(f"{path}/edit", data={"settings": PRICE})
    assert re.search(r"<del>19\.9</del>.*<ins>24\.5</ins>", shown.text)
    assert EMAIL not in shown.text
    edited = address_in(await browser.post(f"{path}/save", data={"settings": PRICE}))
    assert (await browser.get(path)).status_code == 404
    assert "24.5" in (await browser.get(edited)).text
    assert address_in(await browser.post(f"{edited}/replay")) == "/events/m-1"
    assert await waiting(redis) == 1
    assert address_in(await browser.post("/sign-out")) == "/sign-in"


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        pytest.param({"text": "{"}, "not JSON", id="no JSON"),
        pytest.param({"text": "[]"}, "", id="not an object"),
        pytest.param({"text": '{"items": []}'}, "items", id="too few items"),
    ],
)
async def test_a_bad_edit_is_shown_with_its_rule_and_changes_nothing(
    console: Opened, redis: Redis, form: dict[str, str], problem: str
) -> None:
    letter = await keep_letter(redis)
    browser = await console.user("adam")
    for step in ("edit", "save"):
        answer = await browser.post(f"/dead-letters/acme/{letter}/{step}", data=form)
        assert answer.status_code == 422
        assert problem in answer.text
        assert "Nothing was changed" in answer.text
    assert (await browser.get(f"/dead-letters/acme/{letter}")).status_code == 200


async def test_an_event_that_never_became_a_call_is_shown_edited_and_replayed(console: Opened, redis: Redis) -> None:
    letter = await keep_letter(redis, endpoint=None, body=None, attempts=0, reason="unmappable", detail="no price")
    browser = await console.user("otto")
    path = f"/dead-letters/acme/{letter}"
    for page in (path, f"{path}/edit", "/dead-letters"):
        answer = await browser.get(page)
        assert (answer.status_code, EMAIL in answer.text) == (200, False)
    assert (await browser.post(f"{path}/replay")).headers["location"].endswith("note=still-fails")
    now = datetime.now(UTC).isoformat()
    form = {"settings": f"properties.price=12.5\ntimestamp={now}"}
    assert "The gateway accepts this event" in (await browser.post(f"{path}/edit", data=form)).text
    edited = address_in(await browser.post(f"{path}/save", data=form))
    assert address_in(await browser.post(f"{edited}/replay")) == "/events/m-1"
    assert await waiting(redis) == 1


async def test_all_of_a_filter_are_counted_first_and_then_replayed(console: Opened, redis: Redis) -> None:
    for _ in range(5):
        await keep_letter(redis)
    await keep_letter(redis, reason="http_422")
    browser = await console.user("otto")
    asked = await browser.get("/dead-letters/replay?reason=http_400")
    assert "Replay 5 dead letters" in asked.text
    job = address_in(await browser.post("/dead-letters/replay?reason=http_400", data={"priority": "low"}))
    assert await finished(console, job.rpartition("/")[2]) is JobState.DONE
    page = await browser.get(job)
    assert "5 of 5" in page.text
    assert "sent again" in page.text
    assert (await waiting(redis), await redis.xlen(DestinationKeys("acme").dead)) == (5, 1)


async def test_a_replay_is_stopped_after_the_call_in_hand(console: Opened, redis: Redis) -> None:
    for _ in range(20):
        await keep_letter(redis)
    browser = await console.user("otto")
    job = address_in(await browser.post("/dead-letters/replay?reason=http_400", data={"rate": "2"}))
    assert address_in(await browser.post(f"{job}/stop")) == job
    assert await finished(console, job.rpartition("/")[2]) is JobState.STOPPED
    assert await redis.xlen(DestinationKeys("acme").dead) > 0


@pytest.mark.parametrize("form", [{"rate": "fast"}, {"rate": "-1"}, {"rate": "nan"}, {"priority": "highest"}])
async def test_a_replay_with_a_wrong_field_does_not_begin(console: Opened, redis: Redis, form: dict[str, str]) -> None:
    await keep_letter(redis)
    answer = await (await console.user("otto")).post("/dead-letters/replay", data=form)
    assert answer.status_code == 400
    assert await waiting(redis) == 0


async def test_calls_that_fail_in_one_way_are_one_line(console: Opened, redis: Redis) -> None:
    for _ in range(3):
        await keep_letter(redis)
    page = (await (await console.user("vera")).get("/dead-letters")).text
    (group,) = re.findall(r'href="(/dead-letters\?[^"]*detail=price\+is\+missing[^"]*)">price is missing', page)
    narrowed = (await (await console.user("vera")).get(group.replace("&amp;", "&"))).text
    assert "The newest 3 of 3" in narrowed


async def test_an_unknown_outcome_is_sent_or_discarded(console: Opened, redis: Redis) -> None:
    browser = await console.user("otto")
    sent, gone = [await keep_letter(redis, queue=DeadLetterQueue.REVIEW) for _ in range(2)]
    await browser.post(f"/unknown-outcomes/acme/{sent}/replay")
    await browser.post(f"/unknown-outcomes/acme/{gone}/discard")
    assert (await waiting(redis), await redis.xlen(DestinationKeys("acme").review)) == (1, 0)


async def test_a_hold_is_shown_with_its_reason_and_resumed(console: Opened, redis: Redis) -> None:
    await redis.set(DestinationKeys("acme").hold, "401: Attentive refuses the API token", ex=60)
    browser = await console.user("otto")
    assert "401: Attentive refuses the API token" in (await browser.get("/")).text
    answer = await browser.post("/destinations/acme/resume")
    assert "1 hold ended" in (await browser.get(answer.headers["location"])).text
    assert not await redis.exists(DestinationKeys("acme").hold)


async def test_a_person_is_forgotten_after_a_preview(console: Opened, redis: Redis) -> None:
    browser = await console.user("adam")
    person = {"email": " ADA@shop.example ", "destination": "acme"}
    assert EMAIL in (await browser.post("/people", data=person)).text
    answer = await browser.post("/people/erase", data={**person, "reference": "ticket 7"})
    assert "erasure was requested" in (await browser.get(answer.headers["location"])).text
    ((_, fields),) = await redis.xrange(DestinationKeys("acme").erasures)
    asked = orjson.loads(fields[b"d"])
    assert Subject.from_json(orjson.dumps(asked["who"])) == Subject(emails=frozenset({EMAIL}))
    assert (asked["reference"], await redis.xlen(DestinationKeys("acme-uk").erasures)) == ("ticket 7", 0)


@pytest.mark.parametrize("person", [{}, {"email": "ada"}, {"phone": "n/a"}])
async def test_nobody_is_forgotten_by_a_form_that_names_nobody(console: Opened, person: dict[str, str]) -> None:
    assert (await (await console.user("adam")).post("/people/erase", data=person)).status_code == 400


async def test_the_playground_shows_calls_origins_and_the_schemas_verdict(console: Opened) -> None:
    browser = await console.user("vera")
    example = re.findall(r"<textarea[^>]*>(.*?)</textarea>", (await browser.get("/mapping/try")).text, re.DOTALL)[0]
    event = example.replace("&#34;", '"')
    page = (await browser.post("/mapping/try", data={"event": event, "destination": "acme"})).text
    for shown in ("schema: good", "/v1/events/ecommerce/product-view", "Where each field comes from"):
        assert shown in page
    dropped = event.replace("email", "nickname").replace("userId", "anonymousId")
    assert "drop: no_identity" in (await browser.post("/mapping/try", data={"event": dropped})).text
    for bad, why in (("{", "not JSON"), ('{"type": "track"}', "400")):
        answer = await browser.post("/mapping/try", data={"event": bad})
        assert (answer.status_code, why in answer.text) == (422, True)


async def test_the_audit_log_has_every_act_and_no_value(console: Opened, redis: Redis) -> None:
    letter, other = await keep_letter(redis), await keep_letter(redis)
    browser = await console.user("adam")
    await browser.post(f"/dead-letters/acme/{letter}/reveal")
    await browser.get(f"/dead-letters/acme/{letter}/edit")
    whole = {"text": orjson.dumps({"user": {"email": EMAIL}, "items": []}).decode()}
    await browser.post(f"/dead-letters/acme/{letter}/save", data=whole)
    await browser.post(f"/dead-letters/acme/{other}/replay")
    await browser.post("/people", data={"email": EMAIL})
    await browser.post("/people/erase", data={"email": EMAIL, "reference": EMAIL})
    await browser.post("/events", data={"who": EMAIL})
    await browser.get("/dead-letters/export?reveal=true")
    entries = await console.parts.audit.latest(50)
    assert {entry.act for entry in entries} >= {
        *("reveal", "replay", "erase", "look up a person", "search for a person", "export with personal data")
    }
    stored = b"".join(fields[b"d"] for _, fields in await redis.xrange(ConsoleKeys.audit))
    assert b"shop.example" not in stored
    shown = (await browser.get("/audit")).text
    assert "look up a person" in shown
    assert EMAIL not in shown
