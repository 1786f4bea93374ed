"""Where a destination's own mapping takes its values from: paths, constants and expressions, the first that has one.

Like all words they are pure: the same event gives the same value.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import jmespath
from jmespath.exceptions import JMESPathError, ParseError
from jmespath.functions import Functions

from app.mapping.fields import ABSENT, Constant, Scope, to_amount, to_currency, to_quantity
from app.segment.events import to_text
from app.segment.paths import Steps, descend, steps_of
from app.segment.times import parse_time

WHOLE: Final = "$."  # begins a path that starts at the event, wherever it is written
EVENT_FIELDS: Final = (
    *("properties", "traits", "context", "userId", "event", "type", "messageId", "timestamp"),
    *("originalTimestamp", "sentAt", "integrations", "name", "category", "channel", "groupId", "previousId"),
)
_FUNCTIONS: Final[Mapping[str, Mapping[str, Any]]] = Functions().FUNCTION_TABLE
_INTEGERS: Final = 2**63  # JSON that Attentive reads has no larger ones


@dataclass(frozen=True, slots=True)
class Path:
    """A place by name, dotted: "properties.customer.tier". Where a list is on the way, it goes on in every element.

    It starts at the event, in items (`in_item`) at the product; with "$." before it, always at the event.
    """

    text: str
    in_item: bool = False
    read: Callable[[Scope], Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raises ValueError."""
        steps = steps_of(self.text.removeprefix(WHOLE))
        if not (self.in_item or self.text.startswith(WHOLE) or steps[0] in EVENT_FIELDS):
            raise ValueError(
                "a path begins with properties, traits, context, userId or event, such as properties.score "
                "(any other field of the event: $.name); fixed text is written {constant: …}"
            )
        object.__setattr__(self, "read", _reader(steps, here=self.starts_at_product))

    @property
    def starts_at_product(self) -> bool:
        """Whether it is about one product of an event."""
        return self.in_item and not self.text.startswith(WHOLE)

    def __str__(self) -> str:
        return self.text


def _reader(steps: Steps, *, here: bool) -> Callable[[Scope], Any]:
    """What reads a path: the value as it is, or ABSENT for nothing, null and blank text."""
    below = steps[1:]
    match steps[0]:
        case _ if here:
            return lambda scope: _present(descend(scope.here, steps))
        case "properties":
            return lambda scope: _present(descend(scope.event.properties, below))
        case "traits":
            return lambda scope: _present(descend(scope.event.traits, below))
        case _:
            return lambda scope: _present(descend(scope.event.whole(), steps))


def _present(value: Any) -> Any:
    return ABSENT if value is None or (isinstance(value, str) and not value.strip()) else value


