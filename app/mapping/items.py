"""Products as Attentive's items: which fields they have, their prices, and how a list of them is read. Pure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.mapping.cleaning import is_empty
from app.mapping.converters import CONVERTERS
from app.mapping.expressions import ABSENT, Constant, Evaluation, Expression, FirstOf, Path, Read, Sources
from app.mapping.money import CURRENCIES, settled
from app.mapping.transforms import Unmappable
from app.segment.events import NUMBERS

REQUIRED: Final = frozenset({"productId", "productVariantId", "price"})  # without these, an item cannot be sent
_SETS: Final = 256  # of names that are remembered; then they are forgotten together, and those in use soon return
_NAMES: Final = 32  # in a remembered set
_NAMES_CHARS: Final = 512
_NAMES_DIGITS: Final = 6  # with more, a name may be a telephone number
_INFINITE: Final = float("inf")


@dataclass(frozen=True, slots=True)
class Price:
    """Attentive's list of one price: the first usable amount, in the first usable currency."""

    amount: FirstOf
    currency: FirstOf
    read: Read = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        usual = self.amount.names and self.currency.names
        object.__setattr__(self, "read", self._read_usual if usual else self._read)

    def _read_usual(self, evaluation: Evaluation) -> Any:
        """As `_read`, without its steps where the amount is a number beside the code of its currency, as usual."""
        here = evaluation.here
        amount: Any = here.get(self.amount.names[0])
        code = here.get(self.currency.names[0])
        if type(amount) in NUMBERS and 0 <= amount < _INFINITE and type(code) is str and code in CURRENCIES:
            return [{"value": amount, "currency": code}]
        return self._read(evaluation)

    def _read(self, evaluation: Evaluation) -> Any:
        """`[{"value": 19.99, "currency": "USD"}]`, or ABSENT if there is no usable amount in one currency."""
        money = self.amount.read(evaluation)
        if money is ABSENT:
            return ABSENT
        noted = len(evaluation.notes)
        stated = self.currency.read(evaluation)
        if stated is not ABSENT and not money.currencies and not money.doubtful and len(evaluation.notes) == noted:
            return [{"value": money.amount, "currency": stated}]
        currency = settled(money, self._stated(evaluation))
        if currency is None:
            evaluation.notes.append(f"{evaluation.path}{self.amount}: its currency is not known for certain, left out")
            return ABSENT
        if stated is not ABSENT and currency != stated:
            evaluation.notes.append(
                f"{evaluation.path}{self.amount}: its own currency {currency} is sent, not {stated}"
            )
        return [{"value": money.amount, "currency": currency}]

    def _stated(self, evaluation: Evaluation) -> list[Any]:
        """All that is stated of its currency, readable or not, the nearest first."""
        quiet = Evaluation(evaluation.event, evaluation.identity, evaluation.here, evaluation.path)
        read = (source.read(quiet) for source in self.currency.sources)
        return [value for value in read if value is not ABSENT and not is_empty(value)]


# How a field of an item is read: Attentive's key, its expression, the product's field that has its value, and the
# conversion of that value (None: the expression finds the value). A plain tuple is unpacked faster than a named one.
_Field = tuple[str, Expression, str, Callable[[Any], Any] | None]
_NOWHERE: Final = Constant(ABSENT)  # in place of an expression none of whose sources is there


