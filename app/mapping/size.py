"""How much one call may carry. What Attentive would cut off unseen is left out or noted; what is too much is not sent.

Source: Attentive's custom events page (200 keys, addresses of 1,024 characters). It names no size of a call: the
most is what its bulk jobs take for one record.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import orjson

from app.attentive.call import AttentiveCall

KEYS: Final = 200  # of a custom event's properties, at all depths, that journeys and macros can use
URL_CHARS: Final = 1_024  # the longest address that Attentive shortens
LARGE_BYTES: Final = 256 * 1_024
MOST_BYTES: Final = 1_024 * 1_024
_SMALL_BYTES: Final = 1_024  # in so little there is neither a 201st key nor an address that is too long


class TooLarge(Exception):  # noqa: N818 - a verdict on the event, not an error of ours
    """A call of more than MOST_BYTES."""


def written(call: AttentiveCall, notes: list[str], counts: list[str]) -> bytes:
    """The call's JSON. What was left out is noted; a call that is large is counted too. Raises TooLarge."""
    body = orjson.dumps(call.body)
    if len(body) <= _SMALL_BYTES:  # nearly always
        return body
    properties = call.body.get("properties")
    if "type" in call.body and isinstance(properties, dict) and (most := _first_keys(properties)) is not None:
        notes.append(f"properties: more than {KEYS} different names, the deepest and last of them left out")
        body = orjson.dumps({**call.body, "properties": most})
    if any(len(text) > URL_CHARS and text.startswith(("http://", "https://")) for text in _texts(call.body)):
        notes.append(f"an address of more than {URL_CHARS:,} characters: Attentive does not shorten it")
    if len(body) > MOST_BYTES:
        raise TooLarge(f"the {call.endpoint.name} call has {len(body):,} bytes, {MOST_BYTES:,} are the most")
    if len(body) > LARGE_BYTES:
        notes.append(f"the {call.endpoint.name} call has {len(body):,} bytes: Attentive may refuse it")
        counts.append(f"large:{call.endpoint.name}")
    return body


def _first_keys(properties: dict[str, Any]) -> dict[str, Any] | None:
    """The properties with their first KEYS different names, the outermost first; None when there are no more.

    The objects of a list share their names, as they do in Attentive: fifty products of six fields are seven names.
    """
    names: dict[str, None] = {}
    level: list[tuple[str, Any]] = [("", properties)]
    while level:
        below: list[tuple[str, Any]] = []
        for path, value in level:
            inner = [(path, each) for each in value] if isinstance(value, list) else _named(path, value)
            if isinstance(value, dict):
                names |= dict.fromkeys(name for name, _ in inner)
            below += [(name, each) for name, each in inner if isinstance(each, dict | list)]
        level = below
    return _only(properties, "", frozenset(islice(names, KEYS))) if len(names) > KEYS else None


def _named(path: str, value: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(f"{path}\0{name}", inner) for name, inner in value.items()]


def _only(value: Any, path: str, kept: frozenset[str]) -> Any:
    if isinstance(value, list):
        return [_only(inner, path, kept) for inner in value]
    if isinstance(value, dict):
        named = ((name, f"{path}\0{name}", inner) for name, inner in value.items())
        return {name: _only(inner, place, kept) for name, place, inner in named if place in kept}
    return value


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for inner in value.values():
                yield from _texts(inner)
        case list():
            for inner in value:
                yield from _texts(inner)
