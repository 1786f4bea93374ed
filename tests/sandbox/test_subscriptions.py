"""Subscribing, unsubscribing, eligibility, and how many texts a person would have got."""

from typing import Any

import httpx
import pytest

from tests.sandbox.calls import EMAIL, PHONE, SUBSCRIBE, UNSUBSCRIBE, body_for, summary, switch


async def eligible(client: httpx.AsyncClient, **contact: str) -> dict[tuple[str, str], bool]:
    reply = await client.get(SUBSCRIBE, params=contact)
    assert reply.status_code == 200
    return {
        (each["subscription"]["channel"], each["subscription"]["type"]): each["eligibility"]["isEligible"]
        for each in reply.json()["subscriptionEligibilities"]
    }


async def test_a_repeated_subscribe_texts_the_person_again(client: httpx.AsyncClient) -> None:
    replies = [await client.post(SUBSCRIBE, json=body_for(SUBSCRIBE)) for _ in range(3)]
    statuses = [reply.json()["subscriptionResponses"][0]["subscriptionCreationStatus"] for reply in replies]
    assert [reply.status_code for reply in replies] == [202, 202, 202]
    assert statuses == ["NEWLY_CREATED", "PREVIOUSLY_CREATED", "PREVIOUSLY_CREATED"]
    assert (await summary(client))["texts"] == 3


@pytest.mark.parametrize(
    ("user", "channels", "texts"),
    [
        pytest.param({"email": EMAIL}, ["EMAIL"], 0, id="an email alone subscribes to e-mails"),
        pytest.param({"phone": PHONE}, ["TEXT"], 1, id="a phone alone subscribes to texts"),
        pytest.param({"phone": PHONE, "email": EMAIL}, ["TEXT", "EMAIL"], 1, id="both subscribe to both"),
    ],
)
async def test_channels_follow_the_identifiers(
    client: httpx.AsyncClient, user: dict[str, str], channels: list[str], texts: int
) -> None:
    reply = (await client.post(SUBSCRIBE, json=body_for(SUBSCRIBE, user=user))).json()
    assert [each["subscription"]["channel"] for each in reply["subscriptionResponses"]] == channels
    assert reply["user"] == user
    assert (await summary(client))["texts"] == texts


async def test_locale_and_type_find_the_one_sign_up_unit(client: httpx.AsyncClient) -> None:
    locale = {"language": "en", "country": "US"}
    body = {"user": {"email": EMAIL}, "locale": locale, "subscriptionType": "TRANSACTIONAL"}
    assert (await client.post(SUBSCRIBE, json=body)).status_code == 202
    assert await eligible(client, email=EMAIL) == {("EMAIL", "MARKETING"): False, ("EMAIL", "TRANSACTIONAL"): True}


@pytest.mark.parametrize(
    ("mode", "expected"),
    [pytest.param("conflict", 409, id="a conflict"), pytest.param("refuse", 400, id="a bad request")],
)
async def test_subscribing_a_subscriber_can_be_refused(client: httpx.AsyncClient, mode: str, expected: int) -> None:
    await switch(client, subscribed_again=mode)
    replies = [await client.post(SUBSCRIBE, json=body_for(SUBSCRIBE)) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [202, expected]
    assert replies[1].json() == {"message": "ALREADY_SUBSCRIBED"}
    assert (await summary(client))["texts"] == 1


@pytest.mark.parametrize(
    ("changes", "still_subscribed", "texts"),
    [
        pytest.param({}, [], 1, id="everything, and a text says so"),
        pytest.param({"notification": {"disabled": True}}, [], 0, id="everything, silently"),
        pytest.param({"user": {"email": EMAIL}}, [("TEXT", "MARKETING")], 0, id="an email ends no texts"),
        pytest.param(
            {"subscriptions": [{"type": "TRANSACTIONAL", "channel": "TEXT"}]},
            [("TEXT", "MARKETING")],
            1,
            id="one named subscription alone",
        ),
        pytest.param({"subscriptions": [{"channel": "TEXT"}]}, [], 1, id="a channel without a type means all of it"),
        pytest.param(
            {"subscriptions": [{"channel": "EMAIL"}]}, [("TEXT", "MARKETING")], 0, id="a phone ends no e-mails"
        ),
    ],
)
async def test_unsubscribe(client: httpx.AsyncClient, changes: Any, still_subscribed: Any, texts: int) -> None:
    await client.post(SUBSCRIBE, json=body_for(SUBSCRIBE))
    before = (await summary(client))["texts"]
    assert (await client.post(UNSUBSCRIBE, json=body_for(UNSUBSCRIBE, **changes))).status_code == 202
    assert [what for what, yes in (await eligible(client, phone=PHONE)).items() if yes] == still_subscribed
    assert (await summary(client))["texts"] - before == texts


async def test_unsubscribe_tells_new_from_repeated(client: httpx.AsyncClient) -> None:
    await client.post(SUBSCRIBE, json=body_for(SUBSCRIBE))
    replies = [(await client.post(UNSUBSCRIBE, json=body_for(UNSUBSCRIBE))).json() for _ in range(2)]
    statuses = [reply["subscriptionResponses"][0]["subscriptionUnsubscribeStatus"] for reply in replies]
    assert statuses == ["NEWLY_UNSUBSCRIBED", "PREVIOUSLY_UNSUBSCRIBED"]


async def test_eligibility_needs_a_contact(client: httpx.AsyncClient) -> None:
    assert (await client.get(SUBSCRIBE)).status_code == 400


async def test_nobody_known_is_subscribed_to_nothing(client: httpx.AsyncClient) -> None:
    assert not any((await eligible(client, phone=PHONE)).values())
