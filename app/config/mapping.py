"""What one destination wants different from the mapping catalogue, as the YAML file says it."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, field_validator, model_validator

from app.attentive.call import Priority
from app.attentive.endpoints import BY_NAME
from app.config.values import Frozen, misplaced, unknown_key
from app.mapping.catalogue import Key
from app.mapping.fields import Constant, Word
from app.mapping.inputs import ANYTHING, FORMS, Expression, First, Input, Path, is_json
from app.mapping.names import canonical
from app.mapping.overrides import SAYABLE, Overrides, Row, endpoints_of
from app.mapping.shapes import Channel, Moment, PriceOf, Type
from app.segment.paths import steps_of

_INPUT: Final = "must be a path such as properties.score, or {constant: …}, or {jmespath: …}, or a list of these"
_PROPERTY: Final = "properties."


def _input(given: Any, *, in_item: bool) -> Input:
    match given:
        case str(text):
            return Path(text, in_item)
        case {"constant": value, **rest} if not rest and value is not None:
            if not is_json(value):
                raise ValueError("the constant must be text, a number, true, false, or a list or mapping of these")
            return Constant(value)
        case {"jmespath": str(text), **rest} if not rest:
            return Expression(text, in_item)
        case _:
            raise ValueError(_INPUT)


def _listed(given: Any) -> Any:
    if isinstance(given, str | dict):
        return (given,)
    if isinstance(given, list | tuple) and given:
        return given
    raise ValueError(_INPUT)


def _endpoint(name: str) -> str:
    if name not in SAYABLE:
        raise ValueError(unknown_key(name, SAYABLE))
    return name


def _property(name: str) -> str:
    if name.startswith(_PROPERTY):
        raise ValueError("must be the property's own name, without properties. before it")
    return name


def _property_path(path: str) -> str:
    steps_of(_property(path))
    return path


def _keep(given: Any) -> Any:
    if given != "all" and not isinstance(given, list | tuple):
        raise ValueError("must be all, or a list of names of properties")
    return given


def _event(name: str) -> str:
    if not name.strip():
        raise ValueError("must be the name of a track event")
    return name


EventInputs = Annotated[
    tuple[Annotated[Input, PlainValidator(partial(_input, in_item=False))], ...], BeforeValidator(_listed)
]
ItemInputs = Annotated[
    tuple[Annotated[Input, PlainValidator(partial(_input, in_item=True))], ...], BeforeValidator(_listed)
]
Target = Annotated[str, AfterValidator(_endpoint)]
Targets = Annotated[tuple[Target, ...], BeforeValidator(_listed)]
PropertyName = Annotated[str, Field(min_length=1), AfterValidator(_property)]
PropertyPath = Annotated[str, AfterValidator(_property_path)]
Level = Literal["high", "normal", "low"]


class _WithInputs(Frozen):
    """A model with fields that are read from inputs: constants among them must be fit to be sent."""

    @field_validator("*")
    @classmethod
    def _check_constants(cls, value: Any, info: Any) -> Any:
        if (form := FORMS.get(info.field_name)) is not None and isinstance(value, tuple):
            for each in value:
                if isinstance(each, Constant) and form.convert(each.value) is None:
                    raise ValueError(f"the constant can never be sent: it must be {form.wanted}")
        return value


class ItemMapping(_WithInputs):
    """Where each field of a product is found. Paths begin at the product; `$.` begins one at the event."""

    productId: ItemInputs | None = Field(None, description="the product's id")  # noqa: N815 - Attentive's names
    productVariantId: ItemInputs | None = Field(None, description="the variant's id")  # noqa: N815
    price: ItemInputs | None = Field(None, description="the price of one, a number or text such as $1,299.00")
    currency: ItemInputs | None = Field(None, description="three letters; USD where nothing is found")
    name: ItemInputs | None = Field(None, description="the product's name")
    productImage: ItemInputs | None = Field(None, description="address of its picture")  # noqa: N815
    productUrl: ItemInputs | None = Field(None, description="address of its page")  # noqa: N815
    quantity: ItemInputs | None = Field(None, description="how many, a whole number")

    def over(self, below: "ItemMapping") -> "ItemMapping":
        """This, and of `below` what is not said here."""
        return below.model_copy(update={name: getattr(self, name) for name in self.model_fields_set})

    def words(self) -> dict[str, Word]:
        """What is said here, by Attentive's key."""
        given = {name: value for name in self.model_fields_set if (value := getattr(self, name)) is not None}
        if "productId" in given:  # a shop without variants sells the product itself
            given.setdefault("productVariantId", (*_VARIANT, *given["productId"]))
        first = {name: First(inputs, FORMS[name]) for name, inputs in given.items()}
        amount, currency = first.pop("price", None), first.pop("currency", None)
        words: dict[str, Word] = dict(first)
        if amount or currency:
            words["price"] = PriceOf(amount or _AMOUNT, currency or _CURRENCY)
        return words


