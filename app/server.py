"""How `serve` runs uvicorn: as it is, with two things different."""

import asyncio
import os
import signal
from collections.abc import Mapping
from typing import Any, Final, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.supervisors import Multiprocess

from app.ingest.cors import Cors
from app.ingest.exchange import Answer, Request
from app.ingest.paths import BY_URL, TrackingPath
from app.ingest.routes import Limits
from app.reload import terminal_is_gone

STOP_WITHIN_S: Final = 7  # of a stop: the gateway answers what it holds; then there is time to leave within 10 s


class TrackingProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP protocol, which answers plain tracking requests without ASGI.

    A task, its messages and their checks were 30 µs of 120 a request. Plain is a POST with a Content-Length within the
    limit; what is pipelined, chunked, too large, or waits for a 100 goes the usual way, and is answered alike.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._gateway = self.app if isinstance(self.app, Cors) else None
        self._exchange: Exchange | None = None  # what is read, where it is a plain request

    def on_headers_complete(self) -> None:
        """Of each request."""
        url, _, query = self.url.partition(b"?")
        path = BY_URL.get(url)
        gateway = self._gateway
        if path is None or gateway is None or not self._is_plain(headers := dict(self.headers), gateway.limits):
            self._exchange = None
            super().on_headers_complete()
        else:
            keep_alive = self.parser.should_keep_alive()
            self._exchange = Exchange(self, gateway, path, headers, query, keep_alive=keep_alive)
            self.cycle = cast(RequestResponseCycle, self._exchange)

    def _is_plain(self, headers: Mapping[bytes, bytes], limits: Limits) -> bool:
        length = headers.get(b"content-length", b"")
        return (
            self.parser.get_method() == b"POST"
            and length.isdigit()
            and int(length) <= limits.body_bytes
            and not self.expect_100_continue
            and self.parser.get_http_version() == "1.1"
            and not self.parser.should_upgrade()
            and (self.cycle is None or self.cycle.response_complete)
            and not self.flow.write_paused
        )

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self._exchange is not None:
            self._exchange.parts.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The body is whole."""
        if self._exchange is not None:
            self._exchange.serve()
        else:
            super().on_message_complete()


class Exchange:
    """A tracking request of one connection and its answer, in the place of uvicorn's cycle, which it is to the rest."""

    message_event: Final = asyncio.Event()  # of uvicorn's cycles; nobody waits for this one

    def __init__(
        self,
        protocol: TrackingProtocol,
        gateway: Cors,
        path: TrackingPath,
        headers: Mapping[bytes, bytes],
        query: bytes,
        *,
        keep_alive: bool,
    ) -> None:
        self.parts: list[bytes] = []
        self.keep_alive = keep_alive  # uvicorn forbids it when it stops
        self.disconnected = False
        self.response_complete = False
        self._protocol, self._gateway = protocol, gateway
        self._path, self._headers, self._query = path, headers, query

    def serve(self) -> None:
        """Hand the request on, once it is whole; none of its body is kept here."""
        parts, self.parts = self.parts, []
        wire = parts[0] if len(parts) == 1 else b"".join(parts)
        self._gateway.serve(Request(self._path, self._headers, self._query, wire), self._reply)

    def _reply(self, answer: Answer) -> None:
        """Write the answer, all of it at once, unless the tracker went away."""
        if self.disconnected:
            return
        protocol = self._protocol
        head = [STATUS_LINE[answer.status]]
        for name, value in (*protocol.server_state.default_headers, *answer.all_headers):
            head += (name, b": ", value, b"\r\n")
        if not self.keep_alive:
            head.append(b"connection: close\r\n")
        protocol.transport.write(b"".join((*head, b"\r\n", answer.body)))
        self.response_complete = True
        if not self.keep_alive:
            protocol.transport.close()
        protocol.on_response_complete()


UVICORN: Final[dict[str, Any]] = {  # its options
    "loop": "uvloop",
    "http": TrackingProtocol,
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
