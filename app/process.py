"""How a gateway process deals with the system: signals, uvicorn and its processes, the garbage collector."""

import asyncio
import contextlib
import gc
import os
import resource
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import uvicorn
from uvicorn.supervisors import Multiprocess

from app.tasks import end

STOP_WITHIN_S: Final = 7  # when stopping: then there is still time to exit within 10 s
_OTHER_FILES: Final = 64  # besides connections: Redis, logs, the event loop
_HAD_TERMINAL: Final = os.isatty(0)

UVICORN: Final[dict[str, Any]] = {  # its options
    "loop": "uvloop",
    "http": "app.ingest.protocol:TrackingProtocol",
    "ws": "none",
    "access_log": False,
    "log_config": None,
    "server_header": False,
    "timeout_keep_alive": 75,  # longer than load balancers keep theirs, so that they close first
    "timeout_graceful_shutdown": STOP_WITHIN_S,
}


@contextlib.asynccontextmanager
async def repeating(action: Callable[[], None], *, every_s: float) -> AsyncIterator[None]:
    """Call `action` every `every_s` seconds until the context ends."""

    async def repeat() -> None:
        while True:
            await asyncio.sleep(every_s)
            action()

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        await end(task)


class Supervisor(Multiprocess):
    """Passes a SIGHUP on to its processes, which reload their configuration. uvicorn's own would start new ones."""

    def handle_hup(self) -> None:
        """Handle one SIGHUP."""
        if terminal_is_gone():
            self.should_exit.set()
        for process in self.processes:
            if process.pid is not None:
                os.kill(process.pid, signal.SIGHUP)


def supervise(config: uvicorn.Config) -> None:
    """Run `config.workers` processes until a signal ends them."""
    Supervisor(config, sockets=[config.bind_socket()]).run()


def most_connections(wanted: int) -> int:
    """`wanted`, or fewer if the limit of open files, raised as far as allowed, is too low.

    At that limit the kernel would reset connections without a log line.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    if soft == resource.RLIM_INFINITY:
        return wanted
    return min(wanted, max(soft - _OTHER_FILES, 1))


def terminal_is_gone() -> bool:
    """Whether this process had a terminal that was closed. Its SIGHUP then ends the process, as for any program."""
    return _HAD_TERMINAL and not os.isatty(0)


def ignore_sighup() -> None:
    """Keep an early SIGHUP from ending the process, until there is a handler for it."""
    signal.signal(signal.SIGHUP, lambda *_: None)


def tune_gc() -> None:
    """Exclude long-lived objects from garbage collection, which stalled all requests for 40 ms.

    Also collect rarely: a request creates hundreds of short-lived objects that need no collector, and by default every
    second request would start it. But not too rarely: at 50,000 a worker had grown by 7.6 MiB after a million events,
    at 10,000 by 6.0.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
