"""One person in the forms that Attentive's endpoints require. Absent identifiers are left out, never null.

Source: Attentive's API reference. v1 writes custom identifiers as {name, value}, v2 as {key, value}.
"""

from collections.abc import Mapping
from typing import Any

from app.identity.identity import Identity
from app.identity.recent import recent


@recent
def event_user(identity: Identity) -> Mapping[str, Any]:
    """`user` of the event endpoints and of v1 attributes. Empty if the person has only a Shopify or Klaviyo ID.

    All events of a person share it.
    """
    user: dict[str, Any] = {}
    if identity.phone:
        user["phone"] = identity.phone
    if identity.email:
        user["email"] = identity.email
    external: dict[str, Any] = {}
    if identity.client_user_id:
        external["clientUserId"] = identity.client_user_id
    if identity.custom:
        external["customIdentifiers"] = _pairs(identity, "name")
    if external:
        user["externalIdentifiers"] = external
    return user


def contacts(identity: Identity, wanted: frozenset[str]) -> dict[str, str]:
    """`user` of subscribe and unsubscribe: those of phone and email that are known and `wanted`."""
    known = {"phone": identity.phone, "email": identity.email}
    return {name: value for name, value in known.items() if value and name in wanted}


def external_identifiers(identity: Identity) -> dict[str, Any]:
    """`externalIdentifiers` of subscribe, which it needs besides `user`."""
    return {name: value for name, value in _flat(identity, "name").items() if name not in ("phone", "email")}


def identity_link(identity: Identity) -> dict[str, Any] | None:
    """The flat body of an identity call. None unless it links an external ID to at least one more identifier."""
    body = _flat(identity, "name")
    external = bool(identity.client_user_id) or bool(identity.custom)
    known = len(body.keys() - {"customIdentifiers"}) + len(identity.custom)
    return body if external and known > 1 else None


def attribute_identifiers(identity: Identity) -> dict[str, Any]:
    """`identifiers` of v2 user attributes."""
    return _flat(identity, "key")


def _flat(identity: Identity, name_key: str) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if identity.phone:
        body["phone"] = identity.phone
    if identity.email:
        body["email"] = identity.email
    if identity.shopify_id:
        body["shopifyId"] = identity.shopify_id
    if identity.klaviyo_id:
        body["klaviyoId"] = identity.klaviyo_id
    if identity.client_user_id:
        body["clientUserId"] = identity.client_user_id
    if identity.custom:
        body["customIdentifiers"] = _pairs(identity, name_key)
    return body


def _pairs(identity: Identity, name_key: str) -> list[dict[str, str]]:
    return [{name_key: name, "value": value} for name, value in identity.custom]
