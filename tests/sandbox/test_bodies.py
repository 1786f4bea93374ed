"""Every rule of the request bodies: what is refused, and that the message names the field and the rule."""

from typing import Any

import httpx
import pytest

from tests.sandbox.calls import (
    ADD_TO_CART,
    ATTRIBUTES,
    CUSTOM,
    EMAIL,
    IDENTITY,
    PRODUCT_VIEW,
    PURCHASE,
    SUBSCRIBE,
    USER_V2,
    body_for,
    item,
    switch,
)


@pytest.mark.parametrize("path", [PRODUCT_VIEW, ADD_TO_CART, PURCHASE, CUSTOM, ATTRIBUTES])
@pytest.mark.parametrize(
    ("user", "message"),
    [
        pytest.param(..., "user: is required", id="no user"),
        pytest.param(None, "user: must be an object", id="a null user"),
        pytest.param({}, "user: must have at least one of", id="an empty user"),
        pytest.param({"clientUserId": "u-1"}, "user.clientUserId: is not a known key", id="an id outside its object"),
        pytest.param({"email": EMAIL, "shopifyId": "1"}, "user.shopifyId: is not a known key", id="a Shopify id"),
        pytest.param({"email": ""}, "user.email: must not be empty", id="an empty email"),
        pytest.param({"email": "  "}, "user.email: must not be empty", id="a blank email"),
        pytest.param({"email": None}, "user.email: must be a string", id="a null email"),
        pytest.param({"phone": None, "email": EMAIL}, "user.phone: must be a string", id="a null phone"),
        pytest.param({"phone": "15005550006"}, "user.phone: must be a phone number in E.164", id="a phone without +"),
        pytest.param({"phone": "+1-500-555-0006"}, "user.phone: must be a phone number", id="a phone with dashes"),
        pytest.param({"phone": "+05005550006"}, "user.phone: must be a phone number", id="a country code of 0"),
        pytest.param({"phone": "+1234567890123456"}, "user.phone: must be a phone number", id="a phone of 16 digits"),
        pytest.param({"phone": "+15005550006\n"}, "user.phone: must be a phone number", id="a phone with a line feed"),
        pytest.param(
            {"externalIdentifiers": {}}, "user.externalIdentifiers: must have at least one", id="no external identifier"
        ),
        pytest.param(
            {"externalIdentifiers": {"clientUserId": "u" * 101}},
            "user.externalIdentifiers.clientUserId: must be no longer than 100",
            id="a clientUserId of 101 characters",
        ),
        pytest.param(
            {"externalIdentifiers": {"customIdentifiers": {"crm": "1"}}},
            "user.externalIdentifiers.customIdentifiers: must be an array",
            id="custom identifiers as a map",
        ),
        pytest.param(
            {"externalIdentifiers": {"customIdentifiers": [{"name": "", "value": "1"}]}},
            "user.externalIdentifiers.customIdentifiers.0.name: must not be empty",
            id="a custom identifier without a name",
        ),
        pytest.param(
            {"externalIdentifiers": {"customIdentifiers": [{"name": "crm", "value": "1"}, {"name": "crm"}]}},
            "user.externalIdentifiers.customIdentifiers.1.value: is required",
            id="a custom identifier without a value",
        ),
    ],
)
async def test_user_is_refused(client: httpx.AsyncClient, path: str, user: Any, message: str) -> None:
    reply = await client.post(path, json=body_for(path, user=user))
    assert reply.status_code == 400
    assert reply.json()["message"].startswith(message)


@pytest.mark.parametrize("path", [PRODUCT_VIEW, ADD_TO_CART, PURCHASE])
@pytest.mark.parametrize(
    ("items", "message"),
    [
        pytest.param(..., "items: is required", id="no items"),
        pytest.param([], "items: must not be empty", id="an empty list"),
        pytest.param(item(), "items: must be an array", id="one object in place of a list"),
        pytest.param([item(productId=...)], "items.0.productId: is required", id="no product id"),
        pytest.param([item(productVariantId=...)], "items.0.productVariantId: is required", id="no variant id"),
        pytest.param([item(productId=7)], "items.0.productId: must be a string", id="a product id as a number"),
        pytest.param([item(price=...)], "items.0.price: is required", id="no price"),
        pytest.param([item(), item(price=[])], "items.1.price: must not be empty", id="an empty price"),
        pytest.param([item(price={"value": 1})], "items.0.price: must be an array", id="a price as an object"),
        pytest.param([item(price=[{}])], "items.0.price.0.value: is required", id="a price without a value"),
        pytest.param(
            [item(price=[{"value": "19.99"}])], "items.0.price.0.value: must be a number", id="a price as a string"
        ),
        pytest.param([item(price=[{"value": True}])], "items.0.price.0.value: must be a number", id="a price of true"),
        pytest.param([item(price=[{"value": -1}])], "items.0.price.0.value: must not be negative", id="below zero"),
        pytest.param(
            [item(price=[{"value": 1, "currency": "$"}])], "items.0.price.0.currency: must be three", id="a symbol"
        ),
        pytest.param([item(quantity=1.5)], "items.0.quantity: must be a whole number", id="half a unit"),
        pytest.param([item(quantity="1")], "items.0.quantity: must be a whole number", id="a quantity as a string"),
        pytest.param([item(nmae="Shirt")], "items.0.nmae: is not a known key", id="a misspelt key"),
    ],
)
async def test_items_are_refused(client: httpx.AsyncClient, path: str, items: Any, message: str) -> None:
    reply = await client.post(path, json=body_for(path, items=items))
    assert reply.status_code == 400
    assert reply.json()["message"].startswith(message)


