"""The mapping language: where the values of a call come from. The catalogue and the YAML file both use it.

A Path, a JmesPath and a Constant are sources of a value. `FirstOf` takes the first source with a usable value, in the
form of its converter. An expression is read in an Evaluation: it returns ABSENT for a missing or unusable value, and
notes what it leaves out. Pure: equal events give equal values.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile
from typing import Any, ClassVar, Final, Protocol

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError, ParseError
from jmespath.functions import Functions

from app.identity.identity import Identity
from app.mapping.converters import ANYTHING, Converter
from app.segment.events import SegmentEvent
from app.segment.paths import Steps, descend, steps_of
from app.value import Value

ABSENT: Final = object()
WHOLE: Final = "$."  # begins a path that starts at the event, wherever it is written
EVENT_FIELDS: Final = (
    *("properties", "traits", "context", "userId", "event", "type", "messageId", "timestamp"),
    *("originalTimestamp", "sentAt", "integrations", "name", "category", "channel", "groupId", "previousId"),
)
_FUNCTIONS: Final[Mapping[str, Mapping[str, Any]]] = Functions().FUNCTION_TABLE
_INTEGERS: Final = 2**63  # the JSON parser of Attentive takes no larger ones


class Evaluation(Value, frozen=True, gc=False):
    """What an expression may read. `here` is the current object: the properties, or one product of them."""

    personal: ClassVar = frozenset({"here"})

    event: SegmentEvent
    identity: Identity
    here: Mapping[str, Any]
    path: str  # of `here`, for notes
    notes: list[str] = msgspec.field(default_factory=list)
    occurred_at: datetime | None = None  # when the event happened

    def inner(self, here: Mapping[str, Any], path: str) -> "Evaluation":
        """The event with another object in view."""
        return Evaluation(self.event, self.identity, here, path, self.notes, self.occurred_at)


Read = Callable[[Evaluation], Any]


class Expression(Protocol):
    """Anything that supplies a value of a call."""

    @property
    def read(self) -> Read:
        """Reads the value, JSON-ready, or ABSENT."""


@dataclass(frozen=True, slots=True)
class Path:
    """A dotted path: "properties.customer.tier". If it meets a list, it continues in every element.

    It starts at the event, or for items (`in_item`) at the product. With "$." in front it always starts at the event.
    """

    text: str
    in_item: bool = False
    read: Read = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raises ValueError."""
        steps = steps_of(self.text.removeprefix(WHOLE))
        if not (self.in_item or self.text.startswith(WHOLE) or steps[0] in EVENT_FIELDS):
            raise ValueError(
                "a path begins with properties, traits, context, userId or event, such as properties.score "
                "(any other field of the event: $.name); fixed text is written {constant: …}"
            )
        object.__setattr__(self, "read", _path_reader(steps, here=self.starts_at_product))

    @property
    def starts_at_product(self) -> bool:
        """Whether it starts at one product of an event."""
        return self.in_item and not self.text.startswith(WHOLE)

    @property
    def name(self) -> str:
        """The name of the product field, if the path is only that name. Else empty."""
        return self.text if self.starts_at_product and "." not in self.text else ""

    def __str__(self) -> str:
        return self.text


_FIELDS: Final[Mapping[str, Read]] = {  # fields that can be read without building the whole event
    "event": lambda evaluation: _present(evaluation.event.name),
    "messageId": lambda evaluation: evaluation.event.message_id,
    "userId": lambda evaluation: _present(evaluation.event.user_id),
    "properties": lambda evaluation: evaluation.event.properties,
    "traits": lambda evaluation: evaluation.event.traits,
}


def _path_reader(steps: Steps, *, here: bool) -> Read:
    """The reader of a path: it returns the value as it is, or ABSENT for nothing, null and blank text."""
    first, below = steps[0], steps[1:]
    if first == "properties" and len(below) == 1 and not here:
        (name,) = below
        return lambda evaluation: _present(evaluation.event.properties.get(name))
    if here:
        return lambda evaluation: _present(descend(evaluation.here, steps))
    if not below and first in _FIELDS:
        return _FIELDS[first]
    match first:
        case "properties":
            return lambda evaluation: _present(descend(evaluation.event.properties, below))
        case "traits":
            return lambda evaluation: _present(descend(evaluation.event.traits, below))
        case _:
            return lambda evaluation: _present(descend(evaluation.event.whole(), steps))


