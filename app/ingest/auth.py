"""Write keys: which source sends this. Headers win over the body, for some trackers mask the key they put there.

Source: the published clients. Order: Basic user name, X-Write-Key, query `writeKey`, body, first event of the batch.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs

from app.ingest.admission import RateLimit
from app.ingest.batch import decoded
from app.ingest.origins import Origins
from app.ingest.refusal import Refused
from app.ingest.signatures import Signing
from app.pipeline import Plan


@dataclass(frozen=True, slots=True)
class Sender:
    """A source as one of its write keys names it, and what its destination wants done with its events."""

    source: str
    destination: str
    plan: Plan
    key_number: int = 1  # which of the source's keys this is, as the settings list them
    retiring: bool = False  # this key is being replaced
    origins: Origins | None = None  # pages that may post; None: all
    signing: Signing | None = None
    limit: RateLimit | None = None


class WriteKeys:
    """All sources by write key."""

    def __init__(self, senders: Mapping[str, Sender]) -> None:
        self._senders = senders

    def replace(self, senders: Mapping[str, Sender]) -> None:
        """From now on these. Requests that have found their sender keep it."""
        self._senders = senders

    def knows(self, key: str) -> bool:
        """Whether this key belongs to a source."""
        return key in self._senders

    def named_in(self, headers: Iterable[tuple[bytes, bytes]], query: bytes) -> str:
        """The write key that a request without a body names, '' when none."""
        found = dict(headers)
        return _from_headers(found) or _from_query(query)

    def sender(self, headers: Mapping[bytes, bytes], query: bytes, content: Any) -> Sender:
        """Who sends a request with these headers, query string and decoded body. Raises Refused (401)."""
        key = _from_headers(headers) or _from_query(query) or _from_content(content)
        if not key:
            raise Refused(
                401,
                "unknown_source",
                "no write key: send it as Basic user name, in X-Write-Key, or as `writeKey` in the body",
                field="writeKey",
            )
        sender = self._senders.get(key)
        if sender is None:
            raise Refused(401, "unknown_source", "this write key belongs to no source", field="writeKey")
        return sender


def _from_headers(headers: Mapping[bytes, bytes]) -> str:
    return _basic(headers.get(b"authorization")) or _clean(headers.get(b"x-write-key", b"").decode("latin-1"))


@lru_cache(maxsize=256)
def _basic(header: bytes | None) -> str:
    """The user name; the colon and password that should follow it may be missing."""
    if header is None or header[:6].lower() != b"basic ":
        return ""
    try:
        decoded = base64.b64decode(header[6:].strip(), validate=True).decode()
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
    first = decoded(batch[0]) if isinstance(batch, list) and batch else None
    key = first.get("writeKey") if isinstance(first, dict) else None
    return _clean(key) if isinstance(key, str) else ""


def _clean(key: str) -> str:
    return key.strip().removesuffix(":")
