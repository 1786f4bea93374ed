"""Requests that somebody with a public write key, or with none, sends to do harm: three variants of each attack.

An attack is one row of the table of attacks in docs/security.md. Those that do not come in through HTTP (answers of
Attentive's side, scripts of Redis, files) have tests of their own.
"""

import base64
import gzip
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from app.ingest.auth import Sender
from app.ingest.signatures import Scheme, Signing
from app.pipeline import Plan
from tests.builders import Raw, identify, track

WRITE_KEY: Final = "wk_shop"
SIGNED_KEY: Final = "wk_signed"
VICTIM: Final = "victim@example.com"


def senders() -> Mapping[str, Sender]:
    """A public source, and one whose events are signed."""
    return {
        WRITE_KEY: Sender("shop", "acme", Plan()),
        SIGNED_KEY: Sender("signed", "acme", Plan(), signing=Signing(Scheme.SEGMENT, ("secret",))),
    }


class Attempt(NamedTuple):
    """One request, the statuses that may answer it, and how the events in it may end at once."""

    aim: str
    variant: str
    request: bytes
    statuses: frozenset[int]
    endings: frozenset[str] | None = None  # None: any

    def __str__(self) -> str:
        return f"{self.aim}: {self.variant}"


def request(
    content: Any, *headers: str, path: str = "/v1/batch", key: str | None = WRITE_KEY, method: str = "POST"
) -> bytes:
    """A request with this body, which is JSON unless it is bytes."""
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    lines = [f"{method} {path} HTTP/1.1", "Host: gateway", f"Content-Length: {len(body)}", *headers]
    if key is not None:
        lines.append("Authorization: Basic " + base64.b64encode(f"{key}:".encode()).decode())
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def gzipped(content: bytes, **options: Any) -> bytes:
    """The same request with its body compressed, as clients do."""
    return request(gzip.compress(content, mtime=0), "Content-Encoding: gzip", **options)


def _batch(make: Callable[[int], Raw], count: int) -> Raw:
    return {"batch": [make(number) | {"messageId": f"m-{number}"} for number in range(count)]}


def _alias(number: int, **fields: Any) -> Raw:
    return {"type": "alias", "previousId": f"victim-{number}", "userId": "mine", **fields}


def _delete(number: int, **fields: Any) -> Raw:
    return {"type": "delete", "userId": f"victim-{number}", **fields}


def _signed(content: Any, covered: Any) -> bytes:
    """A list whose signature covers another content, as Segment's does."""
    signature = hmac.new(b"secret", orjson.dumps(covered), hashlib.sha1).hexdigest()
    return request(content, f"X-Signature: {signature}", key=SIGNED_KEY)


_FORGED: Final = track("Coupon Entered", messageId="forged")
_TRUE: Final = track("Coupon Entered", messageId="true")
_TRACK: Final = orjson.dumps(track("Product Viewed", {"product_id": "1"}))
_OK, _BAD, _DENIED = frozenset({200}), frozenset({400}), frozenset({401})
_OPERATORS: Final = ("/metrics", "/scaling", "/docs")
_LISTS: Final = {"one forged event": 1, "forty": 40, "five hundred": 500}

