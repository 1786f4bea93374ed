"""Services that take alerts, on this machine: they keep what they are sent, and fail when they are told to."""

import json
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Mood = Literal["takes", "refuses", "hangs", "slow"]


@dataclass
class Receiver:
    """What one service was sent."""

    port: int = 0
    mood: Mood = "takes"
    slow_s: float = 0.5
    messages: list[dict[str, Any]] = field(default_factory=list)  # taken
    attempts: int = 0
    released: threading.Event = field(default_factory=threading.Event)  # ends what hangs

    @property
    def url(self) -> str:
        """Its address over HTTP."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def webhook(self) -> str:
        """The address of a channel that posts JSON to it."""
        return f"json://127.0.0.1:{self.port}/secret-path"

    def texts(self) -> list[str]:
        """Every message as one text."""
        return [json.dumps(message) for message in self.messages]

    def heal(self, mood: Mood = "takes") -> None:
        """Behave so from now on, and let go of what hangs."""
        self.mood = mood
        self.released.set()
        self.released = threading.Event()


class _Server(ThreadingHTTPServer):
    """One whose clients may die."""

    def handle_error(self, request: object, client_address: object) -> None:
        """The connection was cut: nothing is to be done about it."""


@contextmanager
def http_receiver(mood: Mood = "takes") -> Iterator[Receiver]:
    """A service that is posted JSON, such as Slack's webhooks, PagerDuty's events or a webhook of one's own."""
    receiver = Receiver(mood=mood)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.attempts += 1
            if receiver.mood == "hangs":
                receiver.released.wait(120)
                return
            if receiver.mood == "slow":
                time.sleep(receiver.slow_s)
            if receiver.mood == "refuses":
                self._answer(500, b"no")
                return
            receiver.messages.append({"path": self.path, "at": time.time(), **json.loads(body)})
            if self.path.startswith("/services"):  # Slack answers so
                self._answer(200, b"ok")
            else:
                self._answer(202 if b"dedup_key" in body else 200, b'{"status":"success"}')

        def do_GET(self) -> None:
            receiver.attempts += 1
            receiver.messages.append({"path": self.path})
            self._answer(200, b"ok")

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
            """Nothing."""

    server = _Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    with _serving(server, receiver):
        yield receiver


@contextmanager
def smtp_receiver() -> Iterator[Receiver]:
    """A mail server that takes every mail."""
    receiver = Receiver()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 receiver")
            while line := self.rfile.readline():
                match line.split()[0].upper() if line.strip() else b"":
                    case b"DATA":
                        self._say("354 go on")
                        lines = []
                        while (each := self.rfile.readline()).rstrip() != b".":
                            lines.append(each)
                        receiver.messages.append({"mail": b"".join(lines).decode()})
                        self._say("250 taken")
                    case b"QUIT":
                        self._say("221 bye")
                        return
                    case _:
                        self._say("250 ok")

        def _say(self, text: str) -> None:
            self.wfile.write(text.encode() + b"\r\n")

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    with _serving(server, receiver):
        yield receiver


@contextmanager
def _serving(server: socketserver.TCPServer, receiver: Receiver) -> Iterator[None]:
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        receiver.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def play_slack_and_pagerduty(slack: str = "", pagerduty: str = "") -> None:
    """Let Apprise find these services here. It has their addresses built in, so this changes the library."""
    from apprise.plugins import pagerduty as pagerduty_plugin
    from apprise.plugins.slack import NotifySlack

    if slack:
        NotifySlack.webhook_url = f"{slack}/services"
    if pagerduty:
        for region in pagerduty_plugin.PAGERDUTY_API_LOOKUP:
            pagerduty_plugin.PAGERDUTY_API_LOOKUP[region] = f"{pagerduty}/v2/enqueue"


SLACK_URL = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/"
PAGERDUTY_URL = "pagerduty://A1BRTD4JD@TIiajkdnlazkcOXrIdevi7FQ"
