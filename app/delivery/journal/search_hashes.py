"""Hashes that the journal stores in place of identifiers, so that a person's records can be found. Pure."""

import zlib
from typing import Final, Literal

Kind = Literal["emails", "phones", "user_ids", "anonymous_ids", "order_ids"]
_HASHES: Final = 2**20 - 1
_PHONE_DIGITS: Final = 8


def search_hash(kind: Kind, value: str) -> int:
    """20 bits of an identifier, which thousands of addresses and numbers share: enough to find, too little to identify.

    For a phone number only its last digits count, in whatever format it is written.
    """
    match kind:
        case "emails":
            value = value.strip().lower()
        case "phones":
            value = "".join(filter(str.isdigit, value))[-_PHONE_DIGITS:]
    return zlib.crc32(f"{kind}\0{value}".encode()) & _HASHES
