"""Columns of many rows as JSON has them: what `values` makes of one value, for all values of a type at once. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from app.mapping.converters import Converter
from app.rows.codes import BadRow
from app.rows.values import LEFT_OUT, json_value, key_text

BAD: Final = object()  # in place of a value that JSON cannot hold, or that does not have the declared type
_AS_THEY_ARE: Final[Sequence[set[type[Any]]]] = ({str}, {int}, {bool})


class Column(NamedTuple):
    """A value for each row."""

    values: list[Any]
    is_whole: bool  # none of them is LEFT_OUT or BAD


def json_column(given: Iterable[Any], converter: Converter | None = None) -> Column:
    """The values of a column as JSON has them, in the type that is declared."""
    values = list(given)
    types: set[type[Any]] = set(map(type, values))
    is_whole = types in _AS_THEY_ARE and not (types == {str} and ("" in values or any(map(str.isspace, values))))
    if not is_whole:
        values = [_json_or_bad(value) for value in values]
    if converter is not None:
        values = [_converted(value, converter) for value in values]
        is_whole = is_whole and BAD not in values
    return Column(values, is_whole)


def labels_of(given: Iterable[Any]) -> list[str | None]:
    """The keys of a column as text. None for what is no key."""
    return [value.strip() if type(value) is str else key_text(value) for value in given]


def _json_or_bad(value: Any) -> Any:
    try:
        return json_value("", value)
    except BadRow:
        return BAD


def _converted(value: Any, converter: Converter) -> Any:
    if value is LEFT_OUT or value is BAD:
        return value
    return BAD if (converted := converter.convert(value)) is None else converted
