"""Explains mistakes in the syntax of a YAML file: the line, and the probable meaning."""

import re
from collections.abc import Sequence
from typing import Final

import yaml

_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_MEANT: Final = {  # what the library reports, as a pattern → what is probably meant
    r"expected ',' or '([}\]])'": "a brace or bracket is not closed with {0}, or two entries have no comma between",
    r"expected the node content": "a value is missing, or a bracket is not closed",
    r"unexpected end of stream": "a quotation mark is not closed, in this line or above it",
    r"mapping values": "it has two colons. Put a value that contains a colon and a space in quotes",
    r"character ('.') that cannot start": "a value that starts with {0} must be in quotes",
    r"undefined alias": "a value that starts with '*' must be in quotes",
    r"constructor for the tag": "a value that starts with '!' must be in quotes",
}
_VALUE: Final = re.compile(r":\s+[^\s#|>&]")  # a key with its value on the same line


def explained(failure: yaml.YAMLError, text: str) -> tuple[int, str]:
    """The line of the mistake, from 1, and what is wrong. It quotes nothing: the file may contain secrets."""
    if isinstance(failure, yaml.reader.ReaderError):
        return text.count("\n", 0, failure.position) + 1, "it contains characters that YAML forbids"
    mark, problem = getattr(failure, "problem_mark", None), getattr(failure, "problem", None) or "cannot be read"
    if mark is None:
        return 1, _QUOTED.sub(_short, problem)
    lines = text.splitlines()
    return mark.line + 1, _meant(mark.line, problem, lines) or _QUOTED.sub(_short, problem)


def _meant(number: int, problem: str, lines: Sequence[str]) -> str:
    """The probable mistake in this line. Empty if the library's own message must do."""
    line = lines[number] if number < len(lines) else ""
    if "\\t" in problem and line.strip(" ").startswith("\t"):
        return "it is indented with a tab. Indent with spaces"
    if "expected ':'" in problem:
        return "a key in it, or in the lines above, has no colon after it. Write `key: value`"
    if ("<block end>" in problem or problem.startswith("mapping values")) and (meant := _indentation(number, lines)):
        return meant
    found = ((re.search(pattern, problem), meant) for pattern, meant in _MEANT.items())
    return next((meant.format(*match.groups()) for match, meant in found if match), "")


def _indentation(number: int, lines: Sequence[str]) -> str:
    """The valid indentations, if this line's indentation fits none of the lines above."""
    own = _indent(lines[number]) if number < len(lines) else 0
    levels: dict[int, int] = {}  # indentation → line, from 1, that this line may belong to
    for above in range(number - 1, -1, -1):
        given = lines[above]
        if given.strip() and not given.lstrip().startswith("#") and _indent(given) < min(levels, default=10_000):
            levels[_indent(given)] = above + 1
    before = max(levels, default=own)
    if own in levels and ":" not in lines[levels[own] - 1]:
        return f"line {levels[own]}, which this line seems to continue, has no colon after its key. Write `key: value`"
    if own == before or own in levels:
        return ""
    if own > before:
        return (
            f"it is indented by {own} spaces, below line {levels[before]}, which already has a value. "
            f"Indent it by {before}, as that line"
            if _VALUE.search(lines[levels[before] - 1])
            else ""
        )
    fits = sorted(sorted(levels, key=lambda level: abs(level - own))[:2], reverse=True)
    choices = " or ".join(f"{level}, as line {levels[level]}" for level in fits)
    return f"it is indented by {own} spaces, which fits no line above it. Indent it by {choices}"


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _short(quoted: re.Match[str]) -> str:
    return quoted[0] if len(quoted[0]) <= len(r"'\t'") else "…"  # one character, as Python writes it
