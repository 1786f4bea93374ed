"""The identifiers of all rows of a source, while its run is planned: which of them come with too many others?

They are hashes that another process cannot make again, in memory or in files that have no name and end with this
process. Nearly all are in so few rows that they cannot be shared: only the others are compared in tables.
"""

import tempfile
from array import array
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

from app.rows.database import Database
from app.rows.outcomes import Op
from app.rows.staged import Planned

_TABLES: Final = """
CREATE TEMP TABLE identifiers (place INTEGER, kind TEXT, value INTEGER, PRIMARY KEY (place, kind)) WITHOUT ROWID;
CREATE TEMP TABLE shared (kind TEXT, value INTEGER, PRIMARY KEY (kind, value)) WITHOUT ROWID;
"""
_NO_TABLES: Final = "DROP TABLE IF EXISTS temp.identifiers; DROP TABLE IF EXISTS temp.shared;"
# A value is shared if it comes with more contacts, or with more IDs of one kind, than `most`, in however many rows.
_FIND_SHARED: Final = """
INSERT OR IGNORE INTO shared SELECT mine.kind, mine.value
FROM identifiers AS mine
JOIN identifiers AS partner ON partner.place = mine.place AND partner.kind != mine.kind
LEFT JOIN stage ON stage.place = mine.place
WHERE coalesce(stage.op, '') != 'bad'
AND (mine.kind, mine.value) IN (SELECT kind, value FROM identifiers GROUP BY kind, value HAVING count(*) > :most)
GROUP BY mine.kind, mine.value, CASE WHEN partner.kind IN ('email', 'phone') THEN 'contact' ELSE partner.kind END
HAVING count(DISTINCT partner.value) > :most
"""
_IN_MEMORY: Final = 200_000  # bytes of each kind; more than these are in its file
_ROWS_AT_ONCE: Final = 8_192
_LEAST_BITS, _MOST_BITS = 12, 22  # of the counters: 16 MB at most
_NUMBER: Final = "q"


class Sharing(NamedTuple):
    """A row that is to be sent, with those of its identifiers that too many others share."""

    row: Planned
    kinds: frozenset[str]


class Identifiers:
    """Finds the identifiers that many rows share."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._kinds: Sequence[str] = ()
        self._columns: list[Any] = []  # a file of each kind
        self._number = 0  # of values

    def begin(self, kinds: Sequence[str]) -> None:
        """Take the identifiers of these kinds, from the first row on."""
        self.forget()
        self._kinds = kinds
        self._columns = [tempfile.SpooledTemporaryFile(_IN_MEMORY) for _ in kinds]  # noqa: SIM115 - see `forget`

    def add(self, hashes: Sequence[Sequence[int]]) -> None:
        """Add those of the next rows: for each kind, in their order, a hash for each row, or 0 for none."""
        for column, values in zip(self._columns, hashes, strict=True):
            column.write(array(_NUMBER, values).tobytes())
            self._number += len(values)

    def forget(self) -> None:
        """Keep none of them."""
        for column in self._columns:
            column.close()
        self._columns, self._number = [], 0
        self._db.script(_NO_TABLES)

    def find_shared(self, most: int) -> int:
        """Find those that come with more others than this, where a row that is to be sent may have one; their number.

        Rows that cannot be sent do not count.
        """
        if not self._number or not self._db.number("SELECT 1 FROM stage WHERE step < 2 AND op != 'gone' LIMIT 1"):
            return 0
        self._db.script(_TABLES)
        with self._db.transaction():
            self._db.many("INSERT INTO identifiers VALUES (?, ?, ?)", self._in_many_rows(most))
        return self._db.execute(_FIND_SHARED, {"most": most}).rowcount

    def sharing(self, after: int, most: int) -> list[Sharing]:
        """The next rows that are to be sent, and that have an identifier that was found to be shared."""
        query = (
            "SELECT place, key, content, handed_ms, group_concat(kind) FROM identifiers JOIN stage USING (place) "
            "WHERE place > ? AND step < 2 AND op IN (?, ?) AND (kind, value) IN (SELECT kind, value FROM shared) "
            "GROUP BY place ORDER BY place LIMIT ?"
        )
        found = self._db.execute(query, [after, Op.NEW, Op.CHANGED, most])
        return [Sharing(Planned(*row), frozenset(kinds.split(","))) for *row, kinds in found]

    def _in_many_rows(self, most: int) -> Iterator[tuple[int, str, int]]:
        """Place, kind and value of all identifiers of rows of which one may be in more rows than this.

        Values are counted by some of their bits: a few that are not in many rows are among them, and none is missing.
        """
        mask = (1 << min(max(self._number.bit_length() + 2, _LEAST_BITS), _MOST_BITS)) - 1
        counts = array("I", bytes(4 * (mask + 1)))
        for columns in self._pages():
            for value in filter(None, chain.from_iterable(columns)):
                counts[value & mask] += 1
        before = 0
        for columns in self._pages():
            places = set[int]()
            for column in columns:
                places.update(place for place, value in enumerate(column) if value and counts[value & mask] > most)
            for place in sorted(places):
                for kind, column in zip(self._kinds, columns, strict=True):
                    if value := column[place]:
                        yield before + place + 1, kind, value
            before += len(columns[0])

    def _pages(self) -> "Iterator[list[array[int]]]":
        for column in self._columns:
            column.seek(0)
        while contents := [column.read(8 * _ROWS_AT_ONCE) for column in self._columns]:
            if not contents[0]:
                return
            yield [array(_NUMBER, content) for content in contents]
