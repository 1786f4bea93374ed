"""The context of a number in a text, and what it reveals about the number.

A number is left alone within a UUID or the path of a link, as a part of a longer number or word (`SO-4111…`), and after
a word that marks it as an identifier (`order no. 4111…`, `?variant=3941…`). The words are data.
"""

import re
import unicodedata
from itertools import islice
from typing import Final, NamedTuple

from app.privacy.identifiers import CARDS, NUMBER_WORDS, IdentifierNames, words_of

# Between groups of digits, in a text that is `plain`. It matches a gap in one way only: a pattern that could match it
# in two ways would try both for each gap of a number.
GAP: Final = r"(?>[ ./_+\-]{1,3}(?![ ./_+\-])| {4,9}(?! ))"
_BEFORE: Final = 48  # characters in which a word may describe the number
_AFTER: Final = 24

_HEX: Final = "[0-9A-Fa-f]"
_WHOLES: Final = re.compile(  # their parts are not numbers of their own
    rf"{_HEX}{{8}}-(?:{_HEX}{{4}}-){{3}}{_HEX}{{12}}(?!{_HEX})"  # a UUID
    r"|(?<![0-9])9[1-5][0-9]{2}(?: [0-9]{4}){4} [0-9]{2}(?![0-9])"  # a tracking number of the US Postal Service
)
_WHOLE_CHARS: Final = 36
_LINK_CHARS: Final = 2_048
# The query and fragment of a link are not part of its path: their values have names of their own.
_PATH: Final = re.compile(r"(?:[A-Za-z0-9]://|(?:\A|[\"'(])(?:urn:|arn:|\.{0,2}/))[^?#\"'<>]*+\Z")
_IN_LINKS: Final = r"%(?:20|09|2[BDFbdf]|5[Ff]|[Cc]2%[Aa]0)"  # blanks and dashes as encoded in a link
_IN_HTML: Final = ("&nbsp;", "&#160;")
_ENCODED: Final = re.compile(rf"{_IN_LINKS}|{'|'.join(_IN_HTML)}")
_ENCODED_BYTES: Final = re.compile(_IN_LINKS.encode())

# The text before a number is matched backwards from the number. A forward search would try every position.
_DIGITS: Final = re.compile(rf"({GAP})([0-9]+)")
_NAMED: Final = re.compile(r"[\"' \\]{0,4}[=:][\"' \\]{0,4}([\w.\-\[\]]+)")
_GLUED: Final = re.compile(r"[\-_/.#]?([0-9A-Za-z]*)")
_WORD_GOES_ON: Final = re.compile(r"[A-Za-z]*[0-9]|[A-Za-z](?![A-Za-z])|@\w")
_LETTERS: Final = re.compile(r"[^\W\d_]+")
_FILLERS: Final = NUMBER_WORDS | {"is", "was", "code", "ref", "the", "our", "your", "nos", "ids"}
_LABELS: Final = frozenset(
    (
        *("order", "orders", "invoice", "tracking", "shipment", "parcel", "package", "sku", "gtin", "upc", "ean"),
        *("isbn", "barcode", "item", "product", "variant", "reference", "ref", "ticket", "case", "booking", "rma"),
        *("confirmation", "transaction", "serial", "imei", "iccid", "phone", "tel", "telephone", "fax", "mobile"),
        *("session", "token", "uuid", "guid", "receipt", "po", "lot", "batch", "model", "part", "awb", "waybill"),
        *("version", "build", "release", "firmware", "coupon", "voucher", "customer", "member", "user", "bestellung"),
        *("sendung", "rechnung", "commande", "facture", "pedido", "factura", "id"),
    )
)
_IDENTIFIERS: Final = IdentifierNames()


def _plain_characters() -> dict[int, str]:
    """Digits of other scripts as ASCII digits, blanks and zero-width characters as blanks, all dashes as one."""
    plain = {}
    for char in map(chr, (*range(0x80, 0x3100), *range(0xFE00, 0x10000), *range(0x1D7CE, 0x1D800))):
        match unicodedata.category(char):
            case "Nd":
                plain[ord(char)] = str(unicodedata.digit(char))
            case "Zs" | "Cf":
                plain[ord(char)] = " "
            case "Pd":
                plain[ord(char)] = "-"
    return plain | {ord("\u2212"): "-", ord("\u00b7"): ".", ord("\t"): " ", ord("\uff0f"): "/", ord("\uff3f"): "_"}


PLAIN: Final = _plain_characters()


