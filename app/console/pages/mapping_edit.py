"""The form for one row of a mapping, what of it is written as YAML, and a draft with what it would change. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from app.config.document import BadFile, Document
from app.config.edits import dumped
from app.config.mapping import EventMapping, ItemMapping
from app.mapping.catalogue import Catalogue, Key
from app.mapping.describe import lines, products
from app.mapping.overrides import OVERRIDABLE, endpoints_of
from app.masking import mask_text
from app.operations.comparison import SAME, Comparison, shown
from app.operations.mapping_draft import Draft, part_of
from app.operations.operator import BadRequest

KINDS: Final[Mapping[str, str]] = {
    "": "unchanged",
    "path": "path",
    "constant": "constant",
    "jmespath": "JMESPath",
    "yaml": "list, as YAML",
}
_CALL: Final = ("occurredAt", "type", "externalEventId", "orderId", "salesChannel", "items")
_LISTED: Final = ("keep", "drop")
_PAIRED: Final = ("rename", "types")
_BLANK: Final = 3  # empty lines for further properties
_MOST_PATHS: Final = 300
_EXAMPLE_CHARS: Final = 40
_DIFFERENCES: Final = 12  # of one event


@dataclass(frozen=True, slots=True)
class SourceField:
    """Where one value of the call comes from."""

    name: str  # of the inputs: orderId, item.price, property.0
    label: str
    hint: str
    kind: str
    value: str
    paths: str  # the list of paths that is offered
    usual: str  # what the catalogue does, in words


@dataclass(frozen=True, slots=True)
class Place:
    """A path in the sample event, and what is there."""

    path: str
    example: str


@dataclass(frozen=True, slots=True)
class RowForm:
    """The form for the row of one event."""

    destination: str
    event: str
    targets: Sequence[str]
    target: str  # empty: as in the catalogue, or several
    goes_to: str  # in words
    send: bool
    priority: str
    fields: Sequence[SourceField]
    item_fields: Sequence[SourceField]
    properties: Sequence[tuple[str, SourceField]]  # name, and where it is found; None: custom events alone have them
    texts: Mapping[str, str]  # keep, drop, rename, types
    places: Sequence[Place]
    item_places: Sequence[Place]
    sample: Any
    own: bool  # the file has a row for the event


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that another mapping changes; masked. None: it is not there."""

    place: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Example:
    """One event that another mapping treats in another way."""

    event: str
    kind: str
    differences: Sequence[Difference]
    more: int


@dataclass(frozen=True, slots=True)
class DraftPage:
    """A draft: its mistakes, the difference to the file, and what it would change."""

    destination: str
    mapping: str
    base: str
    mistakes: Sequence[str]
    warnings: Sequence[str]
    patch: Sequence[tuple[str, str]]  # ins, del or empty, and the line
    writable: bool
    file: str
    kinds: Sequence[tuple[str, int, bool]]  # what becomes of events, how many, whether it changes
    fields: Sequence[tuple[str, int]]
    examples: Sequence[Example]
    events: int
    refused: int


def row_form(
    destination: str, event: str, row: Mapping[str, Any], target: str, catalogue: Catalogue, sample: Any
) -> RowForm:
    """The form, filled with the row as the file has it. `target` is an endpoint to show in place of the row's own."""
    given = row.get("to")
    own = [given] if isinstance(given, str) else list(given) if isinstance(given, list) else []
    targets = [target] if target in OVERRIDABLE else own or [each.name for each in endpoints_of(Key.of_track(event))]
    usable = frozenset[str]().union(*(OVERRIDABLE.get(str(each), frozenset()) for each in targets))
    usual = _usual(catalogue, event)
    item, added = part_of(row, "item"), part_of(row, "properties")
    return RowForm(
        destination=destination,
        event=event,
        targets=list(OVERRIDABLE),
        target=target if target in OVERRIDABLE else own[0] if len(own) == 1 else "",
        goes_to=" and ".join(map(str, targets)),
        send=row.get("send", True) is not False,
        priority=str(row.get("priority", "")),
        fields=[_field(name, name, row, EventMapping, usual) for name in _CALL if name in usable],
        item_fields=[_field(f"item.{name}", name, item, ItemMapping, usual) for name in ItemMapping.model_fields]
        if "item" in usable
        else [],
        properties=list(_properties(added)) if "properties" in usable else [],
        texts=_texts(row) if "keep" in usable else {},
        places=list(places(sample)),
        item_places=list(places(_product(sample))),
        sample=sample,
        own=bool(row),
    )


def _usual(catalogue: Catalogue, event: str) -> dict[str, str]:
    usual: dict[str, str] = {}
    for rule, line in zip(catalogue.rules, lines(catalogue), strict=False):
        if rule.key == Key.of_track(event):
            usual |= line.fields
            usual |= {
                f"item.{name}": text
                for each in products(catalogue)
                if line.event in each.events
                for name, text in each.fields.items()
            }
    return usual


def _field(name: str, key: str, row: Mapping[str, Any], model: Any, usual: Mapping[str, str]) -> SourceField:
    kind, value = _kind_of(row.get(key))
    hint = model.model_fields[key].description or ""
    paths = "item-paths" if name.startswith("item.") else "paths"
    return SourceField(name, key, hint.partition(": ")[2] or hint, kind, value, paths, usual.get(name, ""))


def _properties(added: Mapping[str, Any]) -> Iterator[tuple[str, SourceField]]:
    for number, (name, source) in enumerate([*added.items(), *[("", None)] * _BLANK]):
        kind, value = _kind_of(source)
        yield str(name), SourceField(f"property.{number}", "", "", kind or "path", value, "paths", "")


