"""Segments, bulk calls and the results of their jobs."""

from typing import Any

import httpx
import orjson
import pytest

MEMBERS = "/v2/bulk/segments/members"
USERS = "/v2/bulk/user/attributes"


async def results(client: httpx.AsyncClient, answer: httpx.Response) -> list[int]:
    """The status of each record, once the job is done."""
    assert answer.status_code == 202
    await client.post("/_sandbox/clock", json={"advance_s": 60})
    job = (await client.get(f"/v2/bulk/job/{answer.json()['batchJobId']}")).json()
    assert job["status"] == "COMPLETED"
    lines = (await client.get(httpx.URL(job["url"]).path)).text.splitlines()
    assert len(lines) == job["totalRecords"]
    return [orjson.loads(line)["response"]["status"] for line in lines]


async def members(client: httpx.AsyncClient) -> list[str]:
    """The addresses of the members of the only segment."""
    (segment,) = (await client.get("/_sandbox/segments")).json()["segments"]
    return sorted(each["value"] for person in segment["members"] for each in person["identifiers"])


async def change(client: httpx.AsyncClient, method: str, *people: dict[str, Any]) -> httpx.Response:
    return await client.request(method, MEMBERS, json={"externalId": "gold", "members": list(people)})


async def test_a_segment_is_made_filled_and_emptied(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v2/segments/external/gold")).status_code == 404
    made = await client.post("/v2/segments", json={"name": "Gold", "externalId": "gold"})
    assert (made.status_code, made.json()["externalId"]) == (201, "gold")
    assert (await client.post("/v2/segments", json={"name": "Gold", "externalId": "gold"})).status_code == 400
    ada, bob = {"email": "ada@example.com"}, {"email": "bob@example.com"}
    assert await results(client, await change(client, "POST", ada, bob, {"clientUserId": "unknown"})) == [200, 200, 404]
    assert await members(client) == ["ada@example.com", "bob@example.com"]
    assert await results(client, await change(client, "DELETE", bob, {"email": "nobody@example.com"})) == [200, 200]
    assert await members(client) == ["ada@example.com"]


async def test_a_job_is_in_progress_before_it_is_done(client: httpx.AsyncClient) -> None:
    await client.patch("/_sandbox/config", json={"bulk_job_s": 3600})
    await client.post("/v2/segments", json={"name": "Gold", "externalId": "gold"})
    answer = await change(client, "POST", {"email": "ada@example.com"})
    job = (await client.get(f"/v2/bulk/job/{answer.json()['batchJobId']}")).json()
    assert (job["status"], "url" in job) == ("IN_PROGRESS", False)


async def test_one_bad_user_refuses_no_other(client: httpx.AsyncClient) -> None:
    good = {"identifiers": {"email": "ada@example.com"}, "attributes": {"firstName": "Ada"}}
    large = {"identifiers": {"email": "bob@example.com"}, "attributes": {"firstName": "B" * 1_048_576}}
    bad = {"identifiers": {}, "attributes": {"firstName": "Eve"}}
    answer = await client.post(USERS, json={"users": [good, large, bad]})
    assert await results(client, answer) == [200, 413, 400]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param(MEMBERS, {"externalId": "gold", "members": []}, id="no member"),
        pytest.param(MEMBERS, {"externalId": "gold", "members": [{"email": "a@example.com"}] * 10_001}, id="too many"),
        pytest.param(MEMBERS, {"externalId": "gold", "members": [{}]}, id="a member without an identifier"),
        pytest.param(USERS, {"users": []}, id="no user"),
        pytest.param(USERS, {"users": [{"identifiers": {"email": "a@example.com"}}] * 257}, id="too many users"),
    ],
)
async def test_what_no_bulk_call_may_be(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> None:
    assert (await client.post(path, json=body)).status_code == 400
