"""Reading a source to its end, and comparing its rows with those that Attentive accepted before."""

from array import array
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice, repeat
from operator import itemgetter
from typing import Final

from app.config.sync import Sync
from app.counted import Dropped
from app.rows.accepted import Accepted, AcceptedRow, Fingerprint, Known
from app.rows.codes import BadRow, Code
from app.rows.guard import SENT_ONCE
from app.rows.outcomes import Op, Outcome
from app.rows.raw import RawPage, RawRows
from app.rows.shape import Shaped, opts_out
from app.rows.source import Page, Reader, Row
from app.rows.staged import ENDED, New, Staged
from app.rows.state import State

_PAGE: Final = 2_000
_AHEAD: Final = 2 * _PAGE  # rows that were accepted, among which those of a page are looked for by fingerprint
_MOST_AHEAD: Final = 10 * _PAGE


def compare(sync: Sync, state: State, rows: Iterable[Row] | None = None, read: Callable[[int], object] = bool) -> None:
    """Read every row into the state, with what is to be done with it. Raises SourceFailed.

    `read` is called with the number of rows that have been read. `rows` stand in for those of the source.
    """
    raw_rows = RawRows(sync, state.id)
    comparison = _Comparison(sync, state, raw_rows)
    place = 1
    for page in (
        Reader(sync.source, raw_rows.needed, raw_rows.salt).pages() if rows is None else [Page(None, list(rows))]
    ):
        with state.transaction():
            comparison.take(raw_rows.read(page), place)
        place += len(page.rows)
        read(place - 1)
    state.add_unchanged(comparison.unchanged)
    keep = sync.duplicates if sync.duplicates in ("first", "last") else ""
    state.mark_duplicates(keep)


class _Ahead:
    """The rows that were accepted, by their fingerprints, as far as the next rows of the source may be among them.

    A source nearly always has its rows in the order in which they were accepted. Where it has not, this finds few or
    none, and the rows are compared by their content.
    """

    def __init__(self, accepted: Accepted) -> None:
        self._accepted = accepted
        self._after = 0
        self._rows: dict[Fingerprint | None, Known] = {}

    def take(self, fingerprints: Sequence[Fingerprint | None]) -> list[Known | None]:
        """The row of each fingerprint. None where it is not among the next ones, or was taken before."""
        while len(self._rows) < _AHEAD and (more := self._accepted.following(self._after, _PAGE)):
            self._after = more[-1][1]
            self._rows.update(zip(map(itemgetter(0), more), more, strict=True))
        return list(map(self._rows.pop, fingerprints, repeat(None)))

    def go_on(self, elsewhere: Collection[AcceptedRow]) -> None:
        """Go on behind a page of which these rows were found by their contents alone."""
        if len(elsewhere) > _PAGE // 2:  # the source has gone on at another place
            self._rows.clear()
            self._after = max(row.id for row in elsewhere)
        for passed in list(islice(self._rows, max(len(self._rows) - _MOST_AHEAD, 0))):
            del self._rows[passed]


