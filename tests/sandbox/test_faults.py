"""Fault rules: what they spoil, and which calls they match."""

import asyncio
from typing import Any

import httpx
import pytest

from app.sandbox.wire import ConnectionCut
from tests.sandbox.calls import CUSTOM, EMAIL, IDENTITY, PRODUCT_VIEW, body_for, fault, ledger, summary
from tests.sandbox.conftest import HandClock, Naps
from tests.waiting import patient


async def send(client: httpx.AsyncClient, path: str = CUSTOM, **changes: Any) -> httpx.Response:
    return await client.post(path, json=body_for(path, **changes))


@pytest.mark.parametrize("status", [401, 403, 429, 500, 502, 503, 504])
async def test_a_status_before_processing_leaves_no_trace(client: httpx.AsyncClient, status: int) -> None:
    await fault(client, kind="status", status=status, message="sorry", retry_after="3")
    reply = await send(client)
    assert (reply.status_code, reply.json(), reply.headers["retry-after"]) == (status, {"message": "sorry"}, "3")
    assert reply.headers["x-ratelimit-remaining"] == "149"
    assert await ledger(client) == []
    assert (await summary(client))["calls"] == {CUSTOM: {str(status): 1}}


async def test_a_status_after_processing_is_the_ambiguous_failure(client: httpx.AsyncClient) -> None:
    await fault(client, kind="status", status=504, when="after")
    assert (await send(client)).status_code == 504
    assert len(await ledger(client)) == 1


async def test_an_error_page(client: httpx.AsyncClient) -> None:
    await fault(client, kind="html")
    reply = await send(client)
    assert reply.status_code == 502
    assert reply.headers["content-type"].startswith("text/html")


async def test_a_redirect(client: httpx.AsyncClient) -> None:
    await fault(client, kind="redirect", status=302, location="https://elsewhere.example.com/")
    reply = await send(client)
    assert (reply.status_code, reply.headers["location"]) == (302, "https://elsewhere.example.com/")


@pytest.mark.parametrize(
    ("when", "processed"), [pytest.param("before", 0, id="before"), pytest.param("after", 1, id="after")]
)
async def test_without_a_server_a_reset_is_an_exception(client: httpx.AsyncClient, when: str, processed: int) -> None:
    await fault(client, kind="reset", when=when)
    with pytest.raises(ConnectionCut):
        await send(client)
    assert len(await ledger(client)) == processed
    assert (await summary(client))["calls"] == {CUSTOM: {"unanswered": 1}}


async def test_a_slow_body_comes_byte_by_byte(client: httpx.AsyncClient, naps: Naps) -> None:
    await fault(client, kind="slow_body", seconds=11)
    reply = await send(client)
    assert reply.status_code == 200
    assert len(naps.taken) == len(reply.content)
    assert sum(naps.taken) == pytest.approx(11)


@pytest.mark.parametrize(
    ("when", "processed"), [pytest.param("before", 0, id="before"), pytest.param("after", 1, id="after")]
)
async def test_a_hanging_call_never_answers(client: httpx.AsyncClient, when: str, processed: int) -> None:
    await fault(client, kind="hang", when=when)
    call = asyncio.create_task(send(client))
    async with asyncio.timeout(patient(10)):
        while not (await client.get("/_sandbox/faults")).json()["faults"][0]["struck"]:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0)
        while len(await ledger(client)) < processed:  # noqa: ASYNC110 - nor does the ledger
            await asyncio.sleep(0)
    for _ in range(100):
        await asyncio.sleep(0)
    assert (call.done(), len(await ledger(client))) == (False, processed)
    call.cancel()
    await asyncio.wait({call})


async def test_a_hang_may_end_with_the_real_answer(client: httpx.AsyncClient) -> None:
    await fault(client, kind="hang", seconds=0.01)
    assert (await send(client)).status_code == 200


@pytest.mark.parametrize(
    ("match", "hits", "misses"),
    [
        pytest.param({"path": CUSTOM}, CUSTOM, PRODUCT_VIEW, id="by path"),
        pytest.param({"path": f"POST {CUSTOM}"}, CUSTOM, PRODUCT_VIEW, id="by method and path"),
        pytest.param({"path": "/v1/events/ecommerce/*"}, PRODUCT_VIEW, CUSTOM, id="by the start of a path"),
        pytest.param({"person": "u-1"}, IDENTITY, CUSTOM, id="by part of an external id"),
    ],
)
async def test_rules_match_some_calls_alone(client: httpx.AsyncClient, match: Any, hits: str, misses: str) -> None:
    await fault(client, kind="status", **match)
    assert (await send(client, hits)).status_code == 503
    assert (await send(client, misses)).is_success


