"""HTTP to the processes of the tests, on this machine. A client of httpx loads the system's certificates, which costs
40 ms of processor time, unless it is told that it needs none.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import httpx

from tests.waiting import patient


def local_client(**options: Any) -> httpx.Client:
    """A client of its own, for credentials or connections that are kept."""
    return httpx.Client(trust_env=False, verify=False, **options)


@contextmanager
def serving_http(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A server on a free port, until the context ends. Yields its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# For single requests. It keeps no connection: servers stop and start again below it.
HTTP: Final = local_client(timeout=patient(10), limits=httpx.Limits(max_keepalive_connections=0))
