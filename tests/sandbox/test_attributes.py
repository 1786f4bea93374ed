"""Custom attributes: merging, the lock on types, reading back; v1 and v2."""

from typing import Any

import httpx
import pytest

from tests.sandbox.calls import ATTRIBUTES, EMAIL, PHONE, USER_V2, last, people, switch


async def put(client: httpx.AsyncClient, **properties: Any) -> int:
    body = {"properties": properties, "user": {"email": EMAIL}}
    return (await client.post(ATTRIBUTES, json=body)).status_code


async def read(client: httpx.AsyncClient) -> list[dict[str, str]]:
    reply = await client.get(ATTRIBUTES, params={"email": EMAIL})
    assert reply.status_code == 200
    listed: list[dict[str, str]] = reply.json()
    return listed


async def test_attributes_merge_key_by_key_and_read_back_as_strings(client: httpx.AsyncClient) -> None:
    await put(client, tier="gold", visits=3)
    await put(client, visits=4, vip=True)
    assert await read(client) == [
        {"name": "tier", "value": "gold"},
        {"name": "visits", "value": "4"},
        {"name": "vip", "value": "true"},
    ]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        pytest.param("gold", "silver", 200, id="a string stays a string"),
        pytest.param("gold", 7, 400, id="a string never becomes a number"),
        pytest.param("A-24", "24", 200, id="a string attribute takes digits as a string"),
        pytest.param(24, 25.5, 200, id="a number stays a number"),
        pytest.param(24, "25", 200, id="a number may come as a string of digits"),
        pytest.param(24, "many", 400, id="a number never becomes a word"),
        pytest.param("24", "many", 400, id="a string of digits makes a number"),
        pytest.param(True, False, 200, id="a boolean stays a boolean"),
        pytest.param(True, 1, 400, id="a boolean never becomes a number"),
        pytest.param("2026-03-30", "2026-04-01T10:00:00Z", 200, id="a date stays a date"),
        pytest.param("2026-03-30", "next week", 400, id="a date never becomes a word"),
    ],
)
async def test_the_first_value_locks_the_type(
    client: httpx.AsyncClient, first: Any, second: Any, expected: int
) -> None:
    assert await put(client, attribute=first) == 200
    assert await put(client, attribute=second) == expected


async def test_digits_may_be_taken_for_a_string(client: httpx.AsyncClient) -> None:
    await switch(client, numeric_strings_are_numbers=False)
    assert [await put(client, zip="02134"), await put(client, zip="SW1A")] == [200, 200]


async def test_the_lock_holds_for_everyone_and_names_the_attribute(client: httpx.AsyncClient) -> None:
    await put(client, age=30)
    reply = await client.post(ATTRIBUTES, json={"properties": {"age": "old"}, "user": {"phone": PHONE}})
    assert reply.json()["message"].startswith("properties.age: must be a number")


async def test_a_conflict_stores_nothing_of_the_call(client: httpx.AsyncClient) -> None:
    await put(client, age=30)
    assert await put(client, tier="gold", age="old") == 400
    assert await read(client) == [{"name": "age", "value": "30"}]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("", 400, id="neither"),
        pytest.param("?email=jane%40example.com&phone=%2B15005550006", 400, id="both"),
        pytest.param("?phone=+15005550006", 400, id="a plus that is not escaped"),
        pytest.param("?email=", 400, id="an empty email"),
        pytest.param("?phone=%2B15005550006", 404, id="a phone nobody has"),
        pytest.param("?email=jane%40example.com", 200, id="an email somebody has"),
        pytest.param("?email=Jane%40Example.com", 200, id="the same email in other letters"),
    ],
)
async def test_reading_takes_exactly_one_of_phone_and_email(
    client: httpx.AsyncClient, query: str, expected: int
) -> None:
    await put(client, tier="gold")
    assert (await client.get(ATTRIBUTES + query)).status_code == expected


async def test_v2_makes_the_person_and_shares_the_lock_with_v1(client: httpx.AsyncClient) -> None:
    body = {
        "identifiers": {"email": EMAIL, "shopifyId": "7"},
        "attributes": {"firstName": "Jane", "location": {"city": "Leeds"}, "custom": {"age": 30}},
        "subscriptions": [{"signUpSourceId": "1", "channel": "EMAIL"}],
    }
    reply = await client.post(USER_V2, json=body)
    (person,) = await people(client)
    assert reply.status_code == 202
    assert person["attributes"] == {"age": 30, "firstName": "Jane", "location.city": "Leeds"}
    assert await put(client, age="old") == 400


@pytest.mark.parametrize(
    ("mode", "status", "notes"),
    [
        pytest.param("refuse", 400, [], id="refused at once"),
        pytest.param("note", 202, ["type_conflict"], id="accepted and quietly lost"),
    ],
)
async def test_a_v2_type_conflict_is_a_switch(
    client: httpx.AsyncClient, mode: str, status: int, notes: list[str]
) -> None:
    await switch(client, v2_type_conflicts=mode)
    await put(client, age=30)
    body = {"identifiers": {"email": EMAIL}, "attributes": {"custom": {"age": "old"}}}
    assert (await client.post(USER_V2, json=body)).status_code == status
    assert (await last(client))["notes"] == notes
    assert await read(client) == [{"name": "age", "value": "30"}]


async def test_attributes_of_an_unlinked_external_id_are_lost(client: httpx.AsyncClient) -> None:
    body = {"properties": {"a": 1}, "user": {"externalIdentifiers": {"clientUserId": "u-1"}}}
    assert (await client.post(ATTRIBUTES, json=body)).status_code == 200
    assert (await last(client))["notes"] == ["unlinked", "discarded"]
    assert await people(client) == []
