"""A YAML file as text, content and positions, so that every mistake is reported with its line.

It is read as YAML 1.2: `on`, `no` and `12:30` are text, as people expect who write a name or a country.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from app.config.bad_settings import BadSettings
from app.config.syntax import explained
from app.config.values import sentence


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake to correct. `where` is the dotted path of a key, `expected` the rule. Neither contains a value."""

    line: int
    where: str
    expected: str

    def __str__(self) -> str:
        return f"{self.where}: {self.expected}" if self.where else self.expected


class BadFile(BadSettings):
    """An invalid configuration file, with all mistakes found in it, by line."""

    def __init__(self, path: Path, mistakes: Sequence[Mistake]) -> None:
        """Join all mistakes in one line."""
        self.path, self.mistakes = path, tuple(sorted(mistakes, key=lambda mistake: mistake.line))
        listed = "; ".join(f"line {mistake.line}: {mistake}" for mistake in self.mistakes)
        super().__init__(f"GATEWAY_CONFIG: {path}, {listed}")


class Document:
    """One file, parsed."""

    def __init__(self, path: Path, content: bytes) -> None:
        """Raises BadFile if it is not YAML, or repeats a key."""
        self.path = path
        try:
            loader = _Loader(content.decode())
            self.root = loader.get_single_node()
            if repeated := list(_repeated(self.root)):
                raise BadFile(path, repeated)
            self.content = None if self.root is None else loader.construct_document(self.root)
        except yaml.YAMLError as failure:
            line, problem = explained(failure, content.decode())
            raise BadFile(path, [Mistake(line, "", f"not YAML: {problem}")]) from None
        except UnicodeDecodeError as failure:
            line = content.count(b"\n", 0, failure.start) + 1
            raise BadFile(path, [Mistake(line, "", "not text in UTF-8")]) from None

    def mistakes(self, errors: Sequence[Any]) -> list[Mistake]:
        """Pydantic's errors as mistakes in this file."""
        places = [error["loc"] for error in errors]
        return [
            self._mistake(error)
            for error in errors
            # a list whose elements are wrong counts as empty, which need not be reported as well
            if error["type"] != "too_short" or sum(place[: len(error["loc"])] == error["loc"] for place in places) == 1
        ]

    def _mistake(self, error: Any) -> Mistake:
        steps, rule = error["loc"], sentence({**error, "loc": ()})
        if error["type"] == "missing":
            where, line = self.place(steps[:-1])
            where.append(str(steps[-1]))
        else:
            where, line = self.place(steps)
        return Mistake(line, ".".join(where), rule)

    def place(self, steps: Sequence[str | int]) -> tuple[list[str], int]:
        """As many of these keys and indexes as the file contains, and the line that they lead to."""
        node, line, followed = self.root, 1, list[str]()
        for step in steps:
            if (found := _child(node, step)) is None:
                break
            name, line, node = found
            followed.append(name)
        return followed, line


_NONE: Final = frozenset[int]()
_MERGE: Final = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """YAML 1.2's plain scalars."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - pyyaml's own form


_SCALARS: Final = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("merge", r"<<", "<"),
)
for _tag, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), ["" if each == "\0" else each for each in _first]
    )


def _repeated(node: yaml.Node | None, above: tuple[str, ...] = (), seen: frozenset[int] = _NONE) -> Iterator[Mistake]:
    """Keys that appear twice in one mapping: YAML would silently use the last one."""
    if id(node) in seen:  # an alias of a node that contains it
        return
    seen |= {id(node)}
    if isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in first and key.tag != _MERGE:
                yield Mistake(line, ".".join((*above, name)), f"is repeated; it is first in line {first[name]}")
            first.setdefault(name, line)
            yield from _repeated(value, (*above, name), seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _repeated(value, (*above, str(index)), seen)


def _child(node: yaml.Node | None, step: str | int) -> tuple[str, int, yaml.Node] | None:
    """The target of one key or index: its name in the file, the line and the node."""
    if isinstance(node, yaml.MappingNode):
        keys = {str(key.value): (key, value) for key, value in reversed(node.value)}
        form = str(step).removesuffix("s")  # write_keys may be written as write_key_env, api_token as api_token_file
        name = str(step) if str(step) in keys else next((each for each in keys if each.startswith(form)), None)
        return None if name is None else (name, keys[name][0].start_mark.line + 1, keys[name][1])
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return str(step), node.value[step].start_mark.line + 1, node.value[step]
    return None
