"""What Attentive refuses in names and values, mended before it is sent.

Source: Attentive's custom events and attributes pages; the forbidden characters are the union of what they name.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

FORBIDDEN: Final = "\"'(){}[]\\|,"
TYPE_CHARS: Final = 200
ATTRIBUTE_NAME_CHARS: Final = 200
ATTRIBUTES: Final = 100

_FORBIDDEN = re.compile("[" + re.escape(FORBIDDEN) + "]")
_KNOWN_CLEAN: set[str] = set()  # keys repeat from event to event: a set look-up costs a tenth of the search
_KNOWN_CLEAN_MOST: Final = 10_000


def clean_name(name: str) -> str:
    """`name` with each forbidden character replaced by `_`."""
    if name in _KNOWN_CLEAN:
        return name
    clean = _FORBIDDEN.sub("_", name)
    if clean == name and len(_KNOWN_CLEAN) < _KNOWN_CLEAN_MOST:
        _KNOWN_CLEAN.add(name)
    return clean


def clean_object(given: Mapping[str, Any], path: str, notes: list[str]) -> dict[str, Any]:
    """A copy fit to send: clean keys at every depth, no null. Keys that become the same are told apart by `_2`, …"""
    clean: dict[str, Any] = {}
    for key, value in given.items():
        if value is None or not key:
            continue
        if key in _KNOWN_CLEAN and key not in clean:
            name = key
        else:
            name = _free_name(key, clean, given)
            if name != key:
                notes.append(f"{path}: a name with forbidden characters became {name!r}")
        if isinstance(value, dict):
            value = clean_object(value, path, notes)
        elif isinstance(value, list):
            value = _clean_list(value, path, notes)
        clean[name] = value
    return clean


def _clean_list(given: list[Any], path: str, notes: list[str]) -> list[Any]:
    return [
        clean_object(value, path, notes)
        if isinstance(value, dict)
        else _clean_list(value, path, notes)
        if isinstance(value, list)
        else value
        for value in given
        if value is not None
    ]


def _free_name(key: str, taken: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    name = clean_name(key)
    if name == key and name not in taken:
        return name
    candidate, number = name, 2
    while candidate in taken or (candidate != key and candidate in given):
        candidate, number = f"{name}_{number}", number + 1
    return candidate
