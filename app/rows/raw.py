"""Rows as they are read: a fingerprint of all their values, and their identifiers, before anything is made of them.

A row whose fingerprint was accepted is unchanged, and nearly all rows of most runs are: nothing more is made of these.
A fingerprint counts for one state, one version of the gateway, one configuration of the sync and one header. Where any
of these is another one, rows are compared by their content. It has 64 bits, or 63 where the source has computed it, and
is compared with those of a few thousand rows.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

import orjson

from app import __version__
from app.config.sync import Sync
from app.rows.accepted import Fingerprint
from app.rows.codes import BadRow
from app.rows.shape import Shaped, Shaper, linked_by
from app.rows.source import Page
from app.rows.values import LEFT_OUT, json_value
from app.segment.events import to_text

_BYTES: Final = 8  # of a fingerprint
_SALT_BYTES: Final = 32
_NOT_DIGITS: Final = re.compile(r"\D+")
_NOT_DIGITS_OF_LINES: Final = re.compile(r"[^\d\n]+")

Shape = Callable[[Sequence[Any]], list[Shaped | BadRow]]
Hashes = Sequence[int]


@dataclass(slots=True)
class RawPage:
    """Some rows as they were read: a value for each row in each list."""

    rows: Sequence[Any]
    shape: Shape  # makes the contents of some of them
    fingerprints: Sequence[Fingerprint | None]  # None: the row has to be compared by its content
    # For each kind of identifier the hashes of the rows' values, 0 for none. None: only their contents have them.
    identifiers: Sequence[Hashes] | None


class RawRows:
    """Reads the rows of one sync. `state_id` is that of the state with which they are compared."""

    def __init__(self, sync: Sync, state_id: str) -> None:
        self._shaper = Shaper(sync)
        self._salt = f"{__version__}\0{state_id}\0{sync!r}"
        self.kinds = linked_by(sync)  # of identifiers
        self._header: Sequence[str] | None = None
        self._shape: Shape = self._shaper.of_rows

    @property
    def needed(self) -> frozenset[str]:
        """The columns that every file must have."""
        return self._shaper.needed

    def read(self, page: Page) -> RawPage:
        """Some rows of the source."""
        if page.header is not self._header:
            self._header = page.header
            self._shape = self._shaper.of_rows if page.header is None else self._shaper.of_header(page.header)
        people, stand_ins = self._shaper.people, self._shaper.stand_ins
        named = [page.header] if page.header is not None else page.rows
        if people is None or (stand_ins and not all(stand_ins.isdisjoint(names) for names in named)):
            return RawPage(page.rows, self._shape, [None] * len(page.rows), None)
        identifiers = [_hashes(kind, _column(page, people[kind])) if kind in people else [] for kind in self.kinds]
        fingerprints = self._fingerprints(page) if page.digests is None else page.digests
        return RawPage(page.rows, self._shape, fingerprints, _several(identifiers, len(page.rows)))

    def identifiers_of(self, shaped: Sequence[Shaped | BadRow]) -> Sequence[Hashes]:
        """The identifiers of rows by their contents."""
        found = [_named_by(each) for each in shaped]
        return [_hashes(kind, [named.get(kind) for named in found]) for kind in self.kinds]

    def salt(self, parts: Sequence[str]) -> bytes:
        """What fingerprints are salted with that count for these parts, such as a header."""
        return hashlib.blake2b(orjson.dumps([self._salt, *parts]), digest_size=_SALT_BYTES).digest()

    def _fingerprints(self, page: Page) -> list[bytes | None]:
        start = hashlib.blake2b(key=self.salt(page.header or ()), digest_size=_BYTES).copy
        dumps, found = orjson.dumps, list[bytes | None]()
        for row in page.rows:
            digest = start()
            try:
                digest.update(dumps(row, repr))
            except TypeError:  # what JSON cannot hold
                found.append(None)
            else:
                found.append(digest.digest())
        return found


def _column(page: Page, name: str) -> Sequence[Any]:
    """The values of a column; none where there is no such column."""
    if page.header is None:
        return [row.get(name) for row in page.rows]
    return list(map(itemgetter(page.header.index(name)), page.rows)) if name in page.header else []


def _several(columns: Sequence[Hashes], rows: int) -> Sequence[Hashes]:
    """The identifiers of rows that may have several: one alone links nothing."""
    none: Hashes = (0,) * rows
    if sum(map(bool, columns)) < 2:
        return [none] * len(columns)
    return [column or none for column in columns]


def _named_by(shaped: Shaped | BadRow) -> Mapping[str, Any]:
    """The identifiers of a row by its content."""
    if isinstance(shaped, BadRow):
        return {}
    content = orjson.loads(shaped.content)
    traits = content["traits"] if "traits" in content else content["context"]["traits"]
    return {**traits, "client_user_id": content.get("userId")}


def _hashes(kind: str, values: Sequence[Any]) -> Hashes:
    """Identifiers as hashes that two spellings of one share; 0 where there is none, which is the hash of no text."""
    if set(map(type, values)) == {str}:
        texts = list(map(str.strip, values))
    else:
        texts = [value.strip() if type(value) is str else _text(value) for value in values]
    if kind == "email":
        texts = list(map(str.lower, texts))
    elif kind == "phone":
        texts = _digits(texts)
    return list(map(hash, texts))


def _digits(texts: list[str]) -> list[str]:
    """The digits of each text. All texts are gone through at once, which a line break in one of them forbids."""
    joined = "\n".join(texts).replace("+", "")
    if not joined.replace("\n", "").isdecimal():
        joined = _NOT_DIGITS_OF_LINES.sub("", joined)
    digits = joined.split("\n")
    return digits if len(digits) == len(texts) else [_NOT_DIGITS.sub("", text) for text in texts]


def _text(value: Any) -> str:
    """A value that is not text, as an identifier has it; else empty."""
    if value is None:
        return ""
    if type(value) is int:
        return to_text(value) or ""
    try:
        plain = json_value("", value)
    except BadRow:
        return ""
    return "" if plain is LEFT_OUT else to_text(plain) or ""
