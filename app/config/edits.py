"""Changes to a YAML file as text: one key is set, and everything else stays as it was written, comments included. Pure.

Each change is verified: what the new text means must be what the old one meant, with the change.
"""

import copy
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from app.config.document import BadFile, Document

_NOWHERE: Final = Path("draft")
_FORM: Final[Mapping[str, Any]] = {"sort_keys": False, "allow_unicode": True, "width": 1_000}
_STEP: Final = 2  # columns by which what is below a key is indented


class NotEditable(Exception):  # noqa: N818 - the file is as its author wrote it
    """A program cannot change the text at this place. The message contains the reason."""


def block_at(text: str, steps: Sequence[str]) -> str:
    """What stands below these keys, without its indentation; empty where there is nothing. Raises BadFile."""
    spot = _spot(_document(text).root, steps)
    if spot.rest or spot.value is None or _is_null(spot.value):
        return ""
    start = text.rfind("\n", 0, spot.value.start_mark.index) + 1
    if text[start : spot.value.start_mark.index].strip():  # it begins in the line of its key
        return text[spot.value.start_mark.index : _end(spot.value)] + "\n"
    first = text.index("\n", spot.key.end_mark.index) + 1  # comments before its first key are of it
    return textwrap.dedent(text[first : _end_of_line(text, _end(spot.value))]) + "\n"


def first_line_at(text: str, steps: Sequence[str]) -> int:
    """The line, from 1, at which what `block_at` returns begins. Raises BadFile."""
    spot = _spot(_document(text).root, steps)
    if spot.rest or spot.value is None or spot.value.start_mark.line == spot.key.end_mark.line:
        return int(spot.key.start_mark.line) + 1 if spot.key is not None else 1
    return int(spot.key.end_mark.line) + 2


def with_block(text: str, steps: Sequence[str], block: str) -> str:
    """The text with this YAML below these keys. Raises BadFile, also for a block that is not YAML, and NotEditable."""
    value = _document(block).content
    document = _document(text)
    block = block.strip("\n") if block.strip() else "{}"
    new = _with(text, _spot(document.root, steps), block, {} if value is None else value)
    return _verified(new, _set(document.content or {}, steps, value))


def with_value(text: str, steps: Sequence[str], value: Any) -> str:
    """The text with this value at these keys, written as YAML. Raises BadFile and NotEditable."""
    return with_block(text, steps, dumped(value))


def without(text: str, steps: Sequence[str]) -> str:
    """The text without this key. Raises BadFile and NotEditable."""
    document = _document(text)
    spot = _spot(document.root, steps)
    if spot.rest:
        return text
    if spot.parent is not None and len(spot.parent.value) == 1:
        return with_block(text, steps[:-1], "{}") if len(steps) > 1 else ""
    expected = _set(document.content, steps, None)
    if spot.parent is None or spot.parent.flow_style:
        raise NotEditable("It is written in braces. Edit it as YAML.")
    start = text.rfind("\n", 0, spot.key.start_mark.index) + 1
    return _verified(text[:start] + text[_end_of_line(text, _end_of(spot)) + 1 :], expected)


