"""A state that cannot be used: the message names the file and what to do, and nothing is written over it."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from app.rows.state import State
from app.rows.state_failed import StateFailed


def of_an_earlier_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL); INSERT INTO meta VALUES ('version', '1');"
            "CREATE TABLE accepted (key BLOB PRIMARY KEY, hash BLOB NOT NULL); CREATE TABLE runs (number INTEGER);"
        )


def of_a_shop(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE customers (id TEXT)")


def text(path: Path) -> None:
    path.write_text("customer_id,email\n" * 100)


def cut_off(path: Path) -> None:
    with State(path) as state:
        state.begin("a", 0)
    path.write_bytes(path.read_bytes()[:-5000] + bytes(900))


def folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        pytest.param(of_an_earlier_version, "has the form '1'.*move it away", id="an earlier version's"),
        pytest.param(of_a_shop, "no state of a sync", id="a database of something else"),
        pytest.param(text, "no SQLite file.*move it away", id="a text"),
        pytest.param(cut_off, "is damaged.*move it away", id="a state that was cut off"),
        pytest.param(folder, "cannot be opened", id="a folder"),
    ],
)
def test_what_is_no_state_stays_as_it_is(make: Callable[[Path], None], told: str, tmp_path: Path) -> None:
    path = tmp_path / "points.sqlite"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StateFailed, match=rf"points\.sqlite.*{told}"), State(path) as state:
        state.begin("b", 0)
    assert before == (path.read_bytes() if path.is_file() else None)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(StateFailed, match=r"points\.sqlite cannot be opened.*GATEWAY_SYNC_STATE"):
        State(tmp_path / "state" / "points.sqlite")


def write(path: Path, pragma: str) -> None:
    with State(path) as state:
        state._db.execute(pragma)
        state.remember({str(number): "x" * 1_000 for number in range(100)})


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        pytest.param("PRAGMA max_page_count = 1", "disk, which is full.*goes on where it was", id="a full disk"),
        pytest.param("PRAGMA query_only = 1", "cannot be written.*GATEWAY_SYNC_STATE", id="no right to write"),
    ],
)
def test_a_write_that_fails_ends_the_command_and_the_next_one_goes_on(limit: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "points.sqlite"
    with pytest.raises(StateFailed, match=rf"points\.sqlite.*{told}"):
        write(path, limit)
    write(path, "PRAGMA query_only = 0")


def test_a_state_that_another_process_writes(tmp_path: Path) -> None:
    path = tmp_path / "points.sqlite"
    with State(path) as other, other.transaction(), pytest.raises(StateFailed, match="in use by another process"):
        write(path, "PRAGMA busy_timeout = 1")


def test_the_place_of_a_copy_is_named(tmp_path: Path) -> None:
    text(tmp_path / "copy")
    with pytest.raises(StateFailed, match=r"The state s3://shop/points\.sqlite is no SQLite file"):
        State(tmp_path / "copy", "s3://shop/points.sqlite")


def test_an_error_that_is_no_ones_to_mend_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table"), State(tmp_path / "points.sqlite") as state:
        state._db.execute("SELECT * FROM orders")
