"""Which fields contain identifiers, telephone numbers or times, by their names. The names are data.

One in ten numbers that begin like a card number passes for one. So in such a field, a number is what the name states,
and the detectors leave it alone.
"""

import re
from collections.abc import Iterable
from typing import Final

NAME_CHARS: Final = 96  # of a name that is checked; the rest of a longer one is ignored

# The last word of a name: `order_id`, `productSku`, `cart.token`.
LAST: Final = frozenset(
    (
        *("id", "ids", "uid", "uuid", "guid", "gid", "oid", "pid", "sid", "vid", "cid", "tid", "identifier"),
        *("sku", "skus", "gtin", "upc", "ean", "isbn", "issn", "asin", "mpn", "plu", "barcode", "variant", "variants"),
        *("code", "codes", "coupon", "voucher", "ref", "reference", "key", "handle", "slug", "awb", "waybill"),
        *("token", "session", "cookie", "hash", "digest", "checksum", "signature", "etag", "nonce", "fingerprint"),
        *("imei", "imsi", "iccid", "meid", "udid", "idfa", "idfv", "gaid", "serial", "vin", "mac", "rma", "lot"),
        *("fbp", "fbc", "ga", "gclid", "dclid", "fbclid", "msclkid", "ttclid", "gbraid", "wbraid", "clid"),
        *("phone", "phones", "telephone", "tel", "mobile", "cell", "fax", "msisdn", "whatsapp"),
        *("time", "times", "timestamp", "ts", "date", "datetime", "at", "epoch", "expires", "expiry"),
        *("latitude", "longitude", "lat", "lng", "lon", "coordinates", "ip", "useragent", "agent", "version", "build"),
        *("tracking", "telefon", "handy", "movil", "portable", "rufnummer", "uhrzeit", "datum"),
    )
)
# The word before `number`, `no`, `num` or `nr`: `invoiceNumber`, `order_no`; and the whole name: `order`.
NUMBERED: Final = frozenset(
    (
        *("order", "invoice", "tracking", "shipment", "shipping", "delivery", "parcel", "package", "container"),
        *("serial", "model", "part", "item", "product", "article", "style", "stock", "batch", "lot", "variant"),
        *(
            "customer",
            "client",
            "user",
            "member",
            "membership",
            "loyalty",
            "reward",
            "rewards",
            "subscriber",
            "profile",
        ),
        *("transaction", "confirmation", "booking", "reservation", "ticket", "receipt", "po", "purchase", "quote"),
        *("rma", "return", "refund", "case", "claim", "contract", "subscription", "checkout", "cart", "payment"),
        *("reference", "sequence", "store", "shop", "location", "gift", "voucher", "coupon", "certificate"),
        *("phone", "telephone", "mobile", "tel", "fax", "contact", "whatsapp", "bestellung", "commande", "pedido"),
    )
)
NUMBER_WORDS: Final = frozenset({"number", "numbers", "no", "num", "nr", "nbr", "nummer", "numero", "id"})
# Names of cards and accounts: an ID of one of these may be its number.
CARDS: Final = frozenset(
    (
        *("card", "cards", "cc", "pan", "visa", "mastercard", "amex", "creditcard", "debitcard", "iban", "ssn"),
        *("karte", "kreditkarte", "kartennummer", "carte", "tarjeta", "cartao", "carta", "kort", "kaart"),
    )
)
# …unless they are a shop's own: their numbers look like those of payment cards.
OWN_CARDS: Final = frozenset(
    (
        *("gift", "giftcard", "loyalty", "member", "membership", "reward", "rewards", "bonus", "points"),
        *("store", "club", "voucher", "certificate", "library", "customer"),
    )
)
# Values that are written in groups with blanks between them, like card numbers.
WITH_BLANKS: Final = OWN_CARDS | {
    *("tracking", "phone", "phones", "telephone", "tel", "mobile", "fax", "barcode", "imei", "iccid"),
    *("serial", "shipment", "parcel", "awb", "waybill", "coupon", "code", "codes", "whatsapp", "msisdn"),
}
# Words that end like an ID but are not one.
_NOT_IDS: Final = frozenset(
    (
        *("paid", "unpaid", "prepaid", "postpaid", "repaid", "said", "aid", "bid", "void", "avoid", "valid", "invalid"),
        *("grid", "hybrid", "android", "solid", "liquid", "rapid", "fluid", "kid", "kids", "bids", "covid", "plaid"),
        *("maid", "raid", "laid", "braid", "acid", "humid", "vivid", "mid", "did", "hid", "lid", "rid", "squid"),
    )
)
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+")


def words_of(name: str) -> list[str]:
    """The words of a name in lower case: `orderID`, `order_id_2` and `Order Id` have two."""
    return [word.lower() for word in _WORD.findall(name[:NAME_CHARS])]


def normalised(name: str) -> str:
    """ "Card-Number", "cardNumber" and "card_number" are all "cardnumber"."""
    return name.lower() if name.isalnum() else "".join(filter(str.isalnum, name)).lower()


class IdentifierNames:
    """Recognises the names of identifiers, telephone numbers and times."""

    def __init__(self, only: Iterable[str] | None = None) -> None:
        """With `only`, exactly these names, in any spelling, are names of identifiers. None: the tables above apply."""
        self._only = None if only is None else frozenset(map(normalised, only))

    def __contains__(self, name: str) -> bool:
        if self._only is not None:
            return normalised(name[:NAME_CHARS]) in self._only
        return _names_an_identifier(words_of(name))

    def may_have_blanks(self, name: str) -> bool:
        """Whether an identifier of this name is written in groups with blanks between them."""
        return self._only is None and not WITH_BLANKS.isdisjoint(words_of(name))


def _names_an_identifier(words: list[str]) -> bool:
    if not words or not (CARDS.isdisjoint(words) or not OWN_CARDS.isdisjoint(words)):
        return False
    last = words[-1]
    if last in LAST or words[0] == "id" or (last.endswith(("id", "ids", "clid")) and last not in _NOT_IDS):
        return True
    if len(words) == 1:
        return last in NUMBERED or (last.endswith(("number", "nummer")) and last not in ("number", "nummer"))
    if last in ("card", "cards", "giftcard"):  # the shop's own
        return True
    return last in NUMBER_WORDS and not (NUMBERED | OWN_CARDS).isdisjoint(words)
