"""Amounts of money as senders write them: `$1,299.00`, `CHF 1'299.50`, `1.299,00 €`, `{"amount": "5", …}`. Pure.

An amount is read whole or not at all: no digit, sign or word of the text is ignored. A text that could be two amounts
is read as none. No library is used: the existing ones search for a price within a text, or need to know the locale
that it was written in.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, NamedTuple

from app.segment.events import NUMBERS
from app.value import Value, changed

DEFAULT_CURRENCY: Final = "USD"  # as at Attentive
_INFINITE: Final = float("inf")
_LONGEST: Final = 64  # characters of an amount
_CURRENCY_NUMBER = re.compile(r"\d{3}", re.ASCII)
_LEAST_CURRENCY_NUMBER: Final = 8
_MOST_CURRENCY_NUMBER: Final = 999
_EXACT_DIGITS: Final = 15  # of a float
_PLAIN_NUMBER = re.compile(r"\+?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?", re.ASCII)  # as programs write it
_POINTED = re.compile(r"\+?[1-9]\d{0,2}\.\d{3}", re.ASCII)
_GROUPS: Final = "'\u2019\u02bc\u066c "  # between thousands, and nowhere else; NFKC has unified all blanks
_WHOLE = re.compile(r"[.,][-\u2013\u2014]{1,2}")  # after a price without cents: 19,-
_INDIAN = re.compile(r"\d{1,2}(?:,\d{2})+,\d{3}")  # 12,34,567

_CODES: Final = (
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF "
    "CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD "
    "HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL "
    "LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR "
    "PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP "
    "TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG "
)
_DOLLARS: Final = (
    "USD CAD AUD NZD MXN SGD HKD TWD ARS CLP COP BBD BMD BND BSD BZD FJD GYD JMD KYD LRD NAD SBD SRD TTD XCD UYU "
)
CURRENCIES: Final = frozenset(_CODES.split())  # ISO 4217
# What stands for a currency besides its code, in lower case. Without a code elsewhere, it means the first one.
SYMBOLS: Final[Mapping[str, tuple[str, ...]]] = {
    "$": tuple(_DOLLARS.split()),
    "us$": ("USD",),
    "ca$": ("CAD",),
    "c$": ("CAD",),
    "a$": ("AUD",),
    "au$": ("AUD",),
    "nz$": ("NZD",),
    "hk$": ("HKD",),
    "s$": ("SGD",),
    "nt$": ("TWD",),
    "mx$": ("MXN",),
    "r$": ("BRL",),
    "\u20ac": ("EUR",),
    "euro": ("EUR",),
    "\u00a3": ("GBP", "EGP", "GIP", "FKP", "LBP", "SHP", "SSP", "SYP"),
    "fr.": ("CHF",),
    "sfr.": ("CHF",),
    "z\u0142": ("PLN",),
    "k\u010d": ("CZK",),
    "ft": ("HUF",),
    "lei": ("RON", "MDL"),
    "\u20b9": ("INR",),
    "\u20a9": ("KRW", "KPW"),
    "\u20aa": ("ILS",),
    "\u20ba": ("TRY",),
    "\u20bd": ("RUB",),
    "\u20ab": ("VND",),
    "\u0e3f": ("THB",),
    "\u20b4": ("UAH",),
    "\u20a6": ("NGN",),
    "\u20b1": ("PHP",),
    "\u20b8": ("KZT",),
    "\u20be": ("GEL",),
}
# Used in several countries: without a code elsewhere, it means none of them.
SHARED_SYMBOLS: Final[Mapping[str, tuple[str, ...]]] = {
    "\u00a5": ("JPY", "CNY"),
    "kr": ("SEK", "NOK", "DKK", "ISK"),
    "kr.": ("DKK", "SEK", "NOK", "ISK"),
    "rs": ("INR", "PKR", "LKR", "NPR", "MUR", "SCR"),
    "rs.": ("INR", "PKR", "LKR", "NPR", "MUR", "SCR"),
    "r": ("ZAR",),
    "rm": ("MYR",),
    "rp": ("IDR",),
    "rp.": ("IDR",),
}
# Names that several currencies share, without "s" at their end.
_SHARED_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "dollar": SYMBOLS["$"],
    "pound": SYMBOLS["\u00a3"],
    "franc": ("CHF", "XAF", "XOF", "XPF", "BIF", "CDF", "DJF", "GNF", "KMF", "RWF"),
    "crown": ("CZK", *SHARED_SYMBOLS["kr"]),
    **dict.fromkeys(("krona", "kronor", "krone", "kroner"), SHARED_SYMBOLS["kr"]),
    "peso": ("MXN", "ARS", "CLP", "COP", "CUP", "DOP", "PHP", "UYU"),
    "rupee": SHARED_SYMBOLS["rs"],
}
# Names that mean one currency only.
_WORDS: Final[Mapping[str, str]] = {
    "us $": "USD",
    "$ us": "USD",
    "$us": "USD",
    "ca $": "CAD",
    "$ ca": "CAD",
    "$ca": "CAD",
    "euros": "EUR",
    "us dollar": "USD",
    "us dollars": "USD",
    "canadian dollar": "CAD",
    "canadian dollars": "CAD",
    "australian dollar": "AUD",
    "australian dollars": "AUD",
    "new zealand dollar": "NZD",
    "new zealand dollars": "NZD",
    "pound sterling": "GBP",
    "pounds sterling": "GBP",
    "sterling": "GBP",
    "swiss franc": "CHF",
    "swiss francs": "CHF",
    "swedish krona": "SEK",
    "swedish kronor": "SEK",
    "norwegian krone": "NOK",
    "norwegian kroner": "NOK",
    "danish krone": "DKK",
    "danish kroner": "DKK",
    "indian rupee": "INR",
    "indian rupees": "INR",
    "yen": "JPY",
    "yuan": "CNY",
    "renminbi": "CNY",
    "rmb": "CNY",
    "zloty": "PLN",
    "z\u0142oty": "PLN",
}
_THREE_DECIMALS: Final = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})
_DOT_GROUPS: Final = frozenset(  # where 1.299 means 1299
    {"EUR", "BRL", "DKK", "TRY", "IDR", "CLP", "COP", "ARS", "VND", "ISK", "RON", "HRK"}
)


class Money(Value, frozen=True, gc=False):
    """An amount of 0 or more in major units, with the currencies that its text states."""

    amount: float | int
    currencies: tuple[str, ...] = ()  # possible currencies; empty: not stated
    shared: bool = False  # whether its symbol alone is ambiguous
    grouped: bool = False  # its only separator was read as one between thousands: 1,299
    pointed: bool = False  # its only point is before three digits, which some countries read as thousands: 1.299

    @property
    def doubtful(self) -> bool:
        """Whether it is a different amount in some currency."""
        return self.grouped or self.pointed

    def currency(self, stated: str | None) -> str | None:
        """The currency, if another place `stated` one. Attentive's default if there is none.

        A currency in the amount itself outweighs the stated one. None if an ambiguous symbol contradicts it or is not
        enough.
        """
        if stated is None:
            stated = DEFAULT_CURRENCY if not self.currencies else None if self.shared else self.currencies[0]
        elif self.currencies and stated not in self.currencies:
            return self.currencies[0] if len(self.currencies) == 1 else None
        if (self.grouped and stated in _THREE_DECIMALS) or (self.pointed and stated in _DOT_GROUPS):
            return None
        return stated


def to_money(value: Any) -> Money | None:
    """The amount of a number, a text with or without a currency, or an object of both. None if it is ambiguous."""
    if type(value) in NUMBERS:
        return Money(value) if 0 <= value < _INFINITE else None
    if isinstance(value, str):
        return _in_text(value) if len(value) <= _LONGEST else None
    return _in_object(value) if isinstance(value, dict) else None


def to_amount(value: Any) -> float | int | None:
    """The number of `to_money` without its currency."""
    money = to_money(value)
    return None if money is None else money.amount


def to_currency(value: object) -> str | None:
    """The code of a currency (ISO 4217), from its code in any case, or from an unambiguous symbol."""
    if not isinstance(value, str) or len(value) > _LONGEST:
        return None
    if value in CURRENCIES:
        return value
    code = value.strip().upper()
    if code in CURRENCIES:
        return code
    mark = _mark(value)
    return mark.currencies[0] if mark is not None and mark.is_one else None


def settled(money: Money, stated: Iterable[Any]) -> str | None:
    """The currency of an amount, given what is stated beside it, the nearest first; None if that is not certain.

    The first code counts, if it is one of those that the symbols before it can mean. Where all that is stated cannot be
    read, or is a number of ISO 4217 such as 978, the amount's own currency alone is certain.
    """
    symbols: list[_Mark] = []
    unreadable = False
    for value in stated:
        if _is_number(value):
            mark: _Mark | None = _Mark(())
        else:
            mark = _mark(value) if isinstance(value, str) and len(value) <= _LONGEST else None
        if mark is None:
            unreadable = True
            continue
        symbols.append(mark)
        if mark.is_one:
            break
    own = _Mark(money.currencies, money.shared)
    meant = _agreed(symbols)
    if not symbols:
        return money.currency(None) if not unreadable or own.is_one else None
    if meant.is_one:
        return money.currency(meant.currencies[0])
    if own.is_one:
        return money.currency(None)
    both = _agreed([own, meant]) if own.currencies else meant
    return changed(money, currencies=both.currencies, shared=both.shared).currency(None) if both.currencies else None


def _is_number(value: Any) -> bool:
    """Whether it may be the number of a currency, of which there is no table here: 8 to 999, or three digits."""
    if isinstance(value, str):
        return _CURRENCY_NUMBER.fullmatch(value.strip()) is not None
    return type(value) in NUMBERS and _LEAST_CURRENCY_NUMBER <= value <= _MOST_CURRENCY_NUMBER


def _in_object(value: Mapping[str, Any]) -> Money | None:
    """`{"amount": "19.99", "currencyCode": "USD"}`, as Shopify writes it. Any other key may change its meaning."""
    keys = {key.lower().replace("_", ""): inner for key, inner in value.items()}
    currencies = [inner for key in ("currencycode", "currency") if (inner := keys.pop(key, None)) is not None]
    if type(keys.get("amount")) is int and "currency" in map(str.lower, value):
        return None  # Square and Stripe count cents there
    if len(keys) != 1 or len(currencies) > 1 or not isinstance(amount := keys.get("amount"), int | float | str):
        return None
    money = to_money(amount)
    if money is None or not currencies:
        return money
    code = to_currency(currencies[0])
    return None if code is None or money.currency(code) != code else changed(money, currencies=(code,), shared=False)


@lru_cache(maxsize=4096)
def _in_text(text: str) -> Money | None:
    text = text.strip()
    if _PLAIN_NUMBER.fullmatch(text):
        amount = float(text)
        pointed = _POINTED.fullmatch(text) is not None
        return Money(amount, pointed=pointed) if amount < _INFINITE and _is_exact(text) else None
    written = _normalised(text)
    places = [place for place, character in enumerate(written) if character.isdecimal()]
    if not places:
        return None  # "free" is not a price
    first, last = places[0], places[-1] + 1
    before, number, after = written[:first].strip(), written[first:last], written[last:].strip()
    if before[-1:] in (".", ",") and _mark(before) is None and written[first - 1] == before[-1]:
        before, number = before[:-1].strip(), before[-1] + number
    if whole := _WHOLE.match(after):
        if not number.replace(".", "").replace(",", "").isdecimal():
            return None
        after = after[whole.end() :].strip()
    marks = _marks(f"{before.removeprefix('+')} {after}")
    if marks is None:
        return None  # a minus, brackets, or words: "from", "3 for", "incl. VAT"
    meant = _agreed(marks)
    if marks and not meant.currencies:
        return None
    return _with_number(number, meant)


def _normalised(text: str) -> str:
    """The text with the digits 0 to 9 and one kind of blank. Empty for numerals that are not digits, such as ²."""
    if any(character.isnumeric() and not character.isdecimal() for character in text):
        return ""
    text = unicodedata.normalize("NFKC", text)
    text = "".join(str(unicodedata.decimal(each)) if each.isdecimal() else each for each in text)
    return " ".join(text.split()).replace("\u066b", ".")


def _is_exact(text: str) -> bool:
    """Whether a float keeps all of its digits."""
    return len(Decimal(text).normalize().as_tuple().digits) <= _EXACT_DIGITS


class _Mark(NamedTuple):
    """What stands for a currency."""

    currencies: tuple[str, ...]  # that it can mean, the likeliest first
    shared: bool = False  # whether it tells none of them by itself

    @property
    def is_one(self) -> bool:
        return len(self.currencies) == 1 and not self.shared


def _mark(text: str) -> _Mark | None:
    """The code, symbol or name of a currency; None for any other text."""
    word = " ".join(text.lower().split())
    if word.upper() in CURRENCIES:
        return _Mark((word.upper(),))
    if word in _WORDS:
        return _Mark((_WORDS[word],))
    if word in SYMBOLS:
        return _Mark(SYMBOLS[word])
    several = SHARED_SYMBOLS.get(word) or _SHARED_WORDS.get(word.removesuffix("s"))
    return None if several is None else _Mark(several, shared=True)


_CODE_AND_SIGN = re.compile(r"([A-Za-z]{3})([^\w\s])|([^\w\s])([A-Za-z]{3})", re.ASCII)


def _marks(text: str) -> list[_Mark] | None:
    """What stands before and behind a number, each a currency: `USD $`. None if anything else is there."""
    if not text.strip():
        return []
    if (mark := _mark(text)) is not None:
        return [mark]
    marks: list[_Mark] = []
    for word in text.split():
        mark = _mark(word)
        if mark is not None:
            marks.append(mark)
            continue
        both = _CODE_AND_SIGN.fullmatch(word)
        parts = [] if both is None else [_mark(part) for part in both.groups() if part]
        if not parts or None in parts:
            return None
        marks += [part for part in parts if part]
    return marks


def _agreed(marks: Sequence[_Mark]) -> _Mark:
    """What all marks have in common: `$19.99 CAD` is in Canadian dollars."""
    if not marks:
        return _Mark(())
    common = tuple(code for code in marks[0].currencies if all(code in mark.currencies for mark in marks[1:]))
    return _Mark(common, all(mark.shared for mark in marks))


def _with_number(number: str, meant: _Mark) -> Money | None:
    currencies, shared = meant
    separators = [character for character in number if not character.isdecimal()]
    grouped = len(separators) == 1 and re.fullmatch(r"[1-9]\d{0,2}[.,]\d{3}", number) is not None
    if grouped and "." in separators:
        if set(currencies) & _THREE_DECIMALS:
            grouped = False
        elif not (currencies and currencies[0] in _DOT_GROUPS):
            return None
    if grouped and currencies and set(currencies) <= _THREE_DECIMALS:
        return None
    digits = number.replace(separators[0], "") if grouped else _plain(number, separators)
    if digits is None or not _PLAIN_NUMBER.fullmatch(digits) or not _is_exact(digits):
        return None
    return Money(float(digits), currencies, shared, grouped)


def _plain(number: str, separators: list[str]) -> str | None:
    """The number with a decimal point and no thousands separators. None if its separators make no sense."""
    if not separators:
        return number
    last = separators[-1]
    decimal = last in ".," and separators.count(last) == 1
    whole, _, part = number.rpartition(last) if decimal else (number, "", "")
    groups = set(separators[:-1] if decimal else separators)
    if len(groups) > 1 or not groups <= set(_GROUPS + ".,") or (decimal and last in groups):
        return None
    if groups:
        (group,) = groups
        first, *rest = whole.split(group)
        by_three = 1 <= len(first) <= len("999") and all(len(each) == len("999") for each in rest)
        if not by_three and not _INDIAN.fullmatch(whole):
            return None
        whole = whole.replace(group, "")
    return f"{whole}.{part}" if decimal else whole
