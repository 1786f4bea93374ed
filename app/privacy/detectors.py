"""Card numbers, US social security numbers and IBANs in text, told by their form and their checksums."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from stdnum import iban, luhn
from stdnum.us import ssn

from app.privacy.policy import Check

# First digits (from, to) and lengths. Left out: 12 and 13 digits, which no issuer gives out any more and which are the
# lengths of most shops' product ids, of times in ms and of phone numbers.
ISSUERS: Final[tuple[tuple[str, tuple[tuple[str, str], ...], tuple[int, ...]], ...]] = (
    ("Visa", (("4", "4"),), (16, 19)),
    ("Mastercard", (("51", "55"), ("2221", "2720")), (16,)),
    ("American Express", (("34", "34"), ("37", "37")), (15,)),
    ("Discover", (("6011", "6011"), ("644", "649"), ("65", "65")), (16, 19)),
    ("Diners Club", (("300", "305"), ("3095", "3095"), ("36", "36"), ("38", "39")), (14, 16, 19)),
    ("JCB", (("3528", "3589"),), (16, 17, 18, 19)),
    ("UnionPay", (("62", "62"), ("81", "81")), (16, 17, 18, 19)),
    ("Mir", (("2200", "2204"),), (16, 17, 18, 19)),
    ("RuPay", (("60", "60"), ("82", "82"), ("508", "508")), (16,)),
    ("Maestro", (("5018", "5018"), ("5020", "5020"), ("5038", "5038"), ("5893", "5893")), (16, 18, 19)),
    ("Maestro", (("6304", "6304"), ("6759", "6759"), ("6761", "6763")), (16, 18, 19)),
)

_GAP: Final = r"[ .\-\u00a0\u2007\u2009\u2010-\u2015\u202f]"  # between groups of digits: blanks, dots, dashes
_HEX: Final = "[0-9A-Fa-f]"
# No part of a longer number, no decimals, and no middle of a UUID: one of 5,000 of these looks like a card.
_ALONE: Final = rf"(?<![0-9])(?<![0-9][.,])(?<!{_HEX * 8}-){{}}(?![0-9])(?!-{_HEX * 12}(?!{_HEX}))"
_CARDS: Final = tuple(
    re.compile(_ALONE.format(form))
    for form in (
        rf"[0-9]{{4}}(?:{_GAP}[0-9]{{4}}){{3}}{_GAP}[0-9]{{1,3}}",
        rf"[0-9]{{4}}(?:{_GAP}[0-9]{{4}}){{2}}{_GAP}[0-9]{{2,4}}",
        rf"[0-9]{{4}}{_GAP}[0-9]{{6}}{_GAP}[0-9]{{4,5}}",
        r"[0-9]{14,19}",
    )
)
_SSN: Final = re.compile(
    r"(?<![0-9])(?<![0-9]-)[0-9]{3}([ \-\u00a0\u2010-\u2015])[0-9]{2}\1[0-9]{4}(?![0-9])(?!-[0-9])"
)
_IBAN: Final = re.compile(
    r"(?<![0-9A-Za-z])[A-Z]{2}[0-9]{2}"
    r"(?:[0-9A-Z]{11,30}|(?:[ \-][0-9A-Z]{4}){2,7}(?:[ \-][0-9A-Z]{1,3})?)"
    r"(?![0-9A-Za-z])"
)
_IBAN_GROUPS: Final = re.compile(r"[ \-]|\Z")


def _class(byte: int) -> str:
    char = chr(byte) if byte < 128 else "."
    return "0" if char.isdigit() else "A" if char.isupper() else "a" if char.islower() else "."


# One byte for each character: a digit, a capital, a small letter, or all else. All but a character's first byte go.
_CLASSES: Final = "".join(map(_class, range(256))).encode()
_CONTINUED: Final = bytes(range(0x80, 0xC0))
_IBAN_LIKE: Final = re.compile(rb"AA00(?<=\.AA00)(?:\.?[A0]){11}")
_GROUPED: Final = re.compile(rb"00\.0000(?:(?<=000\.00\.0000)|(?<=0000\.0000\.0000)|(?<=0000\.000000\.0000))")
_NUMBER_LIKE: Final = re.compile(rb"0(?<!00)(?:0{13,18}|00\.00\.0000|000\.0000\.0000\.0{2,4}|000\.000000\.0{4,5})(?!0)")


class Span(NamedTuple):
    """Where in a text something was found."""

    start: int
    end: int
    check: Check


def might_hold_numbers(json: bytes) -> bool:
    """A quick look at a whole event: False when no text or number in it can have the form of those looked for.

    Eight times quicker than one regular expression: digits and letters are made alike, and fixed strings sought.
    """
    form = json.translate(_CLASSES, _CONTINUED)
    if _IBAN_LIKE.search(form):  # by its first four letters, which the search looks for in the quickest way
        return True
    # Few events hold one of these, and most that do hold it in an id, whose digits go on before or after.
    begins = b"0" * 14 in form or _GROUPED.search(form)
    return bool(begins) and _NUMBER_LIKE.search(form) is not None


def found_in(text: str) -> list[Span]:
    """All that is found in this text, from left to right, none within another."""
    spans = sorted({*_cards(text), *_ssns(text), *_ibans(text)}, key=lambda span: (span.start, -span.end))
    found: list[Span] = []
    for span in spans:
        if not found or span.start >= found[-1].end:
            found.append(span)
    return found


def is_card(digits: str) -> bool:
    """Whether these digits are a card number."""
    return any(
        len(digits) in lengths and any(first <= digits[: len(first)] <= last for first, last in prefixes)
        for _, prefixes, lengths in ISSUERS
    ) and luhn.is_valid(digits)


def _cards(text: str) -> Iterator[Span]:
    for form in _CARDS:
        place = 0
        while candidate := form.search(text, place):
            if is_card("".join(each for each in candidate[0] if each.isdigit())):
                yield Span(candidate.start(), candidate.end(), Check.CARD_NUMBER)
                place = candidate.end()
            else:
                place = candidate.start() + 1  # "1234 4111 1111 1111 1111": the card begins one group later


def _ssns(text: str) -> Iterator[Span]:
    for candidate in _SSN.finditer(text):
        if ssn.is_valid(candidate[0].replace(candidate[1], "-")):
            yield Span(candidate.start(), candidate.end(), Check.US_SSN)


def _ibans(text: str) -> Iterator[Span]:
    for candidate in _IBAN.finditer(text):
        ends = [gap.start() for gap in _IBAN_GROUPS.finditer(candidate[0])]
        for length in reversed(ends):  # words in capitals may follow it
            if iban.is_valid(candidate[0][:length]):
                yield Span(candidate.start(), candidate.start() + length, Check.IBAN)
                break
