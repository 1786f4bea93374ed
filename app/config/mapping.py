"""A destination's changes to the mapping catalogue, as the YAML file describes them."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, field_validator, model_validator

from app.attentive.call import Priority
from app.attentive.endpoints import BY_NAME
from app.config.values import Frozen, Hours, misplaced, unknown_key
from app.mapping.attributes import Traits
from app.mapping.catalogue import Key
from app.mapping.converters import CONVERTERS, TYPES
from app.mapping.expressions import Constant, Expression, FirstOf, JmesPath, Path, Source, Sources, is_json
from app.mapping.overrides import OVERRIDABLE, Overrides, Row, endpoints_of
from app.mapping.transforms import filled
from app.segment.paths import steps_of

_SOURCE: Final = "must be a path such as properties.score, or {constant: …}, or {jmespath: …}, or a list of these"
_PROPERTY: Final = "properties."
_TRAIT: Final = "traits."


def _source(given: Any, *, in_item: bool) -> Source:
    match given:
        case str(text):
            return Path(text, in_item)
        case {"constant": value, **rest} if not rest and value is not None:
            if not is_json(value):
                raise ValueError("the constant must be text, a number, true, false, or a list or mapping of these")
            return Constant(value)
        case {"jmespath": str(text), **rest} if not rest:
            return JmesPath(text, in_item)
        case _:
            raise ValueError(_SOURCE)


def _listed(given: Any) -> Any:
    if isinstance(given, str | dict):
        return (given,)
    if isinstance(given, list | tuple) and given:
        return given
    raise ValueError(_SOURCE)


def _endpoint(name: str) -> str:
    if name not in OVERRIDABLE:
        raise ValueError(unknown_key(name, OVERRIDABLE))
    return name


def _property(name: str) -> str:
    if name.startswith(_PROPERTY):
        raise ValueError("must be the property's own name, without properties. before it")
    return name


def _property_path(path: str) -> str:
    steps_of(_property(path))
    return path


def _trait(path: str) -> str:
    if path.startswith(_TRAIT):
        raise ValueError("must be the trait's own name, without traits. before it")
    steps_of(path)
    return path


def _keep(given: Any) -> Any:
    if given != "all" and not isinstance(given, list | tuple):
        raise ValueError("must be all, or a list of names")
    return given


def _event(name: str) -> str:
    if not name.strip():
        raise ValueError("must be the name of a track event")
    return name


EventSources = Annotated[
    tuple[Annotated[Source, PlainValidator(partial(_source, in_item=False))], ...], BeforeValidator(_listed)
]
ItemSources = Annotated[
    tuple[Annotated[Source, PlainValidator(partial(_source, in_item=True))], ...], BeforeValidator(_listed)
]
Target = Annotated[str, AfterValidator(_endpoint)]
Targets = Annotated[tuple[Target, ...], BeforeValidator(_listed)]
PropertyName = Annotated[str, Field(min_length=1), AfterValidator(_property)]
TraitName = Annotated[str, Field(min_length=1), AfterValidator(_trait)]
PropertyPath = Annotated[str, AfterValidator(_property_path)]
PropertyType = Literal["string", "number", "boolean", "date"]
Level = Literal["high", "normal", "low"]


class _WithSources(Frozen):
    """A model whose fields are read from sources. Its constants must be valid values."""

    @field_validator("*")
    @classmethod
    def _check_constants(cls, value: Any, info: Any) -> Any:
        if (converter := CONVERTERS.get(info.field_name)) is not None and isinstance(value, tuple):
            for each in value:
                if isinstance(each, Constant) and converter.convert(each.value) is None:
                    raise ValueError(f"the constant can never be sent: it must be {converter.wanted}")
        return value


class ItemMapping(_WithSources):
    """The place of each product field. Paths begin at the product; with `$.` in front, at the event."""

    productId: ItemSources | None = Field(None, description="the product's id")  # noqa: N815 - Attentive's names
    productVariantId: ItemSources | None = Field(None, description="the variant's id")  # noqa: N815
    price: ItemSources | None = Field(None, description="the price of one, a number or text such as $1,299.00")
    currency: ItemSources | None = Field(None, description="three letters; USD if none is stated")
    name: ItemSources | None = Field(None, description="the product's name")
    productImage: ItemSources | None = Field(None, description="address of its picture")  # noqa: N815
    productUrl: ItemSources | None = Field(None, description="address of its page")  # noqa: N815
    quantity: ItemSources | None = Field(None, description="how many, a whole number")

    def over(self, below: "ItemMapping") -> "ItemMapping":
        """This, completed with fields of `below`."""
        return below.model_copy(update={name: getattr(self, name) for name in self.model_fields_set})

    def sources(self) -> dict[str, Sources]:
        """The sources given here, by Attentive's key."""
        return {name: value for name in self.model_fields_set if (value := getattr(self, name)) is not None}