@pytest.mark.parametrize(
    ("path", "changes", "message"),
    [
        pytest.param(PURCHASE, {"salesChannel": {"channelType": "SHOP"}}, "salesChannel.channelType", id="a channel"),
        pytest.param(PURCHASE, {"orderId": 7}, "orderId: must be a string", id="an order id as a number"),
        pytest.param(PRODUCT_VIEW, {"occurredAt": "soon"}, "occurredAt: must be an ISO 8601", id="no date-time"),
        pytest.param(PRODUCT_VIEW, {"occuredAt": "2026-03-30T14:00:00Z"}, "occuredAt: is not", id="occuredAt, one r"),
        pytest.param(PRODUCT_VIEW, {"externalEventId": "1"}, "externalEventId: is not", id="an eCommerce event id"),
        pytest.param(CUSTOM, {"type": ...}, "type: is required", id="no type"),
        pytest.param(CUSTOM, {"type": " "}, "type: must not be empty", id="a blank type"),
        pytest.param(CUSTOM, {"type": "a|b"}, "type: must not contain |", id="a bar in the type"),
        pytest.param(CUSTOM, {"type": "a(b"}, "type: must not contain (", id="a parenthesis in the type"),
        pytest.param(CUSTOM, {"properties": []}, "properties: must be an object", id="properties as a list"),
        pytest.param(CUSTOM, {"properties": {"a[0]": 1}}, "properties.a[0]: key must not contain [", id="a bracket"),
        pytest.param(
            CUSTOM, {"properties": {"a": [{"b": {"c{": 1}}]}}, "properties.a.0.b.c{: key must", id="a brace deep down"
        ),
        pytest.param(CUSTOM, {"properties": {"a,b": 1}}, "properties.a,b: key must not contain ,", id="a comma"),
        pytest.param(CUSTOM, {"occurredAt": "2026-03-30T14:38:29"}, "occurredAt: must be an RFC 3339", id="no offset"),
        pytest.param(CUSTOM, {"occurredAt": 1774881509}, "occurredAt: must be a string", id="Unix seconds"),
        pytest.param(CUSTOM, {"externalEventId": ""}, "externalEventId: must not be empty", id="an empty event id"),
        pytest.param(ATTRIBUTES, {"properties": {}}, "properties: must have at least one", id="no attribute"),
        pytest.param(ATTRIBUTES, {"properties": {"a": [1]}}, "properties.a: must be a string", id="a list attribute"),
        pytest.param(ATTRIBUTES, {"properties": {"a": {}}}, "properties.a: must be a string", id="an object attribute"),
        pytest.param(ATTRIBUTES, {"properties": {"a" * 201: 1}}, "properties.aaaa", id="a name of 201 characters"),
        pytest.param(
            ATTRIBUTES, {"properties": {"a'": 1}}, "properties.a': key must not contain '", id="an apostrophe"
        ),
        pytest.param(USER_V2, {"identifiers": ...}, "identifiers: is required", id="v2 without identifiers"),
        pytest.param(
            USER_V2,
            {"identifiers": {"customIdentifiers": [{"name": "crm", "value": "1"}]}},
            "identifiers.customIdentifiers.0.key: is required",
            id="v2 wants key where v1 wants name",
        ),
        pytest.param(
            USER_V2,
            {"attributes": {"custom": {f"a{n}": n for n in range(101)}}},
            "attributes.custom: must have at most 100",
            id="v2 with 101 attributes",
        ),
        pytest.param(USER_V2, {"attributes": {"custom": {"a": []}}}, "attributes.custom.a: must", id="a v2 list"),
        pytest.param(IDENTITY, {"clientUserId": ...}, "body: must have a clientUserId", id="no external identifier"),
        pytest.param(IDENTITY, {"email": ...}, "body: must have one more identifier", id="nothing to link to"),
        pytest.param(IDENTITY, {"email": "a" * 101}, "email: must be no longer than 100", id="a long email"),
        pytest.param(
            IDENTITY, {"customIdentifiers": {"crm": "1"}}, "customIdentifiers: must be an array", id="a map of ids"
        ),
        pytest.param(SUBSCRIBE, {"signUpSourceId": ...}, "signUpSourceId: is required unless", id="no way to sign up"),
        pytest.param(
            SUBSCRIBE,
            {"locale": {"language": "en", "country": "US"}, "subscriptionType": "MARKETING"},
            "signUpSourceId: must not come together",
            id="two ways to sign up",
        ),
        pytest.param(
            SUBSCRIBE,
            {
                "signUpSourceId": ...,
                "locale": {"language": "en", "country": "us"},
                "subscriptionType": "MARKETING",
            },
            "locale: must match exactly one",
            id="no sign-up unit for this locale",
        ),
        pytest.param(
            SUBSCRIBE,
            {"user": {"phone": "+15005550006", "externalIdentifiers": {"clientUserId": "u"}}},
            "user.externalIdentifiers: is not a known key",
            id="subscribe wants external ids at the top",
        ),
    ],
)
async def test_body_is_refused(client: httpx.AsyncClient, path: str, changes: Any, message: str) -> None:
    reply = await client.post(path, json=body_for(path, **changes))
    assert reply.status_code == 400
    assert reply.json()["message"].startswith(message)


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        pytest.param(PRODUCT_VIEW, {"occurredAt": "2026-03-30T14:38:29+0000"}, id="an offset without a colon"),
        pytest.param(PRODUCT_VIEW, {"items": [item(price=[{"value": 0}])]}, id="a price of zero"),
        pytest.param(PURCHASE, {"salesChannel": {"channelType": ""}, "orderId": ...}, id="an empty sales channel"),
        pytest.param(PURCHASE, {"user": {"phone": "+442071838750"}}, id="a phone alone"),
        pytest.param(CUSTOM, {"properties": {"list": [1, {"deep": [None]}]}}, id="any JSON as a property"),
        pytest.param(CUSTOM, {"occurredAt": "2026-03-30T16:38:29.123+02:00"}, id="an offset that is not Z"),
        pytest.param(CUSTOM, {"externalEventId": "not-a-uuid"}, id="an event id that is no UUID"),
        pytest.param(ATTRIBUTES, {"properties": {"a": 1, "b": True, "c": "x"}}, id="every kind of scalar"),
        pytest.param(
            IDENTITY,
            {"email": ..., "customIdentifiers": [{"name": "crm", "value": "7"}]},
            id="a clientUserId with a custom identifier alone",
        ),
    ],
)
async def test_body_is_taken(client: httpx.AsyncClient, path: str, changes: Any) -> None:
    reply = await client.post(path, json=body_for(path, **changes))
    assert reply.is_success, reply.text