_TABLE: Final[Mapping[str, Mapping[str, tuple[bytes, frozenset[int], frozenset[str] | None]]]] = {
    "amounts without end": {
        "digits and a letter": (
            gzipped(orjson.dumps(track("Order Completed", {"price": "1" * 32_000 + "x"})), path="/v1/track"), _OK, None
        ),
        "separators": (
            gzipped(orjson.dumps(track("Order Completed", {"total": "1," * 15_000})), path="/v1/track"), _OK, None
        ),
        "signs of currencies": (
            request(track("Order Completed", {"products": [{"price": "$" * 20_000}]}), path="/v1/track"), _OK, None
        ),
    },
    "work without a key": {
        "lists that no parser likes": (gzipped(b"[" + b"[]," * 20_000 + b"NaN]", key="unknown"), _DENIED, None),
        "a bomb": (gzipped(b" " * 20_000_000, key="unknown"), _DENIED, None),
        "depth": (gzipped(b"[" * 500_000, key="unknown"), _DENIED, None),
    },
    "an alias of other people": {
        "in a batch": (request(_batch(_alias, 500)), _OK, None),
        "of an address": (request(_batch(lambda n: _alias(n, previousId=f"{n}{VICTIM}"), 100)), _OK, None),
        "with its anonymous id": (request(_batch(lambda n: _alias(n, anonymousId=f"a-{n}"), 100)), _OK, None),
    },
    "an erasure of other people": {
        "in a batch": (request(_batch(_delete, 100)), _OK, frozenset({"dropped:erasure_not_allowed"})),
        "by an address": (
            request(_batch(lambda n: _delete(n, context={"traits": {"email": VICTIM}}), 100)), _OK,
            frozenset({"dropped:erasure_not_allowed"}),
        ),
        "by a regulation": (
            request(_batch(lambda n: _delete(n, regulationType="DELETE_ONLY"), 100)), _OK,
            frozenset({"dropped:erasure_not_allowed"}),
        ),
    },
    "events that map onto nothing": {
        "without what their rule needs": (request(_batch(lambda n: track("Product Viewed", {"x": n}), 500)), _OK, None),
        "of nobody": (
            request(_batch(lambda n: {"type": "track", "event": f"Junk {n}", "anonymousId": "a"}, 500)), _OK,
            frozenset({"dropped:no_identity"}),
        ),
        "without a type": (request(_batch(lambda n: {"event": n}, 500)), _OK | _BAD, None),
    },
    "floods of people": {
        "identify calls": (
            request(_batch(lambda n: identify({"email": f"{n}@example.com"}, userId=f"u-{n}"), 400)), _OK, None
        ),
        "of one address": (request(_batch(lambda n: identify({"email": VICTIM}, userId=f"u-{n}"), 400)), _OK, None),
        "longer than a batch may be": (request({"batch": [{}] * 20_000}), _BAD, None),
    },
    "consent and attributes of others": {
        "an opt-out": (
            request(track("Unsubscribed", {"email": VICTIM}, context={"traits": {"email": VICTIM}}), path="/v1/track"),
            _OK, None,
        ),
        "another type": (request(identify({"email": VICTIM, "points": "many"}), path="/v1/identify"), _OK, None),
        "a hundred junk traits": (
            request(identify({"email": VICTIM, **{f"junk{n}": n for n in range(100)}}), path="/v1/identify"), _OK, None
        ),
    },
    "an upgrade": {
        "to HTTP/2": (request(_TRACK, "Connection: Upgrade", "Upgrade: h2c", path="/v1/track"), _OK, None),
        "to a WebSocket": (request(_TRACK, "Connection: upgrade", "Upgrade: websocket", path="/v1/track"), _OK, None),
        "that hides a request": (
            request(request(_TRACK, path="/v1/track"), "Connection: Upgrade", "Upgrade: h2c", path="/v1/track"),
            _BAD, None,
        ),
    },
    "signed lists": {
        name: (_signed([_TRUE, *[_FORGED] * count], _TRUE), _BAD, None) for name, count in _LISTS.items()
    },
    "heads": {
        "of one long header": (request(_TRACK, "X-Long: " + "x" * 100_000), frozenset({431}), None),
        "of many headers": (request(_TRACK, *[f"X-{n}: 1" for n in range(500)]), frozenset({431}), None),
        "with a long address": (request(_TRACK, path="/v1/track?" + "x" * 50_000), frozenset({414}), None),
    },
    "pages for operators": {
        path: (request(b"", path=path, method="GET"), frozenset({404}), None) for path in _OPERATORS
    },
    "message ids": {
        "with an address": (request(track("Seen", messageId=VICTIM), path="/v1/track"), _OK, None),
        "that are long": (request(track("Seen", messageId="m" * 20_000), path="/v1/track"), _OK | _BAD, None),
        "of other types": (request(track("Seen", messageId={"a": [VICTIM]}), path="/v1/track"), _OK | _BAD, None),
    },
}  # fmt: skip
ATTEMPTS: Final = [
    Attempt(aim, variant, *attempt) for aim, variants in _TABLE.items() for variant, attempt in variants.items()
]