class Item(Mapping[str, Expression]):
    """The fields of an item, by Attentive's key.

    The products of a shop have the same fields: for sets of names, it remembers where each value comes from.
    """

    def __init__(self, expressions: Mapping[str, Expression]) -> None:
        self._expressions = expressions
        self._all: tuple[_Field, ...] = tuple([(key, each, "", None) for key, each in expressions.items()])
        self._by_names: dict[tuple[str, ...], tuple[_Field, ...]] = {}
        self._came: dict[int, bool] = {}  # by hash: the sets that came lately, and whether they may be remembered

    def __getitem__(self, key: str) -> Expression:
        return self._expressions[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._expressions)

    def __len__(self) -> int:
        return len(self._expressions)

    def read(self, evaluation: Evaluation) -> dict[str, Any] | str:
        """The item as Attentive accepts it, or the name of the missing source field without which it cannot be sent."""
        here = evaluation.here
        built: dict[str, Any] = {}
        for key, expression, name, convert in self._by_names.get(tuple(here)) or self._fields(here):
            value = None if convert is None else convert(here[name])
            if value is None:
                value = expression.read(evaluation)
                if value is ABSENT:
                    if key in REQUIRED:
                        return _source_of(self._expressions[key], key)
                    continue
            built[key] = value
        return built

    def _fields(self, product: Mapping[str, Any]) -> tuple[_Field, ...]:
        """How the fields of an item are read from a product with these fields.

        A set that comes once is not looked into: a sender may give each product other fields.
        """
        names = tuple(product)
        hashed = hash(names)
        if (may := self._came.get(hashed)) is None:
            if len(self._came) >= _SETS:
                self._came.clear()
            self._came[hashed] = True
            return self._all
        if not (may and _may_be_remembered(names)):
            self._came[hashed] = False
            return self._all
        if len(self._by_names) >= _SETS:
            self._by_names.clear()
        fields = self._by_names[names] = tuple(self._fields_of(product))
        return fields

    def _fields_of(self, product: Mapping[str, Any]) -> Iterator[_Field]:
        """The fields that such a product may have, up to a required one that it cannot have."""
        for each in self._all:
            if (found := _found(each, product)) is not None:
                yield found
                if found[1] is _NOWHERE:
                    return


def _may_be_remembered(names: tuple[str, ...]) -> bool:
    """Whether a set of names is small and cannot identify a person: it has neither addresses nor telephone numbers."""
    text = "".join(names)
    if len(names) > _NAMES or len(text) > _NAMES_CHARS or not (text.isidentifier() or not names):
        return False
    return sum(map(str.isdigit, text)) <= _NAMES_DIGITS


def _found(each: _Field, product: Mapping[str, Any]) -> _Field | None:
    """How a field of an item is read from such a product. None if none of its sources is there, and it is optional."""
    key, expression, *_ = each
    if type(expression) is not FirstOf:
        return each
    name = next((name for name in expression.names if name in product), "")
    if name:
        return key, expression, name, expression.to.convert
    if expression.others:
        return each
    return (key, _NOWHERE, "", None) if key in REQUIRED else None


def item_of(sources: Mapping[str, Sources]) -> Item:
    """The fields of a product by Attentive's key, with the sources of each. `currency` becomes part of the price."""
    first = {key: FirstOf(*given, to=CONVERTERS[key]) for key, given in sources.items()}
    currency = first.pop("currency")
    return Item({key: Price(each, currency) if key == "price" else each for key, each in first.items()})


@dataclass(frozen=True, slots=True)
class Items:
    """One item for each product. `products` finds one product, or a list of them."""

    products: FirstOf
    item: Item
    _place: str = field(init=False, repr=False, compare=False)  # where the products are, for notes

    def __post_init__(self) -> None:
        sources = self.products.sources
        object.__setattr__(self, "_place", str(sources[0]) if len(sources) == 1 else "items")

    def read(self, evaluation: Evaluation) -> Any:
        """A list of at least one item. Unusable products are left out with a note. Raises Unmappable."""
        found = self.products.read(evaluation)
        if found is ABSENT:
            raise Unmappable("items_missing", f"{self.products} must be a product or a list of products")
        if isinstance(found, dict):
            return [self._one(found, evaluation)]
        items, missing = [], "is empty"
        for index, product in enumerate(found):
            path = f"{self._place}[{index}]."
            built = self.item.read(evaluation.inner(product, path)) if isinstance(product, dict) else "product"
            if isinstance(built, str):
                missing = f"has no usable {built}"
                evaluation.notes.append(f"{path[:-1]}: no usable {built}, left out")
            else:
                items.append(built)
        if not items:
            raise Unmappable("items_missing", f"{self._place} {missing}")
        return items

    def _one(self, product: Mapping[str, Any], evaluation: Evaluation) -> dict[str, Any]:
        if product is not evaluation.here:
            evaluation = evaluation.inner(product, f"{self._place}.")
        built = self.item.read(evaluation)
        if isinstance(built, str):
            raise Unmappable("item_incomplete", evaluation.path + built)
        return built


def _source_of(expression: Expression, key: str) -> str:
    match expression:
        case FirstOf(sources=(Path(text=text), *_)) | Price(amount=FirstOf(sources=(Path(text=text), *_))):
            return text
        case _:
            return key
