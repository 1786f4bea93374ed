"""Lua scripts by name, with named keys and arguments. Redis may forget a script; it is then sent again.

The loader writes the locals that a script reads its keys and arguments from, so that a name stands for the same value
on both sides:

    Script("acquire", keys=("lease", "generation", "*streams"), args=("owner",))
    local lease, generation, streams = KEYS[1], KEYS[2], {unpack(KEYS, 3)}
    local owner = ARGV[1]

The last name may stand for many values. `*streams` is a table of them. `@ends` has no table: `ends_at` is the index of
the first value, for lists too long for Lua's stack. A name such as `#dead` has no local: the script gets its index (see
`index`) in an argument.
"""

import hashlib
from collections.abc import Awaitable, Mapping, Sequence
from importlib.resources import files
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import NoScriptError

Argument = str | bytes | int | float
Answer = Awaitable[Any]
Keys = Mapping[str, str | Sequence[str]]  # by name; a sequence for the name that stands for many
Arguments = Mapping[str, Argument | Sequence[Argument]]

SCRIPTS: Final[dict[str, "Script"]] = {}  # every declared script, by name


class KeyPlaces:
    """Keys that a script finds by their index, each once. They are added to `keys`, whose first has index `first`."""

    def __init__(self, keys: list[str], first: int = 1) -> None:
        self._keys, self._first = keys, first
        self._places: dict[str, int] = {}

    def place(self, key: str, *beside: str) -> int:
        """The index of a key, which is added if it is new. The keys `beside` it follow it."""
        if (place := self._places.get(key)) is None:
            place = self._places[key] = self._first + len(self._keys)
            self._keys += (key, *beside)
        return place


class Script:
    """One file of `scripts/`. A run takes one round trip, and a second one the first time a server gets it."""

    def __init__(
        self,
        name: str,
        *,
        keys: Sequence[str] = (),
        args: Sequence[str] = (),
        after: Sequence[str] = (),
        label: str | None = None,
    ) -> None:
        """`name` is the file name without `.lua`. The files in `after` precede it, and define what it uses.

        `keys` and `args` are the names of its keys and arguments, in order. `label` is the name among SCRIPTS, where a
        file is a script twice, with other files before it.
        """
        self.name, self.keys, self.args, self.after = name, tuple(keys), tuple(args), tuple(after)
        self.text = "\n".join((*prologue(keys, args), *(source(part) for part in (*after, name))))
        self._sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        self.label = label or name
        SCRIPTS[self.label] = self

    def index(self, key: str) -> int:
        """The index of a key among the script's KEYS, from 1. For a name with many keys, the index of the first."""
        return next(at for at, name in enumerate(self.keys, start=1) if name.lstrip("*@#") == key)

    async def run(self, redis: Redis, keys: Keys, args: Arguments) -> Any:
        """The script's result. Raises Redis's errors."""
        try:
            return await redis.execute_command(*self.command(keys, args))  # type: ignore[no-untyped-call]
        except NoScriptError:
            return await redis.execute_command(*self.command(keys, args, with_text=True))  # type: ignore[no-untyped-call]

    def queue(self, pipeline: Pipeline, keys: Keys, args: Arguments) -> None:
        """Add a run to `pipeline`. Its result is NoScriptError if Redis must be sent the text first."""
        pipeline.execute_command(*self.command(keys, args))

    def command(self, keys: Keys, args: Arguments, *, with_text: bool = False) -> tuple[Argument, ...]:
        """The command for a run. Redis answers with NoScriptError if it must be sent the text first."""
        how = ("EVAL", self.text) if with_text else ("EVALSHA", self._sha)
        in_order = _in_order(self.keys, keys)
        return (*how, len(in_order), *in_order, *_in_order(self.args, args))


def prologue(keys: Sequence[str], args: Sequence[str]) -> list[str]:
    """The lines that define a script's locals."""
    return [_locals("KEYS", keys), _locals("ARGV", args)]


def source(name: str) -> str:
    """The text of one file of `scripts/`."""
    return files("app.store").joinpath("scripts", f"{name}.lua").read_text(encoding="utf-8")


def local_name(name: str) -> str:
    """The name of a declared name's local variable."""
    return f"{name[1:]}_at" if name.startswith("@") else name.removeprefix("*")


def _locals(table: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    named = [(local_name(name), _value(table, name, at)) for at, name in enumerate(names, start=1) if name[0] != "#"]
    return f"local {', '.join(name for name, _ in named)} = {', '.join(value for _, value in named)}"


def _value(table: str, name: str, place: int) -> str:
    match name[0]:
        case "*":
            return f"{{unpack({table}, {place})}}"
        case "@":
            return str(place)
        case _:
            return f"{table}[{place}]"


def _in_order(names: Sequence[str], given: Mapping[str, Any]) -> list[Any]:
    """The values of these names. Raises KeyError for a name without a value, TypeError for a value without a name."""
    values: list[Any] = []
    for name in names:
        if name[0] in "*@":
            values += given[name[1:]]
        else:
            values.append(given[name.removeprefix("#")])
    if len(given) != len(names):
        raise TypeError(f"no names of this script: {sorted(given.keys() - {name.lstrip('*@#') for name in names})}")
    return values