@pytest.mark.parametrize(
    ("switches", "path", "changes", "expected"),
    [
        pytest.param(
            {"refuse_unknown_keys": False}, PRODUCT_VIEW, {"occuredAt": 1}, 200, id="a misspelt key may vanish quietly"
        ),
        pytest.param(
            {"refuse_unknown_keys": False}, CUSTOM, {"user": {"userId": "1"}}, 400, id="but the user stays closed"
        ),
        pytest.param(
            {"forbidden_characters": "documented"},
            CUSTOM,
            {"properties": {"a,b'c": 1}},
            200,
            id="a comma passes",
        ),
        pytest.param(
            {"forbidden_characters": "documented"}, CUSTOM, {"properties": {"a|b": 1}}, 400, id="a bar is listed"
        ),
        pytest.param(
            {"attribute_names_max": None},
            USER_V2,
            {"attributes": {"custom": {f"a{n}": n for n in range(101)}}},
            202,
            id="v2 without a maximum of names",
        ),
        pytest.param(
            {"attribute_options": {"size": ["S", "M"]}},
            ATTRIBUTES,
            {"properties": {"size": "XL"}},
            400,
            id="an option that the list does not have",
        ),
        pytest.param(
            {"attribute_options": {"size": ["S", "M"]}},
            ATTRIBUTES,
            {"properties": {"size": "M"}},
            200,
            id="an option that the list has",
        ),
    ],
)
async def test_strictness_is_a_switch(
    client: httpx.AsyncClient, switches: Any, path: str, changes: Any, expected: int
) -> None:
    await switch(client, **switches)
    assert (await client.post(path, json=body_for(path, **changes))).status_code == expected
