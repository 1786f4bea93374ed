"""PostgreSQL and MariaDB on free ports, from Debian's unpacked packages. See .ci/debian-databases.sh."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
import sqlalchemy

from tests.ports import free_port
from tests.waiting import patient

_NOBODY: Final = 65534  # PostgreSQL refuses to run as root


@dataclass(frozen=True)
class Database:
    """A running server, by its URL for SQLAlchemy."""

    url: str
    process: "subprocess.Popen[bytes]"

    def execute(self, *statements: str) -> None:
        engine = sqlalchemy.create_engine(self.url)
        try:
            with engine.begin() as connection:
                for statement in statements:
                    connection.exec_driver_sql(statement)
        finally:
            engine.dispose()


class Packages:
    """Debian's packages, unpacked."""

    def __init__(self, files: Path) -> None:
        self.files = files
        folders = sorted({str(library.parent) for library in files.rglob("*.so*")})
        self._environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(folders)}

    def run(self, program: Path, *arguments: str, user: int | None = None) -> None:
        done = subprocess.run([program, *arguments], env=self._environment, user=user, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()

    def start(self, program: Path, *arguments: str, log: Path, user: int | None = None) -> "subprocess.Popen[bytes]":
        with log.open("wb") as output:
            return subprocess.Popen(
                [program, *arguments], env=self._environment, user=user, stdout=output, stderr=output
            )


def packages() -> Packages:
    """Those that GATEWAY_TEST_DATABASES names; without it, the test is skipped."""
    folder = os.environ.get("GATEWAY_TEST_DATABASES")
    if not folder:
        pytest.skip("GATEWAY_TEST_DATABASES does not name Debian's packages: make test-databases")
    return Packages(Path(folder))


@contextmanager
def postgresql() -> Iterator[Database]:
    """A PostgreSQL without data."""
    debian, port = packages(), free_port()
    (programs,) = debian.files.glob("usr/lib/postgresql/*/bin")
    user = _NOBODY if os.geteuid() == 0 else None
    with _folder() as folder:
        data = folder / "data"
        data.mkdir()
        if user is not None:
            os.chown(data, user, -1)
            folder.chmod(0o755)
        debian.run(programs / "initdb", "-D", str(data), "-A", "trust", "-U", "shop", "--no-sync", user=user)
        options = ("-D", str(data), "-k", str(data), "-h", "127.0.0.1", "-p", str(port), "-F")
        process = debian.start(programs / "postgres", *options, log=folder / "log", user=user)
        yield from _running(Database(f"postgresql+psycopg://shop@127.0.0.1:{port}/postgres", process), folder / "log")


@contextmanager
def mariadb() -> Iterator[Database]:
    """A MariaDB with an empty database."""
    debian, port = packages(), free_port()
    base = debian.files / "usr"
    me = ("--user=root",) if os.geteuid() == 0 else ()
    with _folder() as folder:
        common = ("--no-defaults", f"--basedir={base}", f"--datadir={folder / 'data'}", *me)
        debian.run(base / "bin/mariadb-install-db", *common, "--auth-root-authentication-method=normal")
        options = (f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder / 'socket'}")
        files = (f"--pid-file={folder / 'pid'}", "--innodb-flush-log-at-trx-commit=0")
        process = debian.start(base / "sbin/mariadbd", *common, *options, *files, log=folder / "log")
        yield from _running(Database(f"mysql+pymysql://root@127.0.0.1:{port}/test", process), folder / "log")


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="gateway-databases-"))  # one that another user may enter
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _running(database: Database, log: Path) -> Iterator[Database]:
    try:
        _wait(database, log)
        yield database
    finally:
        database.process.kill()
        database.process.wait()


def _wait(database: Database, log: Path) -> None:
    ends = time.monotonic() + patient(20)
    while True:
        try:
            return database.execute("SELECT 1")
        except sqlalchemy.exc.OperationalError as problem:
            if database.process.poll() is not None or time.monotonic() > ends:
                raise AssertionError(log.read_text(errors="replace")) from problem
            time.sleep(0.1)
