"""A configuration that changes while a process runs: read again on SIGHUP and when its files change.

What is good takes the place of what ran, in one step; requests under way finish with what they began with. What is bad
changes nothing, and is told. A process keeps its environment, so variables are read again by a restart only.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final

import structlog
from redis.exceptions import RedisError

from app.config.files import Stamp, stamp
from app.config.topology import Loaded, Topology
from app.config.values import BadSettings
from app.delivery.connection import why_unavailable
from app.metrics import ConfigMetrics

LOOK_EVERY_S: Final = 1.0
AGAIN_AFTER_S: Final = 5.0  # a bad configuration may be mended in a file that it does not name: a secret that came late
_HAD_TERMINAL: Final = os.isatty(0)

log = structlog.get_logger()


class Reload:
    """One process's configuration: what runs, and what takes its place."""

    def __init__(
        self,
        running: Loaded,
        *,
        load: Callable[[], Loaded],
        use: Callable[[Topology], None],
        waiting: Callable[[Collection[str]], Awaitable[Mapping[str, int]]],
        metrics: ConfigMetrics,
        look_every_s: float = LOOK_EVERY_S,
        again_after_s: float = AGAIN_AFTER_S,
    ) -> None:
        """`load` raises BadSettings; `use` puts a topology in place without waiting for anything, or raises; `waiting`
        says how many calls wait for some destinations, or raises RedisError.
        """
        self.running = running
        self._load = load
        self._use = use
        self._waiting = waiting
        self._metrics = metrics
        self._gone: frozenset[str] = frozenset()  # destinations that ran once
        self._look_every_s, self._again_after_s = look_every_s, again_after_s
        self._seen: Mapping[Path, Stamp] = dict(running.files)
        self._mistake = ""  # that keeps what was found last from being used
        self._one_at_a_time = asyncio.Lock()
        metrics.runs(running.sha256)

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Look at the files each second, and listen for SIGHUP, until the context ends."""
        loop = asyncio.get_running_loop()
        tasks: set[asyncio.Task[Any]] = {asyncio.create_task(self._watch())}

        def hung_up() -> None:
            if terminal_is_gone():
                signal.raise_signal(signal.SIGTERM)
            else:
                tasks.add(asyncio.create_task(self.reload("SIGHUP")))

        with contextlib.suppress(ValueError, RuntimeError):  # signals are for the main thread
            loop.add_signal_handler(signal.SIGHUP, hung_up)
        try:
            yield
        finally:
            with contextlib.suppress(ValueError, RuntimeError):
                loop.remove_signal_handler(signal.SIGHUP)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def reload(self, why: str) -> bool:
        """Read the configuration again, and use it if it is good: then True."""
        async with self._one_at_a_time:
            self._seen = {file: stamp(file) for file in self._seen}
            try:
                loaded = await asyncio.to_thread(self._load)
                self._use(loaded.topology)
            except BadSettings as mistake:
                self._keep(str(mistake))
                return False
            except Exception as bug:
                log.exception("config.reload_crashed")
                self._keep(f"{type(bug).__name__} while it was put to use")
                return False
            self._gone = (self._gone | self.running.topology.destinations.keys()) - loaded.topology.destinations.keys()
            self.running, self._seen, self._mistake = loaded, dict(loaded.files), ""
            self._metrics.reloaded(loaded.sha256)
            log.info("config.reloaded", why=why, sha256=loaded.sha256[:12])
            await self._tell_who_is_gone()
            return True

    async def _tell_who_is_gone(self) -> None:
        """What waits for a destination that was removed stays where it is: somebody has to know of it."""
        try:
            waiting = await self._waiting(self._gone) if self._gone else {}
        except RedisError as failure:
            log.warning("config.removed_destinations_unknown", reason=why_unavailable(failure))
            return
        waiting = {name: calls for name, calls in waiting.items() if calls}
        self._metrics.removed(waiting)
        for name, calls in waiting.items():
            hint = "they are kept, and sent once the destination is back in the file"
            log.error("config.destination_removed", destination=name, calls_waiting=calls, hint=hint)

    def _keep(self, mistake: str) -> None:
        """Tell what is wrong, once, and go on with what runs."""
        if mistake != self._mistake:
            self._metrics.failed()
            log.error("config.reload_failed", mistake=mistake, running=self.running.sha256[:12])
        self._mistake = mistake

    async def _watch(self) -> None:
        changed: Mapping[Path, Stamp] | None = None
        failed_at = 0.0
        while True:
            await asyncio.sleep(self._look_every_s)
            now = {file: stamp(file) for file in self._seen}
            if now != self._seen:
                if now == changed:  # the same twice: whoever writes it is done
                    changed, failed_at = None, time.monotonic()
                    await self.reload("changed")
                else:
                    changed = now
            elif self._mistake and time.monotonic() - failed_at > self._again_after_s:
                failed_at = time.monotonic()
                await self.reload("mended")


def terminal_is_gone() -> bool:
    """Whether this process had a terminal that was closed: its SIGHUP means the end, as it does for any program."""
    return _HAD_TERMINAL and not os.isatty(0)


def ignore_hang_ups() -> None:
    """Until someone listens for SIGHUP, one that comes early must not end the process."""
    signal.signal(signal.SIGHUP, lambda *_: None)
