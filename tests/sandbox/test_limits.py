"""Rate limits: per key and endpoint, one second, headers on every answer."""

from typing import Any

import httpx
import pytest

from app.sandbox.endpoints import ENDPOINTS, Endpoint
from app.sandbox.limits import UNLIMITED, Limits
from tests.sandbox.calls import CUSTOM, IDENTITY, PRODUCT_VIEW, SUBSCRIBE, UNSUBSCRIBE, body_for, summary, switch
from tests.sandbox.conftest import HandClock


async def burst(client: httpx.AsyncClient, path: str, calls: int, **headers: str) -> list[int]:
    return [(await client.post(path, json=body_for(path), headers=headers)).status_code for _ in range(calls)]


@pytest.mark.parametrize("endpoint", [pytest.param(each, id=each.label) for each in ENDPOINTS])
async def test_documented_limits(client: httpx.AsyncClient, endpoint: Endpoint) -> None:
    expected = {IDENTITY: 10, UNSUBSCRIBE: 5}.get(endpoint.path, 150)
    if endpoint.path.startswith(("/v2/bulk/", "/v2/segments")):
        expected = 100
    if endpoint.label == f"POST {SUBSCRIBE}":
        expected = 10
    reply = await client.request(endpoint.method, endpoint.path.replace("{id}", "1"), json={})
    assert reply.headers["x-ratelimit-limit"] == str(expected)
    assert reply.headers["x-ratelimit-remaining"] == str(expected - 1)


async def test_calls_beyond_the_limit_are_429_until_the_second_is_over(
    client: httpx.AsyncClient, clock: HandClock
) -> None:
    assert await burst(client, IDENTITY, 12) == [202] * 10 + [429] * 2
    clock.advance(0.999)
    assert await burst(client, IDENTITY, 1) == [429]
    clock.advance(0.001)
    assert await burst(client, IDENTITY, 10) == [202] * 10
    assert (await summary(client))["rate_limited"] == 3


async def test_a_429_tells_limit_and_remaining_and_nothing_of_when(client: httpx.AsyncClient) -> None:
    await switch(client, limits={CUSTOM: 1})
    await burst(client, CUSTOM, 1)
    reply = await client.post(CUSTOM, json=body_for(CUSTOM))
    assert reply.status_code == 429
    assert (reply.headers["x-ratelimit-limit"], reply.headers["x-ratelimit-remaining"]) == ("1", "0")
    assert "retry-after" not in reply.headers


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        pytest.param("seconds", "7", id="seconds"),
        pytest.param("date", "Mon, 30 Mar 2026 14:38:36 GMT", id="an HTTP date"),
    ],
)
async def test_retry_after_is_a_switch(client: httpx.AsyncClient, form: str, expected: str) -> None:
    await switch(client, limits={CUSTOM: 1}, retry_after=form, retry_after_s=7)
    await burst(client, CUSTOM, 1)
    assert (await client.post(CUSTOM, json=body_for(CUSTOM))).headers["retry-after"] == expected


async def test_keys_and_paths_have_limits_of_their_own(client: httpx.AsyncClient) -> None:
    await switch(client, limits={CUSTOM: 1, PRODUCT_VIEW: 1})
    await client.post("/_sandbox/keys", json={"token": "t2", "name": "second"})
    assert await burst(client, CUSTOM, 2) == [200, 429]
    assert await burst(client, PRODUCT_VIEW, 1) == [200]
    assert await burst(client, CUSTOM, 2, authorization="Bearer t2") == [200, 429]


@pytest.mark.parametrize(
    "switches",
    [
        pytest.param({"limits_enabled": False}, id="limits off"),
        pytest.param({"limits": {IDENTITY: 0}}, id="a limit of 0"),
        pytest.param({"limits": {IDENTITY: None}}, id="a limit of null"),
        pytest.param({"limits": {f"POST {IDENTITY}": None, IDENTITY: 1}}, id="method and path win over path"),
    ],
)
async def test_unlimited(client: httpx.AsyncClient, switches: Any) -> None:
    await switch(client, **switches)
    assert set(await burst(client, IDENTITY, 30)) == {202}
    reply = await client.post(IDENTITY, json=body_for(IDENTITY))
    assert reply.headers["x-ratelimit-limit"] == str(UNLIMITED)


async def test_rate_headers_can_be_absent(client: httpx.AsyncClient) -> None:
    await switch(client, rate_headers=False)
    assert "x-ratelimit-limit" not in (await client.get("/v1/me")).headers


@pytest.mark.parametrize(
    ("arrivals", "fixed", "allowed"),
    [
        pytest.param([0.9, 0.95, 1.0, 1.05], False, [True, True, False, False], id="a sliding second sees both halves"),
        pytest.param([0.9, 0.95, 1.0, 1.05], True, [True, True, True, True], id="a fixed second starts afresh"),
        pytest.param([0.0, 0.1, 0.5, 1.0], False, [True, True, False, True], id="a refused call takes nothing"),
    ],
)
def test_windows(arrivals: list[float], fixed: bool, allowed: list[bool]) -> None:
    limits = Limits()
    assert [limits.arrive("k", "p", 2, now, fixed=fixed).allowed for now in arrivals] == allowed


async def test_the_busiest_second_counts_refused_calls_too(client: httpx.AsyncClient, clock: HandClock) -> None:
    await burst(client, UNSUBSCRIBE, 7)
    clock.advance(5)
    await burst(client, UNSUBSCRIBE, 2)
    assert (await summary(client))["busiest_second"] == {"sandbox": {f"POST {UNSUBSCRIBE}": 7}}
