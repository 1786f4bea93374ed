"""The shapes of error bodies."""

from typing import Any

import httpx
import pytest

from tests.sandbox.calls import CUSTOM, EMAIL, PHONE, body_for, summary, switch

MESSAGE = "type: is required"


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        pytest.param("message", {"message": MESSAGE}, id="a message"),
        pytest.param("error_object", {"error": {"id": 1774881509000, "message": MESSAGE}}, id="an error object"),
        pytest.param("error_text", {"error": MESSAGE}, id="an error text"),
    ],
)
async def test_json_errors(client: httpx.AsyncClient, shape: str, expected: Any) -> None:
    await switch(client, error_body=shape)
    assert (await client.post(CUSTOM, json=body_for(CUSTOM, type=...))).json() == expected


async def test_an_error_can_be_empty(client: httpx.AsyncClient) -> None:
    await switch(client, error_body="empty")
    reply = await client.post(CUSTOM, json={})
    assert (reply.status_code, reply.content, reply.headers["content-length"]) == (400, b"", "0")


async def test_an_error_can_be_a_page(client: httpx.AsyncClient) -> None:
    await switch(client, error_body="html")
    reply = await client.post(CUSTOM, json={})
    assert reply.headers["content-type"].startswith("text/html")
    assert "<h1>400 Bad Request</h1>" in reply.text


@pytest.mark.parametrize(
    "user", [pytest.param({"email": EMAIL}, id="email"), pytest.param({"phone": PHONE}, id="phone")]
)
async def test_an_error_can_repeat_who_it_is_about(client: httpx.AsyncClient, user: dict[str, str]) -> None:
    await switch(client, echo_person=True)
    reply = await client.post(CUSTOM, json={"user": user})
    assert next(iter(user.values())) in reply.json()["message"]
    assert next(iter(user.values())) not in str((await summary(client))["recent_refusals"])
