"""Valid calls to start from, and short ways to make them and to look at what came of them."""

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

PRODUCT_VIEW = "/v1/events/ecommerce/product-view"
ADD_TO_CART = "/v1/events/ecommerce/add-to-cart"
PURCHASE = "/v1/events/ecommerce/purchase"
CUSTOM = "/v1/events/custom"
ATTRIBUTES = "/v1/attributes/custom"
USER_V2 = "/v2/user/attributes"
IDENTITY = "/v1/identity-resolution/user-identifiers"
SUBSCRIBE = "/v1/subscriptions"
UNSUBSCRIBE = "/v1/subscriptions/unsubscribe"
PRIVACY = "/v1/privacy/delete-request"

NOW = datetime(2026, 3, 30, 14, 38, 29, tzinfo=UTC)
EMAIL = "jane@example.com"
PHONE = "+15005550006"
ITEM = {"productId": "p-1", "productVariantId": "v-1", "price": [{"value": 19.99, "currency": "USD"}]}

VALID: dict[str, dict[str, Any]] = {
    PRODUCT_VIEW: {"items": [ITEM], "user": {"email": EMAIL}},
    ADD_TO_CART: {"items": [ITEM], "user": {"email": EMAIL}},
    PURCHASE: {"items": [ITEM], "user": {"email": EMAIL}, "orderId": "o-1", "salesChannel": {"channelType": "WEB"}},
    CUSTOM: {"type": "Signed Up", "user": {"email": EMAIL}, "properties": {"plan": {"name": "pro"}}},
    ATTRIBUTES: {"properties": {"Favourite colour": "teal"}, "user": {"email": EMAIL}},
    USER_V2: {"identifiers": {"email": EMAIL}, "attributes": {"firstName": "Jane", "custom": {"tier": "gold"}}},
    IDENTITY: {"clientUserId": "u-1", "email": EMAIL},
    SUBSCRIBE: {"user": {"phone": PHONE}, "signUpSourceId": "sandbox-marketing"},
    UNSUBSCRIBE: {"user": {"phone": PHONE}},
    PRIVACY: {"subjectEmail": EMAIL, "requestMsg": "asked by mail"},
}


def body_for(path: str, **changes: Any) -> dict[str, Any]:
    """The valid body for this path with some keys set, or left out by `...`."""
    body = deepcopy(VALID[path]) | changes
    return {name: value for name, value in body.items() if value is not ...}


def item(**changes: Any) -> dict[str, Any]:
    """A valid item with some keys set, or left out by `...`."""
    return {name: value for name, value in (deepcopy(ITEM) | changes).items() if value is not ...}


def ago(**span: float) -> str:
    """An `occurredAt` so long before the test's now."""
    return (NOW - timedelta(**span)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def switch(client: httpx.AsyncClient, **switches: Any) -> None:
    """Set switches at run time."""
    reply = await client.patch("/_sandbox/config", json=switches)
    assert reply.status_code == 200, reply.text


async def fault(client: httpx.AsyncClient, **rule: Any) -> int:
    """Add a fault rule and answer with its number."""
    reply = await client.post("/_sandbox/faults", json=rule)
    assert reply.status_code == 201, reply.text
    number: int = reply.json()["id"]
    return number


async def ledger(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    """The accepted calls that the query finds."""
    reply = await client.get("/_sandbox/ledger", params=query)
    assert reply.status_code == 200, reply.text
    found: list[dict[str, Any]] = reply.json()["calls"]
    return found


async def last(client: httpx.AsyncClient) -> dict[str, Any]:
    """The latest accepted call."""
    return (await ledger(client))[-1]


async def summary(client: httpx.AsyncClient) -> dict[str, Any]:
    """The counts of everything."""
    found: dict[str, Any] = (await client.get("/_sandbox/summary")).json()
    return found


async def people(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    """Everyone the sandbox knows."""
    found: list[dict[str, Any]] = (await client.get("/_sandbox/people")).json()["people"]
    return found
