"""Attentive's endpoints as data: path, scope, limit, and the effect of a repeated call.

Source: Attentive's API reference and its rate limits page.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Repeat(StrEnum):
    """The effect of a call that is sent twice: Attentive has no idempotency key."""

    HARMLESS = "changes nothing"
    RECOGNISED = "can be recognised by its ID"  # externalEventId, orderId: on a best-effort basis
    COUNTED = "counts twice"
    TEXTED = "texts the person again"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint. `calls_per_second` is the documented limit of one access token on this path.
    `scope` names the scopes that its token needs, separated by spaces.
    """

    name: str
    path: str
    scope: str
    calls_per_second: float
    dated: bool = False  # the call loses value with age
    repeat: Repeat = Repeat.HARMLESS
    already: tuple[tuple[int, bytes], ...] = ()  # errors for a call without effect: a status, and text in its body


PRODUCT_VIEW: Final = Endpoint(
    "product-view", "/v1/events/ecommerce/product-view", "ecommerce:write", 150, dated=True, repeat=Repeat.COUNTED
)
ADD_TO_CART: Final = Endpoint(
    "add-to-cart", "/v1/events/ecommerce/add-to-cart", "ecommerce:write", 150, dated=True, repeat=Repeat.COUNTED
)
PURCHASE: Final = Endpoint(
    "purchase", "/v1/events/ecommerce/purchase", "ecommerce:write", 150, dated=True, repeat=Repeat.RECOGNISED
)
CUSTOM_EVENT: Final = Endpoint(
    "custom-event", "/v1/events/custom", "events:write", 150, dated=True, repeat=Repeat.RECOGNISED
)
IDENTITY: Final = Endpoint("identity", "/v1/identity-resolution/user-identifiers", "identity:write", 10)
USER_ATTRIBUTES: Final = Endpoint("user-attributes", "/v2/user/attributes", "attributes:write subscriptions:write", 150)
CUSTOM_ATTRIBUTES: Final = Endpoint("custom-attributes", "/v1/attributes/custom", "attributes:write", 150)
SUBSCRIBE: Final = Endpoint(
    "subscribe",
    "/v1/subscriptions",
    "subscriptions:write",
    10,
    dated=True,
    repeat=Repeat.TEXTED,
    already=((409, b""), (400, b"ALREADY_SUBSCRIBED")),
)
UNSUBSCRIBE: Final = Endpoint(
    "unsubscribe", "/v1/subscriptions/unsubscribe", "subscriptions:write", 5, repeat=Repeat.TEXTED
)
PRIVACY_DELETE: Final = Endpoint("privacy-delete", "/v1/privacy/delete-request", "privacy_requests:write", 150)

ENDPOINTS: Final = (
    PRODUCT_VIEW,
    ADD_TO_CART,
    PURCHASE,
    CUSTOM_EVENT,
    IDENTITY,
    USER_ATTRIBUTES,
    CUSTOM_ATTRIBUTES,
    SUBSCRIBE,
    UNSUBSCRIBE,
    PRIVACY_DELETE,
)
# Reads are made for calls in doubt, not delivered, so they have no lanes. Older pages limit all subscription calls to
# 10 per second, newer ones give no limit for this one.
ELIGIBILITY: Final = Endpoint("eligibility", "/v1/subscriptions", "subscriptions:read", 10)

# Bulk calls and what belongs to them are sent by syncs, one after the other, and have no lanes.
SEGMENT_MEMBERS: Final = Endpoint("segment-members", "/v2/bulk/segments/members", "segments:write", 100)
BULK_ATTRIBUTES: Final = Endpoint(
    "bulk-user-attributes", "/v2/bulk/user/attributes", "attributes:write subscriptions:write", 100
)
SEGMENTS_READ: Final = "segments:read"
SEGMENTS_PATH: Final = "/v2/segments"
BULK_JOB_PATH: Final = "/v2/bulk/job"

BY_NAME: Final = {endpoint.name: endpoint for endpoint in ENDPOINTS}