_VARIANT: Final = tuple(Path(name, in_item=True) for name in ("variant_id", "sku", "variant"))
_AMOUNT: Final = First((Path("price", in_item=True),), FORMS["price"])
_CURRENCY: Final = First(
    (Path("currency", in_item=True), Path("$.properties.currency", in_item=True)), FORMS["currency"]
)


class EventMapping(_WithInputs):
    """One event's. What is not said stays as it is in the catalogue; a new event is a custom event."""

    send: bool = Field(True, description="false: these events are dropped as `event_not_allowed`")
    to: Targets = Field((), description="endpoint, or a list: " + ", ".join(SAYABLE))
    priority: Level | None = Field(None, description="high, normal or low: who goes first within a lane")
    occurredAt: EventInputs | None = Field(  # noqa: N815
        None, description="when it happened; by default the event's own time, by which its age counts in any case"
    )
    type: EventInputs | None = Field(None, description="custom-event: its type; by default the event's name")
    externalEventId: EventInputs | None = Field(  # noqa: N815
        None, description="custom-event: its id, the same on every attempt; by default the message id"
    )
    keep: Annotated[Literal["all"] | tuple[str, ...] | None, BeforeValidator(_keep)] = Field(
        None, description="custom-event: the properties that are sent, `all` or a list of names"
    )
    drop: tuple[PropertyPath, ...] = Field(
        (), description="custom-event: of these, what is left out; dotted, `products.cost` in every product"
    )
    rename: dict[PropertyName, PropertyName] = Field(
        default_factory=dict, description="custom-event: new names of properties, `old: new`"
    )
    properties: dict[PropertyName, EventInputs] = Field(
        default_factory=dict, description="custom-event: further properties, and where each is found"
    )
    orderId: EventInputs | None = Field(None, description="purchase: the order's id")  # noqa: N815
    salesChannel: EventInputs | None = Field(  # noqa: N815
        None, description="purchase: WEB, IOS_APP, ANDROID_APP, IN_STORE, PHONE or OTHER"
    )
    items: EventInputs | None = Field(
        None, description="product-view, add-to-cart, purchase: where the product or the list of products is"
    )
    item: ItemMapping | None = Field(
        None, description="product-view, add-to-cart, purchase: fields of the products of this event"
    )

    def row(self, name: str | None, item: ItemMapping) -> Row:
        """The same as the catalogue takes it; `item` is what is said of all products."""
        item = item if self.item is None else self.item.over(item)
        return Row(
            name=name,
            on=self.send,
            to=tuple(BY_NAME[target] for target in self.to),
            priority=_priority(self.priority),
            body=self._body(),
            items=None if self.items is None else First(self.items, FORMS["items"]),
            item=item.words(),
            keep_all=self.keep == "all",
            keep=self.keep if isinstance(self.keep, tuple) else None,
            drop=tuple(steps_of(path) for path in self.drop),
            rename=tuple(self.rename.items()),
            add=tuple((name, First(inputs, ANYTHING)) for name, inputs in self.properties.items()),
        )

    def _body(self) -> dict[str, Word]:
        first = {
            key: First(inputs, FORMS[key])
            for key in ("occurredAt", "type", "externalEventId", "orderId", "salesChannel")
            if (inputs := getattr(self, key)) is not None
        }
        body: dict[str, Word] = dict(first)
        if "occurredAt" in first:
            body["occurredAt"] = Moment(first["occurredAt"])
        if "type" in first:
            body["type"] = Type(first["type"])
        if "salesChannel" in first:
            body["salesChannel"] = Channel(first["salesChannel"])
        return body


