"""Reloads the configuration of a running process, on SIGHUP and when its files change.

A valid configuration replaces the running one in one step; requests in progress finish with the old one. An invalid one
changes nothing and is logged. A process keeps its environment, so changed variables need a restart.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final

import structlog

from app.config.bad_settings import BadSettings
from app.config.files import Stamp, stamp
from app.config.topology import Loaded, Topology
from app.metrics import ConfigMetrics
from app.process import terminal_is_gone
from app.store.connection import why_unavailable
from app.store.errors import StoreError
from app.tasks import end

LOOK_EVERY_S: Final = 1.0
AGAIN_AFTER_S: Final = (
    5.0  # a bad configuration may be corrected in a file that it does not name: a secret that came late
)

log = structlog.get_logger()


class Reload:
    """One process's configuration: the running one, and its replacement."""

    def __init__(
        self,
        running: Loaded,
        *,
        load: Callable[[], Loaded],
        use: Callable[[Topology], None],
        waiting: Callable[[Collection[str]], Awaitable[Mapping[str, int]]],
        metrics: ConfigMetrics,
        share: Callable[[Loaded], Awaitable[None]] | None = None,
        look_every_s: float = LOOK_EVERY_S,
        again_after_s: float = AGAIN_AFTER_S,
    ) -> None:
        """`load` raises BadSettings. `use` applies a topology without waiting, or raises. `waiting` counts calls that
        wait for some destinations, or raises StoreError. `share` stores the running configuration for commands. If it
        raises StoreError, it is called again.
        """
        self.running = running
        self._load = load
        self._use = use
        self._waiting = waiting
        self._metrics = metrics
        self._share = share
        self._shared: Loaded | None = None
        self._gone: frozenset[str] = frozenset()  # destinations that were removed
        self._look_every_s, self._again_after_s = look_every_s, again_after_s
        self._seen: Mapping[Path, Stamp] = dict(running.files)
        self._mistake = ""  # why the latest configuration is not used
        self._one_at_a_time = asyncio.Lock()
        metrics.runs(running.sha256)

    def status(self) -> tuple[bool, list[str]]:
        """Whether the configuration found last can be used, and which destinations have been removed."""
        return not self._mistake, sorted(self._gone)

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Check the files every second, and handle SIGHUP, until the context ends."""
        loop = asyncio.get_running_loop()
        tasks: set[asyncio.Task[Any]] = {asyncio.create_task(self._watch())}

        def hung_up() -> None:
            if terminal_is_gone():
                signal.raise_signal(signal.SIGTERM)
            else:
                tasks.add(asyncio.create_task(self.reload("SIGHUP")))

        with contextlib.suppress(ValueError, RuntimeError):  # signals reach only the main thread
            loop.add_signal_handler(signal.SIGHUP, hung_up)
        try:
            yield
        finally:
            with contextlib.suppress(ValueError, RuntimeError):
                loop.remove_signal_handler(signal.SIGHUP)
            await end(*tasks)

    async def reload(self, why: str) -> bool:
        """Read the configuration, and use it if it is valid. Returns whether it is."""
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
        """Report the calls that wait for removed destinations, because they stay queued."""
        try:
            waiting = await self._waiting(self._gone) if self._gone else {}
        except StoreError as failure:
            log.warning("config.removed_destinations_unknown", reason=why_unavailable(failure))
            return
        waiting = {name: calls for name, calls in waiting.items() if calls}
        self._metrics.removed(waiting)
        for name, calls in waiting.items():
            hint = "they are kept, and sent once the destination is back in the file"
            log.error("config.destination_removed", destination=name, calls_waiting=calls, hint=hint)

    async def _share_running(self) -> None:
        """Store the running configuration once. If that fails, try again after the next check."""
        running = self.running
        if self._share is None or self._shared is running:
            return
        try:
            await self._share(running)
            self._shared = running
        except StoreError as failure:
            log.debug("config.not_shared", reason=why_unavailable(failure))

    def _keep(self, mistake: str) -> None:
        """Log the mistake once, and keep the running configuration."""
        if mistake != self._mistake:
            self._metrics.failed()
            log.error("config.reload_failed", mistake=mistake, running=self.running.sha256[:12])
        self._mistake = mistake

    async def _watch(self) -> None:
        changed: Mapping[Path, Stamp] | None = None
        failed_at = 0.0
        while True:
            await self._share_running()
            await asyncio.sleep(self._look_every_s)
            now = {file: stamp(file) for file in self._seen}
            if now != self._seen:
                if now == changed:  # unchanged since the last check: the write is complete
                    changed, failed_at = None, time.monotonic()
                    await self.reload("changed")
                else:
                    changed = now
            elif self._mistake and time.monotonic() - failed_at > self._again_after_s:
                failed_at = time.monotonic()
                await self.reload("corrected")
