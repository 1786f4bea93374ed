"""What the operator commands share: settings, Redis, and how mistakes are said."""

import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, NoReturn, TypeVar

import typer
from arq.connections import ArqRedis
from redis.exceptions import RedisError
from rich.console import Console

from app.config.topology import Topology
from app.delivery.connection import open_redis, why_unavailable
from app.settings import Settings, load_settings

T = TypeVar("T")
NOT_TOLD: Final = "not told"  # in place of a secret of the local run
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

out = Console()
err = Console(stderr=True)


def fail(message: str, status: int = 1) -> NoReturn:
    """End the command with one readable line."""
    err.print(f"attentive-gateway: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(status)


@dataclass(frozen=True, slots=True)
class Operator:
    """What an operator command works with."""

    settings: Settings
    topology: Topology
    redis: ArqRedis

    @property
    def destinations(self) -> list[str]:
        """Their names."""
        return list(self.topology.destinations)


def with_redis(work: Callable[[Operator], Awaitable[T]]) -> T:
    """Run `work` with Redis at hand. A Redis that does not answer ends the command with one line."""
    join_local_run()
    settings = load_settings()
    topology = settings.topology()

    async def run() -> T:
        redis = open_redis(settings.redis_url.get_secret_value())
        try:
            return await work(Operator(settings, topology, redis))
        finally:
            await redis.aclose()

    try:
        return asyncio.run(run())
    except RedisError as failure:
        fail(f"Redis cannot be used ({why_unavailable(failure)}: {failure}): is GATEWAY_REDIS_URL right?")


def running_file(data: Path) -> Path:
    """Where `run` says how it can be reached while it runs."""
    return data / "running.json"


def join_local_run() -> None:
    """Where nothing else is set, speak to the gateway that `run` has started from this folder."""
    file = running_file(Path("data"))
    if "GATEWAY_REDIS_URL" in os.environ or not file.exists():
        return
    for name, value in json.loads(file.read_text(encoding="utf-8")).items():
        os.environ.setdefault(name, value)


def parse_span(text: str) -> timedelta:
    """ "90s", "15m", "2h" or "3d"."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no age: write 90s, 15m, 2h or 3d")
    return timedelta(seconds=float(found[1]) * _UNITS[found[2]])