@pytest.mark.parametrize(
    ("person", "struck"),
    [
        pytest.param(EMAIL, True, id="the whole email"),
        pytest.param("JANE", True, id="part of it, in other letters"),
        pytest.param("john", False, id="somebody else"),
        pytest.param("Signed", False, id="what is not an identifier"),
    ],
)
async def test_rules_match_by_person(client: httpx.AsyncClient, person: str, struck: bool) -> None:
    await fault(client, kind="status", person=person)
    assert ((await send(client)).status_code == 503) is struck


async def test_rules_match_the_person_of_a_query(client: httpx.AsyncClient) -> None:
    await fault(client, kind="status", person="5550006")
    assert (await client.get("/v1/subscriptions", params={"phone": "+15005550006"})).status_code == 503


async def test_rules_match_by_key(client: httpx.AsyncClient) -> None:
    await client.post("/_sandbox/keys", json={"token": "t2", "name": "second"})
    await fault(client, kind="status", key="second")
    assert (await send(client)).status_code == 200
    assert (await client.get("/v1/me", headers={"authorization": "Bearer t2"})).status_code == 503


async def test_a_rule_is_spent_after_so_many_calls(client: httpx.AsyncClient) -> None:
    await fault(client, kind="status", count=2)
    assert [(await send(client)).status_code for _ in range(3)] == [503, 503, 200]
    assert (await client.get("/_sandbox/faults")).json()["faults"][0]["struck"] == 2


async def test_a_rule_lasts_for_its_time_window(client: httpx.AsyncClient, clock: HandClock) -> None:
    await fault(client, kind="status", starts_in_s=10, lasts_s=5)
    statuses = []
    for wait in (0, 10, 4.9, 0.1):
        clock.advance(wait)
        statuses.append((await send(client)).status_code)
    assert statuses == [200, 503, 503, 200]


async def test_a_percentage_is_drawn_the_same_way_after_a_reset(client: httpx.AsyncClient) -> None:
    rounds = []
    for _ in range(2):
        await client.post("/_sandbox/reset")
        await fault(client, kind="status", percent=30)
        rounds.append([(await send(client)).status_code for _ in range(100)])
    assert rounds[0] == rounds[1]
    assert 15 < rounds[0].count(503) < 45


async def test_the_first_rule_that_matches_wins(client: httpx.AsyncClient) -> None:
    await fault(client, kind="status", status=500, count=1)
    await fault(client, kind="status", status=502, count=1)
    assert [(await send(client)).status_code for _ in range(3)] == [500, 502, 200]


async def test_rules_can_be_taken_back(client: httpx.AsyncClient) -> None:
    first, _ = await fault(client, kind="status"), await fault(client, kind="html")
    assert (await client.delete(f"/_sandbox/faults/{first}")).status_code == 204
    assert (await client.delete(f"/_sandbox/faults/{first}")).status_code == 404
    assert (await client.delete("/_sandbox/faults")).json() == {"removed": 1}
    assert (await send(client)).status_code == 200


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        pytest.param({}, "kind: Field required", id="no kind"),
        pytest.param({"kind": "explode"}, "kind: Input should be", id="an unknown kind"),
        pytest.param({"kind": "status", "colour": 1}, "colour: is not known here", id="an unknown key"),
        pytest.param({"kind": "status", "status": 200}, "status: Input should be greater", id="a status of success"),
        pytest.param({"kind": "reset", "status": 500}, "reset takes no status", id="a status for a reset"),
        pytest.param({"kind": "cut", "when": "before"}, "cut spoils the answer", id="a cut before processing"),
    ],
)
async def test_a_rule_that_makes_no_sense_is_refused(client: httpx.AsyncClient, rule: Any, message: str) -> None:
    reply = await client.post("/_sandbox/faults", json=rule)
    assert reply.status_code == 400
    assert message in reply.json()["message"]
