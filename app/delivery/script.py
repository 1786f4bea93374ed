"""Lua scripts by name. Redis may forget them (a restart, a failover); whoever runs one never notices."""

import hashlib
from collections.abc import Awaitable, Sequence
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import NoScriptError

Argument = str | bytes | int | float
Answer = Awaitable[Any]


class Script:
    """One file of `scripts/`. Running it is one round trip, and a second one the first time a Redis sees it."""

    def __init__(self, name: str, *, after: Sequence[str] = ()) -> None:
        """`name` is the file's, without `.lua`; the files named in `after` stand before it, for what they define."""
        self.name = name
        self._text = "\n".join(_text(part) for part in (*after, name))
        self._sha = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, redis: Redis, keys: Sequence[str], args: Sequence[Argument]) -> Any:
        """The script's answer. Raises what Redis raises."""
        try:
            return await redis.execute_command(*self.command(keys, args))  # type: ignore[no-untyped-call]
        except NoScriptError:
            return await redis.execute_command(*self.command(keys, args, with_text=True))  # type: ignore[no-untyped-call]

    def queue(self, pipeline: Pipeline, keys: Sequence[str], args: Sequence[Argument]) -> None:
        """Add a run to `pipeline`; its result is NoScriptError where Redis must be sent the text first."""
        pipeline.execute_command(*self.command(keys, args))

    def command(
        self, keys: Sequence[str], args: Sequence[Argument], *, with_text: bool = False
    ) -> tuple[Argument, ...]:
        """The command for a run; Redis answers it with NoScriptError where it must be sent the text first."""
        how = ("EVAL", self._text) if with_text else ("EVALSHA", self._sha)
        return (*how, len(keys), *keys, *args)


def _text(name: str) -> str:
    return files("app.delivery").joinpath("scripts", f"{name}.lua").read_text(encoding="utf-8")
