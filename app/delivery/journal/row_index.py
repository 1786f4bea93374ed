"""The index of the journal and of the recorded calls, which searches read instead of these. Pure.

An index element is the ID of an entry in digits, followed by rows of 12 bytes that describe this entry and those
written with it. A search reads the rows, which are a tenth of the size, and then only the entries that may match.
Rows hold hashes alone: of the message ID, of names, and the search hashes of identifiers.
"""

import struct
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate
from typing import Final

from app.delivery.journal.event_rows import EventFilter, RowOutcome

# A row is three integers. Of an entry: outcome (8 bits), source (8) and event name (16); endpoints (16, each sets a
# bit); message ID. Of an identifier: _IDENTIFIER; its search hash; message ID.
_HEAD: Final = struct.Struct("<BBHI")
_WORD: Final = struct.Struct("<I")
_ID_BYTES: Final = 19  # digits: 14 of milliseconds and 5 of the sequence
_ROW_BYTES: Final = 12
_IDENTIFIER: Final = 0xFF
_OUTCOMES: Final = tuple(RowOutcome)
_CODES: Final = {outcome: code for code, outcome in enumerate(_OUTCOMES)}
# An arrival has no row for findings on the way in: the entry about them follows immediately.
_WITH_ARRIVAL: Final = frozenset({RowOutcome.REPEAT, RowOutcome.UNCHANGED, RowOutcome.MERGE})


@lru_cache(maxsize=4096)  # few kinds of events and calls make up nearly all
def row_head(outcome: RowOutcome, source: str = "", event: str = "", endpoints: tuple[str, ...] = ()) -> bytes:
    """The first part of an entry's row. `rows_of` completes it."""
    return _HEAD.pack(_CODES[outcome], _hash(source, 8), _hash(event.casefold(), 16), _bits(endpoints))


def identifier_heads(hashes: Iterable[int]) -> tuple[bytes, ...]:
    """The first parts of the rows of identifiers, by their search hashes."""
    return tuple([_HEAD.pack(_IDENTIFIER, 0, 0, one) for one in hashes])


def rows_of(message_id: str, head: bytes, identifiers: tuple[bytes, ...] = ()) -> bytes:
    """The row of an entry, and the rows of the identifiers that find its event."""
    word = zlib.crc32(message_id.encode()).to_bytes(4, "little")  # as message_word(), without a call
    return word.join((head, *identifiers)) + word if identifiers else head + word


def message_word(message_id: str) -> bytes:
    """A message ID as rows hold it."""
    return _WORD.pack(zlib.crc32(message_id.encode()))


def _hash(text: str, bits: int) -> int:
    return zlib.crc32(text.encode()) >> (32 - bits) if text else 0


def _bits(endpoints: Iterable[str]) -> int:
    return sum({1 << _hash(endpoint, 4) for endpoint in endpoints if endpoint})


def id_in_digits(entry_id: str) -> bytes:
    """An ID in the form that begins an element. It sorts as IDs do."""
    ms, _, sequence = entry_id.partition("-")
    return b"%014d%05d" % (int(ms), min(int(sequence or 0), 99_999))


def id_of(element: bytes) -> str:
    """The ID that an element begins with."""
    return f"{int(element[:14])}-{int(element[14:_ID_BYTES])}"


@dataclass(frozen=True, slots=True)
class Probe:
    """What a search looks for in the rows. Every set field must match; a matching row may still be a false hit."""

    messages: frozenset[int] = frozenset()  # any of these; empty: all
    hashes: frozenset[int] = frozenset()  # of identifiers: all of these, for the message that has them
    outcomes: frozenset[int] = frozenset()  # any of these; empty: all
    source: int | None = None
    event: int | None = None
    endpoints: int = 0

    @classmethod
    def of(cls, wanted: EventFilter, message_ids: Iterable[str] = ()) -> "Probe":
        """For rows that a filter matches. With `message_ids`, only for rows of these events."""
        named = (*message_ids, *filter(None, [wanted.message_id]))
        outcomes = wanted.outcomes
        if outcomes & _WITH_ARRIVAL:
            outcomes |= {RowOutcome.ACCEPTED, RowOutcome.DROPPED, RowOutcome.DEAD_LETTER, RowOutcome.ERASURE}
        return cls(
            messages=frozenset(zlib.crc32(one.encode()) for one in named),
            outcomes=frozenset(_CODES[outcome] for outcome in outcomes),
            source=_hash(wanted.source, 8) if wanted.source else None,
            event=_hash(wanted.event.casefold(), 16) if wanted.event else None,
            endpoints=_bits([wanted.endpoint]) if wanted.endpoint else 0,
        )

    @property
    def asks_nothing(self) -> bool:
        """Whether every row matches."""
        return self == Probe()


