"""What the journal carries in place of identifiers, so that a person's records can be found again. Pure."""

import zlib
from functools import lru_cache
from typing import Final, Literal

Kind = Literal["emails", "phones", "user_ids", "anonymous_ids"]
_MARKS: Final = 2**20 - 1
_PHONE_DIGITS: Final = 8


@lru_cache(maxsize=8192)  # one person's events repeat the same few
def mark(kind: Kind, value: str) -> int:
    """20 bits of an identifier, which thousands of addresses and numbers share: enough to find, too little to name.

    A phone number counts by its last digits, however it is written.
    """
    match kind:
        case "emails":
            value = value.strip().lower()
        case "phones":
            value = "".join(filter(str.isdigit, value))[-_PHONE_DIGITS:]
    return zlib.crc32(f"{kind}\0{value}".encode()) & _MARKS
