"""The image's HEALTHCHECK: it finds what runs in the container, and tells dead from alive."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from app.healthcheck import alive, pages
from tests.ports import free_port


@contextmanager
def answering(status: int) -> Iterator[int]:
    """Something that answers /healthz with `status`, and all else with 404; its port."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("environment", "gateway", "worker"),
    [
        pytest.param({}, ("127.0.0.1", 8080), ("127.0.0.1", 8081), id="the defaults"),
        pytest.param(
            {"GATEWAY_HOST": "0.0.0.0", "GATEWAY_WORKER_HOST": "::"},
            ("127.0.0.1", 8080),
            ("::1", 8081),
            id="one who listens everywhere is asked on the loopback",
        ),
        pytest.param(
            {"GATEWAY_HOST": "10.0.0.7", "GATEWAY_PORT": "80", "GATEWAY_WORKER_PORT": "9000"},
            ("10.0.0.7", 80),
            ("127.0.0.1", 9000),
            id="addresses and ports of one's own",
        ),
    ],
)
def test_it_asks_where_the_settings_say(
    environment: dict[str, str], gateway: tuple[str, int], worker: tuple[str, int]
) -> None:
    assert pages(environment) == [gateway, worker, ("127.0.0.1", 8083)]


@pytest.mark.parametrize(("status", "verdict"), [(200, True), (500, False), (404, False)])
def test_a_200_alone_is_alive(status: int, verdict: bool) -> None:
    with answering(status) as port:
        assert alive("127.0.0.1", port) is verdict


@pytest.mark.parametrize("variable", ["GATEWAY_PORT", "GATEWAY_WORKER_PORT", "GATEWAY_CONSOLE_PORT"])
def test_the_check_passes_for_a_gateway_a_worker_and_a_console_and_fails_for_none(variable: str) -> None:
    names = ("GATEWAY_PORT", "GATEWAY_WORKER_PORT", "GATEWAY_CONSOLE_PORT")
    none = {name: str(free_port()) for name in names}
    with answering(200) as port:
        statuses = [
            subprocess.run(
                [sys.executable, "-m", "app.healthcheck"], env={**os.environ, **ports}, check=False
            ).returncode
            for ports in ({**none, variable: str(port)}, none)
        ]
    assert statuses == [0, 1]
