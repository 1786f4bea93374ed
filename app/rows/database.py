"""The SQLite file of one state: connection, tables, and changes that happen whole or not at all."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from app.rows.state_failed import other_content, other_version

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS accepted (
  id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, hash BLOB NOT NULL, fingerprint BLOB
);
CREATE TABLE IF NOT EXISTS members (key BLOB PRIMARY KEY, member BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS opted_out (contact TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rejected (
  key BLOB, label TEXT NOT NULL, hash BLOB, outcome TEXT NOT NULL, detail TEXT NOT NULL, place INTEGER NOT NULL,
  event_key BLOB, message_id TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS rejected_key ON rejected (key);
CREATE TABLE IF NOT EXISTS runs (
  number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, state TEXT NOT NULL, started_ms INTEGER NOT NULL,
  ended_ms INTEGER, facts TEXT NOT NULL
);
"""
# The rows of a run: those that may be sent or that cannot be, and the number of the others, which are unchanged.
_OF_A_RUN: Final = (
    """
CREATE {kind} TABLE IF NOT EXISTS stage (
  place INTEGER PRIMARY KEY, key BLOB, label TEXT, hash BLOB, fingerprint BLOB, content BLOB, op TEXT NOT NULL,
  step INTEGER NOT NULL, event_key BLOB, message_id TEXT, handed_ms INTEGER, outcome TEXT, detail TEXT,
  member BLOB, old BLOB, job TEXT, job_index INTEGER
)
""",
    "CREATE {kind} TABLE IF NOT EXISTS unstaged (unchanged INTEGER NOT NULL)",
)
_KEYS_AT_ONCE: Final = 900
VERSION: Final = "2"  # of the tables


class Database:
    """The connection to the file. `schema` is where the rows of a run are: in the file, or with this process only."""

    def __init__(self, path: Path, place: object) -> None:
        """`place` is where the state is kept, of which the file may be a copy."""
        self._place = place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self.schema = "main"
        self._db = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
        try:
            self._begin()
        except BaseException:
            self._db.close()
            raise

    def _begin(self) -> None:
        self._check()
        self.execute("PRAGMA journal_mode=WAL")
        self.execute("PRAGMA synchronous=NORMAL")
        self.execute("PRAGMA temp_store=FILE")
        self.execute("PRAGMA cache_size=-8000")  # KiB
        self.script(_TABLES)
        self.make_stage()

    def _check(self) -> None:
        """Raises StateFailed for a file of another version, or of something else."""
        tables = {name for (name,) in self.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            return
        found = self.execute("SELECT value FROM meta WHERE name = 'version'").fetchone() if "meta" in tables else None
        if not {"meta", "accepted", "runs"} <= tables:
            raise other_content(self._place)
        if found is not None and found[0] != VERSION:
            raise other_version(self._place, found[0])

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def execute(self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> sqlite3.Cursor:
        """Execute one statement."""
        return self._db.execute(query, values)

    def many(self, query: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute one statement for each of these rows of values."""
        self._db.executemany(query, rows)

    def script(self, statements: str) -> None:
        """Execute statements that have no values."""
        self._db.executescript(statements)

    def among(self, query: str, keys: Sequence[bytes | str]) -> Iterator[Any]:
        """What a query that ends in `IN` finds for any number of keys."""
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            some = keys[start : start + _KEYS_AT_ONCE]
            yield from self.execute(f"{query} ({','.join('?' * len(some))})", some)

    def number(self, query: str, values: Sequence[Any] = ()) -> int:
        """The number that a query finds; 0 where it finds none."""
        found = self.execute(query, values).fetchone()
        return 0 if found is None or found[0] is None else int(found[0])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.execute("ROLLBACK")
            raise
        self.execute("COMMIT")

    def packed(self) -> bytes:
        """The whole file, as its content."""
        with closing(sqlite3.connect(":memory:")) as copy:
            self._db.backup(copy)
            return copy.serialize()

    def make_stage(self, kind: str = "") -> None:
        """Make the tables of a run where they are missing.

        Those of kind TEMP hide the others, and end with this process.
        """
        for table in _OF_A_RUN:
            self.execute(table.format(kind=kind))

    def empty_stage(self) -> None:
        """Make the tables of a run anew."""
        self.execute("DROP TABLE IF EXISTS main.stage")
        self.execute("DROP TABLE IF EXISTS main.unstaged")
        self.make_stage()
