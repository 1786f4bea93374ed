"""Attributes that Attentive refuses by name, taken out of a call so that the rest can be sent. Pure.

An attribute that was created in Attentive's own pages accepts only the options defined there. One other value makes
Attentive refuse the whole call on every attempt. Source: Attentive's custom attributes and user attributes pages.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from app.attentive.endpoints import CUSTOM_ATTRIBUTES, USER_ATTRIBUTES

_MOST_BYTES: Final = 16_384  # the size of an answer that is searched
_COMMON: Final = frozenset({"id", "is", "key", "must", "name", "named", "option", "type", "value", "values", "with"})
_PLACES: Final[Mapping[str, tuple[str, ...]]] = {  # the place of custom attributes in a call
    USER_ATTRIBUTES.name: ("attributes", "custom"),
    CUSTOM_ATTRIBUTES.name: ("properties",),
}


def refused_attributes(endpoint: str, call: bytes, answer: bytes) -> tuple[str, ...]:
    """The custom attributes of a call that its answer names: in quotes, or as a path such as `custom.tier`.

    Empty if it names none, or everything that the call contains: then the whole call is refused.
    """
    if endpoint not in _PLACES or not answer:
        return ()
    body = orjson.loads(call)
    text = answer[:_MOST_BYTES].decode(errors="replace")
    names = tuple(name for name in _custom(endpoint, body) if _named(name, text))
    return names if names and _without(endpoint, body, names) is not None else ()


def split(endpoint: str, call: bytes, names: tuple[str, ...]) -> tuple[bytes, bytes]:
    """The call without these attributes, and the call with only these."""
    body = orjson.loads(call)
    return orjson.dumps(_without(endpoint, body, names)), orjson.dumps(_only(endpoint, body, names))


def _named(name: str, text: str) -> bool:
    """Whether the text names the attribute. A bare word does not count, as an attribute may be called `value`."""
    quoted = rf"[\"'`\u201c\u2018]{re.escape(name)}[\"'`\u201d\u2019\\]"
    path = rf"(?i:custom|properties|attributes?)[.\[]+{re.escape(name)}(?![\w-])"
    named = rf"(?i:attribute|property):? {re.escape(name)}(?![\w-])"
    return re.search(f"{quoted}|{path}" if name.lower() in _COMMON else f"{quoted}|{path}|{named}", text) is not None


def _custom(endpoint: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
    here: Any = body
    for step in _PLACES[endpoint]:
        here = here.get(step, {}) if isinstance(here, dict) else {}
    return here if isinstance(here, dict) else {}


def _without(endpoint: str, body: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any] | None:
    """The call without these attributes. None if only identifiers would be left."""
    kept = {name: value for name, value in _custom(endpoint, body).items() if name not in names}
    if endpoint == CUSTOM_ATTRIBUTES.name:
        return {**body, "properties": kept} if kept else None
    attributes = {name: value for name, value in body["attributes"].items() if name != "custom"}
    if kept:
        attributes["custom"] = kept
    return {**body, "attributes": attributes} if attributes else None


def _only(endpoint: str, body: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    refused = {name: value for name, value in _custom(endpoint, body).items() if name in names}
    if endpoint == CUSTOM_ATTRIBUTES.name:
        return {**body, "properties": refused}
    return {**body, "attributes": {"custom": refused}}
