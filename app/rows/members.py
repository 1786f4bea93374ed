"""The members of a segment, of whom the state is the record: who is one, and who leaves."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from app.rows.accepted import Accepted
from app.rows.database import Database
from app.rows.outcomes import Op, Outcome
from app.rows.shape import KEY_BYTES
from app.rows.staged import PLANNED, Planned

_GIVE_UP: Final = "DELETE FROM members WHERE key = (SELECT key FROM stage WHERE place = ? AND op = 'gone')"


@dataclass(frozen=True, slots=True)
class Members:
    """The table of members, and the rows of a run that change it."""

    db: Database
    accepted: Accepted

    def count(self) -> int:
        """The number of members."""
        return self.db.number("SELECT count(*) FROM members")

    def plan_removals(self) -> None:
        """Add a row for each member that is not in the source, and note who the changed members were before."""
        self.db.execute(
            "INSERT INTO stage (place, key, label, op, step, member) "
            "SELECT (SELECT coalesce(max(place), 0) FROM stage) + row_number() OVER (), key, '', ?, ?, member "
            "FROM members WHERE NOT EXISTS (SELECT 1 FROM stage WHERE stage.key = members.key)",
            [Op.GONE, PLANNED],
        )
        self.db.execute(
            "UPDATE stage SET old = (SELECT member FROM members WHERE members.key = stage.key) WHERE op = ?",
            [Op.CHANGED],
        )

    def removals(self) -> int:
        """The number of members that the run removes, those included whose identifiers have changed."""
        return self.db.number("SELECT count(*) FROM stage WHERE (op = ? OR old IS NOT NULL) AND step < 2", [Op.GONE])

    def staying(self) -> Iterator[bytes]:
        """The members whose rows are unchanged, or end without a call, as JSON."""
        query = "SELECT members.member FROM members JOIN stage USING (key) WHERE stage.op != ? AND stage.old IS NULL"
        yield from (row[0] for row in self.db.execute(query, [Op.GONE]))

    def changed(self) -> Iterator[tuple[Planned, bytes]]:
        """The rows that name a member anew, each with the member as it was."""
        query = "SELECT place, key, content, handed_ms, old FROM stage WHERE old IS NOT NULL ORDER BY place"
        for place, key, content, handed_ms, old in self.db.execute(query).fetchall():
            yield Planned(place, key, content, handed_ms), old

    def leaving(self, most: int = -1) -> list[tuple[int, bytes]]:
        """The next members that the run removes: place and JSON."""
        query = (
            "SELECT place, coalesce(old, member) FROM stage "
            "WHERE (op = ? OR old IS NOT NULL) AND step < 2 ORDER BY place LIMIT ?"
        )
        return list(self.db.execute(query, [Op.GONE, most]))

    def keep(self, places: Iterable[int], unsent: Iterable[bytes] = ()) -> None:
        """Remove none of these members: of a row that is gone, no more than its place in the state is given up.

        `unsent` are members whom only rows name that are still to be sent. They stay in the state under a key of their
        own, until such a row is accepted: it may not be.
        """
        places = list(places)
        with self.db.transaction():
            self.db.many("UPDATE stage SET old = NULL WHERE place = ?", ((place,) for place in places))
            self.give_up(places)
            self.db.many("INSERT OR IGNORE INTO members VALUES (?, ?)", ((_own_key(each), each) for each in unsent))
            self.db.many(
                "UPDATE stage SET step = 3, outcome = ? WHERE place = ? AND op = 'gone'",
                ((Outcome.SHARED, place) for place in places),
            )

    def take(self, places: Sequence[int]) -> None:
        """Remember the members that these rows are, and forget those that are gone."""
        query = "SELECT member FROM stage WHERE place = ? AND op != 'gone' AND member IS NOT NULL"
        taken = [row[0] for place in places for row in self.db.execute(query, [place])]
        self.db.many("DELETE FROM members WHERE key = ?", ((_own_key(member),) for member in taken))
        self.db.many(
            "INSERT OR REPLACE INTO members SELECT key, member FROM stage "
            "WHERE place = ? AND op != 'gone' AND member IS NOT NULL",
            ((place,) for place in places),
        )
        self.give_up(places)

    def give_up(self, places: Sequence[int]) -> None:
        """Forget those of these rows that are gone: who they were are members no longer."""
        self.accepted.give_up(places, gone=True)
        self.db.many(_GIVE_UP, ((place,) for place in places))

    def settle_same(self, places: Iterable[int]) -> None:
        """End changed rows that name their member as before."""
        places = list(places)
        with self.db.transaction():
            self.accepted.accept_staged(places)
            self.db.many(
                "UPDATE stage SET step = 3, content = NULL, outcome = ? WHERE place = ?",
                ((Outcome.SAME, place) for place in places),
            )

    def of_rows(self, rows: Iterable[tuple[int, bytes]]) -> None:
        """Store the members that rows are, by place, before they are sent."""
        with self.db.transaction():
            self.db.many(
                "UPDATE stage SET step = 1, member = ? WHERE place = ?", [(member, place) for place, member in rows]
            )

    def forget(self) -> None:
        """Begin anew: there are no members, and no row was accepted."""
        with self.db.transaction():
            self.db.execute("DELETE FROM members")
            self.accepted.forget()


def _own_key(member: bytes) -> bytes:
    """The key of a member who has no row."""
    return hashlib.blake2b(member, digest_size=KEY_BYTES, person=b"member").digest()
