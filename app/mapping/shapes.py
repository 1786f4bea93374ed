"""The words of a destination's own mapping: what the catalogue's words do, from inputs of the destination's choice."""

from dataclasses import dataclass
from typing import Any

from app.mapping.fields import (
    ABSENT,
    DEFAULT_CURRENCY,
    AllProperties,
    Item,
    Scope,
    Unmappable,
    Word,
    as_type,
    read_item,
)
from app.mapping.inputs import First
from app.segment.paths import Steps
from app.segment.times import CLOCK_SKEW, parse_time, to_wire


@dataclass(frozen=True, slots=True)
class Type:
    """The type of a custom event, without which there is none."""

    name: First

    def read(self, scope: Scope) -> Any:
        """Text of 1 to 200 characters. Raises Unmappable."""
        name = self.name.read(scope)
        if name is ABSENT:
            raise Unmappable("type_missing", "nothing that `type` is read from has a value")
        return as_type(name, scope.notes)


@dataclass(frozen=True, slots=True)
class Moment:
    """When it happened, where that is told elsewhere than in the event's own times."""

    moment: First

    def read(self, scope: Scope) -> Any:
        """A time as Attentive takes it, or ABSENT: nothing happens after its event was sent."""
        moment = self.moment.read(scope)
        if moment is ABSENT:
            return ABSENT
        event = scope.event
        sent = parse_time(event.timestamp or event.original_timestamp or event.sent_at)
        if sent is not None and moment - sent > CLOCK_SKEW:
            scope.notes.append("occurredAt: later than the event itself, its own time is sent")
            return ABSENT
        return to_wire(moment)


@dataclass(frozen=True, slots=True)
class Channel:
    """Where something was sold, in Attentive's own shape."""

    channel: First

    def read(self, scope: Scope) -> Any:
        """`{"channelType": "IN_STORE"}`, or ABSENT."""
        channel = self.channel.read(scope)
        return ABSENT if channel is ABSENT else {"channelType": channel}


@dataclass(frozen=True, slots=True)
class PriceOf:
    """Attentive's list of one price: the first usable amount, in the first usable currency."""

    amount: First
    currency: First

    def read(self, scope: Scope) -> Any:
        """`[{"value": 19.99, "currency": "USD"}]`, or ABSENT when there is no usable amount."""
        amount = self.amount.read(scope)
        if amount is ABSENT:
            return ABSENT
        currency = self.currency.read(scope)
        return [{"value": amount, "currency": DEFAULT_CURRENCY if currency is ABSENT else currency}]


@dataclass(frozen=True, slots=True)
class Items:
    """One item per product: `products` finds a list of them, or one. Those that cannot be sent are left out, noted."""

    products: First
    item: Item

    def read(self, scope: Scope) -> Any:
        """A list of at least one; raises Unmappable when no product is usable."""
        found = self.products.read(scope)
        if found is ABSENT:
            raise Unmappable("items_missing", "nothing that `items` is read from has a value")
        products = found if isinstance(found, list) else [found]
        items, missing = [], "is empty"
        for index, product in enumerate(products):
            path = f"items[{index}]."
            built = read_item(self.item, scope.inner(product, path)) if isinstance(product, dict) else "product"
            if isinstance(built, str):
                missing = f"has no usable {built}"
                scope.notes.append(f"{path[:-1]}: no usable {built}, left out")
            else:
                items.append(built)
        if not items:
            raise Unmappable("items_missing", f"items {missing}")
        return items


@dataclass(frozen=True, slots=True)
class Shaped:
    """The properties of a custom event: some kept, some dropped, some renamed and some added, in this order."""

    keep: tuple[str, ...] | None = None  # None: all
    upper: frozenset[str] = frozenset()  # of the kept ones, those written in capitals
    drop: tuple[Steps, ...] = ()
    rename: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, Word], ...] = ()

    def read(self, scope: Scope) -> Any:
        """An object, or ABSENT when it would be empty."""
        here = scope.here
        shaped = dict(here) if self.keep is None else {name: here[name] for name in self.keep if name in here}
        for name in self.upper:
            if isinstance(value := shaped.get(name), str):
                shaped[name] = value.strip().upper()
        for steps in self.drop:
            shaped = _without(shaped, steps)
        renamed = {new: shaped.pop(old) for old, new in self.rename if shaped.get(old) is not None}
        for new in renamed:
            if shaped.get(new) is not None:
                scope.notes.append(f"properties.{new}: replaced by a property that is renamed to it")
        shaped |= renamed
        for name, word in self.add:
            if (value := word.read(scope)) is not ABSENT:
                shaped[name] = value
        return AllProperties().read(scope.inner(shaped, scope.path))


def _without(here: Any, steps: Steps) -> Any:
    """A copy of `here` without what lies at the end of these steps; what is not on the way is shared."""
    if isinstance(here, list):
        return [_without(element, steps) for element in here]
    name, rest = steps[0], steps[1:]
    if not isinstance(here, dict) or name not in here:
        return here
    if not rest:
        return {key: value for key, value in here.items() if key != name}
    return {**here, name: _without(here[name], rest)}
