"""The published clients that run here, and one visit of a shopper to a shop that uses one of them."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.subprocesses import stop_child
from tests.clients.proxy import Proxy
from tests.stack import Stack
from tests.waiting import patient

HERE: Final = Path(__file__).parent
PYTHON: Final = HERE / ".venv" / "bin" / "python"
CHROMIUM: Final = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")

FIRST_HALF: Final = (
    "/v1/identity-resolution/user-identifiers",
    "/v2/user/attributes",
    "/v1/events/custom page",
    "/v1/events/ecommerce/product-view",
)
SECOND_HALF: Final = (
    "/v1/events/ecommerce/add-to-cart",
    "/v1/events/custom Checkout Started",
    "/v1/events/ecommerce/purchase",
)
"""What the events of a visit become: the identify is two calls."""
EVENTS: Final = 6


@dataclass(frozen=True, slots=True)
class Client:
    """One published package and the script that uses it."""

    package: str
    script: str
    page: str = ""  # the way its shop page uses it, for a client in a browser
    where: str = ""
    resends: bool = True

    @property
    def command(self) -> list[str]:
        """What runs one visit."""
        if self._is_python:
            return [str(PYTHON), "-m", f"tests.clients.senders.{self.script.removesuffix('.py')}"]
        return ["node", str(HERE / "senders" / self.script), self.page]

    @property
    def title(self) -> str:
        """The package with the version that is locked, as the table names it."""
        if not self._is_python:
            packages = json.loads((HERE / "package-lock.json").read_text())["packages"]
            version = packages[f"node_modules/{self.package}"]["version"]
        else:
            (version,) = re.findall(
                rf"^{self.package}==([\w.]+)", (HERE / "requirements.lock").read_text(), re.MULTILINE
            )
        return f"{self.package} {version}{self.where and f', {self.where}'}"

    @property
    def _is_python(self) -> bool:
        return self.script.endswith(".py")


CLIENTS: Final = (
    Client("segment-analytics-python", "segment_python.py"),
    Client("rudder-sdk-python", "rudder_python.py"),
    Client("@segment/analytics-node", "segment_node.mjs"),
    Client("@rudderstack/rudder-sdk-node", "rudder_node.mjs"),
    Client("@jitsu/js", "jitsu.mjs", where="on a server", resends=False),
    Client("@segment/analytics-next", "browser.mjs", "segment", where="in Chromium"),
    Client("@segment/analytics-next", "browser.mjs", "segment-batching", where="in batches"),
    Client("@rudderstack/analytics-js", "browser.mjs", "rudderstack", where="in Chromium"),
    Client("@jitsu/js", "browser.mjs", "jitsu", where="in Chromium", resends=False),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the ledger has of a visit."""

    missing: tuple[str, ...]
    repeated: tuple[str, ...]

    @property
    def word(self) -> str:
        """For the table."""
        if self.repeated:
            return "repeated"
        return "gives up" if self.missing else "once"

    def __str__(self) -> str:
        if self.repeated:
            return f"repeated ({', '.join(self.repeated)})"
        calls = len(FIRST_HALF) + len(SECOND_HALF)
        return f"gives up ({calls - len(self.missing)} of {calls} calls)" if self.missing else "once"


class Visit:
    """A client's process between its start and its end. It sends half of its events, waits, and sends the rest."""

    def __init__(self, client: Client, gateway: Stack, proxy: Proxy, write_key: str) -> None:
        self.client = client
        self.proxy = proxy
        self._gateway = gateway
        self._write_key = write_key
        self.user = f"shopper-{uuid.uuid4().hex[:12]}"
        self._said = gateway.folder / f"{self.user}.out"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin with the first half."""
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                self.client.command,
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=subprocess.STDOUT,
                cwd=HERE.parent.parent,
                env=environment
                | {
                    "GATEWAY": f"http://127.0.0.1:{self.proxy.port}",
                    "WRITE_KEY": self._write_key,
                    "SHOPPER": self.user,
                    "CHROMIUM": CHROMIUM,
                },
            )

    def go_on(self) -> None:
        """Let the second half begin, once the first is done."""
        stdin = self._running.stdin
        assert stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it is gone already: its exit status will say so
            stdin.write(b"go on\n")
            stdin.flush()

    def close(self) -> int:
        """Leave, or be made to; the exit status."""
        if (process := self._process) is None:
            return 0
        if process.stdin is not None:
            process.stdin.close()
        try:
            return process.wait(patient(10))
        except subprocess.TimeoutExpired:
            return stop_child(process)

    @property
    def said(self) -> str:
        """What the client printed."""
        return self._said.read_text(errors="replace")

    @property
    def first_half_arrived(self) -> bool:
        """Whether all that was sent before the pause is in the ledger."""
        return set(FIRST_HALF) <= self._calls().keys()

    @property
    def settled(self) -> bool:
        """Whether nothing more is to be expected of the client."""
        if not self.client.page:
            return self._running.poll() is not None
        arrived = len(self._calls().keys() - {"/v2/user/attributes"})
        if self.client.resends:
            return arrived == EVENTS and not self.proxy.unanswered
        return arrived + sum(status >= 400 for status in self.proxy.statuses) >= EVENTS

    def outcome(self) -> Outcome:
        """What became of it, once it is settled and nothing waits."""
        calls = self._calls()
        expected = Counter(FIRST_HALF + SECOND_HALF)
        return Outcome(missing=tuple((expected - calls).elements()), repeated=tuple((calls - expected).elements()))

    @property
    def _running(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None
        return self._process

    def _calls(self) -> Counter[str]:
        return Counter(_name(call) for call in self._gateway.ledger(contains=self.user))


def _name(call: dict[str, Any]) -> str:
    """The path, and for custom events which one."""
    path: str = call["path"]
    return f"{path} {call['body']['type']}" if path == "/v1/events/custom" else path
