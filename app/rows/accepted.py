"""The rows that Attentive accepted, as digests: in the order in which it accepted them first, which is nearly that of
the source.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from app.rows.database import Database

_ACCEPT: Final = (
    "INSERT INTO accepted (key, hash, fingerprint) SELECT key, hash, fingerprint FROM stage WHERE {rows} "
    "ON CONFLICT (key) DO UPDATE SET hash = excluded.hash, fingerprint = excluded.fingerprint"
)
_ROW: Final = _ACCEPT.format(rows="place = ? AND op != 'gone'")
_ALL_ROWS: Final = _ACCEPT.format(rows="key IS NOT NULL AND hash IS NOT NULL AND op != 'bad'")
_GIVE_UP: Final = "DELETE FROM accepted WHERE key = (SELECT key FROM stage WHERE place = ?)"
_GIVE_UP_GONE: Final = "DELETE FROM accepted WHERE key = (SELECT key FROM stage WHERE place = ? AND op = 'gone')"


class AcceptedRow(NamedTuple):
    """A row that Attentive accepted."""

    id: int
    key: bytes
    hash: bytes  # of the content


Fingerprint = bytes | int
Known = tuple[Fingerprint, int, bytes]  # a row by its fingerprint, with its ID and key


@dataclass(frozen=True, slots=True)
class Accepted:
    """The table of rows that Attentive accepted."""

    db: Database

    def by_keys(self, keys: Sequence[bytes]) -> dict[bytes, AcceptedRow]:
        """The accepted ones of these keys."""
        found = map(AcceptedRow._make, self.db.among("SELECT id, key, hash FROM accepted WHERE key IN", keys))
        return {row.key: row for row in found}

    def following(self, after: int, most: int) -> list[Known]:
        """The next rows that can be found by their fingerprint, after this ID."""
        query = "SELECT fingerprint, id, key FROM accepted WHERE id > ? AND fingerprint IS NOT NULL ORDER BY id LIMIT ?"
        return self.db.execute(query, [after, most]).fetchall()

    def last_id(self) -> int:
        """The largest ID; 0 where there are no rows."""
        return self.db.number("SELECT max(id) FROM accepted")

    def count(self) -> int:
        """The number of rows."""
        return self.db.number("SELECT count(*) FROM accepted")

    def accept(self, rows: Sequence[tuple[bytes, bytes]]) -> None:
        """Remember key and hash of rows, whose fingerprints are not known."""
        self.db.many(
            "INSERT INTO accepted (key, hash) VALUES (?, ?) "
            "ON CONFLICT (key) DO UPDATE SET hash = excluded.hash, fingerprint = NULL",
            rows,
        )

    def accept_staged(self, places: Iterable[int]) -> None:
        """Remember rows of the run by their places, but for those that are gone."""
        self.db.many(_ROW, ((place,) for place in places))

    def accept_all_staged(self) -> None:
        """Remember all rows of the run that can be sent."""
        self.db.execute(_ALL_ROWS)

    def give_up(self, places: Iterable[int], *, gone: bool) -> None:
        """Forget rows of the run by their places, or those of them that are gone."""
        self.db.many(_GIVE_UP_GONE if gone else _GIVE_UP, ((place,) for place in places))

    def forget(self) -> None:
        """Begin anew: no row was accepted."""
        self.db.execute("DELETE FROM accepted")

    def fingerprint(self, rows: Sequence[tuple[Fingerprint, int]]) -> None:
        """Remember the fingerprints of rows by their IDs. A process that keeps its rows apart changes nothing."""
        if self.db.schema == "main":
            self.db.many("UPDATE accepted SET fingerprint = ? WHERE id = ?", rows)
