"""How much one call may contain. Parts that Attentive would silently cut are left out or noted.

Source: Attentive's custom events page (200 keys, URLs of 1,024 characters). It gives no maximum size of a call, so the
limit is that of one record in its bulk jobs.
"""

from collections.abc import Iterator
from typing import Any, Final

import orjson

from app.attentive.call import AttentiveCall
from app.counted import LONG_URL, LargeCall

KEYS: Final = 200  # of a custom event's properties, at all depths, that journeys and macros can use
URL_CHARS: Final = 1_024  # the longest URL that Attentive shortens
LARGE_BYTES: Final = 256 * 1_024
MOST_BYTES: Final = 1_024 * 1_024
_SMALL_BYTES: Final = 1_024  # too small for a 201st key or a URL that is too long

# The number of each different name, from 1, by the number of the name that holds it (0: none) and its text.
_Places = dict[tuple[int, str], int]


class TooLarge(Exception):  # noqa: N818 - a verdict on the event, not an error of ours
    """A call of more than MOST_BYTES."""


def written(call: AttentiveCall, notes: list[str], counts: list[str]) -> bytes:
    """The call's JSON. Omissions are noted, and a large call is also counted. Raises TooLarge."""
    body = orjson.dumps(call.body)
    if len(body) <= _SMALL_BYTES:  # nearly always
        return body
    properties = call.body.get("properties")
    if "type" in call.body and isinstance(properties, dict) and (most := _first_keys(properties)) is not None:
        notes.append(f"properties: more than {KEYS} different names, the deepest and last of them were left out")
        body = orjson.dumps({**call.body, "properties": most})
    if any(len(text) > URL_CHARS and text.startswith(("http://", "https://")) for text in _texts(call.body)):
        counts.append(LONG_URL)
        notes.append(f"an address of more than {URL_CHARS:,} characters: Attentive does not shorten it")
    if len(body) > MOST_BYTES:
        raise TooLarge(f"the {call.endpoint.name} call has {len(body):,} bytes, {MOST_BYTES:,} are the most")
    if len(body) > LARGE_BYTES:
        notes.append(f"the {call.endpoint.name} call has {len(body):,} bytes: Attentive may refuse it")
        counts.append(LargeCall(call.endpoint.name).field)
    return body


def _first_keys(properties: dict[str, Any]) -> dict[str, Any] | None:
    """The properties with their first KEYS different names, the outermost first. None if there are no more names.

    The objects of a list share their names, as in Attentive: fifty products of six fields are seven names.
    """
    places: _Places = {}
    level: list[tuple[int, Any]] = [(0, properties)]
    while level:
        below: list[tuple[int, Any]] = []
        for place, value in level:
            if isinstance(value, list):
                below += [(place, each) for each in value if isinstance(each, dict | list)]
                continue
            for name, inner in value.items():
                found = places.setdefault((place, name), len(places) + 1)
                if isinstance(inner, dict | list):
                    below.append((found, inner))
        level = below
    return _only(properties, 0, places) if len(places) > KEYS else None


def _only(value: Any, place: int, places: _Places) -> Any:
    if isinstance(value, list):
        return [_only(inner, place, places) for inner in value]
    if isinstance(value, dict):
        found = ((name, places[place, name], inner) for name, inner in value.items())
        return {name: _only(inner, below, places) for name, below, inner in found if below <= KEYS}
    return value


def _texts(value: Any) -> Iterator[str]:
    found = [value]
    for each in found:  # which grows
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            found += each.values()
        elif isinstance(each, list):
            found += each
