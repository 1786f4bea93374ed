"""Write keys: which source sends a request. Headers win over the body, because some trackers mask the key there.

Source: the published clients. Order: Basic user name, X-Write-Key, query `writeKey`, body, first event of the batch.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, Final
from urllib.parse import parse_qs

from app.ingest.admission import RateLimit
from app.ingest.batch import decoded
from app.ingest.origins import Origins
from app.ingest.refusal import Refused
from app.ingest.signatures import Signing
from app.pipeline import Plan

_KEY_IN_JSON: Final = re.compile(rb'"writeKey"\s{0,8}:\s{0,8}"([^"\\]{1,200})"')
_KEYS_LOOKED_AT: Final = 3


@dataclass(frozen=True, slots=True)
class Sender:
    """A source as one of its write keys identifies it, and how its destination treats its events."""

    source: str
    destination: str
    plan: Plan
    key_number: int = 1  # the position of this key in the settings
    retiring: bool = False  # this key is being replaced
    origins: Origins | None = None  # sites allowed to post; None: all
    signing: Signing | None = None
    limit: RateLimit | None = None
    alone: bool = True  # it is its destination's only source


class WriteKeys:
    """All sources by write key."""

    def __init__(self, senders: Mapping[str, Sender]) -> None:
        self._senders = senders

    def replace(self, senders: Mapping[str, Sender]) -> None:
        """Use these from now on. Requests whose sender is already known keep it."""
        self._senders = senders

    def knows(self, key: str) -> bool:
        """Whether this key belongs to a source."""
        return key in self._senders

    def named_in(self, headers: Iterable[tuple[bytes, bytes]], query: bytes) -> str:
        """The write key of a request without a body. Empty if there is none."""
        found = dict(headers)
        return _from_headers(found) or _from_query(query)

    def sender_outside(self, headers: Mapping[bytes, bytes], query: bytes) -> Sender | None:
        """The sender by the headers or the query string. None if only the body can name it. Raises Refused (401)."""
        key = _from_headers(headers) or _from_query(query)
        return self._sender(key) if key else None

    def sender_inside(self, content: Any) -> Sender:
        """The sender by a decoded body. Raises Refused (401)."""
        if not (key := _from_content(content)):
            raise Refused(
                401,
                "unknown_source",
                "no write key: send it as Basic user name, in X-Write-Key, or as `writeKey` in the body",
                field="writeKey",
            )
        return self._sender(key)

    def may_be_in(self, body: bytes) -> bool:
        """Whether a body that is not decoded yet may contain a known key."""
        found = islice(_KEY_IN_JSON.finditer(body), _KEYS_LOOKED_AT)
        return any(_clean(key[1].decode("utf-8", "replace")) in self._senders for key in found)

    def _sender(self, key: str) -> Sender:
        sender = self._senders.get(key)
        if sender is None:
            raise Refused(401, "unknown_source", "this write key belongs to no source", field="writeKey")
        return sender


def _from_headers(headers: Mapping[bytes, bytes]) -> str:
    return _basic(headers.get(b"authorization")) or _clean(headers.get(b"x-write-key", b"").decode("latin-1"))


@lru_cache(maxsize=256)
def _basic(header: bytes | None) -> str:
    """The user name. Accepts a missing colon and password, and missing padding at the end."""
    if header is None or header[:6].lower() != b"basic ":
        return ""
    try:
        given = header[6:].strip().rstrip(b"=")
        decoded = base64.b64decode(given + b"=" * (-len(given) % 4), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return _clean(decoded.partition(":")[0])


def _from_query(query: bytes) -> str:
    if b"writeKey" not in query:
        return ""
    return _clean(parse_qs(query.decode("latin-1")).get("writeKey", [""])[0])


def _from_content(content: Any) -> str:
    batch = content
    if isinstance(content, dict):
        if isinstance(key := content.get("writeKey"), str) and _clean(key):
            return _clean(key)
        batch = content.get("batch")
    first = decoded(batch[0], lenient=False) if isinstance(batch, list) and batch else None
    key = first.get("writeKey") if isinstance(first, dict) else None
    return _clean(key) if isinstance(key, str) else ""


def _clean(key: str) -> str:
    return key.strip().removesuffix(":")