class EventMapping(_WithSources):
    """The changes to one event. Whatever is not set stays as in the catalogue. A new event is a custom event."""

    send: bool = Field(True, description="false: these events are dropped as `event_not_allowed`")
    to: Targets = Field((), description="endpoint, or a list: " + ", ".join(OVERRIDABLE))
    priority: Level | None = Field(None, description="high, normal or low: who goes first within a lane")
    horizon_hours: Hours | None = Field(
        None, description="an older event is not sent, and becomes a dead letter; by default as for its source"
    )
    occurredAt: EventSources | None = Field(  # noqa: N815
        None, description="when it happened; by default the event's own time, which always decides its age"
    )
    type: EventSources | None = Field(None, description="custom-event: its type; by default the event's name")
    externalEventId: EventSources | None = Field(  # noqa: N815
        None, description="custom-event: its ID, which stays the same on every attempt; by default the message ID"
    )
    keep: Annotated[Literal["all"] | tuple[str, ...] | None, BeforeValidator(_keep)] = Field(
        None, description="custom-event: the properties to send, `all` or a list of names"
    )
    drop: tuple[PropertyPath, ...] = Field(
        (), description="custom-event: those of them to leave out; dotted, `products.cost` in every product"
    )
    rename: dict[PropertyName, PropertyName] = Field(
        default_factory=dict, description="custom-event: new names of properties, `old: new`"
    )
    properties: dict[PropertyName, EventSources] = Field(
        default_factory=dict, description="custom-event: further properties, and the source of each"
    )
    types: dict[PropertyName, PropertyType] = Field(
        default_factory=dict,
        description="custom-event: string, number, boolean or date, by property; other values are coerced or left out",
    )
    orderId: EventSources | None = Field(None, description="purchase: the order's id")  # noqa: N815
    salesChannel: EventSources | None = Field(  # noqa: N815
        None, description="purchase: WEB, IOS_APP, ANDROID_APP, IN_STORE, PHONE or OTHER"
    )
    items: EventSources | None = Field(
        None, description="product-view, add-to-cart, purchase: the path of the product or the list of products"
    )
    item: ItemMapping | None = Field(
        None, description="product-view, add-to-cart, purchase: fields of the products of this event"
    )

    def row(self, name: str | None, item: ItemMapping) -> Row:
        """These changes as the catalogue takes them. `item` applies to all products."""
        item = item if self.item is None else self.item.over(item)
        return Row(
            name=name,
            on=self.send,
            to=tuple(BY_NAME[target] for target in self.to),
            priority=_priority(self.priority),
            horizon_ms=None if self.horizon_hours is None else int(self.horizon_hours * 3_600_000),
            body=self._body(),
            items=None if self.items is None else FirstOf(*self.items, to=CONVERTERS["items"]),
            item=item.sources(),
            keep_all=self.keep == "all",
            keep=self.keep if isinstance(self.keep, tuple) else None,
            drop=tuple(steps_of(path) for path in self.drop),
            rename=tuple(self.rename.items()),
            add=_added(self.properties),
            types={name: TYPES[declared] for name, declared in self.types.items()},
        )

    def _body(self) -> dict[str, Expression]:
        return {
            key: filled(key, sources)
            for key in ("occurredAt", "type", "externalEventId", "orderId", "salesChannel")
            if (sources := getattr(self, key)) is not None
        }


def _added(sources: dict[str, Sources]) -> tuple[tuple[str, Expression], ...]:
    return tuple((name, FirstOf(*each)) for name, each in sources.items())


