"""Card numbers, US social security numbers and IBANs in text: by their form, their checksums and their context.

A number counts as one if its digits match and its context does not show it to be something else: surroundings.py.
"""

import re
import string
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Final, NamedTuple

from stdnum import iban, numdb

from app.privacy.identifiers import CARDS
from app.privacy.policy import Check
from app.privacy.surroundings import GAP, PLAIN, Surroundings, is_within_more, plain, without_encoded_gaps

# First digits (from, to) and lengths. Left out: 12 and 13 digits, which issuers no longer use and which are the lengths
# of most shops' product IDs, of times in ms and of phone numbers.
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
    ("Verve", (("5060", "5061"),), (16, 18, 19)),
    ("Troy", (("9792", "9792"),), (16,)),
)
# The candidates in one event that are checked. A list of long numbers stays within this budget. When it is spent, a
# text that may hold a number is withheld unread.
BUDGET: Final = 40
BUDGET_BYTES: Final = 15  # one more candidate for each of these
_CLOSER_LOOK: Final = 3  # more for a candidate with a valid checksum, and for a social security number

_CARDS: Final = tuple(
    re.compile(rf"(?<![0-9])(?:{form})(?![0-9])")
    for form in (
        rf"[0-9]{{4}}(?:{GAP}[0-9]{{4}}){{3}}{GAP}[0-9]{{1,3}}",
        rf"[0-9]{{4}}(?:{GAP}[0-9]{{4}}){{2}}{GAP}[0-9]{{2,4}}",
        rf"[0-9]{{4}}{GAP}[0-9]{{6}}{GAP}[0-9]{{4,5}}|[0-9]{{8}}{GAP}[0-9]{{8}}",
        r"[0-9]{14,19}",
    )
)
_SSN: Final = re.compile(  # does not match areas, groups and serials that are never issued
    rf"(?<![0-9])(?!000|666|9)[0-9]{{3}}(?P<gap>{GAP})(?!00)[0-9]{{2}}(?P=gap)(?!0000)[0-9]{{4}}(?![0-9])"
)
_ADVERTISED_SSNS: Final = frozenset({"078051120", "457555462", "219099999"})  # printed on specimens, and therefore void
_SSN_ENDS: Final = re.compile(r"(?![A-Za-z]|[\-_/][A-Za-z0-9])")
_IBAN: Final = re.compile(
    rf"(?<![0-9A-Za-z])(?:[A-Z]{{2}}|[a-z]{{2}})[0-9]{{2}}"
    rf"(?:[0-9A-Za-z]{{11,30}}|(?:{GAP}[0-9A-Za-z]{{1,4}}){{3,8}})(?![0-9A-Za-z])"
)
# A hexadecimal ID. Of the countries with such letters, only accounts in Andorra have letters too, and hardly ever these
# alone.
_HEX_WORD: Final = re.compile(r"[a-f]{2}[0-9]+[a-f][0-9a-f]*")
_IBAN_GROUPS: Final = re.compile(rf"{GAP}|\Z")
_GAPS: Final = re.compile(r"[^0-9A-Za-z]+")
_SSN_WORDS: Final = frozenset({"ssn", "social", "security"})
_IBAN_VALUES: Final = str.maketrans({char: str(int(char, 36)) for char in string.ascii_letters})
_IBAN_WORDS: Final = frozenset({"iban", "account", "konto", "bank"})


def _lengths_by_prefix() -> Mapping[str, frozenset[int]]:
    """How long a card number may be, by its first four digits."""
    lengths: dict[str, frozenset[int]] = {}
    for _, ranges, each in ISSUERS:
        for first, last in ranges:
            for prefix in range(int(first.ljust(4, "0")), int(last.ljust(4, "9")) + 1):
                lengths[str(prefix)] = lengths.get(str(prefix), frozenset()).union(each)
    return lengths


def _lengths_by_country() -> Mapping[str, int]:
    """The length of an IBAN in each country, from python-stdnum's registry."""
    registry, letters = numdb.get("iban"), "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    forms = {a + b: registry.info(a + b)[0][1].get("bban", "") for a in letters for b in letters}
    return {code: 4 + sum(map(int, re.findall(r"(\d+)!", form))) for code, form in forms.items() if form}


_BY_PREFIX: Final = _lengths_by_prefix()
_BY_COUNTRY: Final = _lengths_by_country()