@dataclass(frozen=True)
class RowIndex:
    """An index as it was read: its elements, oldest first, and their rows in three columns."""

    elements: Sequence[bytes]
    _first_rows: Sequence[int] = field(init=False, repr=False)  # per element: the number of rows up to its end
    _words: "array[int]" = field(init=False, repr=False)

    def __post_init__(self) -> None:
        bodies = [element[_ID_BYTES:] for element in self.elements]
        words = array("I")
        words.frombytes(b"".join(bodies))
        if words.itemsize != _WORD.size:  # pragma: no cover - no platform of ours
            raise TypeError
        object.__setattr__(self, "_words", words)
        object.__setattr__(self, "_first_rows", list(accumulate(len(body) // _ROW_BYTES for body in bodies)))

    def __len__(self) -> int:
        return len(self.elements)

    def entry_id(self, element: int) -> str:
        """The first ID that an element describes."""
        return id_of(self.elements[element])

    def until(self, entry_id: str) -> int:
        """The number of elements that begin before this ID."""
        wanted = id_in_digits(entry_id)
        return bisect_left(self.elements, wanted, key=lambda element: element[:_ID_BYTES])

    def entries(self, first: int) -> Iterator[tuple[int, RowOutcome, int]]:
        """Each entry from an element on, oldest first: epoch ms, outcome, and the hash of the message ID."""
        heads, messages = self._words[0::3], self._words[2::3]
        row = self._first_rows[first - 1] if first else 0
        for element in range(first, len(self.elements)):
            at_ms = int(self.elements[element][:14])
            for each in range(row, self._first_rows[element]):
                if (code := heads[each] & 0xFF) != _IDENTIFIER:
                    yield at_ms, _OUTCOMES[code], messages[each]
            row = self._first_rows[element]

    def matching(self, probe: Probe) -> list[int]:
        """The elements with a row that may match, oldest first."""
        if probe.asks_nothing:
            return list(range(len(self.elements)))
        return sorted({bisect_right(self._first_rows, row) for row in self._rows(probe)})

    def _rows(self, probe: Probe) -> Iterator[int]:
        heads, messages = self._words[0::3], self._words[2::3]
        rows: Iterable[int] = range(len(messages))
        if probe.hashes:
            wanted = self._messages_of(probe.hashes)
            rows = [row for row, message in enumerate(messages) if message in wanted]
        if probe.messages:
            rows = (
                [row for row, message in enumerate(messages) if message in probe.messages]
                if not probe.hashes
                else [row for row in rows if messages[row] in probe.messages]
            )
        if not (probe.outcomes or probe.source is not None or probe.event is not None or probe.endpoints):
            yield from rows
            return
        endpoints = self._words[1::3]
        for row in rows:
            head = heads[row]
            outcome = head & 0xFF
            if (
                outcome != _IDENTIFIER
                and (not probe.outcomes or outcome in probe.outcomes)
                and (probe.source is None or probe.source == (head >> 8) & 0xFF)
                and (probe.event is None or probe.event == head >> 16)
                and (not probe.endpoints or probe.endpoints & endpoints[row])
            ):
                yield row

    def _messages_of(self, hashes: Set[int]) -> set[int]:
        """The message IDs, as hashes, whose rows have all these identifiers."""
        heads, ones, messages = self._words[0::3], self._words[1::3], self._words[2::3]
        found = [
            {messages[row] for row, one in enumerate(ones) if one == wanted and heads[row] == _IDENTIFIER}
            for wanted in hashes
        ]
        return set.intersection(*found)