class _Comparison:
    """What is to be done with rows, page by page. `unchanged` is the number of rows that are not in the stage."""

    def __init__(self, sync: Sync, state: State, raw_rows: RawRows) -> None:
        self._sync = sync
        self._state = state
        self._raw_rows = raw_rows
        self._ahead = _Ahead(state.accepted)
        state.identifiers.begin(raw_rows.kinds)
        # Where the row of an accepted one is, by its ID: 0 where none was read yet, negative where it is in the stage.
        self._places = array("i", bytes(4 * (state.accepted.last_id() + 1)))
        self._stages_all = sync.object == "audience"  # who is not in the source leaves, or is named by another row
        self.unchanged = 0
        # Most rejects are sent again in each later run. A rejected event has a dead letter or waits for a review: sent
        # again beside it, it could reach the person twice.
        self._has_rejects = bool(state.rejected_count()) and sync.object in SENT_ONCE

    def take(self, page: RawPage, first: int) -> None:
        """Take the rows of a page, of which `first` is the place of the first."""
        staged, left, known = list[Staged](), list[int](), self._ahead.take(page.fingerprints)
        if not self._takes_all(known, first):
            for index, row in enumerate(known):
                if row is None or self._places[row[1]]:
                    left.append(index)
                else:
                    self._take_unchanged(staged, first + index, row[1], row[2])
        shaped = page.shape([page.rows[index] for index in left])
        staged += self._compared(
            [first + index for index in left], [page.fingerprints[index] for index in left], shaped
        )
        self._state.add(staged)
        identifiers = page.identifiers
        self._state.identifiers.add(self._raw_rows.identifiers_of(shaped) if identifiers is None else identifiers)

    def _takes_all(self, known: Sequence[Known | None], first: int) -> bool:
        """Whether these rows were accepted one after the other, and all are unchanged and the first of their keys."""
        if self._stages_all or not known or known[0] is None or known[-1] is None:
            return False
        begin, end = known[0][1], known[-1][1] + 1
        if end - begin != len(known) or None in known or any(self._places[begin:end]):
            return False
        if [row[1] for row in known if row] != list(range(begin, end)):
            return False
        self._places[begin:end] = array("i", range(first, first + len(known)))
        self.unchanged += len(known)
        return True

    def _take_unchanged(self, staged: list[Staged], place: int, id_: int, key: bytes) -> None:
        """Take an unchanged row, the first of its key."""
        if self._stages_all:
            self._places[id_] = -place
            staged.append(_unchanged(place, key))
        else:
            self._places[id_] = place
            self.unchanged += 1

    def _compared(
        self, places: Sequence[int], fingerprints: Sequence[Fingerprint | None], shaped: Sequence[Shaped | BadRow]
    ) -> list[Staged]:
        """The rows of a page that are compared by their contents, with their places."""
        keys = [each.key for each in shaped if isinstance(each, Shaped)]
        accepted = self._state.accepted.by_keys(keys) if len(self._places) > 1 else {}
        self._ahead.go_on(accepted.values())
        rejected = self._state.rejected_outcomes(keys) if self._has_rejects else {}
        staged, new, again = list[Staged](), list[New](), list[tuple[Fingerprint, int]]()
        for place, fingerprint, each in zip(places, fingerprints, shaped, strict=True):
            if isinstance(each, BadRow):
                # A member whose row cannot be sent stays: only a mirror asks for the key.
                staged.append(_bad(place, each, each.key if self._sync.how == "mirror" else None))
                continue
            row = accepted.get(each.key)
            if row is None:
                if each.key in rejected:
                    staged.append(self._changed(place, fingerprint, each, Op.NEW, rejected[each.key]))
                else:
                    new.append(New(place, each.key, each.label, each.hash, fingerprint, each.content))
                continue
            same, is_first = row.hash == each.hash or self._sync.how == "insert", self._is_first(staged, row)
            if same and fingerprint is not None:
                again.append((fingerprint, row.id))
            if same and is_first:
                self._take_unchanged(staged, place, row.id, row.key)
                continue
            self._places[row.id] = self._places[row.id] or -place
            staged.append(
                _unchanged(place, row.key)
                if same
                else self._changed(place, fingerprint, each, Op.CHANGED, rejected.get(each.key))
            )
        self._state.add_new(new)
        self._state.accepted.fingerprint(again)
        return staged

    def _is_first(self, staged: list[Staged], row: AcceptedRow) -> bool:
        """Whether no row before has this key. One that has is put into the stage, where both are found."""
        before = self._places[row.id]
        if before > 0:
            staged.append(_unchanged(before, row.key))
            self._places[row.id] = -before
            self.unchanged -= 1
        return not before

    def _changed(
        self, place: int, fingerprint: Fingerprint | None, row: Shaped, op: Op, rejected: tuple[str, str] | None
    ) -> Staged:
        """A row that is sent, unless an operator may still send it as it was."""
        as_read = (place, row.key, row.label, row.hash, fingerprint)
        if rejected is not None and Outcome.is_open(rejected[0]) and not self._opts_out(row):
            return Staged(*as_read, None, Op.KEPT, ENDED, rejected[0], "of an earlier run")
        return Staged(*as_read, row.content, op)

    def _opts_out(self, row: Shaped) -> bool:
        """Whether the row is an opt-out, which is never held back."""
        return self._sync.object == "subscribers" and opts_out(row.content)


def _unchanged(place: int, key: bytes) -> Staged:
    return Staged(place, key, None, None, None, None, Op.SAME, ENDED, Outcome.SAME)


def _bad(place: int, bad: BadRow, key: bytes | None) -> Staged:
    outcome = Outcome.MISSING_KEY if bad.code is Code.KEY_MISSING else Dropped.prefix + bad.code
    return Staged(place, key, bad.label, None, None, None, Op.BAD, ENDED, outcome, bad.detail)
