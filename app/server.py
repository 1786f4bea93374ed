"""How `serve` runs uvicorn: as it is, with two things different."""

import asyncio
import os
import signal
from typing import Any, Final, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess

from app.reload import terminal_is_gone

STOP_WITHIN_S: Final = 7  # of a stop: the gateway answers what it holds; then there is time to leave within 10 s


class Gathered:
    """A transport that sends what is written within one turn of the event loop together.

    Uvicorn writes an answer's head and body apart. Two writes to the kernel took a fifth of all processor time under
    load, 27 µs of 120 a request; one takes half of it.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._later = loop.call_soon
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Send `data` at the end of this turn."""
        if not self._parts:
            self._later(self._send)
        self._parts.append(data)

    def close(self) -> None:
        """Close when all that was written is sent."""
        self._send()
        self._transport.close()

    def _send(self) -> None:
        if self._parts:
            parts, self._parts = self._parts, []
            self._transport.write(b"".join(parts))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class GatheringProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP protocol, whose answers leave in one write."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Once for each connection."""
        super().connection_made(cast(asyncio.Transport, Gathered(transport, self.loop)))


UVICORN: Final[dict[str, Any]] = {  # its options
    "loop": "uvloop",
    "http": GatheringProtocol,
    "ws": "none",
    "proxy_headers": False,  # main.py has them read for the pages alone
    "access_log": False,
    "log_config": None,
    "server_header": False,
    "timeout_keep_alive": 75,  # longer than load balancers keep theirs, so that they close first
    "timeout_graceful_shutdown": STOP_WITHIN_S,
}


class Supervisor(Multiprocess):
    """Passes a SIGHUP on to its processes, which read their configuration again; uvicorn's would start new ones."""

    def handle_hup(self) -> None:
        """One came in."""
        if terminal_is_gone():
            self.should_exit.set()
        for process in self.processes:
            if process.pid is not None:
                os.kill(process.pid, signal.SIGHUP)


def supervise(config: uvicorn.Config) -> None:
    """Run `config.workers` processes until a signal ends them."""
    Supervisor(config, sockets=[config.bind_socket()]).run()
