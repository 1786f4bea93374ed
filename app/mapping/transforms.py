"""What the mapping language builds from values: types, times, prices, items and properties."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.mapping.cleaning import TYPE_CHARS, clean_name, clean_object, is_empty
from app.mapping.converters import CONVERTERS, NUMBER, Converter
from app.mapping.expressions import ABSENT, Evaluation, Expression, FirstOf, Read, Sources
from app.mapping.money import Money, settled, to_currency, to_money
from app.segment.paths import Steps
from app.segment.times import CLOCK_SKEW, to_wire

_MEDIA: Final = "mediaUrl"
_CURRENCY: Final = "currency"


class Unmappable(Exception):  # noqa: N818 - a verdict on the event, not an error of ours
    """The event cannot become its rule's call. `reason` is a stable code, `detail` names the field."""

    def __init__(self, reason: str, detail: str) -> None:
        """`detail` must contain no personal data."""
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


@dataclass(frozen=True, slots=True)
class EventType:
    """The type of a custom event, which is required."""

    name: FirstOf

    def read(self, evaluation: Evaluation) -> Any:
        """Text of 1 to 200 characters, none of which Attentive forbids. Raises Unmappable."""
        name = self.name.read(evaluation)
        if name is ABSENT:
            raise Unmappable("type_missing", "no source of `type` has a value")
        clean = clean_name(name)[:TYPE_CHARS]
        if clean != name:
            evaluation.notes.append("event: forbidden characters replaced or name shortened in Attentive's type")
        return clean


@dataclass(frozen=True, slots=True)
class Moment:
    """When an event happened, if a property states it rather than the event's own times."""

    moment: FirstOf

    def read(self, evaluation: Evaluation) -> Any:
        """A time as Attentive takes it, or ABSENT: nothing happens after its event."""
        moment = self.moment.read(evaluation)
        if moment is ABSENT:
            return ABSENT
        latest = evaluation.occurred_at
        if latest is not None and moment - latest > CLOCK_SKEW:
            evaluation.notes.append("occurredAt: later than the event itself, its own time is sent")
            return ABSENT
        return to_wire(moment)


@dataclass(frozen=True, slots=True)
class Properties:
    """The properties of a custom event: some kept, some dropped, some renamed and some added, in this order.

    Properties with a declared type are coerced to it, or left out with a note.
    """

    keep: tuple[str, ...] | None = None  # None: all
    drop: tuple[Steps, ...] = ()
    rename: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, Expression], ...] = ()
    types: Mapping[str, Converter] = field(default_factory=dict)
    spellings: tuple[tuple[str, str], ...] = ()  # other names of kept properties: other, name
    read: Read = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        as_they_came = self.keep is None and not (self.drop or self.rename or self.add or self.types)
        object.__setattr__(self, "read", _sendable if as_they_came else self._read)

    def _read(self, evaluation: Evaluation) -> Any:
        """An object. ABSENT if it would be empty."""
        shaped = self._kept(evaluation)
        for steps in self.drop:
            shaped = _without(shaped, steps)
        renamed = {new: shaped.pop(old) for old, new in self.rename if shaped.get(old) is not None}
        for new in renamed:
            if shaped.get(new) is not None:
                evaluation.notes.append(f"properties.{new}: replaced by a property that is renamed to it")
        shaped |= renamed
        for name, expression in self.add:
            if (value := expression.read(evaluation)) is not ABSENT:
                shaped[name] = value
        self._coerce(shaped, evaluation.notes)
        return _sendable(evaluation.inner(shaped, evaluation.path))

    def _kept(self, evaluation: Evaluation) -> dict[str, Any]:
        here = evaluation.here
        if self.keep is None:
            return dict(here)
        kept = {name: here[name] for name in self.keep if name in here}
        for other, name in self.spellings:
            if other in here and is_empty(kept.get(name)):
                kept[name] = here[other]
                evaluation.notes.append(f"properties.{other}: sent as {name}")
        return kept

    def _coerce(self, shaped: dict[str, Any], notes: list[str]) -> None:
        priced: dict[str, Money] = {}
        for name, declared in self.types.items():
            if (value := shaped.get(name)) is None:
                continue
            coerced = declared.convert(value)
            if coerced is None:
                del shaped[name]
                if not is_empty(value):
                    notes.append(f"properties.{name}: not {declared.wanted}, left out")
            elif coerced is not value:
                shaped[name] = coerced
                if type(coerced) is not type(value):
                    notes.append(f"properties.{name}: sent as {declared.wanted}")
                    if declared is NUMBER and (money := to_money(value)) is not None and money.currencies:
                        priced[name] = money
        if priced:
            self._price(shaped, priced, notes)

    def _price(self, shaped: dict[str, Any], priced: Mapping[str, Money], notes: list[str]) -> None:
        """Keep amounts together with the currency that their text stated: one currency for all of an event."""
        given = shaped.get(_CURRENCY)
        stated = to_currency(given)
        if stated is None and _CURRENCY in self.types:
            beside = [] if is_empty(given) else [given]
            found = {currency for money in priced.values() if (currency := settled(money, beside)) is not None}
            if len(found) == 1:
                stated = shaped[_CURRENCY] = found.pop()
                notes.append(f"properties.{_CURRENCY}: {stated}, as stated by {', '.join(priced)}")
        for name, money in priced.items():
            if stated is None and _CURRENCY not in self.types:
                notes.append(f"properties.{name}: its currency is not sent")
            elif stated not in money.currencies:
                del shaped[name]
                unknown = stated is None and not is_empty(given)
                why = "its currency is not known for certain" if unknown else "in another currency than `currency`"
                notes.append(f"properties.{name}: {why}, left out")


def _sendable(evaluation: Evaluation) -> Any:
    """The current object as Attentive accepts it. ABSENT if that would be empty."""
    clean = clean_object(evaluation.here, "properties", evaluation.notes)
    if not isinstance(clean.get(_MEDIA, ""), str):
        del clean[_MEDIA]
        evaluation.notes.append(f"properties.{_MEDIA}: must be text: Attentive reads it as the URL of an image")
    return clean or ABSENT


def _without(here: Any, steps: Steps) -> Any:
    """A copy of `here` without the value at the end of these steps. Other parts are shared, not copied."""
    if isinstance(here, list):
        return [_without(element, steps) for element in here]
    name, rest = steps[0], steps[1:]
    if not isinstance(here, dict) or name not in here:
        return here
    if not rest:
        return {key: value for key, value in here.items() if key != name}
    return {**here, name: _without(here[name], rest)}


def filled(key: str, sources: Sources) -> Expression:
    """The expression that fills a key of an event call from these sources."""
    first = FirstOf(*sources, to=CONVERTERS[key])
    match key:
        case "type":
            return EventType(first)
        case "occurredAt":
            return Moment(first)
        case _:
            return first
