"""One row as the content of an event: identifiers, fields in the mapping language, values as JSON has them. Pure."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

import orjson

from app.config.sync import CONSENT, OPT_OUT, Sync
from app.identity.identity import Identity
from app.mapping.converters import TYPES, Converter
from app.mapping.expressions import ABSENT, Evaluation, FirstOf, JmesPath, Path, Sources
from app.rows.codes import BadRow, Code
from app.rows.columns import BAD, Column, json_column, labels_of
from app.rows.values import LEFT_OUT, json_values, key_text
from app.segment.events import SegmentEvent

KEY_BYTES: Final = 16
_START: Final = hashlib.blake2b(digest_size=KEY_BYTES).copy  # of a digest: quicker than to name its size each time
_PURCHASE: Final = "Order Completed"
_PRODUCT: Final = (
    *("product_id", "variant_id", "sku", "name", "price", "quantity", "currency", "image_url", "url"),
    "variant",
)
_NO_EVENT: Final = SegmentEvent("track", "")  # sources of a row never start at an event
_NOBODY: Final = Identity()
_OF_CALLS: Final = ("email", "phone", "client_user_id")  # identifiers that calls of every kind contain
_LINKED: Final[Mapping[str, tuple[str, ...]]] = {
    "attributes": (*_OF_CALLS, "shopify_id", "klaviyo_id"),
    "identity": (*_OF_CALLS, "shopify_id", "klaviyo_id"),
    "subscribers": (*_OF_CALLS, "shopify_id", "klaviyo_id"),
}


class Shaped(NamedTuple):
    """One row: its key, and the content of its event as JSON, without the message ID."""

    key: bytes  # digest
    label: str  # the key as text
    hash: bytes  # digest of the content: rows with equal content have equal digests
    content: bytes


Reading = Callable[[Mapping[str, Any]], Any]


class Shaper:
    """Makes the content of events of the rows of one sync."""

    def __init__(self, sync: Sync) -> None:
        self._sync = sync
        who = sync.identifiers
        people = {name: getattr(who, name) for name in ("email", "phone", "shopify_id", "klaviyo_id")}
        self._in_columns = [(name, column) for name, each in people.items() if (column := _column(each))]
        self._elsewhere = [(name, _reading(each)) for name, each in people.items() if not _column(each)]
        self._user_id = _reading(who.client_user_id)
        self._event = _reading(sync.event)
        self._timestamp = _reading(sync.timestamp)
        self._fields = None if sync.fields is None else {name: _reading(each) for name, each in sync.fields.items()}
        self._types: Mapping[str, Converter] = {name: TYPES[declared] for name, declared in sync.types.items()}
        self._not_fields = frozenset({*sync.skip, *_columns_of(sync)})
        self._read = _columns_read(sync)

    @property
    def needed(self) -> frozenset[str]:
        """The columns that every file must have: those of the key, and those that are named in the configuration."""
        sync, named = self._sync, set[str]()
        for part in (sync.identifiers, sync):
            for name in part.model_fields_set:
                value = getattr(part, name)
                if isinstance(value, tuple) and all(isinstance(each, Path) for each in value) and len(value) == 1:
                    named.add(str(value[0]).partition(".")[0])
        for sources in (sync.fields or {}).values():
            if len(sources) == 1 and isinstance(sources[0], Path):
                named.add(sources[0].text.partition(".")[0])
        if sync.consent is not None:
            named.add(sync.consent.column)
        return frozenset({*sync.key, *named})

    @property
    def people(self) -> Mapping[str, str] | None:
        """The column of each identifier, where identifiers are found in single columns and nowhere else."""
        user_id = _column(self._sync.identifiers.client_user_id)
        people = dict(self._in_columns)
        if self._elsewhere or not user_id:
            return None
        if self._sync.object == "attributes" and not people.keys().isdisjoint((*(self._fields or ()), *self._types)):
            return None
        return {"client_user_id": user_id, **people}

    @property
    def stand_ins(self) -> frozenset[str]:
        """Columns that become an identifier where the column of that identifier is blank: fields of its name."""
        if self._sync.object != "attributes" or self._fields is not None:
            return frozenset()
        return frozenset(dict(self._in_columns)) - self._not_fields

    def of_rows(self, rows: Sequence[Mapping[str, Any]]) -> list[Shaped | BadRow]:
        """The content of the event of each row, or why there is none."""
        return list(map(self._of_row, rows))

    def _of_row(self, row: Mapping[str, Any]) -> Shaped | BadRow:
        try:
            return self.shape(row)
        except BadRow as bad:
            return bad

    def of_header(self, header: Sequence[str]) -> Callable[[Sequence[Sequence[Any]]], list[Shaped | BadRow]]:
        """What makes the contents of rows, each given as its values in the order of the header.

        Rows of people whose columns are each one field are made column by column, without a look at any other column:
        most are. What that makes is what `shape` makes, which all other rows are made by.
        """

        def other(values: Sequence[Any]) -> Shaped | BadRow:
            return self._of_row(dict(zip(header, values, strict=True)))

        flat = self._flat(header)
        if flat is None:
            return lambda rows: list(map(other, rows))
        key, user_id, columns = flat

        def made(rows: Sequence[Sequence[Any]]) -> list[Shaped | BadRow]:
            labels = labels_of(map(itemgetter(key), rows))
            contents = self._of_columns(rows, columns, user_id)
            return [shaped or other(values) for shaped, values in zip(_shaped(labels, contents), rows, strict=True)]

        return made

    def _of_columns(
        self, rows: Sequence[Sequence[Any]], columns: Sequence[tuple[str, int]], user_id: int | None
    ) -> list[dict[str, Any] | None]:
        """The content of each row, whose traits are in these places. None: one of its values is not valid."""
        types = self._types if self._sync.object == "attributes" else {}
        made = [json_column(map(itemgetter(place), rows), types.get(name)) for name, place in columns]
        named = _named([name for name, _ in columns], made, len(rows))
        users = [LEFT_OUT] * len(rows) if user_id is None else json_column(map(itemgetter(user_id), rows)).values
        return [_content(traits, user) for traits, user in zip(named, users, strict=True)]

    def _flat(self, header: Sequence[str]) -> tuple[int, int | None, list[tuple[str, int]]] | None:
        """The places of the key and of the user ID, and those of all traits by name. None where it is not so plain."""
        sync, places, people = self._sync, {name: place for place, name in enumerate(header)}, self.people
        fields = {name: _column(sources) for name, sources in (sync.fields or {}).items()}
        if (
            sync.object not in ("attributes", "identity", "audience")
            or len(sync.key) > 1
            or people is None
            or not all(fields.values())
        ):
            return None
        if sync.object == "attributes" and sync.fields is None:
            fields = {name: name for name in header if name not in self._not_fields}
        if not fields.keys().isdisjoint(people.keys() - {"client_user_id"}):
            return None
        user_id = people["client_user_id"]
        columns = {**(fields if sync.object == "attributes" else {}), **dict(self._in_columns)}
        traits = sorted((name, places[column]) for name, column in columns.items() if column in places)
        return places[sync.key[0]], places.get(user_id), traits

    def shape(self, row: Mapping[str, Any]) -> Shaped:
        """The content of a row's event. Raises BadRow."""
        parts = self._key(row)
        label, key = parts[0] if len(parts) == 1 else ", ".join(parts), None
        try:
            key = _digest("\0".join(parts).encode())
            made = self._content(json_values(row, self._is_read))
            content = orjson.dumps(made, option=orjson.OPT_SORT_KEYS)
            return Shaped(key, label, _digest(content), content)
        except BadRow as bad:
            raise BadRow(bad.code, bad.detail, label, key) from None
        except (TypeError, UnicodeEncodeError):
            detail = "The row holds a value that JSON cannot hold."
            raise BadRow(Code.VALUE_UNSUPPORTED, detail, label, key) from None

    def _is_read(self, column: str) -> bool:
        """Whether the value of a column may be sent, or decides about what is."""
        return column not in self._sync.skip if self._read is None else column in self._read

    def _key(self, row: Mapping[str, Any]) -> list[str]:
        parts = []
        for column in self._sync.key:
            given = row.get(column)
            text = given.strip() if type(given) is str else key_text(given)
            if not text:
                raise BadRow(
                    Code.KEY_MISSING, f"The column {column!r} of the key is empty, or is not text or a number."
                )
            parts.append(text)
        return parts

    def _content(self, values: Mapping[str, Any]) -> dict[str, Any]:
        person = {name: values[column] for name, column in self._in_columns if column in values}
        for name, read in self._elsewhere:
            if (value := read(values)) is not ABSENT:
                person[name] = value
        user_id = self._user_id(values)
        content: dict[str, Any] = {} if user_id is ABSENT else {"userId": user_id}
        match self._sync.object:
            case "attributes":
                return {**content, "type": "identify", "traits": {**self._given(values), **person}}
            case "identity" | "audience":
                return {**content, "type": "identify", "traits": person}
            case "subscribers":
                return {**content, "type": "identify", "traits": {**person, CONSENT: self._consent(values)}}
            case "events":
                name = self._event(values)
                if not isinstance(name, str):
                    raise BadRow(Code.EVENT_MISSING, "The type of the event is missing. Set `event`.")
                content |= {"event": name, "properties": self._given(values)}
            case "purchases":
                content |= {"event": _PURCHASE, "properties": _order(self._given(values))}
        if (when := self._timestamp(values)) is not ABSENT:
            content["timestamp"] = when
        return {**content, "type": "track", "context": {"traits": person}}

    def _consent(self, values: Mapping[str, Any]) -> str:
        consent = self._sync.consent
        assert consent is not None  # noqa: S101 - the configuration is checked
        stated = consent.stated(values.get(consent.column))
        if stated is None:
            listed = "none of the values of `opt_in` and `opt_out`" if consent.column in values else "no value"
            raise BadRow(Code.CONSENT_UNCLEAR, f"The column {consent.column!r} has {listed}.")
        return stated

    def _given(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The fields: those of the configuration, or all columns that have no other meaning."""
        if self._fields is None:
            given = {name: value for name, value in values.items() if name not in self._not_fields}
        else:
            given = {name: value for name, read in self._fields.items() if (value := read(values)) is not ABSENT}
        self._convert(given)
        return given

    def _convert(self, given: dict[str, Any]) -> None:
        """Give the fields the types that are declared. Raises BadRow."""
        for name, converter in self._types.items():
            if (value := given.get(name)) is not None:
                if (converted := converter.convert(value)) is None:
                    raise BadRow(Code.VALUE_TYPE, f"The field {name!r} must be {converter.wanted}.")
                given[name] = converted


def opts_out(content: bytes) -> bool:
    """Whether the content of a row of subscribers states an opt-out."""
    return bool(orjson.loads(content)["traits"][CONSENT] == OPT_OUT)


def linked_by(sync: Sync) -> tuple[str, ...]:
    """The kinds of identifiers that a call for a row of this sync links."""
    return _LINKED.get(sync.object, _OF_CALLS)


def _columns_of(sync: Sync) -> set[str]:
    """The columns that are not fields: identifiers, and what an event has beside its properties."""
    columns = _columns_in(_sources_of(sync))
    return columns | set(sync.key) if sync.object == "attributes" else columns


def _columns_read(sync: Sync) -> set[str] | None:
    """The columns that are read. None: all but those to skip."""
    sources = [*_sources_of(sync), *(sync.fields or {}).values()]
    if sync.fields is None and sync.object in ("attributes", "events", "purchases"):
        return None
    if any(isinstance(each, JmesPath) for some in sources for each in some):
        return None
    return _columns_in(sources) | (set() if sync.consent is None else {sync.consent.column})


def _sources_of(sync: Sync) -> list[Sources]:
    """Where identifiers are, and what an event has beside its properties."""
    who = sync.identifiers
    sources = [who.email, who.phone, who.client_user_id, who.shopify_id, who.klaviyo_id]
    if sync.object in ("events", "purchases"):
        sources.append(sync.timestamp)
    if sync.object == "events":
        sources.append(sync.event)
    return sources


def _columns_in(sources: Iterable[Sources]) -> set[str]:
    return {each.text.partition(".")[0] for some in sources for each in some if isinstance(each, Path)}


def _column(sources: Sources) -> str:
    """The column that is the only source; else empty."""
    match sources:
        case (Path(text=text),) if "." not in text:
            return text
        case _:
            return ""


def _reading(sources: Sources) -> Reading:
    """Reads the first of these sources from a row, or ABSENT."""
    if column := _column(sources):
        return lambda values: values.get(column, ABSENT)
    read = FirstOf(*sources).read
    return lambda values: read(Evaluation(_NO_EVENT, _NOBODY, values, "", []))


def _order(fields: dict[str, Any]) -> dict[str, Any]:
    """An order: a row without a list of products is about one product, whose fields are its own columns."""
    products = fields.get("products")
    if isinstance(products, str):
        try:
            products = orjson.loads(products)
        except orjson.JSONDecodeError:
            raise BadRow(Code.VALUE_TYPE, "The field 'products' must be a list of products, or its JSON.") from None
        return {**fields, "products": products}
    if products is not None:
        return fields
    product = {name: value for name, value in fields.items() if name in _PRODUCT}
    return {name: value for name, value in fields.items() if name not in product or name == "currency"} | {
        "products": [product]
    }


def _named(names: Sequence[str], columns: Sequence[Column], rows: int) -> list[dict[str, Any] | None]:
    """The values of each row by name, without those that are left out. None: one of them is bad."""
    if not columns:
        return [{} for _ in range(rows)]
    values = zip(*(column.values for column in columns), strict=True)
    if all(column.is_whole for column in columns):
        return [dict(zip(names, row, strict=True)) for row in values]
    return [
        None
        if any(value is BAD for value in row)
        else {name: value for name, value in zip(names, row, strict=True) if value is not LEFT_OUT}
        for row in values
    ]


def _content(traits: dict[str, Any] | None, user: Any) -> dict[str, Any] | None:
    if traits is None or user is BAD:
        return None
    content: dict[str, Any] = {"traits": traits, "type": "identify"}
    if user is not LEFT_OUT:
        content["userId"] = user
    return content


def _shaped(labels: Sequence[str | None], contents: Sequence[Mapping[str, Any] | None]) -> Iterator[Shaped | None]:
    """Rows by their keys and contents. None where there is none, or none that JSON can hold."""
    dumps, start = orjson.dumps, _START
    for label, content in zip(labels, contents, strict=True):
        if not label or content is None:
            yield None
            continue
        try:
            packed, key, digest = dumps(content, option=orjson.OPT_SORT_KEYS), start(), start()
            key.update(label.encode())
        except (TypeError, UnicodeEncodeError):
            yield None
        else:
            digest.update(packed)
            yield Shaped(key.digest(), label, digest.digest(), packed)


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=KEY_BYTES).digest()
