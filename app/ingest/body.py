"""From the bytes of a request to Python values: read, inflate, parse. Content-Type is ignored, for clients mislabel."""

import json
import math
import zlib
from typing import Any, Final

import orjson
from starlette.types import Receive

from app.ingest.refusal import Refused

_BOM: Final = b"\xef\xbb\xbf"
_LARGEST_INTEGER: Final = 2**63
_GZIP_MEMBERS: Final = 16  # clients send one, seldom two; a body of a million empty ones would keep us busy for long


class Disconnected(Exception):  # noqa: N818
    """The tracker went away before its request was whole."""


async def read_body(receive: Receive, *, most: int) -> bytes:
    """The whole body as it came. Raises Refused (400, after the rest was read) and Disconnected."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Disconnected
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        parts, size = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            size += len(message.get("body", b""))
            if size <= most:  # a refused body is read to its end, for a cut connection would be taken for a bad network
                parts.append(message.get("body", b""))
            elif size > 16 * most:
                break
        if size > most:
            raise too_large(most)
        body = b"".join(parts)
    if len(body) > most:
        raise too_large(most)
    return body


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
            raise Refused(400, "bad_request", "the body is not gzip, although Content-Encoding says so") from None
        if len(inflated) > most:
            raise too_large(most)
        if not stream.eof:
            raise Refused(400, "bad_request", "the gzip body ends too early")
        body = stream.unused_data
        if not body:
            return bytes(inflated)
    raise Refused(400, "bad_request", f"the body has more than {_GZIP_MEMBERS} gzip members")


def parse_json(body: bytes) -> Any:
    """The JSON value. A byte order mark is skipped; NaN and Infinity, which some encoders write, become null."""
    return parse_part(body.removeprefix(_BOM), "body")


def parse_part(text: bytes | memoryview, what: str) -> Any:
    """The value of what a body holds. Raises Refused, which calls it `what`."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as strict:
        return _parse_leniently(bytes(text), what, strict)


def _parse_leniently(text: bytes, what: str, strict: orjson.JSONDecodeError) -> Any:
    """What Python's own encoder can write and the standard forbids: NaN, and half of a surrogate pair."""
    try:
        return _mended(json.loads(text, parse_constant=lambda _: None))
    except (ValueError, OverflowError, RecursionError):
        where = f"the {what} is not valid JSON: {strict.msg} at line {strict.lineno}, column {strict.colno}"
        raise Refused(400, "bad_request", where) from None


def _mended(value: Any) -> Any:
    match value:
        case dict():
            return {_mended(key): _mended(inner) for key, inner in value.items()}
        case list():
            return [_mended(inner) for inner in value]
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
