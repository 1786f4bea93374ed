"""What a sync remembers, in one SQLite file: the rows that Attentive accepted, its runs, and the rows of the last run.

Every change of a row is one transaction. A process that is killed leaves a run that the next start continues. The file
holds digests of keys and contents; contents themselves are there while their rows are under way, and keys of rejects.
"""

import secrets
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, Final, Self

import orjson

from app.counted import Dropped
from app.rows.accepted import Accepted
from app.rows.database import VERSION, Database
from app.rows.identifiers import Identifiers
from app.rows.jobs import Jobs
from app.rows.members import Members
from app.rows.outcomes import Op, Outcome, RunState
from app.rows.staged import ENDED, New, Planned, Rejected, Run, Staged, Waiting
from app.rows.state_failed import explained, opening

_INTERRUPTED: Final = '{"code":"interrupted","reason":"The process ended while it read the source."}'
_OPEN: Final = tuple(f"{prefix}*" for prefix in Outcome.OPEN)


class State:
    """The state of one sync. Use it as a context, which raises StateFailed where the file cannot be read or written."""

    def __init__(self, path: Path, place: object = None) -> None:
        """`place` is where the state is kept, if the file is a copy. Raises StateFailed."""
        self.path = path
        self._place = place or path
        with opening(self._place):
            self._db = Database(path, self._place)
            self.accepted = Accepted(self._db)
            self.identifiers = Identifiers(self._db)
            self.members = Members(self._db, self.accepted)
            self.jobs = Jobs(self._db, self.accepted, self.members)
            if self.meta("version") is None:
                self.remember({"version": VERSION, "id": secrets.token_hex(8)})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, failure: BaseException | None, __: object) -> None:
        with suppress(sqlite3.Error):
            self.identifiers.forget()
        self._db.close()
        if (told := explained(failure, self._place)) is not None:
            raise told from None

    def packed(self) -> bytes:
        """The whole state, as the content of a file."""
        return self._db.packed()

    # What is remembered of all runs

    @property
    def id(self) -> str:
        """Made with the file: another ID means that the state was lost or reset."""
        return str(self.meta("id"))

    def meta(self, name: str) -> str | None:
        """A value by its name."""
        found = self._db.execute("SELECT value FROM meta WHERE name = ?", [name]).fetchone()
        return None if found is None else str(found[0])

    def remember(self, values: Mapping[str, str]) -> None:
        """Store values by their names."""
        self._db.many("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())

    def rejected_outcomes(self, keys: Sequence[bytes]) -> dict[bytes, tuple[str, str]]:
        """How each of these keys ended that was not accepted, and the message ID."""
        rows = self._db.among("SELECT key, outcome, message_id FROM rejected WHERE key IN", keys)
        return {key: (outcome, message_id) for key, outcome, message_id in rows}

    def rejected_count(self) -> int:
        """The number of rows that were not accepted in the last run."""
        return self._db.number("SELECT count(*) FROM rejected")

    def rejects(self) -> Iterator[Rejected]:
        """The rows that were not accepted in the last run, in the order of the source."""
        query = "SELECT place, label, outcome, detail, message_id FROM rejected ORDER BY place"
        yield from (Rejected(*row) for row in self._db.execute(query))

    def unresolved_events(self) -> list[tuple[bytes, bytes, bytes]]:
        """Key, hash and event key of rejects that a dead letter or a call in review may still turn into accepted."""
        query = "SELECT key, hash, event_key FROM rejected WHERE event_key IS NOT NULL AND key IS NOT NULL"
        return [(key, hash_, event_key) for key, hash_, event_key in self._db.execute(query)]

    def accept(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Remember key and hash of rows that Attentive has accepted after all."""
        rows = list(rows)
        with self._db.transaction():
            self.accepted.accept(rows)
            self._db.many("DELETE FROM rejected WHERE key = ?", [(key,) for key, _ in rows])

    # Runs

    def runs(self, most: int = 1) -> list[Run]:
        """The last runs, newest first."""
        query = "SELECT id, state, started_ms, ended_ms, facts FROM runs ORDER BY number DESC LIMIT ?"
        return [
            Run(id_, RunState(state), started, ended, orjson.loads(facts))
            for id_, state, started, ended, facts in self._db.execute(query, [most])
        ]

    def last_run(self) -> Run | None:
        """The last run; None where there was none."""
        return next(iter(self.runs()), None)

    def begin(self, run_id: str, now_ms: int) -> None:
        """Begin a run: its table of rows is empty."""
        with self._db.transaction():
            self._db.empty_stage()
            self._db.execute(
                "UPDATE runs SET state = ?, facts = ? WHERE state = ?",
                [RunState.FAILED, _INTERRUPTED, RunState.READING],
            )
            self._db.execute(
                "INSERT INTO runs (id, state, started_ms, facts) VALUES (?, ?, ?, '{}')",
                [run_id, RunState.READING, now_ms],
            )

    def stage_apart(self) -> None:
        """Keep the rows that are read from now on in a table of this process, which is gone with it."""
        self._db.make_stage("TEMP")
        self._db.execute("CREATE TEMP TABLE opted_out AS SELECT contact FROM main.opted_out")
        self._db.execute("CREATE UNIQUE INDEX temp.opted_out_contact ON opted_out (contact)")
        self._db.schema = "temp"

    def conclude(self, run_id: str, state: RunState, facts: Mapping[str, Any], now_ms: int | None = None) -> None:
        """Store where a run stands, and when it ended."""
        self._db.execute(
            "UPDATE runs SET state = ?, ended_ms = ?, facts = ? WHERE id = ?",
            [state, now_ms, orjson.dumps(facts).decode(), run_id],
        )

    # The rows of a run

    def add(self, rows: Iterable[Staged]) -> None:
        """Add rows that were read. A row that was added before stays as it is."""
        self._db.many(
            "INSERT OR IGNORE INTO stage (place, key, label, hash, fingerprint, content, op, step, outcome, detail) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )

    def add_new(self, rows: Iterable[New]) -> None:
        """Add rows that were read, and that no earlier run has sent."""
        self._db.many(
            "INSERT INTO stage (place, key, label, hash, fingerprint, content, op, step) "
            "VALUES (?, ?, ?, ?, ?, ?, 'new', 0)",
            rows,
        )

    def add_unchanged(self, rows: int) -> None:
        """Add a number of rows that are unchanged, of which no more is kept."""
        self._db.execute("INSERT INTO unstaged VALUES (?)", [rows])

    def _unstaged(self) -> int:
        return self._db.number("SELECT sum(unchanged) FROM unstaged")

    def transaction(self) -> AbstractContextManager[None]:
        """All changes that are made within, or none."""
        return self._db.transaction()

    def reject(self, rows: Iterable[tuple[int, str, str]]) -> None:
        """End rows that cannot be sent: place, outcome and detail. The members whom they were stay as they are."""
        ended = [(Op.BAD, ENDED, outcome, detail, place) for place, outcome, detail in rows]
        with self._db.transaction():
            self._db.many(
                "UPDATE stage SET op = ?, step = ?, outcome = ?, detail = ?, content = NULL, old = NULL "
                "WHERE place = ?",
                ended,
            )

    def _index(self) -> None:
        """Find rows by key, and those that have not ended: their queries spell the conditions as these indexes do."""
        for name, of in (
            ("stage_key", "(key)"),
            ("stage_open", "(place) WHERE step < 2"),
            ("stage_waiting", "(place) WHERE step = 2"),
        ):
            self._db.execute(f"CREATE INDEX IF NOT EXISTS {self._db.schema}.{name} ON stage {of}")

    def mark_duplicates(self, keep: str) -> int:
        """End the rows that share a key, but for the `first` or `last` of each; their number. "" keeps none of them.

        Rows that cannot be sent do not count.
        """
        self._index()
        kept = {"first": "AND place > (SELECT min(place)", "last": "AND place < (SELECT max(place)"}.get(keep, "")
        if kept:
            kept += " FROM stage AS other WHERE other.key = stage.key AND other.op != 'bad')"
        # Nearly no key is there more than once. The index alone has all keys: their rows are looked at for these few.
        repeated = "SELECT key FROM stage WHERE key IS NOT NULL GROUP BY key HAVING count(*) > 1"
        cursor = self._db.execute(
            "UPDATE stage SET op = ?, step = ?, outcome = ?, content = NULL WHERE op != 'bad' AND key IN "  # noqa: S608
            f"(SELECT key FROM stage WHERE op != 'bad' AND key IN ({repeated}) "
            f"GROUP BY key HAVING count(*) > 1) {kept}",
            [Op.BAD, ENDED, Outcome.DUPLICATE_KEY],
        )
        return cursor.rowcount

    def forget_contents(self) -> None:
        """Keep no content of the rows: they are not sent."""
        self._db.execute("UPDATE stage SET content = NULL")

    def ops(self) -> dict[Op, int]:
        """How many rows of the run are new, changed, and so on."""
        counts = Counter({Op.SAME: self._unstaged()})
        counts.update({Op(op): number for op, number in self._db.execute("SELECT op, count(*) FROM stage GROUP BY op")})
        return dict(+counts)

    def first_bad(self) -> Rejected | None:
        """The first row that cannot be sent, of those that name no key or share one."""
        query = (
            "SELECT place, coalesce(label, ''), outcome, coalesce(detail, ''), '' FROM stage WHERE outcome IN (?, ?)"
        )
        found = self._db.execute(
            f"{query} ORDER BY place LIMIT 1", [Outcome.MISSING_KEY, Outcome.DUPLICATE_KEY]
        ).fetchone()
        return None if found is None else Rejected(*found)

    def planned(self, most: int) -> list[Planned]:
        """The next rows that are to be sent."""
        query = "SELECT place, key, content, handed_ms FROM stage WHERE step < 2 AND op != ? ORDER BY place LIMIT ?"
        return [Planned(*row) for row in self._db.execute(query, [Op.GONE, most])]

    def to_send(self) -> Iterator[Planned]:
        """All rows that are to be sent."""
        query = "SELECT place, key, content, handed_ms FROM stage WHERE step < 2 AND op != ? ORDER BY place"
        yield from (Planned(*row) for row in self._db.execute(query, [Op.GONE]))

    def handing(self, rows: Iterable[tuple[bytes, str, int, int]]) -> None:
        """Store event key, message ID and moment (ms) of rows, by place, before they are handed over."""
        with self._db.transaction():
            self._db.many(
                "UPDATE stage SET step = 1, event_key = ?, message_id = ?, handed_ms = ? WHERE place = ?", rows
            )

    def handed(self, places: Iterable[int]) -> None:
        """The rows are in Redis."""
        with self._db.transaction():
            self._db.many("UPDATE stage SET step = 2 WHERE place = ?", [(place,) for place in places])

    def waiting(self) -> list[Waiting]:
        """The rows that are in Redis, and have not ended."""
        return [
            Waiting(*row)
            for row in self._db.execute("SELECT place, event_key FROM stage WHERE step = 2 ORDER BY place")
        ]

    def settle(self, ended: Iterable[tuple[int, str, str]]) -> None:
        """Store how rows ended: place, outcome and detail. Those that Attentive accepted count from now on."""
        rows = [(outcome, detail, place) for place, outcome, detail in ended]
        accepted = [place for outcome, _, place in rows if Outcome.is_accepted(outcome)]
        opted_out = [place for outcome, _, place in rows if outcome == Outcome.OPTED_OUT]
        with self._db.transaction():
            self.accepted.accept_staged(accepted)
            # The next opt-out of such a row is sent again: the person may have subscribed in between.
            self.accepted.give_up(opted_out, gone=False)
            self._db.many("UPDATE stage SET step = 3, content = NULL, outcome = ?, detail = ? WHERE place = ?", rows)

    # Consent

    def remember_opt_outs(self, contacts: Iterable[str]) -> None:
        """Remember contacts, as digests, that a row has opted out. A reset does not forget them."""
        with self._db.transaction():
            self._db.many("INSERT OR IGNORE INTO opted_out VALUES (?)", ((contact,) for contact in contacts))

    def opted_out(self, contacts: Sequence[str]) -> set[str]:
        """Those of these contacts that a row has opted out."""
        return {row[0] for row in self._db.among("SELECT contact FROM opted_out WHERE contact IN", contacts)}

    def forget_opt_outs(self) -> None:
        """Begin anew at another account, whose consent is its own."""
        self._db.execute("DELETE FROM opted_out")

    # The end of a run

    def accept_all(self) -> None:
        """Count all rows of the run as accepted, without sending them."""
        with self._db.transaction():
            self.accepted.accept_all_staged()
            self._db.execute(
                "UPDATE stage SET step = 3, content = NULL, outcome = ? WHERE outcome IS NULL", [Outcome.BASELINE]
            )

    def outcomes(self) -> dict[str, int]:
        """How many rows ended in which way; "" are those that have not."""
        counts = Counter({str(Outcome.SAME): self._unstaged()})
        counts.update(dict(self._db.execute("SELECT coalesce(outcome, ''), count(*) FROM stage GROUP BY 1")))
        return dict(+counts)

    def results(self, after: int, most: int) -> list[Rejected]:
        """The next rows with a key that the run has ended, but for those that were unchanged before it."""
        query = (
            "SELECT place, label, outcome, coalesce(detail, ''), coalesce(message_id, '') FROM stage "
            "WHERE place > ? AND key IS NOT NULL AND label != '' AND outcome IS NOT NULL AND op != ? "
            "ORDER BY place LIMIT ?"
        )
        return [Rejected(*row) for row in self._db.execute(query, [after, Op.SAME, most])]

    def ended_keys(self) -> list[bytes]:
        """The event keys of the rows of the run that have ended, and that no operator can still send."""
        query = (
            "SELECT event_key FROM stage WHERE event_key IS NOT NULL AND step = ? "
            "AND NOT (outcome GLOB ? OR outcome GLOB ?)"
        )
        return [row[0] for row in self._db.execute(query, [ENDED, *_OPEN])]

    def finish(self, run_id: str, state: RunState, facts: Mapping[str, Any], now_ms: int) -> None:
        """End a run: its rejects replace those of the run before, and its table of rows is empty."""
        with self._db.transaction():
            for column in ("event_key", "message_id"):  # of rows whose dead letter is older than this run
                self._db.execute(
                    f"UPDATE stage SET {column} = (SELECT {column} FROM rejected WHERE rejected.key = stage.key) "  # noqa: S608
                    "WHERE op = ?",
                    [Op.KEPT],
                )
            self._db.execute("DELETE FROM rejected")
            self._db.execute(
                "INSERT INTO rejected SELECT key, coalesce(label, ''), hash, outcome, coalesce(detail, ''), place, "
                "event_key, coalesce(message_id, '') FROM stage "
                "WHERE outcome GLOB ? AND outcome != ? OR outcome GLOB ? OR outcome GLOB ?",
                [f"{Dropped.prefix}*", Outcome.HAD_IT, *_OPEN],
            )
            self._db.empty_stage()
            self.conclude(run_id, state, facts, now_ms)

    def reset(self) -> None:
        """Forget everything: the next run is the first."""
        self._db.script(
            "DELETE FROM meta; DELETE FROM accepted; DELETE FROM members; DELETE FROM rejected; DELETE FROM runs;"
        )
        self._db.empty_stage()
        self.remember({"version": VERSION, "id": secrets.token_hex(8)})
        self._db.execute("VACUUM")
