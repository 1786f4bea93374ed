"""The control panel: switches, keys, the clock, a fresh start."""

from typing import Any

import httpx
import pytest

import app.sandbox
from app.sandbox.config import UNSETTLED
from tests.sandbox.calls import CUSTOM, body_for, fault, ledger, people, summary, switch
from tests.sandbox.conftest import Naps


async def test_the_index_says_what_this_is_and_what_nobody_knows(client: httpx.AsyncClient) -> None:
    index = (await client.get("/_sandbox/")).json()
    assert index["about"].startswith("A model of Attentive's API, built from public documents")
    assert index["unsettled"] == list(UNSETTLED)


@pytest.mark.parametrize("name", UNSETTLED)
def test_the_package_lists_every_unsettled_switch(name: str) -> None:
    assert f"`{name}`" in (app.sandbox.__doc__ or "")


async def test_healthz_needs_no_key(client: httpx.AsyncClient) -> None:
    assert (await client.get("/_sandbox/healthz", headers={"authorization": ""})).json() == {"status": "ok"}


async def test_changed_switches_are_told_and_keep_the_others(client: httpx.AsyncClient) -> None:
    await switch(client, unlinked="reject")
    await switch(client, latency={"*": {"kind": "fixed", "ms": 5}})
    config = (await client.get("/_sandbox/config")).json()
    assert (config["unlinked"], config["latency"]) == ("reject", {"*": {"kind": "fixed", "ms": 5.0}})
    assert "keys" not in config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"colour": "red"}, "colour: is not known here", id="an unknown switch"),
        pytest.param({"unlinked": "maybe"}, "unlinked: Input should be", id="an unknown setting"),
        pytest.param({"limits": {"/v1/nothing": 5}}, "limits: Value error, /v1/nothing is not a path", id="a path"),
        pytest.param({"limits": {CUSTOM: -1}}, f"limits: Value error, {CUSTOM} must not be", id="a negative limit"),
        pytest.param({"latency": {"/x": {"kind": "fixed", "ms": 1}}}, "latency: Value error, /x is", id="a latency"),
        pytest.param({"latency": {"*": {"kind": "slow"}}}, "latency.*: Input tag 'slow'", id="a distribution"),
        pytest.param({"checks": ["auth"]}, "checks: Value error, must name", id="checks that are missing"),
        pytest.param(
            {"checks": ["scope", "auth", "rate", "body"]}, "checks: Value error, scope needs", id="scope before auth"
        ),
        pytest.param({"keys": []}, "keys: are changed at /_sandbox/keys", id="keys"),
    ],
)
async def test_a_change_that_makes_no_sense_is_refused_whole(
    client: httpx.AsyncClient, changes: Any, message: str
) -> None:
    before = (await client.get("/_sandbox/config")).json()
    reply = await client.patch("/_sandbox/config", json={"unlinked": "reject"} | changes)
    assert reply.status_code == 400
    assert reply.json()["message"].startswith(message)
    assert (await client.get("/_sandbox/config")).json() == before


