"""What the operator commands share: settings, Redis, and how mistakes are reported."""

import asyncio
import json
import os
import pwd
import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import typer
from rich import box
from rich.console import Console
from rich.table import Column, Table

from app.config.bad_settings import BadSettings
from app.masking import printable_lines
from app.operations.audit import AuditLog
from app.operations.configuration import operator_for
from app.operations.operator import BadRequest, OperationError, Operator
from app.settings import load_settings
from app.store.connection import explain, open_redis
from app.store.errors import StoreError

T = TypeVar("T")
WITHHELD: Final = "withheld"  # in place of a secret of the local run
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class OperatorConsole(Console):
    """A terminal on which what trackers wrote is shown, and nothing else happens."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, without the characters in texts that control a terminal."""
        super().print(*(printable_lines(each) if isinstance(each, str) else each for each in objects), **options)


class OperatorTable(Table):
    """A table whose cells control no terminal."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        """Add a row, without the characters in texts that control a terminal."""
        super().add_row(*(printable_lines(each) if isinstance(each, str) else each for each in cells), **options)


out = OperatorConsole()
err = OperatorConsole(stderr=True)


def table_with(
    *columns: str | Column, title: str | None = None, caption: str | None = None, lines: bool = False
) -> Table:
    """An empty table. What does not fit in a column is folded, so that nothing is cut off.

    `lines` separates the rows, where one takes several lines.
    """
    return OperatorTable(
        *(Column(column, overflow="fold") if isinstance(column, str) else column for column in columns),
        title=title,
        title_justify="left",
        caption=caption,
        caption_justify="left",
        box=box.HEAVY_HEAD if lines else box.SIMPLE_HEAD,
        pad_edge=lines,
        show_lines=lines,
    )


def whole(header: str) -> Column:
    """A column of names that other commands take: never folded."""
    return Column(header, no_wrap=True)


def numeric(*headers: str) -> list[Column]:
    """Columns of numbers."""
    return [Column(header, justify="right", no_wrap=True) for header in headers]


def fail(message: str, status: int = 1) -> NoReturn:
    """End the command with one readable line."""
    err.print(f"attentive-gateway: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(status)


def with_redis(work: Callable[[Operator], Awaitable[T]], *, quiet: bool = False) -> T:
    """Run `work` with Redis. What it refuses, and a Redis that does not answer, end the command with one line.

    `quiet`: a Redis that does not answer ends it without one.
    """
    looked_for = join_local_run()
    settings = load_settings()

    async def run() -> T:
        redis = open_redis(settings.redis_url.get_secret_value())
        try:
            operator, note = await operator_for(redis, settings)
            if note and not quiet:
                err.print(note, style="dim", markup=False, highlight=False, soft_wrap=True)
            return await work(operator)
        finally:
            await redis.aclose(close_connection_pool=True)

    try:
        return asyncio.run(run())
    except OperationError as refusal:
        fail(str(refusal), 2 if isinstance(refusal, BadRequest) else 1)
    except BadSettings as problem:
        fail(f"{problem}. {looked_for}", 2)
    except StoreError as failure:
        if quiet:
            raise typer.Exit(1) from None
        fail(f"Redis cannot be used ({explain(failure)}). {looked_for}")


async def audit(
    operator: Operator, act: str, *, destination: str = "", ids: Sequence[str] = (), **facts: str | int
) -> None:
    """Write an act into the audit log of the console: names, IDs and counts, never values. Raises StoreError."""
    await AuditLog(operator.redis).add(f"{os_user()} (command line)", act, destination=destination, ids=ids, **facts)


def os_user() -> str:
    """The name of the user of this process; its number where the system does not know a name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def running_file(data: Path) -> Path:
    """Where `run` stores how it can be reached while it runs."""
    return data / "running.json"


def join_local_run() -> str:
    """Use the gateway that `run` started from this folder, unless a Redis is set. Returns what was looked for, where.

    GATEWAY_DATA names another folder than `data`, as `run --data` does.
    """
    if "GATEWAY_REDIS_URL" in os.environ:
        return "The address of Redis comes from GATEWAY_REDIS_URL."
    file = running_file(Path(os.environ.get("GATEWAY_DATA") or "data")).absolute()
    if not file.exists():
        return (
            "GATEWAY_REDIS_URL is not set, and no `attentive-gateway run` is active in this folder (there is no "
            f"{file}), so redis://127.0.0.1:6379/0 was tried. Start `attentive-gateway run` here, set "
            "GATEWAY_REDIS_URL, or set GATEWAY_DATA to the folder of `run --data`."
        )
    for name, value in json.loads(file.read_text(encoding="utf-8")).items():
        os.environ.setdefault(name, value)
    return f"The address of Redis comes from {file}. Check that the `run` which wrote it is still running."


def parse_span(text: str) -> timedelta:
    """ "90s", "15m", "2h" or "3d"."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is not a valid age. Use a number and a unit, such as 90s, 15m or 3d.")
    return timedelta(seconds=float(found[1]) * _UNITS[found[2]])
