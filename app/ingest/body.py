"""From the bytes of a request to Python values: read, inflate, parse. Ignores Content-Type, which clients mislabel."""

import json
import math
import zlib
from typing import Any, Final

import orjson
from starlette.types import Receive

from app.ingest.refusal import Refused

_BOM: Final = b"\xef\xbb\xbf"
_LARGEST_INTEGER: Final = 2**63
_GZIP_MEMBERS: Final = 16  # clients send one, rarely two; a million empty ones would take long


class Disconnected(Exception):  # noqa: N818
    """The tracker disconnected before its request was complete."""


async def read_body(receive: Receive, *, most: int) -> bytes:
    """The body as received, but at most `most` + 1 bytes of it. Raises Disconnected.

    The rest of a larger body is read and discarded, up to 16 times `most`. Trackers treat a connection that is cut
    while they send as a network error, and retry the request.
    """
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        part: bytes = message.get("body", b"")
        if part and size <= most:
            parts.append(part[: most + 1 - size])
        size += len(part)
        if not message.get("more_body") or size > 16 * most:
            return parts[0] if len(parts) == 1 else b"".join(parts)


def inflated(body: bytes, encoding: bytes, *, most: int) -> bytes:
    """The body without its Content-Encoding, at most `most` bytes of it. Raises Refused."""
    encoding = encoding.strip().lower()
    if encoding in (b"", b"identity"):
        return body
    if encoding in (b"gzip", b"x-gzip"):
        return inflate(body, most=most)
    raise Refused(400, "bad_request", "Content-Encoding must be gzip or identity", field="Content-Encoding")


def inflate(body: bytes, *, most: int) -> bytes:
    """All gzip members of `body`, never more than `most` bytes in memory. Raises Refused."""
    inflated = bytearray()
    for _ in range(_GZIP_MEMBERS):
        stream = zlib.decompressobj(wbits=31)
        try:
            inflated += stream.decompress(body, most - len(inflated) + 1)
        except zlib.error:
            raise Refused(400, "bad_request", "the body is not gzip, although Content-Encoding is gzip") from None
        if len(inflated) > most:
            raise too_large(most)
        if not stream.eof:
            raise Refused(400, "bad_request", "the gzip body ends too early")
        body = stream.unused_data
        if not body:
            return bytes(inflated)
    raise Refused(400, "bad_request", f"the body has more than {_GZIP_MEMBERS} gzip members")


def parse_json(body: bytes, *, lenient: bool = True) -> Any:
    """The JSON value. A byte order mark is skipped; NaN and Infinity, which some encoders write, become null."""
    return parse_part(body.removeprefix(_BOM), "body", lenient=lenient)


def parse_part(text: bytes | memoryview, what: str, *, lenient: bool = True) -> Any:
    """The value of a part of the body. Raises Refused, which calls the part `what`."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as strict:
        if lenient:
            return _parse_leniently(bytes(text), what, strict)
        raise _not_json(what, strict) from None


def _parse_leniently(text: bytes, what: str, strict: orjson.JSONDecodeError) -> Any:
    """Accept invalid JSON that Python's own encoder can write: NaN, and half of a surrogate pair."""
    try:
        return _coerced(json.loads(text, parse_constant=lambda _: None))
    except (ValueError, OverflowError, RecursionError):
        raise _not_json(what, strict) from None


def _not_json(what: str, strict: orjson.JSONDecodeError) -> Refused:
    where = f"the {what} is not valid JSON: {strict.msg} at line {strict.lineno}, column {strict.colno}"
    return Refused(400, "bad_request", where)


def _coerced(value: Any) -> Any:
    match value:
        case dict():
            return {_coerced(key): _coerced(inner) for key, inner in value.items()}
        case list():
            return [_coerced(inner) for inner in value]
        case str():
            return value.encode("utf-8", "replace").decode()
        case float():
            return value if math.isfinite(value) else None
        case bool():
            return value
        case int():
            return value if -_LARGEST_INTEGER <= value < 2 * _LARGEST_INTEGER else float(value)
        case _:
            return value


def too_large(most: int) -> Refused:
    """The refusal of a body of more than `most` bytes."""
    return Refused(400, "payload_too_large", f"the body is larger than {most:,} bytes")
