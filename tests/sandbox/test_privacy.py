"""Delete requests: filed, looked at, processed."""

import httpx

from tests.sandbox.calls import ATTRIBUTES, EMAIL, PRIVACY, body_for, people


async def test_a_request_is_processed_after_the_first_look(client: httpx.AsyncClient) -> None:
    await client.post(ATTRIBUTES, json=body_for(ATTRIBUTES))
    filed = await client.post(PRIVACY, json=body_for(PRIVACY))
    looks = [(await client.get(f"{PRIVACY}/{filed.json()['id']}")).json() for _ in range(2)]
    assert filed.status_code == 200
    assert [look["processed"] for look in looks] == [False, True]
    assert looks[1].keys() >= {"id", "type", "requestMsg", "requestDateTime", "processingStartDateTime"}
    assert await people(client) == []


async def test_the_subject_is_masked(client: httpx.AsyncClient) -> None:
    filed = await client.post(PRIVACY, json={"subjectEmail": EMAIL, "subjectPhone": "+15005550006"})
    look = (await client.get(f"{PRIVACY}/{filed.json()['id']}")).json()
    assert (look["subjectEmail"], look["subjectPhone"]) == ("j***@example.com", "***06")


async def test_a_request_without_a_subject_is_refused_in_the_declared_shape(client: httpx.AsyncClient) -> None:
    reply = await client.post(PRIVACY, json={"requestMsg": "whom?"})
    assert reply.status_code == 400
    assert reply.json()["error"].startswith("body: must have at least one of")


async def test_an_unknown_request_is_not_found(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"{PRIVACY}/privacy-9")).status_code == 404
