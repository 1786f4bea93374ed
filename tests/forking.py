"""Processes of ours that start at once: forked from a server that has imported everything, as the tests start hundreds.

A process is real, with a session, signals and an end of its own; what it does not do again is to import. That a start
from nothing works as well is tested where a command is started by its name (tests/journeys/test_run.py).

A process that is forked here and starts others of ours may have them forked as well: ForkServer.forked().
"""

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Self

_COLUMNS: Final = "200"  # rich reads it when it is imported
_READ_BYTES: Final = 65_536
_CHECK_S: Final = 0.05


class ForkedProcess(subprocess.Popen[bytes]):
    """Used as any other of `subprocess`, but for its streams: it reads nothing, and writes to a file."""

    def __init__(self, server: "ForkServer", pid: int) -> None:
        """`server` is its parent, and tells how it ends."""
        self.args, self.pid, self._server = (), pid, server
        self.stdin = self.stdout = self.stderr = None
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status, once it has ended."""
        if self.returncode is None:
            self.returncode = self._server.status_of(self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return when it has ended."""
        ends = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if ends is not None and time.monotonic() > ends:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self._server.listen(_CHECK_S)
        return status


def start_forked(
    entry: str, arguments: Sequence[str], *, environment: Mapping[str, str], log: Path | None = None
) -> ForkedProcess:
    """Start `entry`, a "module:function", with these arguments. Its output goes to the end of `log`, or nowhere."""
    output = log or Path(os.devnull)
    return _shared().start(entry, arguments, environment, out=output, err=output)


def run_forked(
    entry: str, arguments: Sequence[str], *, environment: Mapping[str, str], timeout: float
) -> "subprocess.CompletedProcess[str]":
    """Run `entry`, a "module:function" or a module as of `python -m`, to its end, as subprocess.run does."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = _shared().start(entry, arguments, environment, out=out, err=err)
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return subprocess.CompletedProcess([entry, *arguments], status, out.read_text(), err.read_text())


class ForkServer:
    """The test's end: requests go out, and what became of processes comes in, one line of JSON for each."""

    def __init__(self, channel: socket.socket, wait: Callable[[], object]) -> None:
        """`channel` leads to the server; `wait` returns when that has ended."""
        self._channel, self._wait = channel, wait
        self._lock = threading.RLock()
        self._rest = b""
        self._started: list[int] = []
        self._statuses: dict[int, int] = {}
        atexit.register(self._close)

    @classmethod
    def new(cls) -> Self:
        """One that starts from nothing, and imports everything."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.forking", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd=Path(__file__).parents[1],
                env={**os.environ, "COLUMNS": _COLUMNS},
                start_new_session=True,
            )
        return cls(ours, process.wait)

    @classmethod
    def forked(cls) -> Self:
        """One that is forked from this process, which must have a single thread. It ends with this process."""
        ours, theirs = socket.socketpair()
        if not (pid := os.fork()):
            ours.close()
            os.setsid()  # a signal for the group of this process is none for the server
            _fork_and_become(theirs)
            os._exit(0)
        theirs.close()
        return cls(ours, lambda: os.waitpid(pid, 0))

    def start(
        self, entry: str, arguments: Sequence[str], environment: Mapping[str, str], *, out: Path, err: Path
    ) -> ForkedProcess:
        """Start `entry`, a "module:function" or a module, in the folder and with the umask of this process.

        Its output goes to the end of `out` and `err`.
        """
        umask = os.umask(0o077)
        os.umask(umask)
        request = {"entry": entry, "arguments": list(arguments), "environment": dict(environment), "umask": umask}
        return ForkedProcess(self, self._fork({**request, "out": str(out), "err": str(err)}))

    def _fork(self, request: dict[str, Any]) -> int:
        with self._lock:
            self._channel.sendall(json.dumps({**request, "folder": str(Path.cwd())}).encode() + b"\n")
            while not self._started:
                self.listen(None)
            return self._started.pop()

    def status_of(self, pid: int) -> int | None:
        """How it ended; told once."""
        with self._lock:
            self.listen(0)
            return self._statuses.pop(pid, None)

    def listen(self, wait_s: float | None) -> None:
        """Take in what the server says within that time; None: as long as it takes."""
        with self._lock:
            if not select.select([self._channel], [], [], wait_s)[0]:
                return
            received = self._channel.recv(_READ_BYTES)
            if not received:
                raise RuntimeError(f"the server of processes has ended with {self._wait()}")
            *lines, self._rest = (self._rest + received).split(b"\n")
            for pid, status in map(json.loads, lines):
                if status is None:
                    self._started.append(pid)
                else:
                    self._statuses[pid] = status

    def _close(self) -> None:
        self._channel.close()
        self._wait()


@cache
def _shared() -> ForkServer:
    return ForkServer.new()


def _fork_and_become(channel: socket.socket) -> None:
    """Serve. In a child, run what was requested, and raise SystemExit; otherwise return at the end."""
    if (request := _serve(channel)) is not None:
        _become(request)


def _serve(channel: socket.socket) -> dict[str, Any] | None:
    """Fork for each request until there can be no more. Returns twice: the request in the child, None in the server."""
    wake, waker = os.pipe()
    sources: list[socket.socket | int] = [channel, wake]
    for end in (wake, waker):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker)
    running: set[int] = set()
    received = b""
    while True:
        ready = select.select(sources, [], [])[0]
        if wake in ready:
            os.read(wake, _READ_BYTES)
            for pid, status in _ended(running):
                channel.sendall(json.dumps([pid, status]).encode() + b"\n")
        if channel in ready:
            more = channel.recv(_READ_BYTES)
            if not more:
                break
            *lines, received = (received + more).split(b"\n")
            for line in lines:
                if not (pid := os.fork()):
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for descriptor in (wake, waker):
                        os.close(descriptor)
                    channel.close()
                    request: dict[str, Any] = json.loads(line)
                    return request
                running.add(pid)
                channel.sendall(json.dumps([pid, None]).encode() + b"\n")
    for pid in running:
        os.kill(pid, signal.SIGTERM)
    return None


def _ended(running: set[int]) -> list[tuple[int, int]]:
    """Which have ended, and how. They are taken out of `running`."""
    found = []
    for pid in list(running):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            running.discard(pid)
            found.append((pid, os.waitstatus_to_exitcode(status)))
    return found


def _become(request: dict[str, Any]) -> None:
    """Run what was requested, as if this process had been started for it."""
    os.setsid()
    os.umask(request["umask"])
    for descriptor, name in enumerate((os.devnull, request["out"], request["err"])):
        _redirect(name, descriptor)
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    os.chdir(request["folder"])
    sys.argv = ["attentive-gateway", *request["arguments"]]
    module, _, function = request["entry"].partition(":")
    if not function:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        sys.exit()
    sys.exit(getattr(import_module(module), function)())


def _redirect(name: str, descriptor: int) -> None:
    opened = os.open(name, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    os.dup2(opened, descriptor)
    os.close(opened)


def _import_everything() -> None:
    from app.cli import COMMANDS

    for command in COMMANDS.values():
        import_module(command.module)
    for module in ("app.main", "uvloop", "uvicorn.loops.uvloop", "uvicorn.lifespan.on", "tests.faults.skewed"):
        import_module(module)
    gc.collect()
    gc.freeze()  # a collection of a child would copy all pages


def _main() -> None:
    channel = socket.socket(fileno=int(sys.argv[1]))
    _import_everything()
    _fork_and_become(channel)


if __name__ == "__main__":
    _main()
