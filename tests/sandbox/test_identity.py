"""The identity graph: links, and merges that make a shared identifier visible."""

import httpx

from tests.sandbox.calls import ATTRIBUTES, CUSTOM, IDENTITY, PHONE, body_for, last, ledger, people, summary


async def test_a_link_is_stored(client: httpx.AsyncClient) -> None:
    await client.post(IDENTITY, json={"clientUserId": "u-1", "phone": PHONE, "shopifyId": "7"})
    (person,) = await people(client)
    assert {each["kind"]: each["value"] for each in person["identifiers"]} == {
        "clientUserId": "u-1",
        "phone": PHONE,
        "shopifyId": "7",
    }


async def test_the_same_link_again_changes_nothing(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        await client.post(IDENTITY, json=body_for(IDENTITY))
    assert len(await people(client)) == 1
    assert (await summary(client))["merges"] == 0


async def test_a_shared_identifier_merges_two_people_for_all_to_see(client: httpx.AsyncClient) -> None:
    for email, user in (("a@example.com", "u-1"), ("b@example.com", "u-2")):
        await client.post(IDENTITY, json={"clientUserId": user, "email": email})
        await client.post(ATTRIBUTES, json={"properties": {user: "x"}, "user": {"email": email}})
    await client.post(IDENTITY, json={"clientUserId": "u-1", "email": "b@example.com"})
    (person,) = await people(client)
    assert (await last(client))["notes"] == ["merged:person-2"]
    assert (await summary(client))["merges"] == 1
    assert person["merged"] == ["person-2"]
    assert person["attributes"] == {"u-1": "x", "u-2": "x"}


async def test_custom_identifiers_of_two_names_are_two_identifiers(client: httpx.AsyncClient) -> None:
    for name, email in (("crm", "a@example.com"), ("pos", "b@example.com")):
        link = {"customIdentifiers": [{"name": name, "value": "7"}], "email": email}
        await client.post(IDENTITY, json=link)
    assert len(await people(client)) == 2


async def test_an_event_with_two_known_people_merges_nobody(client: httpx.AsyncClient) -> None:
    await client.post(CUSTOM, json=body_for(CUSTOM, user={"email": "a@example.com"}))
    await client.post(CUSTOM, json=body_for(CUSTOM, user={"phone": PHONE}))
    await client.post(CUSTOM, json=body_for(CUSTOM, user={"email": "a@example.com", "phone": PHONE}))
    assert [call["person"] for call in await ledger(client)] == ["person-1", "person-2", "person-2"]
    assert (await summary(client))["merges"] == 0


async def test_an_email_is_one_person_in_any_letters(client: httpx.AsyncClient) -> None:
    for email in ("Jane@Example.com", "jane@example.com"):
        await client.post(CUSTOM, json=body_for(CUSTOM, user={"email": email}))
    assert len(await people(client)) == 1
