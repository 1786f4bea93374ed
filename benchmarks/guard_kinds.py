"""What the privacy guard is measured with: values that it must keep, and numbers that it must find, as tables.

All values are made up from a seeded generator.
"""

import base64
import random
import string
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from urllib.parse import quote

from stdnum import ean, iban, luhn
from stdnum.us import ssn

from app.privacy.detectors import ISSUERS
from app.privacy.policy import Check

Make = Callable[[random.Random], Any]
DIGITS: Final = string.digits
BASE64: Final = string.ascii_letters + DIGITS + "-_"
BASE62: Final = string.ascii_letters + DIGITS
BASE32: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value, and the field of the properties that it stands in."""

    name: str
    field: str
    make: Make


@dataclass(frozen=True, slots=True)
class Notation:
    """One way to write a number. `write` gets its groups and a generator for what stands around it."""

    name: str
    write: Callable[[list[str]], Any]


def some(random_: random.Random, alphabet: str, count: int) -> str:
    """That many characters of an alphabet."""
    return "".join(random_.choices(alphabet, k=count))


def digits(count: int, first: str = "") -> Make:
    """Digits that begin with `first`."""
    return lambda random_: first + some(random_, DIGITS, count - len(first))


def pattern(form: str) -> Make:
    """`#` is a digit, `@` a hexadecimal digit, `A` a capital; all else stands for itself."""
    alphabets = {"#": DIGITS, "@": "0123456789abcdef", "A": string.ascii_uppercase}
    counts = {sign: form.count(sign) for sign in alphabets if sign in form}
    signs = [sign for sign in form if sign in alphabets]
    template = "".join("{}" if char in alphabets else char for char in form)

    def make(random_: random.Random) -> str:
        drawn = {sign: iter(random_.choices(alphabets[sign], k=count)) for sign, count in counts.items()}
        return template.format(*(next(drawn[sign]) for sign in signs))

    return make


def number(make: Make) -> Make:
    """The value as a number in JSON."""
    return lambda random_: int(make(random_))


def around(before: str, make: Make, after: str = "") -> Make:
    """The value within a text."""
    return lambda random_: f"{before}{make(random_)}{after}"


def _uuid(random_: random.Random) -> str:
    return str(uuid.UUID(int=random_.getrandbits(128), version=4))


def _gtin(count: int) -> Make:
    def make(random_: random.Random) -> str:
        body = some(random_, DIGITS, count - 1)
        return body + ean.calc_check_digit(body)

    return make


def _base64_url(count: int) -> Make:
    return lambda random_: base64.urlsafe_b64encode(random_.randbytes(count)).decode().rstrip("=")


def _date(random_: random.Random, form: str) -> str:
    return form.format(
        y=random_.randint(2020, 2029), m=random_.randint(1, 12), d=random_.randint(1, 28),
        H=random_.randint(0, 23), M=random_.randint(0, 59), S=random_.randint(0, 59), f=random_.randint(0, 999_999),
    )  # fmt: skip


def date(form: str) -> Make:
    """A date and time by the names y, m, d, H, M, S and f."""
    return lambda random_: _date(random_, form)


def _order(form: str) -> Make:
    """A date without its century, and digits behind it: Mastercard has numbers that begin so."""
    return lambda random_: _date(random_, form)[:-2] + some(random_, DIGITS, 10)


_LUHN_VARIANT: Final = digits(14, "39")
_SSN_LIKE: Final = pattern("###-##-####")
_IN_FOURS: Final = pattern("4###-####-####-####")
# fmt: off
HARMLESS: Final[tuple[Kind, ...]] = (
    Kind("order id, 16 digits", "order_id", digits(16, "4")),
    Kind("order id, a number in JSON", "order_id", number(digits(16, "5"))),
    Kind("order id, `123-45-6789`", "order_id", pattern("###-##-####")),
    Kind("order id in fours with dashes", "order_id", _IN_FOURS),
    Kind("order id, `SO-` + date + 10 digits", "orderId", _order("SO-26{m:02}{d:02}00")),
    Kind("order number, date + 10 digits", "orderNumber", _order("26{m:02}{d:02}00")),
    Kind("order in a sentence", "note", around("Your order ", digits(16, "4"), " has shipped")),
    Kind("`order no. …` in a sentence", "note", around("We have order no. ", digits(16, "5"), ".")),
    Kind("`order #…` in a sentence", "note", around("About order #", pattern("###-##-####"), ", please call")),
    Kind("prefixed order id in a sentence", "note", around("Your parcel SO-", digits(16, "26"), " is here")),
    Kind("sku, `123-45-6789`", "sku", pattern("###-##-####")),
    Kind("sku, `123.45.6789`", "sku", pattern("###.##.####")),
    Kind("sku, 14 digits", "sku", digits(14, "36")),
    Kind("sku in a list", "skus", lambda random_: [_SSN_LIKE(random_) for _ in range(3)]),
    Kind("sku in a recorded form", "fields", lambda random_: [{"name": "sku", "value": _SSN_LIKE(random_)}]),
    Kind("part number, `AB-123-45-6789`", "title", pattern("AA-###-##-####")),
    Kind("product id of Shopify, `gid://…`", "product_id", around("gid://shopify/Product/", _LUHN_VARIANT)),
    Kind("`gid://…` in any field", "value_of_x", around("gid://shopify/ProductVariant/", _LUHN_VARIANT)),
    Kind("variant id of Shopify, a number", "variant_id", number(_LUHN_VARIANT)),
    Kind("variant id of Shopify, `variant`", "variant", _LUHN_VARIANT),
    Kind("feed id, `shopify_US_…_…`", "id", around("shopify_US_6567284113538_", _LUHN_VARIANT)),
    Kind("feed id in any field", "content", around("shopify_US_6567284113538_", _LUHN_VARIANT)),
    Kind("transaction id, 18 digits", "transaction_id", digits(18, "62")),
    Kind("payment id, 16 digits", "payment_id", digits(16, "4")),
    Kind("snowflake id, 19 digits", "tweetId", digits(19, "4")),
    Kind("id of an advertisement, 17 digits", "ad_id", digits(17, "62")),
    Kind("invoice number, 14 digits", "invoice_number", digits(14, "30")),
    Kind("`INV-2026-…`", "document", around("INV-2026-", digits(16, "4"))),
    Kind("gift card, in fours with blanks", "gift_card_number", pattern("6006 #### #### ####")),
    Kind("gift card code, in fours", "giftCardCode", _IN_FOURS),
    Kind("loyalty card, 16 digits", "loyalty_card_number", digits(16, "60")),
    Kind("membership number", "membershipNumber", digits(16, "65")),
    Kind("coupon in fours", "coupon", _IN_FOURS),
    Kind("tracking number, 22 digits in groups", "tracking_number", pattern("9400 #### #### #### #### ##")),
    Kind("the same in a sentence", "note", around("On its way: ", pattern("9400 #### #### #### #### ##"))),
    Kind("tracking number, 15 digits", "trackingNumber", digits(15, "37")),
    Kind("`tracking …` in a sentence", "note", around("tracking: ", digits(15, "34"))),
    Kind("tracking number, `1Z…`", "note", pattern("1ZA##A##########A#")),
    Kind("GTIN-8", "gtin", _gtin(8)),
    Kind("GTIN-12", "upc", _gtin(12)),
    Kind("GTIN-13", "ean", _gtin(13)),
    Kind("GTIN-14", "gtin", _gtin(14)),
    Kind("GTIN-14, `barcode`", "barcode", _gtin(14)),
    Kind("`EAN …` in a sentence", "description", around("Size M, EAN ", _gtin(14))),
    Kind("ISBN with dashes", "isbn", pattern("978-3-16-######-#")),
    Kind("IMEI", "imei", digits(15, "35")),
    Kind("ICCID", "iccid", digits(19, "81")),
    Kind("UUID, version 4", "anything", _uuid),
    Kind("UUID in capitals", "anything", lambda random_: _uuid(random_).upper()),
    Kind("UUID with a prefix", "anything", around("test-", _uuid)),
    Kind("UUID without dashes", "anything", lambda random_: _uuid(random_).replace("-", "")),
    Kind("UUIDs in a sentence", "note", lambda random_: f"from {_uuid(random_)} to {_uuid(random_)}"),
    Kind("ULID", "anything", lambda random_: "01" + some(random_, BASE32, 24)),
    Kind("object id of MongoDB", "anything", pattern("@" * 24)),
    Kind("MD5 in hexadecimal", "anything", pattern("@" * 32)),
    Kind("SHA-256 in hexadecimal", "anything", pattern("@" * 64)),
    Kind("nanoid", "anything", lambda random_: some(random_, BASE64, 21)),
    Kind("random token, base64", "anything", _base64_url(32)),
    Kind("JSON Web Token", "anything", lambda random_: ".".join(f"eyJ{_base64_url(40)(random_)}" for _ in range(3))),
    Kind("id of a payment, `pi_…`", "anything", lambda random_: f"pi_3{some(random_, BASE62, 23)}"),
    Kind("cookie `_ga`", "ga", pattern("GA1.1.##########.17########")),
    Kind("cookie `_fbp`", "anything", pattern("fb.1.17###########.##########")),
    Kind("gclid", "gclid", lambda random_: "Cj0KCQ" + some(random_, BASE64, 80)),
    Kind("cart token", "cart_token", pattern("c1-@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@")),
    Kind("link with a variant", "url", around("https://shop.example/products/boot?variant=", _LUHN_VARIANT)),
    Kind("link with an id in its path", "link", around("https://shop.example/orders/", digits(16, "4"), "/status?a=1")),
    Kind("link with `123-45-6789` in its path", "href", around("https://shop.example/p/", pattern("###-##-####"))),
    Kind("link in a sentence", "note", around("see https://shop.example/o/", digits(16, "5"), " for more")),
    Kind("link with campaign ids", "url", around("https://shop.example/?utm_id=", digits(17, "62"), "&gad=1")),
    Kind("path without a host", "path", around("/collections/39/products/", _LUHN_VARIANT)),
    Kind("query alone", "search", around("?pid=", digits(14, "38"), "&size=42")),
    Kind("image of a shop", "image_url", around("https://cdn.shop.example/1/", digits(14, "30"), ".jpg?v=1700000000")),
    Kind("phone, E.164", "phone", pattern("+1415#######")),
    Kind("phone, 15 digits", "mobile", pattern("+37############")),
    Kind("phone, international in groups", "contact", pattern("+39 06 #### #### ##")),
    Kind("phone with dashes in a sentence", "note", around("call me at ", pattern("415-###-####"))),
    Kind("phone, `030 12 3456`", "telephone", pattern("030 1# ####")),
    Kind("`tel. …` in a sentence", "note", around("tel. ", pattern("030 1# ####"))),
    Kind("time, ISO 8601", "anything", date("{y}-{m:02}-{d:02}T{H:02}:{M:02}:{S:02}.{f:06}+00:00")),
    Kind("time in digits", "anything", date("{y}{m:02}{d:02}{H:02}{M:02}{S:02}")),
    Kind("time in digits with ms", "anything", date("{y}{m:02}{d:02}{H:02}{M:02}{S:02}123")),
    Kind("time in ms", "anything", number(digits(13, "17"))),
    Kind("time in µs", "anything", number(digits(16, "17"))),
    Kind("time in ns", "anything", digits(19, "17")),
    Kind("range of dates", "anything", date("{y}-{m:02}-{d:02} to {y}-{d:02}-{m:02}")),
    Kind("price", "price", lambda random_: round(random_.uniform(1, 9_999), 2)),
    Kind("amounts in a sentence", "note", pattern("4,###.## and 5,###.## and 4,###.##")),
    Kind("decimals, 16 digits", "score", pattern("0.4###############")),
    Kind("decimals with a comma", "score", pattern("0,5###############")),
    Kind("coordinates", "place", pattern("-37.4##############, 36.5##############")),
    Kind("sizes", "sizes", lambda random_: " ".join(str(36 + 2 * place) for place in range(random_.randint(3, 9)))),
    Kind("address of a machine", "ip", pattern("2##.1##.1##.###")),
    Kind("IPv6", "anything", pattern("2001:0db8:####:####:####:####:####:@@@@")),
    Kind("browser", "userAgent", pattern("Mozilla/5.0 (X11; Linux) Chrome/1##.0.####.### Safari/537.36")),
    Kind("version", "anything", pattern("v1##.##.####")),
    Kind("`version …` in a sentence", "note", around("Seen with version ", pattern("1##.##.####"))),
    Kind("postal code, ZIP+4", "address", around("1 Main St, Springfield ", pattern("#####-####"))),
    Kind("masked card", "payment", pattern("4111 11** **** ####")),
    Kind("last four digits", "payment", around("Visa ending in ", pattern("####"))),
)

_JOINED: Final[Mapping[str, str]] = {
    "blanks": " ", "dashes": "-", "dots": ".", "slashes": "/", "underscores": "_", "tabs": "\t", "pluses": "+",
    "`%20`": "%20", "`%2D`": "%2D", "`&nbsp;`": "&nbsp;", "no-break spaces": "\u00a0",
    "narrow no-break spaces": "\u202f", "thin spaces": "\u2009", "figure spaces": "\u2007",
    "ideographic spaces": "\u3000", "zero-width spaces": "\u200b", "soft hyphens": "\u00ad",
    "hyphens (U+2010)": "\u2010",
    "no-break hyphens": "\u2011", "en dashes": "\u2013", "em dashes": "\u2014", "minus signs (U+2212)": "\u2212",
    "two blanks": "  ", "blank, dash, blank": " - ",
}
_PLACED: Final[Mapping[str, str]] = {
    "within a sentence": "my number is {} thanks", "at the end of a sentence": "It is {}.", "in brackets": "mine ({})",
    "in quotation marks": 'I said "{}"', "after a colon": "number:{}", "on a line of its own": "here:\n{}\nthanks",
    "in HTML": "<b>{}</b>", "in JSON in text": '{{"a": "{}"}}', "second in a list": "12, {}", "after `1,`": "1,{}",
    "in the query of a link": "https://shop.example/search?q={}&page=2",
    "between letters of other scripts": "\u756a\u53f7{}\u3067\u3059",
}
# fmt: on


def _in_script(zero: str) -> Callable[[list[str]], str]:
    """The groups with the digits of another script."""
    return lambda groups: " ".join(groups).translate({ord(str(n)): ord(zero) + n for n in range(10)})


def _joined(by: str) -> Callable[[list[str]], str]:
    return lambda groups: by.join(groups)


def _placed(form: str, by: str) -> Callable[[list[str]], str]:
    return lambda groups: form.format(by.join(groups))


def _notations(by: str, *, bare: bool) -> tuple[Notation, ...]:
    """All ways to write a number that is written in groups with `by` between."""
    return (
        *((Notation("nothing between", "".join), Notation("after a sentence, nothing between", _bare)) if bare else ()),
        *(Notation(f"{name} between", _joined(gap)) for name, gap in _JOINED.items()),
        *(Notation(name, _placed(form, by)) for name, form in _PLACED.items()),
        Notation("full-width digits", _in_script("\uff10")),
        Notation("Arabic digits", _in_script("\u0660")),
        Notation("percent-encoded", lambda groups: quote("it is " + " ".join(groups))),
    )


def _bare(groups: list[str]) -> str:
    return f"Please charge {''.join(groups)}, thanks"


@cache
def _cards() -> tuple[tuple[str, str, int], ...]:
    return tuple(
        (*ends, length) for _, ranges, lengths in ISSUERS for ends in ranges for length in lengths
    )  # each as often as the others


def card(random_: random.Random) -> list[str]:
    """A card number of any issuer, in the groups that are printed on the card."""
    first, last, length = random_.choice(_cards())
    prefix = str(random_.randint(int(first), int(last)))
    body = prefix + some(random_, DIGITS, length - 1 - len(prefix))
    whole = body + luhn.calc_check_digit(body)
    return in_groups(whole, {14: (4, 6, 4), 15: (4, 6, 5)}.get(length, (4, 4, 4, 4, length - 16)))


def social_security_number(random_: random.Random) -> list[str]:
    """A number that may have been given out."""
    while not ssn.is_valid(whole := pattern("###-##-####")(random_)):
        pass
    return list(whole.split("-"))


def account(random_: random.Random) -> list[str]:
    """An IBAN, in fours."""
    country, form = random_.choice(tuple(_ACCOUNTS.items()))
    body = pattern(form)(random_)
    whole = country + iban.calc_check_digits(f"{country}00{body}") + body
    return in_groups(whole, [4] * (len(whole) // 4) + [len(whole) % 4])


def in_groups(whole: str, sizes: Any) -> list[str]:
    """The number in groups of these sizes."""
    groups, place = [], 0
    for size in filter(None, sizes):
        groups.append(whole[place : place + size])
        place += size
    return groups


_ACCOUNTS: Final = {  # by country; those whose numbers have no checksum of their own
    "DE": "#" * 18,
    "GB": "AAAA" + "#" * 14,
    "IE": "AAAA" + "#" * 14,
    "AT": "#" * 16,
    "CH": "#" * 17,
    "DK": "#" * 14,
    "LV": "AAAA" + "#" * 13,
    "LU": "#" * 16,
    "PL": "#" * 24,
    "SE": "#" * 20,
    "RO": "AAAA" + "#" * 16,
    "MT": "AAAA" + "#" * 23,
}
SECRET_NUMBERS: Final[tuple[tuple[Check, Make, tuple[Notation, ...]], ...]] = (
    (
        Check.CARD_NUMBER,
        card,
        (
            *_notations(" ", bare=True),
            Notation("a number in JSON", lambda groups: int("".join(groups))),
            Notation("with its security code", lambda groups: f"{' '.join(groups)} 123"),
            Notation("with its date of expiry", lambda groups: f"{''.join(groups)} 12/28"),
            Notation("after the name of its issuer", lambda groups: f"Visa {''.join(groups)}"),
        ),
    ),
    (Check.US_SSN, social_security_number, _notations("-", bare=False)),
    (
        Check.IBAN,
        account,
        (
            *_notations(" ", bare=True),
            Notation("in small letters", lambda groups: "".join(groups).lower()),
            Notation("in small letters with blanks", lambda groups: " ".join(groups).lower()),
        ),
    ),
)
