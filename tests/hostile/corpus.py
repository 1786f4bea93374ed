"""Events that somebody made to cost more than they are worth, by what they aim at. Three variants of each.

A public write key is in everybody's hands: an attacker chooses names, values, their number and their depth. `size`
is about how many bytes an event is to have; the cost of handling it must grow no faster.
"""

import random
import string
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from tests.builders import Raw, identify, track

Properties = Callable[[int], Mapping[str, Any]]


class Attack(NamedTuple):
    """What is aimed at, in which variant, and the properties of the event."""

    aim: str
    variant: str
    properties: Properties
    of_traits: bool = False
    name: str = "Hostile"  # of the event

    def event(self, size: int) -> Raw:
        """An event of about this many bytes: an identify call where it is one of traits, else a track call."""
        if self.of_traits:
            return identify({"email": "attacker@example.com", **self.properties(size)}, userId="attacker-1")
        return track(self.name, self.properties(size), userId="attacker-1")

    def __str__(self) -> str:
        return f"{self.aim}: {self.variant}"


def _words(size: int, *, seed: int = 7, letters: int = 8) -> list[str]:
    chance = random.Random(seed)
    return ["".join(chance.choices(string.ascii_lowercase, k=letters)) for _ in range(size // (letters + 6))]


def _text(unit: str, end: str = "") -> Properties:
    return lambda size: {"note": unit * (size // len(unit)) + end}


def _that_become_one(size: int) -> dict[str, Any]:
    """Names that are one once their forbidden characters are replaced."""
    return {
        f"a{a}{b}{c}{d}": 1
        for a in "'\"()["
        for b in "{}[]|"
        for c in "\\,'\"("
        for d in "[]()|,"[: max(1, size // 4_000)]
    }


def _names(form: str, value: Any = 0) -> Properties:
    """Names with a number in each."""
    return lambda size: {form.format(n): value for n in range(size // (len(form) + 8))}


def _nested(unit: Callable[[int], Any]) -> Properties:
    return lambda size: {"list": [unit(n) for n in range(size // 24)]}


_ATTACKS: Final[Mapping[str, Mapping[str, Properties]]] = {
    "names that lose a part": {
        "secrets": _names("pin={}"),
        "card numbers": lambda size: {f"4111 1111 1111 1111{' ' * n}": n for n in range(int((2 * size) ** 0.5) // 2)},
        "quoted secrets": _names('"pin":{}'),
    },
    "names that are new each time": {
        "random": lambda size: dict.fromkeys(_words(size), 1),
        "almost secrets": lambda size: {f"pass{word}": 1 for word in _words(size)},
        "other scripts": lambda size: {f"пар{word}": 1 for word in _words(size)},
    },
    "names that are long": {
        "letters": lambda size: {"a" * size: 1},
        "underscores": lambda size: {"_" * size: 1},
        "capitals": lambda size: {"Aa" * (size // 2): 1},
    },
    "names with forbidden characters": {
        "all of them": lambda size: {"[" * (n + 1): n for n in range(int((2 * size) ** 0.5) // 2)},
        "that become one": _that_become_one,
        "nested": lambda size: {"o": [{"a(": 1, "a)": 2, "a[": 3} for _ in range(size // 24)]},
    },
    "secrets in text": {
        "assigned": _text("pin=0&"),
        "quoted": _text('"pin":1,'),
        "almost": _text("pins=0&"),
    },
    "secrets in fields": {
        "in a list": _nested(lambda _: {"pin": 1}),
        "in a form": _nested(lambda n: {"name": f"f{n}", "value": "x"}),
        "of every spelling": _names("{}_password", "x"),
    },
    "numbers in text": {
        "cards": _text("4111111111111111 "),
        "almost cards": _text("4111111111111112 "),
        "groups without end": _text("4111 "),
    },
    "numbers in fields": {
        "cards": _names("note{}", "4111 1111 1111 1111"),
        "identifiers": _names("order{}_id", "4111111111111111"),
        "in JSON": _names("note{}", 4_111_111_111_111_111),
    },
    "other numbers in text": {
        "social security numbers": _text("123-45-6789 "),
        "part numbers": _text("AB-123-45-6789 "),
        "almost IBANs": _text("DE89370400440532013001 "),
    },
    "what a pattern goes through twice": {
        "blanks": lambda size: {"note": "4111" + " " * size + "4111111111111111"},
        "digits": lambda size: {"note": "1" * size},
        "gaps": _text("4         ", "4111111111111111"),
    },
    "links without end": {
        "schemes": _text("a://", " 4111111111111111"),
        "letters before a colon": lambda size: {"note": "a" * size + "://4111111111111111"},
        "paths": _text(" /", " 4111111111111111"),
    },
    "marks without end": {
        "brackets": lambda size: {"note": "[" * size + "="},
        "quotation marks": _text('"a\\', '"pin":1'),
        "equals signs": _text("=", "pin=1"),
    },
    "encoded": {
        "per cent": _text("%20"),
        "entities": _text("&nbsp;"),
        "full-width digits": _text("\uff14\uff11\uff11\uff11 "),
    },
    "depth": {
        "objects": lambda size: _deep(min(size // 6, 200), lambda inner: {"a": inner}),
        "lists": lambda size: {"a": _deep(min(size // 2, 200), lambda inner: [inner])},
        "both": lambda size: _deep(min(size // 8, 100), lambda inner: {"a": [inner]}),
    },
    "what lies deep or below a long name": {
        "names": lambda size: {"pin": 1, "a" * (size // 2): _some_names(size // 2)},
        "a list": lambda size: {"pin": 1, "a" * (size // 2): [{"k": n} for n in range(size // 20)]},
        "texts": lambda size: _deep(100, lambda inner: {"a": inner}, ["x"] * (size // 5)),
    },
    "values that are long": {
        "a price": lambda size: {"price": "1" * size + "x"},
        "a currency": lambda size: {"currency": "$" * size, "products": [{"product_id": "1", "price": "1" * size}]},
        "a time": lambda size: {"birthday": "2" * size},
    },
}
_OF_TRAITS: Final[Mapping[str, Mapping[str, Properties]]] = {
    "traits": {
        "below a long name": lambda size: {"a" * (size // 2): _some_names(size // 2)},
        "deep": lambda size: _deep(100, lambda inner: {"a": inner}, _some_names(size)),
        "lists": lambda size: {f"n{n}": [1, "x"] for n in range(size // 18)},
    },
    "names of traits": {
        "that become one": _that_become_one,
        "with dots": _names("a.b.c.{}"),
        "cards": lambda size: {f"4111 1111 1111 1111{' ' * n}": n for n in range(int((2 * size) ** 0.5) // 2)},
    },
    "values of traits": {
        "addresses": _names("email{}", "someone@example.com"),
        "a telephone number": lambda size: {"phone": "+1" + "0" * size},
        "a birthday": lambda size: {"birthday": "2" * size},
    },
}
_OF_AN_ORDER: Final[Mapping[str, Mapping[str, Properties]]] = {
    "products": {
        "without a field": lambda size: _products({} for _ in range(size // 3)),
        "with another field each": lambda size: _products({word: 1} for word in _words(size)),
        "with a field like a number": lambda size: _products({"a1415555": 1} for _ in range(size // 15)),
    },
}
ATTACKS: Final = [
    Attack(aim, variant, properties, of_traits, name)
    for of_traits, name, attacks in (
        (False, "Hostile", _ATTACKS),
        (False, "Order Completed", _OF_AN_ORDER),
        (True, "Hostile", _OF_TRAITS),
    )
    for aim, variants in attacks.items()
    for variant, properties in variants.items()
]


def of_size(attack: Attack, most: int) -> Raw:
    """The event with at most this many bytes, and nearly as many, where the attack can be so large."""
    size = most
    while len(orjson.dumps(raw := attack.event(size))) > most:
        size = size * 4 // 5
        assert size, f"{attack} has more than {most} bytes"
    return raw


def _products(hostile: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """An order of one good product, which is sent, and of others."""
    return {"products": [{"product_id": "A", "price": 1}, *hostile]}


def _some_names(size: int) -> Mapping[str, Any]:
    return {f"k{n}": 1 for n in range(size // 9)}


def _deep(depth: int, around: Callable[[Any], Any], inner: Any = None) -> Any:
    value: Any = {"pin": 1} if inner is None else inner
    for _ in range(depth):
        value = around(value)
    return value


def plain_of_size(least: int) -> Raw:
    """A plain event with at least this many bytes, and not many more."""
    size = least
    while len(orjson.dumps(raw := plain(size))) < least:
        size += 48
    return raw


def plain(size: int) -> Raw:
    """An event of about this size as shops send them: products of some fields each."""
    products = [
        {"product_id": f"SKU-{n:05}", "name": f"Red boot {n}", "price": 59.5, "quantity": 1, "variant": f"{n}"}
        for n in range(max(1, size // 96))
    ]
    return track("Order Viewed", {"order_id": "A-1001", "products": products}, userId="customer-1")