@dataclass(frozen=True, slots=True)
class Expression:
    """A JMESPath expression, compiled once; it is about the whole event, in items (`in_item`) about the product."""

    text: str
    in_item: bool = False
    _compiled: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raises ValueError."""
        try:
            compiled = jmespath.compile(self.text)
        except JMESPathError as failure:  # its own text repeats the expression
            place = f": look at its character {failure.lex_position + 1}" if isinstance(failure, ParseError) else ""
            raise ValueError(f"is no JMESPath expression{place}") from None
        if problem := next(_problems(compiled.parsed), None):
            raise ValueError(problem)
        object.__setattr__(self, "_compiled", compiled)

    def read(self, scope: Scope) -> Any:
        """What it gives; ABSENT, with a note, for null, for a failure, and for what JSON cannot hold."""
        try:
            value = self._compiled.search(scope.here if self.in_item else scope.event.whole())
        except Exception as failure:  # its text would hold values of the event
            scope.notes.append(f"{self}: failed ({type(failure).__name__}), left out")
            return ABSENT
        if value is None or not is_json(value):
            what = "nothing" if value is None else "what JSON cannot hold"
            scope.notes.append(f"{self}: gave {what}, left out")
            return ABSENT
        return value

    def __str__(self) -> str:
        return f"jmespath {self.text[:60]}{'…' if len(self.text) > 60 else ''}"


def _problems(node: Mapping[str, Any], inside: str = "") -> Iterator[str]:
    """What would fail on every event: functions that do not exist, wrong numbers of arguments, stray `&`."""
    children = node["children"]
    if node["type"] == "expref" and not inside:
        yield "& is for the functions map, max_by, min_by and sort_by"
    if node["type"] == "function_expression":
        name = node["value"]
        if name not in _FUNCTIONS:
            yield f"calls a function that JMESPath does not have; it has: {', '.join(sorted(_FUNCTIONS))}"
            return
        signature = _FUNCTIONS[name]["signature"]
        if len(children) < len(signature) or (len(children) > len(signature) and not signature[-1].get("variadic")):
            yield f"{name}() takes {len(signature)} argument{'s' if len(signature) > 1 else ''}"
        for child, wanted in zip(children, [*signature, *[signature[-1]] * len(children)], strict=False):
            yield from _problems(child, inside=name if "expref" in wanted["types"] else "")
        return
    for child in children:
        if isinstance(child, dict):
            yield from _problems(child)


def is_json(value: Any) -> bool:
    """Whether JSON can hold the value, as Attentive reads it: no NaN, and whole numbers of 64 bits."""
    match value:
        case dict():
            return all(isinstance(key, str) and is_json(inner) for key, inner in value.items())
        case list():
            return all(map(is_json, value))
        case float():
            return math.isfinite(value)
        case bool() | str() | None:
            return True
        case int():
            return -_INTEGERS <= value < _INTEGERS
        case _:
            return False


Input = Path | Expression | Constant


@dataclass(frozen=True, slots=True)
class Form:
    """What a value must be to be sent: `convert` gives it Attentive's form, or None; `wanted` says it in words."""

    convert: Callable[[Any], Any]
    wanted: str


ANYTHING: Final = Form(lambda value: value, "a value")
TEXT: Final = Form(to_text, "text or a number")
AMOUNT: Final = Form(to_amount, "an amount of 0 or more")
QUANTITY: Final = Form(to_quantity, "a whole number of at least 1")
CURRENCY: Final = Form(to_currency, "a three-letter currency")
CHANNELS: Final = ("WEB", "IOS_APP", "ANDROID_APP", "IN_STORE", "PHONE", "OTHER")
CHANNEL: Final = Form(lambda value: value if value in CHANNELS else None, "one of " + ", ".join(CHANNELS))
PRODUCTS: Final = Form(lambda value: value if isinstance(value, list | dict) else None, "a product or a list of them")
FORMS: Final[Mapping[str, Form]] = {  # by what is filled: Attentive's keys, and `items`
    "productId": TEXT,
    "productVariantId": TEXT,
    "price": AMOUNT,
    "currency": CURRENCY,
    "name": TEXT,
    "productImage": TEXT,
    "productUrl": TEXT,
    "quantity": QUANTITY,
    "type": TEXT,
    "externalEventId": TEXT,
    "orderId": TEXT,
    "salesChannel": CHANNEL,
    "items": PRODUCTS,
    "occurredAt": Form(parse_time, "a time: ISO 8601, or epoch seconds or milliseconds"),
}


@dataclass(frozen=True, slots=True)
class First:
    """The first of some inputs whose value can be used, in its form. One that cannot is passed over, with a note."""

    inputs: tuple[Input, ...]
    form: Form

    def read(self, scope: Scope) -> Any:
        """The value in its form, or ABSENT."""
        for each in self.inputs:
            value = each.read(scope)
            if value is ABSENT:
                continue
            if (formed := self.form.convert(value)) is not None:
                return formed
            within = scope.path if isinstance(each, Path) and each.starts_at_product else ""
            scope.notes.append(f"{within}{each}: not {self.form.wanted}, passed over")
        return ABSENT