def dumped(value: Any) -> str:
    """A value as YAML."""
    return yaml.safe_dump(value, default_flow_style=False, **_FORM)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where a key stands: the mapping that holds it. Where it does not exist, the nearest key above and the rest."""

    parent: yaml.MappingNode | None
    key: Any  # None where there is no key at all above
    value: yaml.Node | None
    rest: tuple[str, ...]  # keys that do not exist


def _document(text: str) -> Document:
    return Document(_NOWHERE, text.encode())


def _spot(root: yaml.Node | None, steps: Sequence[str]) -> _Spot:
    spot = _Spot(None, None, root, tuple(steps))
    while spot.rest and isinstance(spot.value, yaml.MappingNode):
        found = next(((key, value) for key, value in spot.value.value if str(key.value) == spot.rest[0]), None)
        if found is None:
            break
        key, value = found
        if value.start_mark.index < key.end_mark.index:
            raise NotEditable(f"{key.value} is an alias of another place in the file. Edit the file by hand.")
        spot = _Spot(spot.value, key, value, spot.rest[1:])
    return spot


def _with(text: str, spot: _Spot, block: str, value: Any) -> str:
    node = spot.value
    if isinstance(node, yaml.MappingNode) and node.value and spot.rest:
        if not node.flow_style:
            column = node.value[0][0].start_mark.column
            return _inserted(text, _end_of_line(text, _end(node)), column, _below(spot.rest, block))
        inner = _set(_constructed(text[node.start_mark.index : node.end_mark.index]), spot.rest, value)
        return text[: node.start_mark.index] + _in_braces(inner) + text[node.end_mark.index :]
    if spot.key is None:  # an empty file, or one of braces without content
        rest = text if node is None else text[: node.start_mark.index] + text[node.end_mark.index :]
        return (rest.rstrip("\n") + "\n" if rest.strip() else "") + _below(spot.rest, block) + "\n"
    if spot.parent is not None and spot.parent.flow_style:
        node = spot.parent
        inner = _set(
            _constructed(text[node.start_mark.index : node.end_mark.index]), (str(spot.key.value), *spot.rest), value
        )
        return text[: node.start_mark.index] + _in_braces(inner) + text[node.end_mark.index :]
    key = text[spot.key.start_mark.index : spot.key.end_mark.index]
    below = _below(spot.rest, block) if spot.rest else block
    written = f"{key}: {below}" if below.startswith("{") else f"{key}:\n{textwrap.indent(below, ' ' * _STEP)}"
    start, column = spot.key.start_mark.index, spot.key.start_mark.column
    return text[:start] + _indented(written, column).lstrip(" ") + text[_end_of_line(text, _end_of(spot)) :]


def _below(steps: Sequence[str], block: str) -> str:
    """A block under some keys."""
    for step in reversed(steps):
        key = dumped({step: 1}).removesuffix(": 1\n")
        block = f"{key}: {block}" if block.startswith("{") else f"{key}:\n{textwrap.indent(block, ' ' * _STEP)}"
    return block


def _inserted(text: str, end: int, column: int, written: str) -> str:
    return text[:end] + "\n" + _indented(written, column) + text[end:]


def _indented(text: str, column: int) -> str:
    return textwrap.indent(text, " " * column)


def _in_braces(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, **_FORM).strip()  # type: ignore[no-any-return]


def _constructed(text: str) -> Any:
    return _document(text).content


def _end_of(spot: _Spot) -> int:
    """The end of a key with its value."""
    end: int = spot.key.end_mark.index
    return max(end, _end(spot.value)) if spot.value is not None and not _is_null(spot.value) else end + 1


def _end(node: yaml.Node) -> int:
    """Where what is written of a node ends: PyYAML's own mark is that of the next token, after comments."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        key, value = node.value[-1]
        return max(int(key.end_mark.index) + 1, _end(value))
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _end(node.value[-1])
    return int(node.end_mark.index)


def _end_of_line(text: str, index: int) -> int:
    """The end of the line in which what ends at an index ends: a comment beside it goes with it."""
    end = len(text[:index].rstrip())
    found = text.find("\n", end)
    return len(text) if found < 0 else found


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and re.fullmatch(r"|~|null|Null|NULL", str(node.value)) is not None


def _set(content: Any, steps: Sequence[str], value: Any) -> Any:
    """The content with another value at these keys; None removes the key."""
    content = copy.deepcopy(content)
    if not steps:
        return value
    inner = content
    for step in steps[:-1]:
        if not isinstance(inner.get(step), dict):
            inner[step] = {}
        inner = inner[step]
    if value is None:
        inner.pop(steps[-1], None)
    else:
        inner[steps[-1]] = value
    return content


def _verified(text: str, expected: Any) -> str:
    try:
        meant = _document(text).content
    except BadFile as bad:
        raise NotEditable(f"The file is written in a way that a program cannot change safely here ({bad}).") from None
    if _bare(meant) != _bare(expected):
        raise NotEditable("The file is written in a way that a program cannot change safely here. Edit it by hand.")
    return text


def _bare(content: Any) -> Any:
    """Without what is empty: a key without a value means what a key that is not there means."""
    if isinstance(content, dict):
        return {name: bare for name, value in content.items() if (bare := _bare(value)) not in (None, {})}
    return content
