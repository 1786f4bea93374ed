"""The results of accepted events: journeys, silent losses, types, duplicates."""

from typing import Any

import httpx
import pytest

from tests.sandbox.calls import CUSTOM, IDENTITY, PRODUCT_VIEW, PURCHASE, ago, body_for, last, summary, switch

UNLINKED = {"externalIdentifiers": {"clientUserId": "u-1"}}


@pytest.mark.parametrize(
    ("occurred_at", "journey", "notes"),
    [
        pytest.param(..., True, [], id="an event without a time happens now"),
        pytest.param(ago(hours=11.9), True, [], id="a late event still starts a journey"),
        pytest.param(ago(hours=12.1), False, ["no_journey"], id="after 12 hours it starts none"),
        pytest.param(ago(hours=24.1), False, ["too_old", "discarded"], id="after 24 hours it is lost"),
        pytest.param(ago(minutes=-4), True, [], id="a clock that is a little fast does no harm"),
        pytest.param(ago(minutes=-6), False, ["in_future", "discarded"], id="an event in the future is lost"),
    ],
)
@pytest.mark.parametrize("path", [PRODUCT_VIEW, PURCHASE, CUSTOM])
async def test_age(client: httpx.AsyncClient, path: str, occurred_at: Any, journey: bool, notes: list[str]) -> None:
    reply = await client.post(path, json=body_for(path, occurredAt=occurred_at))
    call = await last(client)
    assert (reply.status_code, call["journey"], call["notes"]) == (200, journey, notes)
    assert call["occurred_at"] == (ago() if occurred_at is ... else occurred_at)


@pytest.mark.parametrize(
    ("untimely", "expected"),
    [
        pytest.param("discard", 200, id="lost"),
        pytest.param("reject", 400, id="refused"),
        pytest.param("keep", 200, id="kept"),
    ],
)
async def test_what_a_day_old_event_gets_is_a_switch(client: httpx.AsyncClient, untimely: str, expected: int) -> None:
    await switch(client, untimely=untimely)
    reply = await client.post(CUSTOM, json=body_for(CUSTOM, occurredAt=ago(days=2)))
    assert reply.status_code == expected
    if untimely == "keep":
        assert (await last(client))["notes"] == ["too_old", "no_journey"]


async def test_an_unlinked_external_id_is_accepted_and_lost(client: httpx.AsyncClient) -> None:
    reply = await client.post(PRODUCT_VIEW, json=body_for(PRODUCT_VIEW, user=UNLINKED))
    call = await last(client)
    assert reply.status_code == 200
    assert (call["person"], call["journey"], call["notes"]) == (None, False, ["unlinked", "discarded"])


async def test_a_linked_external_id_reaches_its_person(client: httpx.AsyncClient) -> None:
    await client.post(IDENTITY, json=body_for(IDENTITY))
    person = (await last(client))["person"]
    await client.post(PRODUCT_VIEW, json=body_for(PRODUCT_VIEW, user=UNLINKED))
    call = await last(client)
    assert (call["person"], call["journey"]) == (person, True)


async def test_an_external_id_linked_to_no_phone_or_email_is_unlinked(client: httpx.AsyncClient) -> None:
    link = {"clientUserId": "u-1", "customIdentifiers": [{"name": "crm", "value": "7"}]}
    assert (await client.post(IDENTITY, json=link)).status_code == 202
    await client.post(PRODUCT_VIEW, json=body_for(PRODUCT_VIEW, user=UNLINKED))
    assert (await last(client))["notes"] == ["unlinked", "discarded"]


async def test_an_unlinked_external_id_can_be_refused(client: httpx.AsyncClient) -> None:
    await switch(client, unlinked="reject")
    reply = await client.post(CUSTOM, json=body_for(CUSTOM, user=UNLINKED))
    assert reply.status_code == 404
    assert reply.json()["message"].startswith("user: no such user")