def _present(value: Any) -> Any:
    return ABSENT if value is None or (isinstance(value, str) and not value.strip()) else value


@dataclass(frozen=True, slots=True)
class JmesPath:
    """A JMESPath expression, compiled once. It starts at the whole event, or for items (`in_item`) at the product."""

    text: str
    in_item: bool = False
    _compiled: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raises ValueError."""
        try:
            compiled = jmespath.compile(self.text)
        except JMESPathError as failure:  # its own text repeats the expression
            place = f": check character {failure.lex_position + 1}" if isinstance(failure, ParseError) else ""
            raise ValueError(f"is not a valid JMESPath expression{place}") from None
        if problem := next(_problems(compiled.parsed), None):
            raise ValueError(problem)
        object.__setattr__(self, "_compiled", compiled)

    def read(self, evaluation: Evaluation) -> Any:
        """Its result. ABSENT, with a note, for null, for an error, and for values that JSON cannot hold."""
        try:
            value = self._compiled.search(evaluation.here if self.in_item else evaluation.event.whole())
        except Exception as failure:  # its text could contain values of the event
            evaluation.notes.append(f"{self}: failed ({type(failure).__name__}), left out")
            return ABSENT
        if value is None or not is_json(value):
            what = "nothing" if value is None else "what JSON cannot hold"
            evaluation.notes.append(f"{self}: gave {what}, left out")
            return ABSENT
        return value

    def __str__(self) -> str:
        return f"jmespath {self.text[:60]}{'…' if len(self.text) > 60 else ''}"


@dataclass(frozen=True, slots=True)
class Constant:
    """A fixed value."""

    value: Any

    def read(self, _: Evaluation) -> Any:
        """The value itself."""
        return self.value


Source = Path | JmesPath | Constant
Sources = tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class FirstOf:
    """The first of some sources with a usable value, in the form of a converter. Unusable values are noted."""

    sources: Sources
    to: Converter
    names: tuple[str, ...] = field(init=False, repr=False, compare=False)  # of the sources that are fields of a product
    others: Sources = field(init=False, repr=False, compare=False)  # which are read after those
    read: Read = field(init=False, repr=False, compare=False)

    def __init__(self, *sources: Source, to: Converter = ANYTHING) -> None:
        names = tuple(takewhile(bool, (getattr(source, "name", "") for source in sources)))
        others = sources[len(names) :]
        object.__setattr__(self, "sources", sources)
        object.__setattr__(self, "to", to)
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "others", others)
        object.__setattr__(self, "read", _reader(names, others, to))

    def __str__(self) -> str:
        return " or ".join(map(str, self.sources))


def _reader(names: tuple[str, ...], others: Sources, to: Converter) -> Read:
    """The reader of some fields of the current object, as most expressions need, then of any other sources."""
    convert = to.convert
    first = names[0] if names else ""

    def read_names(evaluation: Evaluation) -> Any:
        here = evaluation.here
        value = here.get(first)  # nearly always present
        if value is not None and (converted := convert(value)) is not None:
            return converted
        for name in names:
            if (value := here.get(name)) is not None:
                if (converted := convert(value)) is not None:
                    return converted
                if _present(value) is not ABSENT:
                    evaluation.notes.append(f"{evaluation.path}{name}: not {to.wanted}, passed over")
        return ABSENT

    def read_others(evaluation: Evaluation) -> Any:
        for source in others:
            if (value := source.read(evaluation)) is ABSENT:
                continue
            if (converted := convert(value)) is not None:
                return converted
            within = evaluation.path if isinstance(source, Path) and source.starts_at_product else ""
            evaluation.notes.append(f"{within}{source}: not {to.wanted}, passed over")
        return ABSENT

    def read_both(evaluation: Evaluation) -> Any:
        value = read_names(evaluation)
        return read_others(evaluation) if value is ABSENT else value

    if names:
        return read_both if others else read_names
    return read_others


def _problems(node: Mapping[str, Any], inside: str = "") -> Iterator[str]:
    """Mistakes that would fail on every event: unknown functions, wrong numbers of arguments, stray `&`."""
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
