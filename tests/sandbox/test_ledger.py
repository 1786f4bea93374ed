"""The ledger and the summary: what can be found, and what stays bounded."""

from typing import Any

import httpx
import pytest

from app.sandbox import SandboxConfig, create_sandbox
from tests.sandbox.calls import CUSTOM, EMAIL, PRODUCT_VIEW, PURCHASE, ago, body_for, ledger, summary, switch


async def fill(client: httpx.AsyncClient) -> None:
    await client.post(CUSTOM, json=body_for(CUSTOM, externalEventId="m-1"))
    await client.post(CUSTOM, json=body_for(CUSTOM, externalEventId="m-2", occurredAt=ago(hours=13)))
    await client.post(PURCHASE, json=body_for(PURCHASE, orderId="o-1"))
    await client.post(PRODUCT_VIEW, json=body_for(PRODUCT_VIEW, user={"email": "john@example.com"}))
    await client.post(CUSTOM, json={"type": "refused"})


@pytest.mark.parametrize(
    ("query", "sequences"),
    [
        pytest.param({}, [1, 2, 3, 4], id="everything accepted"),
        pytest.param({"path": CUSTOM}, [1, 2], id="by path"),
        pytest.param({"message_id": "m-2"}, [2], id="by message id"),
        pytest.param({"order_id": "o-1"}, [3], id="by order id"),
        pytest.param({"contains": "john@"}, [4], id="by what the body contains"),
        pytest.param({"note": "no_journey"}, [2], id="by note"),
        pytest.param({"person": "person-2"}, [4], id="by person"),
        pytest.param({"since": 2}, [3, 4], id="after a sequence number"),
        pytest.param({"limit": 2, "offset": 1}, [2, 3], id="a page"),
        pytest.param({"path": CUSTOM, "contains": "m-1"}, [1], id="by two things at once"),
        pytest.param({"key": "other"}, [], id="nothing"),
    ],
)
async def test_search(client: httpx.AsyncClient, query: Any, sequences: list[int]) -> None:
    await fill(client)
    assert [call["sequence"] for call in await ledger(client, **query)] == sequences


async def test_total_counts_beyond_the_page(client: httpx.AsyncClient) -> None:
    await fill(client)
    assert (await client.get("/_sandbox/ledger?limit=1")).json()["total"] == 4


async def test_an_entry_tells_the_whole_call_and_no_token(client: httpx.AsyncClient) -> None:
    body = body_for(CUSTOM, externalEventId="m-1", occurredAt="2026-03-30T15:38:00+02:00")
    await client.post(CUSTOM, json=body)
    page = await client.get("/_sandbox/ledger")
    assert page.json()["calls"] == [
        {
            "sequence": 1,
            "received_at": "2026-03-30T14:38:29.000Z",
            "key": "sandbox",
            "method": "POST",
            "path": CUSTOM,
            "query": "",
            "status": 200,
            "body": body,
            "occurred_at": "2026-03-30T13:38:00.000Z",
            "person": "person-1",
            "journey": True,
            "notes": [],
        }
    ]
    assert "sandbox-token" not in page.text


async def test_summary(client: httpx.AsyncClient) -> None:
    await fill(client)
    counted = await summary(client)
    assert counted["accepted"] == 4
    assert counted["calls"][CUSTOM] == {"200": 2, "400": 1}
    assert counted["notes"] == {"no_journey": 1}
    assert counted["journeys"] == 3
    assert counted["people"] == 2
    assert [refusal["message"] for refusal in counted["recent_refusals"]] == ["user: is required"]


@pytest.mark.parametrize(
    "query", [pytest.param("limit=x", id="no number"), pytest.param("pth=/v1", id="an unknown parameter")]
)
async def test_a_query_that_makes_no_sense_is_refused(client: httpx.AsyncClient, query: str) -> None:
    reply = await client.get(f"/_sandbox/ledger?{query}")
    assert reply.status_code == 400
    assert reply.json()["message"].startswith(query.partition("=")[0])


async def test_the_oldest_calls_and_people_are_forgotten() -> None:
    transport = httpx.ASGITransport(app=create_sandbox(SandboxConfig(ledger_max=3)))
    headers = {"authorization": "Bearer sandbox-token"}
    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox", headers=headers) as client:
        for number in range(5):
            await client.post(CUSTOM, json=body_for(CUSTOM, user={"email": f"{number}@example.com"}))
        assert [call["sequence"] for call in await ledger(client)] == [3, 4, 5]
        counted = await summary(client)
    assert (counted["accepted"], counted["ledger_kept"], counted["people"]) == (5, 3, 3)


async def test_summary_only_counts_and_keeps_nothing(client: httpx.AsyncClient) -> None:
    await switch(client, summary_only=True)
    await client.post(CUSTOM, json=body_for(CUSTOM))
    assert await ledger(client) == []
    assert (await summary(client))["accepted"] == 1


async def test_reading_calls_are_in_the_ledger_too(client: httpx.AsyncClient) -> None:
    await client.get("/v1/subscriptions", params={"email": EMAIL})
    (call,) = await ledger(client)
    assert (call["method"], call["body"], call["journey"]) == ("GET", None, None)


async def test_whose_key_it_is_is_counted_and_no_call_about_anybody(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/me")).status_code == 200
    counted = await summary(client)
    assert (counted["calls"], counted["accepted"]) == ({"/v1/me": {"200": 1}}, 0)
    assert await ledger(client) == []