async def test_an_unknown_type_is_made_by_its_first_event(client: httpx.AsyncClient) -> None:
    await client.post(CUSTOM, json=body_for(CUSTOM))
    assert (await last(client))["notes"] == []


async def test_an_unknown_type_can_be_refused(client: httpx.AsyncClient) -> None:
    await switch(client, unknown_types="reject", event_types={"Signed Up": "sandbox-app"})
    statuses = [
        (await client.post(CUSTOM, json=body_for(CUSTOM, type=name))).status_code for name in ("Signed Up", "signed up")
    ]
    assert statuses == [200, 404]


async def test_a_type_of_another_app_is_taken_and_reaches_no_journey(client: httpx.AsyncClient) -> None:
    await client.post(CUSTOM, json=body_for(CUSTOM))
    await client.post("/_sandbox/keys", json={"token": "second", "name": "second", "app": "other-app"})
    reply = await client.post(CUSTOM, json=body_for(CUSTOM), headers={"authorization": "Bearer second"})
    call = await last(client)
    assert (reply.status_code, call["key"]) == (200, "second")
    assert (call["journey"], call["notes"]) == (False, ["type_of_another_app"])


async def test_companies_do_not_share_people_or_types(client: httpx.AsyncClient) -> None:
    await client.post(IDENTITY, json=body_for(IDENTITY))
    await client.post("/_sandbox/keys", json={"token": "t2", "name": "other", "company": "other"})
    await client.post(CUSTOM, json=body_for(CUSTOM, user=UNLINKED), headers={"authorization": "Bearer t2"})
    assert (await last(client))["notes"] == ["unlinked", "discarded"]


@pytest.mark.parametrize(
    ("properties", "truncated"),
    [
        pytest.param([{f"k{n}": n for n in range(200)}], False, id="200 keys are fine"),
        pytest.param([{f"k{n}": n for n in range(201)}], True, id="201 keys are truncated"),
        pytest.param([{"deep": {f"k{n}": n for n in range(200)}}], True, id="nested keys count"),
        pytest.param([{"list": [{"a": 1}] * 300}], False, id="a list counts its keys once"),
        pytest.param([{f"k{n}": n} for n in range(201)], True, id="keys count over the life of a type"),
    ],
)
async def test_keys_beyond_the_limit_are_truncated(client: httpx.AsyncClient, properties: Any, truncated: bool) -> None:
    await switch(client, limits_enabled=False)
    for each in properties:
        assert (await client.post(CUSTOM, json=body_for(CUSTOM, properties=each))).status_code == 200
    assert ("truncated_keys" in (await last(client))["notes"]) is truncated


@pytest.mark.parametrize(
    ("mode", "notes", "journeys"),
    [
        pytest.param("count", ["duplicate"], 2, id="counted twice"),
        pytest.param("dedupe", ["duplicate", "deduplicated"], 1, id="deduplicated"),
    ],
)
@pytest.mark.parametrize(
    ("path", "kind", "changes"),
    [
        pytest.param(CUSTOM, "externalEventId", {"externalEventId": "m-1"}, id="the same event"),
        pytest.param(PURCHASE, "orderId", {"orderId": "o-1"}, id="the same order"),
    ],
)
async def test_duplicates(
    client: httpx.AsyncClient, mode: str, notes: list[str], journeys: int, path: str, kind: str, changes: Any
) -> None:
    await switch(client, duplicates=mode)
    for _ in range(2):
        assert (await client.post(path, json=body_for(path, **changes))).status_code == 200
    counted = await summary(client)
    assert (await last(client))["notes"] == notes
    assert counted["duplicates"][kind] == 1
    assert counted["journeys"] == journeys


async def test_one_event_id_under_two_types_is_no_duplicate(client: httpx.AsyncClient) -> None:
    for kind in ("A", "B"):
        await client.post(CUSTOM, json=body_for(CUSTOM, type=kind, externalEventId="m-1"))
    assert (await summary(client))["duplicates"]["externalEventId"] == 0
