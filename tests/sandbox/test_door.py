"""Routing, keys and scopes: what happens before a body is looked at."""

import httpx
import pytest

from app.sandbox.endpoints import ENDPOINTS, Endpoint
from tests.sandbox.calls import (
    ADD_TO_CART,
    ATTRIBUTES,
    CUSTOM,
    IDENTITY,
    PRODUCT_VIEW,
    PURCHASE,
    USER_V2,
    VALID,
    body_for,
    summary,
    switch,
)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        pytest.param("GET", "/v1/nothing", 404, id="an unknown path is not found"),
        pytest.param("POST", "/v1/events/ecommerce/view-item", 404, id="view-item is no endpoint"),
        pytest.param("POST", CUSTOM + "/", 404, id="a trailing slash is another path"),
        pytest.param("POST", "/v2/v2/user/attributes", 404, id="the doubled v2 of an old page is not found"),
        pytest.param("GET", "/v1/privacy/delete-request/", 404, id="a template needs its last segment"),
        pytest.param("GET", "/v1/privacy/delete-request/{id}", 404, id="a template is not a path of its own"),
        pytest.param("GET", CUSTOM, 405, id="events cannot be read"),
        pytest.param("DELETE", ATTRIBUTES, 405, id="attributes cannot be deleted"),
        pytest.param("POST", "/v1/me", 405, id="who-am-I takes GET alone"),
    ],
)
async def test_calls_that_lead_nowhere(client: httpx.AsyncClient, method: str, path: str, expected: int) -> None:
    reply = await client.request(method, path)
    assert reply.status_code == expected
    assert reply.json()["message"]
    assert reply.headers["x-ratelimit-limit"] == "150"


async def test_405_says_what_is_allowed(client: httpx.AsyncClient) -> None:
    assert (await client.put(ATTRIBUTES)).headers["allow"] == "GET, POST"


@pytest.mark.parametrize(
    ("content_type", "content", "expected"),
    [
        pytest.param("text/plain", b"{}", 415, id="plain text is the wrong content type"),
        pytest.param("application/x-www-form-urlencoded", b"a=1", 415, id="a form is the wrong content type"),
        pytest.param("application/json", b"{", 400, id="broken JSON is a bad request"),
        pytest.param("application/json", b"", 400, id="no body is a bad request"),
        pytest.param("application/json", b"[]", 400, id="an array is a bad request"),
        pytest.param("application/json", b'{"a":NaN}', 400, id="NaN is not JSON"),
        pytest.param("application/json", b'{"a":"\xff"}', 400, id="bytes that are not UTF-8 are a bad request"),
    ],
)
async def test_unreadable_bodies(client: httpx.AsyncClient, content_type: str, content: bytes, expected: int) -> None:
    reply = await client.post(CUSTOM, content=content, headers={"content-type": content_type})
    assert reply.status_code == expected


async def test_content_type_may_carry_a_charset(client: httpx.AsyncClient) -> None:
    reply = await client.post(
        PRODUCT_VIEW, json=VALID[PRODUCT_VIEW], headers={"content-type": "Application/JSON; charset=utf-8"}
    )
    assert reply.status_code == 200


@pytest.mark.parametrize(
    ("authorization", "why"),
    [
        pytest.param("", "missing", id="no header"),
        pytest.param("sandbox-token", "malformed", id="a token without a scheme"),
        pytest.param("Basic sandbox-token", "malformed", id="another scheme"),
        pytest.param("Bearer ", "malformed", id="a scheme without a token"),
        pytest.param("Bearer other", "unknown", id="a token nobody has"),
    ],
)
async def test_without_a_live_key_the_answer_is_401(client: httpx.AsyncClient, authorization: str, why: str) -> None:
    reply = await client.get("/v1/me", headers={"authorization": authorization})
    assert reply.status_code == 401
    assert reply.json()["message"].startswith(why)
    assert reply.headers["x-ratelimit-remaining"] == "150"


async def test_a_key_revoked_at_run_time_is_refused_and_works_again_later(client: httpx.AsyncClient) -> None:
    statuses = []
    for revoked in (False, True, False):
        await client.patch("/_sandbox/keys/sandbox", json={"revoked": revoked})
        statuses.append((await client.get("/v2/me")).status_code)
    assert statuses == [200, 401, 200]


@pytest.mark.parametrize("endpoint", [pytest.param(each, id=each.label) for each in ENDPOINTS])
async def test_a_key_without_scopes_reaches_only_who_am_i(client: httpx.AsyncClient, endpoint: Endpoint) -> None:
    await client.patch("/_sandbox/keys/sandbox", json={"scopes": []})
    reply = await client.request(endpoint.method, endpoint.path.replace("{id}", "1"), json={})
    if endpoint.scopes:
        assert reply.status_code == 403
        assert min(endpoint.scopes) in reply.json()["message"]
    else:
        assert reply.status_code == (404 if endpoint.name == "show_job" else 200)  # there is no job of this ID


async def test_v2_attributes_need_both_scopes(client: httpx.AsyncClient) -> None:
    await client.patch("/_sandbox/keys/sandbox", json={"scopes": ["attributes:write"]})
    reply = await client.post(USER_V2, json=VALID[USER_V2])
    assert (reply.status_code, reply.json()["message"]) == (403, "the key lacks the scope subscriptions:write")


async def test_who_am_i_tells_the_five_fields(client: httpx.AsyncClient) -> None:
    first, second = await client.get("/v1/me"), await client.get("/v2/me")
    assert first.json() == second.json()
    assert first.json().keys() == {
        "applicationName",
        "attentiveDomainName",
        "companyName",
        "contactEmail",
        "companyId",
    }


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        pytest.param(["auth", "scope", "rate", "body"], 401, id="the key first"),
        pytest.param(["body", "auth", "scope", "rate"], 400, id="the body first"),
        pytest.param(["rate", "body", "auth", "scope"], 400, id="the body before the key"),
    ],
)
async def test_the_first_failing_check_answers(client: httpx.AsyncClient, order: list[str], expected: int) -> None:
    await switch(client, checks=order)
    assert (await client.post(CUSTOM, json={}, headers={"authorization": "Bearer other"})).status_code == expected


async def test_the_rate_can_be_judged_before_the_scope(client: httpx.AsyncClient) -> None:
    await switch(client, checks=["auth", "rate", "scope", "body"], limits={IDENTITY: 1})
    await client.patch("/_sandbox/keys/sandbox", json={"scopes": []})
    assert [(await client.post(IDENTITY, json={})).status_code for _ in range(2)] == [403, 429]


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        pytest.param(PRODUCT_VIEW, 200, "", id="a product view is a 200 without a body"),
        pytest.param(ADD_TO_CART, 200, "", id="an add to cart is a 200 without a body"),
        pytest.param(PURCHASE, 200, "", id="a purchase is a 200 without a body"),
        pytest.param(CUSTOM, 200, "", id="a custom event is a 200 without a body"),
        pytest.param(ATTRIBUTES, 200, "", id="v1 attributes are a 200 without a body"),
        pytest.param(IDENTITY, 202, "", id="an identity call is a 202 without a body"),
        pytest.param(USER_V2, 202, '{"success":true,"message":"accepted"}', id="a v2 user is a 202 that says so"),
    ],
)
async def test_success(client: httpx.AsyncClient, path: str, status: int, body: str) -> None:
    reply = await client.post(path, json=body_for(path))
    assert (reply.status_code, reply.text) == (status, body)
    assert reply.headers.keys() >= {"x-ratelimit-limit", "x-ratelimit-remaining"}
    assert (await summary(client))["calls"][path] == {str(status): 1}