async def test_keys_can_be_added_changed_and_removed(client: httpx.AsyncClient) -> None:
    async def who(token: str) -> int:
        return (await client.get("/v1/me", headers={"authorization": f"Bearer {token}"})).status_code

    added = await client.post("/_sandbox/keys", json={"token": "t-2", "name": "second", "scopes": ["events:write"]})
    assert (added.status_code, added.json()["scopes"]) == (201, ["events:write"])
    assert "token" not in added.json()
    assert await who("t-2") == 200
    await client.patch("/_sandbox/keys/second", json={"token": "t-3"})
    assert [await who("t-2"), await who("t-3")] == [401, 200]
    assert [key["name"] for key in (await client.get("/_sandbox/keys")).json()["keys"]] == ["sandbox", "second"]
    assert (await client.delete("/_sandbox/keys/second")).status_code == 204
    assert await who("t-3") == 401


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        pytest.param("POST", "", {"name": "x"}, 400, "token: Field required", id="no token"),
        pytest.param("POST", "", {"token": "t", "name": "sandbox"}, 400, "name: is taken", id="a name twice"),
        pytest.param(
            "POST", "", {"token": "sandbox-token", "name": "x"}, 400, "token: belongs to another", id="a token twice"
        ),
        pytest.param(
            "PATCH", "/sandbox", {"scopes": ["all"]}, 400, "scopes: Value error, all is not a scope", id="no such scope"
        ),
        pytest.param("PATCH", "/sandbox", {"name": "x"}, 400, "name: cannot be changed", id="another name"),
        pytest.param("PATCH", "/nobody", {}, 404, "name: there is no such key", id="nobody's key"),
        pytest.param("DELETE", "/nobody", {}, 404, "name: there is no such key", id="nobody's key to remove"),
    ],
)
async def test_key_changes_that_make_no_sense(
    client: httpx.AsyncClient, method: str, path: str, body: Any, status: int, message: str
) -> None:
    reply = await client.request(method, f"/_sandbox/keys{path}", json=body)
    assert reply.status_code == status
    assert reply.json()["message"].startswith(message)


async def test_the_clock_can_be_moved_ahead(client: httpx.AsyncClient) -> None:
    moved = await client.post("/_sandbox/clock", json={"advance_s": 3600})
    assert moved.json() == {"now": "2026-03-30T15:38:29.000Z", "ahead_s": 3600}


async def test_reset_returns_to_the_start(client: httpx.AsyncClient) -> None:
    await switch(client, unlinked="reject")
    await client.post(CUSTOM, json=body_for(CUSTOM))
    await client.patch("/_sandbox/keys/sandbox", json={"revoked": True})
    await client.post("/_sandbox/clock", json={"advance_s": 5})
    await fault(client, kind="status")
    assert (await client.post("/_sandbox/reset")).status_code == 200
    assert (await summary(client))["calls"] == {}
    assert [await ledger(client), await people(client)] == [[], []]
    assert (await client.get("/_sandbox/config")).json()["unlinked"] == "discard"
    assert (await client.get("/_sandbox/clock")).json()["ahead_s"] == 0
    assert (await client.get("/v1/me")).status_code == 200


async def test_reset_can_keep_switches_and_keys(client: httpx.AsyncClient) -> None:
    await switch(client, unlinked="reject")
    await client.patch("/_sandbox/keys/sandbox", json={"scopes": []})
    await client.post("/_sandbox/reset?keep_config=true")
    assert (await client.get("/_sandbox/config")).json()["unlinked"] == "reject"
    assert (await client.post(CUSTOM, json={})).status_code == 403


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("GET", "/_sandbox/nothing", 404, id="an unknown control path"),
        pytest.param("DELETE", "/_sandbox/ledger", 405, id="a method it does not take"),
    ],
)
async def test_control_paths_that_lead_nowhere(client: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    reply = await client.request(method, path)
    assert reply.status_code == status
    assert "message" in reply.json()


@pytest.mark.parametrize(
    ("distribution", "shortest", "longest"),
    [
        pytest.param({"kind": "fixed", "ms": 40}, 0.04, 0.04, id="fixed"),
        pytest.param({"kind": "uniform", "min_ms": 50, "max_ms": 150}, 0.05, 0.15, id="uniform"),
        pytest.param({"kind": "lognormal", "median_ms": 80, "sigma": 1, "max_ms": 500}, 0, 0.5, id="log-normal"),
    ],
)
async def test_latency_by_path(
    client: httpx.AsyncClient, naps: Naps, distribution: Any, shortest: float, longest: float
) -> None:
    await switch(client, latency={CUSTOM: distribution})
    for _ in range(50):
        await client.post(CUSTOM, json=body_for(CUSTOM))
    await client.get("/v1/me")
    assert len(naps.taken) == 50
    assert shortest <= min(naps.taken) <= max(naps.taken) <= longest