def plain(text: str) -> str:
    """The text in plain characters, at unchanged positions."""
    if not text.isascii() or "\t" in text:
        text = text.translate(PLAIN)
    return _ENCODED.sub(lambda gap: " " * len(gap[0]), text) if "%" in text or "&" in text else text


def without_encoded_gaps(json: bytes) -> bytes:
    """JSON with a blank for each gap that is encoded as in a link or in HTML."""
    if b"%" in json and b"%" in (json := json.replace(b"%20", b" ")):
        json = _ENCODED_BYTES.sub(b" ", json)
    if b"&" in json:
        for gap in _IN_HTML:
            json = json.replace(gap.encode(), b" ")
    return json


def is_within_more(text: str, start: int, end: int) -> bool:
    """Whether the part from `start` to `end` of this text is within a UUID, the path of a link, or the like."""
    near = max(0, start - _WHOLE_CHARS)
    for whole in _WHOLES.finditer(text, near, end + _WHOLE_CHARS):
        if whole.start() < end and start < whole.end():
            return True
    words = text[max(0, start - _LINK_CHARS) : start]
    if "/" not in words and ":" not in words:
        return False
    return not words[-1].isspace() and _PATH.search(words.rsplit(maxsplit=1)[-1]) is not None


class Surroundings(NamedTuple):
    """A number in a plain text, and some characters on either side of it."""

    before: str  # in reverse, from the number on
    number: str
    after: str

    @classmethod
    def of(cls, text: str, start: int, end: int) -> "Surroundings":
        """The surroundings of the number from `start` to `end`."""
        return cls(text[max(0, start - _BEFORE) : start][::-1], text[start:end], text[end : end + _AFTER])

    @property
    def in_a_sentence(self) -> bool:
        """Whether it is written with blanks, as people write: such a number is not part of a word."""
        return " " in self.number

    def is_part_of_a_list(self, longest_after: int) -> bool:
        """Whether further digits are joined to it: before it, unless they are a similar number; after it, this many."""
        before, after = _DIGITS.match(self.before), _DIGITS.match(self.after)
        if before and " " not in before[1] and not self._is_like(before[2]):
            return True
        if not after or " " in after[1] or len(after[2]) <= longest_after:
            return False
        return not self._is_like(after[2])

    def _is_like(self, other: str) -> bool:
        return self.number.isdigit() and 14 <= len(other) <= 19

    def is_in_a_row(self, gap: str) -> bool:
        """Whether digits are next to it, separated by its own kind of gap or without a blank."""
        beside = (_DIGITS.match(self.before), _DIGITS.match(self.after))
        return any(digits[1] == gap or " " not in digits[1] for digits in beside if digits)

    def is_part_of_a_word(self) -> bool:
        """Whether digits without a gap continue into a word or decimals."""
        return self.number.isdigit() and (self.before.startswith(",0") or _WORD_GOES_ON.match(self.after) is not None)

    def is_a_phone_number(self) -> bool:
        """Whether it begins with a plus and is not longer than a telephone number."""
        begins = self.before.startswith("+") and not self.before[1:2].isalnum()
        return begins and sum(map(str.isdigit, self.number)) <= 15

    def states_an_identifier(self, own_words: frozenset[str]) -> bool:
        """Whether the text before it marks it as an identifier. A prefix of `own_words`, such as `visa-`, does not."""
        if not self.before or self.before[0] in ",;)]}>|":
            return False
        if not self.in_a_sentence and (prefix := self._prefix()) is not None:
            return own_words.isdisjoint(words_of(prefix))
        if (named := _NAMED.match(self.before)) and named[1][::-1] in _IDENTIFIERS:
            return True
        return self._label() in _LABELS

    def _prefix(self) -> str | None:
        """The letters of the word that it ends, such as `SO` in `SO-4111…`. None if it begins a word."""
        if not (glued := _GLUED.match(self.before)) or not glued[0]:
            return None
        word = glued[1][::-1]
        letters = re.split("[0-9]", word, maxsplit=1)[0]
        return letters if letters or self.before[0] not in ".#" else None

    def _label(self) -> str:
        """The word that names it: the last one before it, except for `number`, `is` and the like."""
        words: list[str] = []
        for found in islice(_LETTERS.finditer(self.before), 2):
            if self.before[
                found.end() : found.end() + 1
            ].isdigit():  # without this number, it is the end of another word
                break
            words.append(found[0][::-1].lower())
            if len(words) == 1 and any(map(str.isdigit, self.before[: found.start()])):
                return ""
        if not words:
            return ""
        if words[0] in _FILLERS and words[1:] and (words[1] in _LABELS or words[1] in CARDS):
            return words[1]
        return words[0]