def _priority(level: Level | None) -> Priority | None:
    return None if level is None else Priority[level.upper()]


class IdentifyMapping(Frozen):
    """How identify calls are handled: their endpoint, and which traits become which attributes."""

    send: bool = Field(True, description="false: identify calls are dropped as `not_forwarded`")
    to: Annotated[tuple[Literal["identity", "user-attributes"], ...], BeforeValidator(_listed)] = Field(
        (), description="identity, user-attributes, or both"
    )
    priority: Level | None = Field(None, description="high, normal or low: who goes first within a lane")
    keep: Annotated[Literal["all"] | tuple[TraitName, ...], BeforeValidator(_keep)] = Field(
        "all", description="the traits that become attributes, `all` or a list of dotted names"
    )
    drop: tuple[TraitName, ...] = Field((), description="those of them to leave out; dotted, such as `address.street`")
    rename: dict[TraitName, TraitName] = Field(
        default_factory=dict,
        description="new names of traits, `old: new`; a named field is written `firstName`, `location.zip`, …",
    )
    attributes: dict[TraitName, EventSources] = Field(
        default_factory=dict, description="further attributes and named fields, and the source of each"
    )

    def row(self) -> Row:
        """These changes as the catalogue takes them."""
        traits = Traits(
            keep=self.keep if isinstance(self.keep, tuple) else None,
            drop=tuple(map(steps_of, self.drop)),
            rename=tuple(self.rename.items()),
            add=_added(self.attributes),
        )
        to = tuple(BY_NAME[target] for target in self.to)
        return Row(on=self.send, to=to, priority=_priority(self.priority), traits=traits)


class Mapping(Frozen):
    """The exceptions from the mapping of the catalogue."""

    item: ItemMapping = Field(ItemMapping(), description="fields of every product, whatever the event")
    events: dict[Annotated[str, AfterValidator(_event)], EventMapping] = Field(
        default_factory=dict, description="track events by name, in any spelling that the catalogue knows, or new ones"
    )
    other: EventMapping | None = Field(None, description="track events without a row, see also `other_events`")
    page: EventMapping | None = Field(None, description="page calls")
    screen: EventMapping | None = Field(None, description="screen calls, which otherwise are not forwarded")
    identify: IdentifyMapping | None = Field(None, description="identify calls")

    @model_validator(mode="after")
    def _check_events(self) -> Self:
        if mistakes := [*self._repeated_events(), *self._useless_keys()]:
            raise misplaced(mistakes)
        return self

    def overrides(self) -> Overrides:
        """These changes as the catalogue takes them."""
        rows = {key: event.row(place[-1] if key.event else None, self.item) for place, key, event in self._rows()}
        if self.identify is not None:
            rows[Key("identify")] = self.identify.row()
        return Overrides(self.item.sources(), rows)

    def _rows(self) -> Iterator[tuple[tuple[str, ...], Key, EventMapping]]:
        """Each changed event: its place in the file, the rows that it affects, and the changes."""
        for name, event in self.events.items():
            yield ("events", name), Key.of_track(name), event
        for kind, row in (("track", self.other), ("page", self.page), ("screen", self.screen)):
            if row is not None:
                yield ("other" if kind == "track" else kind,), Key(kind), row

    def _repeated_events(self) -> Iterator[tuple[tuple[str, ...], str]]:
        first: dict[Key, tuple[str, ...]] = {}
        for place, key, _ in self._rows():
            if (other := first.setdefault(key, place)) != place:
                yield place, f"the event is already configured as {other[-1]}. Move these settings there"

    def _useless_keys(self) -> Iterator[tuple[tuple[str, ...], str]]:
        for place, key, event in self._rows():
            targets = event.to or [endpoint.name for endpoint in endpoints_of(key)]
            usable = frozenset[str]().union(*(OVERRIDABLE[target] for target in targets))
            for key_ in sorted(event.model_fields_set - usable - _ALWAYS):
                users = [endpoint for endpoint, keys in OVERRIDABLE.items() if key_ in keys]
                yield (*place, key_), f"is for {_either(users)}, and this event goes to {_either(targets)}"


_ALWAYS: Final = frozenset({"send", "to", "priority", "horizon_hours"})


def _either(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
