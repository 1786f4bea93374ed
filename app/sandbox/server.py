"""Serves the sandbox over HTTP, so that a fault can cut the TCP connection."""

import errno
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.sandbox.app import Sandbox, create_sandbox
from app.sandbox.config import SandboxConfig
from app.sandbox.wire import TRANSPORT

STOPS_WITHIN_S = 10.0


class PortInUse(Exception):  # noqa: N818  # named for what the operator does next: choose another port
    """Another process already listens on the port."""


class _TransportInScope(HttpToolsProtocol):
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["state"][TRANSPORT] = self.transport


class _Server(uvicorn.Server):
    """A server that ends without an error on SIGTERM or SIGINT, and disconnects callers that a fault keeps waiting."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(
            uvicorn.Config(
                sandbox,
                http=_TransportInScope,
                ws="none",
                lifespan="off",
                access_log=False,
                log_level=logging.WARNING,
                log_config=None,
                server_header=False,
                timeout_keep_alive=75,  # long, so that clients do not meet a closed idle connection by chance
                timeout_graceful_shutdown=2,
            )
        )
        self._sandbox = sandbox

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._sandbox.open()
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._sandbox.release()
        await super().shutdown(sockets)


@dataclass(frozen=True, slots=True)
class RunningSandbox:
    """A sandbox that answers on a port."""

    url: str  # "http://127.0.0.1:8090"
    sandbox: Sandbox


def serve_sandbox(
    host: str = "127.0.0.1",
    port: int = 8090,
    config: SandboxConfig | None = None,
    *,
    on_listening: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT. Port 0 takes a free one. `on_listening` gets the URL. Raises PortInUse."""
    listener = _listen(host, port)
    if on_listening is not None:
        on_listening(_url(host, listener))
    _Server(create_sandbox(config)).run(sockets=[listener])


@contextmanager
def running_sandbox(
    config: SandboxConfig | None = None, *, host: str = "127.0.0.1", port: int = 0, sandbox: Sandbox | None = None
) -> Iterator[RunningSandbox]:
    """Serve in a thread for as long as the block lasts, for tests and benchmarks; this sandbox, or a new one."""
    listener = _listen(host, port)
    sandbox = sandbox or create_sandbox(config)
    server = _Server(sandbox)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="sandbox", daemon=True)
    thread.start()
    try:
        yield RunningSandbox(_url(host, listener), sandbox)
    finally:
        server.should_exit = True
        thread.join(STOPS_WITHIN_S)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)  # from here on callers wait for the server instead of being refused
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(f"port {port} on {host} is in use") from error
        raise
    listener.setblocking(False)
    return listener


def _url(host: str, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
