"""Lists of dotted paths that select fields of an event. `*` stands for any part of one name."""

import re
from collections.abc import Iterable, Sequence


class Paths:
    """Fields by path. A path includes everything below it. List indexes are not part of a path."""

    def __init__(self, patterns: Sequence[str], *, always: Sequence[str] = ()) -> None:
        """`patterns` begin with properties, traits or context. `always` are allowed as well."""
        self.roots = frozenset(normal_path(pattern).partition(".")[0] for pattern in patterns)
        steps = [normal_path(pattern).split(".") for pattern in (*patterns, *always)]
        self._covers = _any_of(steps, end=r"(?:\.|\Z)")
        self._leads_to = _any_of((path[:count] for path in steps for count in range(1, len(path))), end=r"\Z")

    def cover(self, path: str) -> bool:
        """Whether this path is listed, or below a listed path."""
        return self._covers.match(normal_path(path)) is not None

    def let_through(self, path: str, *, holds_more: bool) -> bool:
        """Whether this allow-list allows a field: it is listed, contains a listed one, or is not restricted."""
        path = normal_path(path)
        root, _, below = path.partition(".")
        if not below or root not in self.roots or self._covers.match(path):
            return True
        return holds_more and self._leads_to.match(path) is not None


def normal_path(path: str) -> str:
    """The path without `context.`, because `context.traits.x` and `traits.x` are one place."""
    return path.removeprefix("context.") if path.startswith("context.traits.") or path == "context.traits" else path


def _any_of(paths: Iterable[Sequence[str]], *, end: str) -> re.Pattern[str]:
    """Matches each of these at the beginning of a path. Matches nothing if there are none."""
    forms = [r"\.".join(re.escape(step).replace(r"\*", "[^.]*") for step in path) for path in paths]
    return re.compile(f"(?:{'|'.join(forms)}){end}" if forms else r"(?!)")