def _kind_of(source: Any) -> tuple[str, str]:
    match source:
        case None:
            return "", ""
        case str():
            return "path", source
        case {"constant": value}:
            return "constant", value if isinstance(value, str) and _constant(value) == value else _json(value)
        case {"jmespath": str(text)}:
            return "jmespath", text
        case _:
            return "yaml", dumped(source).strip()


def _texts(row: Mapping[str, Any]) -> dict[str, str]:
    texts = {}
    for name in _LISTED:
        value = row.get(name, "")
        texts[name] = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    for name in _PAIRED:
        value = row.get(name)
        texts[name] = dumped(value).strip() if isinstance(value, dict) and value else ""
    return texts


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def places(sample: Any, above: str = "") -> Iterator[Place]:
    """The paths of an event or of a product, with what is there. A path through a list continues in each element."""
    yield from list(_places(sample, above))[:_MOST_PATHS]


def _places(value: Any, above: str) -> Iterator[Place]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name and not {".", " "} & set(name):
                yield from _places(inner, f"{above}.{name}" if above else name)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        yield Place(above, f"a list of {len(value)}")
        yield from _places(value[0], above)
    elif above:
        text = _json(value)
        yield Place(above, text if len(text) <= _EXAMPLE_CHARS else text[:_EXAMPLE_CHARS] + "…")


def _product(sample: Any) -> Any:
    found = sample.get("properties") if isinstance(sample, dict) else None
    listed = found.get("products") if isinstance(found, dict) else None
    return listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], dict) else found


def row_from(form: Mapping[str, str], row: Mapping[str, Any]) -> dict[str, Any]:
    """The row that a form describes; keys that the form does not show stay as in `row`. Raises BadRequest."""
    made = dict(row)
    _put(made, "send", None if form.get("send") != "no" else False)
    if form.get("to") in OVERRIDABLE:
        made["to"] = form["to"]
    _put(made, "priority", form.get("priority") or None)
    for name in _CALL:
        if f"{name}:kind" in form:
            _put(made, name, _source(form, name, made.get(name)))
    item = dict(part_of(made, "item"))
    for name in ItemMapping.model_fields:
        if f"item.{name}:kind" in form:
            _put(item, name, _source(form, f"item.{name}", item.get(name)))
    _put(made, "item", item or None)
    if any(name.startswith("property.") for name in form):
        _put(made, "properties", _named_sources(form) or None)
    for name in (*_LISTED, *_PAIRED):
        if name in form:
            _put(made, name, _text(name, form[name].strip()))
    return made


def _put(row: dict[str, Any], name: str, value: Any) -> None:
    if value is None:
        row.pop(name, None)
    else:
        row[name] = value


def _named_sources(form: Mapping[str, str]) -> dict[str, Any]:
    numbers = sorted({int(name.split(".")[1].split(":")[0]) for name in form if name.startswith("property.")})
    found = {form.get(f"property.{each}:name", "").strip(): _source(form, f"property.{each}") for each in numbers}
    return {name: source for name, source in found.items() if name and source is not None}


def _source(form: Mapping[str, str], name: str, before: Any = None) -> Any:
    kind, value = form.get(f"{name}:kind", ""), form.get(f"{name}:value", "").strip()
    if not value:
        return None
    if not kind and value != _kind_of(before)[1]:
        kind = "path"  # one was typed or picked, and its kind left as it was
    match kind:
        case "path":
            return value
        case "constant":
            return {"constant": _constant(value)}
        case "jmespath":
            return {"jmespath": value}
        case "yaml":
            return _yaml(name, value)
        case _:
            return None


def _constant(text: str) -> Any:
    """A number, true, false, or a list or mapping in JSON; all else is text."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return text if value is None else value


def _text(name: str, text: str) -> Any:
    if not text:
        return None
    if name in _LISTED:
        return text if text == "all" else [part.strip() for part in text.split(",") if part.strip()]
    return _yaml(name, text)


def _yaml(name: str, text: str) -> Any:
    try:
        return Document(Path(name), text.replace("\r\n", "\n").encode()).content
    except BadFile as bad:
        raise BadRequest(f"{name} is not YAML: line {bad.mistakes[0].line}: {bad.mistakes[0]}.") from None


def draft_page(draft: Draft, comparison: Comparison) -> DraftPage:
    """A draft that was checked and compared."""
    name = draft.file.destination
    kinds = comparison.kinds.get(name, Counter[str]())
    changing = sorted(((kind, count, kind != SAME) for kind, count in kinds.items()), key=lambda each: -each[1])
    return DraftPage(
        destination=name,
        mapping=draft.mapping,
        base=draft.file.sha256,
        mistakes=[f"Line {each.line}: {each}" for each in draft.mistakes],
        warnings=[f"Line {each.line}: {each}" for each in draft.warnings],
        patch=[(_tone(line), line) for line in draft.patch.splitlines()[2:]],
        writable=draft.file.writable,
        file=draft.file.path.name,
        kinds=changing,
        fields=comparison.fields.most_common(20),
        examples=[_example(each.event, each.kind, each.differences) for each in comparison.examples],
        events=comparison.events,
        refused=comparison.refused,
    )


def _tone(line: str) -> str:
    return "ins" if line.startswith("+") else "del" if line.startswith("-") else ""


def _example(event: str, kind: str, differences: Sequence[tuple[str, Any, Any]]) -> Example:
    shown_ones = [
        Difference(place, *(None if value is None else _json(shown(place, value, reveal=False)) for value in both))
        for place, *both in differences[:_DIFFERENCES]
    ]
    return Example(mask_text(event), kind, shown_ones, max(0, len(differences) - _DIFFERENCES))
