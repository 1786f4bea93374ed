"""The operations of Attentive's API as a table: method, path, scopes and documented rate of each one modelled here.

Source: Attentive's API reference (v1 and v2) and its rate limits page.
"""

from collections.abc import Mapping
from dataclasses import dataclass

DEFAULT_CALLS_PER_SECOND = 150


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation of the API. A last path segment of `{id}` stands for any one segment."""

    name: str
    method: str
    path: str
    scopes: frozenset[str]  # a key must hold all of them
    calls_per_second: int = DEFAULT_CALLS_PER_SECOND

    @property
    def label(self) -> str:
        """Its name in limits and faults, because two methods may share a path: "POST /v1/subscriptions"."""
        return f"{self.method} {self.path}"


def _endpoint(name: str, method: str, path: str, *scopes: str, rate: int = DEFAULT_CALLS_PER_SECOND) -> Endpoint:
    return Endpoint(name, method, path, frozenset(scopes), rate)


ENDPOINTS = (
    _endpoint("me", "GET", "/v1/me"),
    _endpoint("me_v2", "GET", "/v2/me"),
    _endpoint("product_view", "POST", "/v1/events/ecommerce/product-view", "ecommerce:write"),
    _endpoint("add_to_cart", "POST", "/v1/events/ecommerce/add-to-cart", "ecommerce:write"),
    _endpoint("purchase", "POST", "/v1/events/ecommerce/purchase", "ecommerce:write"),
    _endpoint("custom_event", "POST", "/v1/events/custom", "events:write"),
    _endpoint("set_attributes", "POST", "/v1/attributes/custom", "attributes:write"),
    _endpoint("read_attributes", "GET", "/v1/attributes/custom", "attributes:write"),
    _endpoint("upsert_user", "POST", "/v2/user/attributes", "attributes:write", "subscriptions:write"),
    _endpoint("identity", "POST", "/v1/identity-resolution/user-identifiers", "identity:write", rate=10),
    _endpoint("subscribe", "POST", "/v1/subscriptions", "subscriptions:write", rate=10),
    _endpoint("eligibility", "GET", "/v1/subscriptions", "subscriptions:read"),
    _endpoint("unsubscribe", "POST", "/v1/subscriptions/unsubscribe", "subscriptions:write", rate=5),
    _endpoint("privacy_delete", "POST", "/v1/privacy/delete-request", "privacy_requests:write"),
    _endpoint("create_segment", "POST", "/v2/segments", "segments:write", rate=100),
    _endpoint("show_segment", "GET", "/v2/segments/external/{id}", "segments:read", rate=100),
    _endpoint("add_members", "POST", "/v2/bulk/segments/members", "segments:write", rate=100),
    _endpoint("remove_members", "DELETE", "/v2/bulk/segments/members", "segments:write", rate=100),
    _endpoint("upsert_users", "POST", "/v2/bulk/user/attributes", "attributes:write", "subscriptions:write", rate=100),
    _endpoint("show_job", "GET", "/v2/bulk/job/{id}", rate=100),
    _endpoint("privacy_status", "GET", "/v1/privacy/delete-request/{id}", "privacy_requests:read"),
)

ALL_SCOPES = frozenset().union(*(endpoint.scopes for endpoint in ENDPOINTS))
ALL_PATHS = frozenset(endpoint.path for endpoint in ENDPOINTS)
ALL_LABELS = frozenset(endpoint.label for endpoint in ENDPOINTS)


def _methods_by_path() -> dict[str, dict[str, Endpoint]]:
    table: dict[str, dict[str, Endpoint]] = {}
    for endpoint in ENDPOINTS:
        table.setdefault(endpoint.path, {})[endpoint.method] = endpoint
    return table


_BY_PATH = _methods_by_path()
_TEMPLATE_STEM = {path.removesuffix("{id}"): methods for path, methods in _BY_PATH.items() if path.endswith("/{id}")}


def methods_at(path: str) -> Mapping[str, Endpoint] | None:
    """The endpoints at this request path, by method. None if there are none."""
    if (methods := _BY_PATH.get(path)) is not None and not path.endswith("}"):
        return methods
    stem, slash, last = path.rpartition("/")
    return _TEMPLATE_STEM.get(stem + slash) if last else None