def _class(byte: int) -> str:
    char = chr(byte) if byte < 128 else "."
    return "0" if char.isdigit() else "A" if char.isupper() else "a" if char.islower() else "."


# One byte per character: digit, capital, small letter, or other. Of a longer character, only the first byte stays.
_CLASSES: Final = "".join(map(_class, range(256))).encode()
_CONTINUED: Final = bytes(range(0x80, 0xC0))
_IBAN_LIKE: Final = re.compile(rb"AA00(?<=\.AA00)(?:(?:\.?[A0a]){11}|(?:\.{2,3}[A0]{4}){2}\.{2,3}[A0]{2})")
_IBAN_IN_SMALL: Final = re.compile(rb"\.aa00(?:(?:\.?[a0]){4}(?:\.?0){7}|(?:\.?0){10})")
_GROUPED: Final = re.compile(rb"000\.\.{0,2}(?:00\.{1,3}0000|0000(?:\.{1,3}00|00\.{1,3}0000|0000))")
_LONG_RUN: Final = b"0" * 14
_NUMBER_LIKE: Final = re.compile(
    rb"0(?<!00)(?:0{13,18}|00\.{1,3}00\.{1,3}0000|000\.{1,3}0000\.{1,3}0000\.{1,3}0{2,4}"
    rb"|000\.{1,3}000000\.{1,3}0{4,5}|0000000\.{1,3}0{8})(?!0)"
)
_PERCENT, _AMPERSAND = b"%&"  # integers: looking for one byte as bytes takes five times as long
_OTHER_DIGITS: Final = re.compile(r"[^\D0-9]")
# The first bytes of scripts with digits on keyboards: full-width, Arabic, Persian, Devanagari and similar scripts.
_OTHER_SCRIPTS: Final = (b"\xef\xbc", b"\xd9", b"\xdb", b"\xe0", b"\xf0\x9d\x9f")


_DOUBLED: Final = str.maketrans("0123456789", "0246813579")  # twice the digit, as the sum of the result's digits
_ZERO: Final = ord("0")
NUMBERS: Final = (Check.CARD_NUMBER, Check.US_SSN, Check.IBAN)  # the checks of this module


class Span(NamedTuple):
    """The place of a finding in a text."""

    start: int
    end: int
    check: Check


def might_hold_numbers(json: bytes) -> bool:
    """A quick check of a whole event: False if no text or number in it can be one of these numbers.

    Eight times faster than one regular expression: it unifies digits and letters, then searches for fixed strings.
    """
    if _PERCENT in json or _AMPERSAND in json:
        json = without_encoded_gaps(json)
    plain_ascii = json.isascii()
    form = json.translate(_CLASSES) if plain_ascii else _with_plain_digits(json).translate(_CLASSES, _CONTINUED)
    if _IBAN_LIKE.search(form) or _IBAN_IN_SMALL.search(form):  # by their first letters, the fastest search
        return True
    # Few events hold one of these, and in most of them it is in an ID, whose digits continue before or after it.
    begins = form.find(_LONG_RUN) >= 0 or _GROUPED.search(form) is not None
    return begins and _NUMBER_LIKE.search(form) is not None


def _with_plain_digits(json: bytes) -> bytes:
    """JSON with the digits of all scripts as 0 to 9."""
    if any(script in json for script in _OTHER_SCRIPTS):
        text = json.decode(errors="replace")
        if _OTHER_DIGITS.search(text):
            return text.translate(PLAIN).encode()
    return json


class Budget:
    """The number of candidates in one event that are still checked. It follows the size of the event."""

    def __init__(self, json_bytes: int = 0) -> None:
        self.left = BUDGET + json_bytes // BUDGET_BYTES

    def spend(self, cost: int = 1) -> bool:
        """Use this many. False if fewer were left."""
        self.left -= cost
        return self.left >= 0


def found_in(text: str, budget: Budget | None = None) -> list[Span]:
    """All findings in this text, from left to right, without overlaps.

    If the budget is used up before the end of the text, the result is incomplete and `budget.left` is negative.
    """
    found: list[Span] = []
    for span in sorted(spans_in(text, budget or Budget()), key=_leftmost_longest):
        if not found or span.start >= found[-1].end:
            found.append(span)
    return found