def _priority(level: Level | None) -> Priority | None:
    return None if level is None else Priority[level.upper()]


class IdentifyMapping(Frozen):
    """Of identify calls, only where they go can be chosen; `identifiers` and `attributes` say what is sent."""

    send: bool = Field(True, description="false: identify calls are dropped as `not_forwarded`")
    to: Annotated[tuple[Literal["identity", "user-attributes"], ...], BeforeValidator(_listed)] = Field(
        (), description="identity, user-attributes, or both"
    )
    priority: Level | None = Field(None, description="high, normal or low: who goes first within a lane")

    def row(self) -> Row:
        """The same as the catalogue takes it."""
        return Row(on=self.send, to=tuple(BY_NAME[target] for target in self.to), priority=_priority(self.priority))


class Mapping(Frozen):
    """Everything that is mapped in another way than the catalogue says."""

    item: ItemMapping = Field(ItemMapping(), description="fields of every product, whatever the event")
    events: dict[Annotated[str, AfterValidator(_event)], EventMapping] = Field(
        default_factory=dict, description="track events by name, in any spelling that the catalogue knows, or new ones"
    )
    other: EventMapping | None = Field(None, description="track events that have no row, see also `other_events`")
    page: EventMapping | None = Field(None, description="page calls")
    screen: EventMapping | None = Field(None, description="screen calls; without this they are not forwarded")
    identify: IdentifyMapping | None = Field(None, description="identify calls")

    @model_validator(mode="after")
    def _check_events(self) -> Self:
        if mistakes := [*self._repeated_events(), *self._useless_words()]:
            raise misplaced(mistakes)
        return self

    def overrides(self) -> Overrides:
        """The same as the catalogue takes it."""
        rows = {key: event.row(place[-1] if key.event else None, self.item) for place, key, event in self._rows()}
        if self.identify is not None:
            rows[Key("identify")] = self.identify.row()
        return Overrides(self.item.words(), rows)

    def _rows(self) -> Iterator[tuple[tuple[str, ...], Key, EventMapping]]:
        """Each event that something is said of: its place in the file, the rows it means, and what is said."""
        for name, event in self.events.items():
            yield ("events", name), Key.of("track", canonical(name)), event
        for kind, row in (("track", self.other), ("page", self.page), ("screen", self.screen)):
            if row is not None:
                yield ("other" if kind == "track" else kind,), Key(kind), row

    def _repeated_events(self) -> Iterator[tuple[tuple[str, ...], str]]:
        first: dict[Key, tuple[str, ...]] = {}
        for place, key, _ in self._rows():
            if (other := first.setdefault(key, place)) != place:
                yield place, f"the same event as {other[-1]}: say all of it there"

    def _useless_words(self) -> Iterator[tuple[tuple[str, ...], str]]:
        for place, key, event in self._rows():
            targets = event.to or [endpoint.name for endpoint in endpoints_of(key)]
            sayable = frozenset[str]().union(*(SAYABLE[target] for target in targets))
            for word in sorted(event.model_fields_set - sayable - _ALWAYS):
                users = [endpoint for endpoint, words in SAYABLE.items() if word in words]
                yield (*place, word), f"is for {_either(users)}, and this event goes to {_either(targets)}"


_ALWAYS: Final = frozenset({"send", "to", "priority"})


def _either(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
