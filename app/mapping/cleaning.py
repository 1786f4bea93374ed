"""Coerces names and values that Attentive would refuse, before they are sent.

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
_KNOWN_CLEAN: set[str] = set()  # names repeat from event to event: a set look-up costs a tenth of the search
_KNOWN_CLEAN_MOST: Final = 10_000  # then the set is cleared: frequent names soon return
_KNOWN_CLEAN_CHARS: Final = 100  # of a name; longer ones are rare, and would take memory


def clean_name(name: str) -> str:
    """`name` with each forbidden character replaced by `_`."""
    if name in _KNOWN_CLEAN:
        return name
    clean = _FORBIDDEN.sub("_", name)
    if clean == name and len(name) <= _KNOWN_CLEAN_CHARS:
        if len(_KNOWN_CLEAN) >= _KNOWN_CLEAN_MOST:
            _KNOWN_CLEAN.clear()
        _KNOWN_CLEAN.add(name)
    return clean


def clean_object(given: Mapping[str, Any], path: str, notes: list[str]) -> dict[str, Any]:
    """A copy fit to send: clean keys at every depth, nothing empty. Keys that collide get a suffix: `_2`, …"""
    clean: dict[str, Any] = {}
    numbers: dict[str, int] = {}  # for names that several keys became: the next number to try
    for key, value in given.items():
        kind = type(value)
        if kind is dict or kind is list:
            value = clean_object(value, path, notes) if kind is dict else _clean_list(value, path, notes)
            if not value:
                continue
        elif value is None or (kind is str and (not value or value.isspace())):
            continue
        if not key:
            continue
        if key in _KNOWN_CLEAN and key not in clean:
            name = key
        else:
            name = _free_name(key, clean, given, numbers)
            if name != key:
                notes.append(f"{path}: a name with forbidden characters became {name!r}")
        clean[name] = value
    return clean


def _clean_list(given: list[Any], path: str, notes: list[str]) -> list[Any]:
    clean: list[Any] = []
    for value in given:
        kind = type(value)
        if kind is dict or kind is list:
            value = clean_object(value, path, notes) if kind is dict else _clean_list(value, path, notes)
            if not value:
                continue
        elif value is None or (kind is str and (not value or value.isspace())):
            continue
        clean.append(value)
    return clean


def is_empty(value: Any) -> bool:
    """Whether a value is empty: null, blank text, an empty list or an empty object."""
    kind = type(value)
    return value is None or (kind is str and not value.strip()) or ((kind is dict or kind is list) and not value)


def _free_name(key: str, taken: Mapping[str, Any], given: Mapping[str, Any], numbers: dict[str, int]) -> str:
    name = clean_name(key)
    if name == key and name not in taken:
        return name
    candidate, number = name, numbers.get(name, 2)
    while candidate in taken or (candidate != key and candidate in given):
        candidate, number = f"{name}_{number}", number + 1
    numbers[name] = number
    return candidate