def spans_in(text: str, budget: Budget) -> Iterator[Span]:
    """The same findings in order of discovery. They may overlap."""
    simple = plain(text)
    for span in chain(_cards(simple, budget), _ssns(simple, budget), _ibans(simple, budget)):
        if _is_whole(text, span.start, span.end) or not is_within_more(text, span.start, span.end):
            yield span


def _is_whole(text: str, start: int, end: int) -> bool:
    """Whether the text holds nothing else, as in most fields of numbers."""
    return start == 0 and end == len(text)


def _leftmost_longest(span: Span) -> tuple[int, int]:
    return span.start, -span.end


def is_card(digits: str) -> bool:
    """Whether these digits are a card number: an issuer's prefix, one of its lengths, and a valid checksum."""
    return len(digits) in _BY_PREFIX.get(digits[:4], ()) and _has_luhn_checksum(digits)


def _has_luhn_checksum(digits: str) -> bool:
    """Like `stdnum.luhn.is_valid`, in a tenth of the time: most long numbers of an event get this far."""
    sums = sum(digits[::-2].encode()) + sum(digits[-2::-2].translate(_DOUBLED).encode())
    return (sums - _ZERO * len(digits)) % 10 == 0


def is_whole_card(text: str) -> bool:
    """Whether the whole text is a card number in groups with blanks between them."""
    digits = plain(text).split() if text[:1].isdigit() and not text.isdigit() else []
    return len(digits) in (3, 4) and all(map(str.isdigit, digits)) and is_card("".join(digits))


def _cards(text: str, budget: Budget) -> Iterator[Span]:
    for form in _CARDS:
        place = 0
        while (candidate := form.search(text, place)) and budget.spend():
            start, end = candidate.span()
            if is_card(_GAPS.sub("", candidate[0])) and not _is_part_of_more(text, start, end, budget):
                yield Span(start, end, Check.CARD_NUMBER)
                place = end
            else:
                place = start + 1  # "1234 4111 1111 1111 1111": the card begins one group later


def _is_part_of_more(text: str, start: int, end: int, budget: Budget) -> bool:
    if _is_whole(text, start, end):
        return False
    budget.spend(_CLOSER_LOOK)
    card = Surroundings.of(text, start, end)
    return (
        card.is_part_of_a_list(longest_after=4)  # its security code, or a year
        or card.is_part_of_a_word()
        or card.is_a_phone_number()
        or card.states_an_identifier(CARDS)
    )


def _ssns(text: str, budget: Budget) -> Iterator[Span]:
    for candidate in _SSN.finditer(text):
        if not budget.spend():
            return
        start, end = candidate.span()
        if _is_whole(text, start, end) or _stands_as_ssn(Surroundings.of(text, start, end), candidate["gap"]):
            budget.spend(_CLOSER_LOOK)
            if _GAPS.sub("", candidate[0]) not in _ADVERTISED_SSNS:
                yield Span(start, end, Check.US_SSN)


def _stands_as_ssn(around: Surroundings, gap: str) -> bool:
    return (
        _SSN_ENDS.match(around.after) is not None
        and not around.is_in_a_row(gap)
        and not around.is_a_phone_number()
        and not around.states_an_identifier(_SSN_WORDS)
    )


def _ibans(text: str, budget: Budget) -> Iterator[Span]:
    for candidate in _IBAN.finditer(text):
        length = _BY_COUNTRY.get(candidate[0][:2].upper(), 0)
        if not length:
            continue
        if not budget.spend():
            return
        start = candidate.start()
        end = start + _end_of_iban(candidate[0], length)
        account = _GAPS.sub("", text[start:end])
        if _HEX_WORD.fullmatch(text, start, end) or not _has_iban_checksum(account):
            continue
        budget.spend(_CLOSER_LOOK)
        if iban.is_valid(account) and not Surroundings.of(text, start, end).states_an_identifier(_IBAN_WORDS):
            yield Span(start, end, Check.IBAN)


def _has_iban_checksum(account: str) -> bool:
    """The first check of `stdnum.iban.is_valid`, in a tenth of the time."""
    return int((account[4:] + account[:4]).translate(_IBAN_VALUES) or "0") % 97 == 1


def _end_of_iban(candidate: str, length: int) -> int:
    """The end of the group that completes this length; words may follow it. 0 if none does."""
    for gap in _IBAN_GROUPS.finditer(candidate):
        if len(_GAPS.sub("", candidate[: gap.start()])) >= length:
            return gap.start()
    return 0
