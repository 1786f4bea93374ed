"""Webhook signatures: whether a request really comes from its sender. Pure: it takes secrets, headers, body and time.

Source: the senders' own documents. Bytes are compared as received, never parsed and encoded again.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from standardwebhooks import Webhook, WebhookVerificationError
from standardwebhooks.webhooks import EmptyWebhookSecretError

SEGMENT_HEADER: Final = b"x-signature"
_STANDARD_HEADERS: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")


class Scheme(StrEnum):
    """How a sender signs its requests."""

    SEGMENT = "segment"  # X-Signature: HMAC-SHA1 of the body, hex; for a list, of its first element alone
    STANDARD_WEBHOOKS = "standard-webhooks"  # webhook-id, -timestamp and -signature; Svix too
    BEARER = "bearer"  # Authorization: Bearer SECRET
    HEADER = "header"  # a header of the operator's choice contains the secret


@dataclass(frozen=True, slots=True)
class Signing:
    """How one source's requests must be signed. Any of `secrets` is valid, so that they can be rotated."""

    scheme: Scheme
    secrets: tuple[str, ...]
    header: str = ""  # of Scheme.HEADER

    def verified(self, headers: Mapping[bytes, bytes], body: bytes) -> bool:
        """Whether the request is authentic and, if the scheme contains a time, not older than 5 minutes."""
        match self.scheme:
            case Scheme.SEGMENT:
                signed = signed_by_segment(body)
                given = headers.get(SEGMENT_HEADER, b"").strip().lower()
                return any(_same(given, _sha1_hex(secret, signed)) for secret in self.secrets)
            case Scheme.STANDARD_WEBHOOKS:
                return any(_verified_by_standard(secret, headers, body) for secret in self.secrets)
            case Scheme.BEARER:
                given = headers.get(b"authorization", b"").strip()
                return any(_same(given, b"Bearer " + secret.encode()) for secret in self.secrets)
            case Scheme.HEADER:
                given = headers.get(self.header.lower().encode("latin-1"), b"").strip()
                return any(_same(given, secret.encode()) for secret in self.secrets)


def signed_by_segment(body: bytes) -> bytes:
    """The bytes that Segment signs: the whole body, or the first element of a list, exactly as written."""
    if not body.lstrip().startswith(b"["):
        return body
    try:
        text = body.decode()
        start = _skip_blanks(text, text.index("[") + 1)
        _, end = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return body
    return text[start:end].encode()


def webhook_id(headers: Mapping[bytes, bytes]) -> str | None:
    """The ID that a Standard Webhooks sender keeps over its retries."""
    given = headers.get(b"webhook-id") or headers.get(b"svix-id")
    return given.decode("latin-1") if given else None


def _verified_by_standard(secret: str, headers: Mapping[bytes, bytes], body: bytes) -> bool:
    values = {}
    for name in _STANDARD_HEADERS:
        value = headers.get(name.encode()) or headers.get(name.replace("webhook", "svix").encode())
        if value is None:
            return False
        values[name] = value.decode("latin-1")
    entries = values["webhook-signature"].split()  # several while the sender rotates; other versions do not apply
    values["webhook-signature"] = " ".join(entry for entry in entries if entry.startswith("v1,"))
    try:
        Webhook(secret).verify(body, values, json_parse=False)
    except (WebhookVerificationError, EmptyWebhookSecretError, ValueError):
        return False
    return True


def _sha1_hex(secret: str, signed: bytes) -> bytes:
    return hmac.new(secret.encode(), signed, hashlib.sha1).hexdigest().encode()


def _same(given: bytes, expected: bytes) -> bool:
    return hmac.compare_digest(given, expected)


def _skip_blanks(text: str, start: int) -> int:
    while start < len(text) and text[start] in " \t\r\n":
        start += 1
    return start
