"""Bytes to values: inflating under a cap, and the JSON that trackers really send."""

import gzip
import random
import struct
import tracemalloc
import zlib
from typing import Any, Final

import httpx
import orjson
import pytest

from app.ingest.body import Disconnected, inflate, parse_json, read_body
from app.ingest.refusal import Refused
from tests import builders
from tests.builders import Raw
from tests.fakes import ORIGIN, Harness

MOST: Final = 1_048_576


def event() -> Raw:
    return builders.track("Coupon Entered", timestamp=None)


def members(body: bytes, count: int) -> bytes:
    """The same bytes in this many gzip members."""
    step = len(body) // count + 1
    return b"".join(gzip.compress(body[start : start + step]) for start in range(0, len(body), step))


def bomb(times: int) -> bytes:
    """So many times MOST zeros, made a thousand times smaller. After a full flush, all become the same bytes again."""
    zeros, squeeze = bytes(MOST), zlib.compressobj(9, wbits=-15)
    packed = squeeze.compress(zeros) + squeeze.flush(zlib.Z_FULL_FLUSH)
    checksum = 0
    for _ in range(times):
        checksum = zlib.crc32(zeros, checksum)
    end = squeeze.flush() + struct.pack("<II", checksum, times * MOST)
    return gzip.compress(b"")[:10] + packed * times + end


class TestOverHttp:
    @pytest.mark.parametrize(
        ("encoding", "body"),
        [
            pytest.param("identity", orjson.dumps(event()), id="as it is, and said so"),
            pytest.param("gzip", gzip.compress(orjson.dumps(event())), id="gzip"),
            pytest.param("x-gzip", gzip.compress(orjson.dumps(event())), id="gzip by its old name"),
            pytest.param("GZIP", gzip.compress(orjson.dumps(event())), id="gzip in capitals, which HTTP allows"),
            pytest.param("gzip", members(orjson.dumps(event()), 2), id="gzip in two members"),
        ],
    )
    async def test_a_body_may_come(self, intake: Harness, encoding: str, body: bytes) -> None:
        answer = await intake.post("/v1/track", body, headers={"content-encoding": encoding})
        assert (answer.status_code, len(intake.outbox.arrivals)) == (200, 1)

    @pytest.mark.parametrize(
        ("encoding", "body", "code"),
        [
            pytest.param("br", b"\x0b\x02\x80{}\x03", "bad_request", id="in Brotli"),
            pytest.param("gzip", orjson.dumps(event()), "bad_request", id="as gzip that is none"),
            pytest.param("gzip", b"", "bad_request", id="as gzip of nothing at all"),
            pytest.param("gzip", gzip.compress(orjson.dumps(event()))[:-9], "bad_request", id="as gzip cut short"),
            pytest.param("gzip", gzip.compress(b"{}")[:5], "bad_request", id="as gzip cut within its header"),
            pytest.param("gzip", gzip.compress(b"{}") + b"junk", "bad_request", id="as gzip with junk behind it"),
            pytest.param("gzip", gzip.compress(b"") * 1000, "bad_request", id="as gzip of a thousand empty members"),
            pytest.param("gzip", bomb(64), "payload_too_large", id="as a gzip bomb"),
            pytest.param("gzip", members(b" " * (MOST + 1), 2), "payload_too_large", id="as gzip too large in sum"),
            pytest.param("", gzip.compress(orjson.dumps(event())), "bad_request", id="as gzip that nobody told us of"),
        ],
    )
    async def test_a_body_is_refused(self, intake: Harness, encoding: str, body: bytes, code: str) -> None:
        answer = await intake.post("/v1/track", body, headers={"content-encoding": encoding})
        assert (answer.status_code, answer.json()["code"]) == (400, code)
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert intake.outbox.arrivals == []

    async def test_a_body_may_come_in_pieces(self, intake: Harness) -> None:
        async def pieces() -> Any:
            for byte in orjson.dumps(event()):
                yield bytes([byte])

        answer = await intake.http.post("/v1/track", content=pieces(), auth=httpx.BasicAuth("wk_shop", ""))
        assert (answer.status_code, len(intake.outbox.arrivals)) == (200, 1)


class TestInflating:
    def test_stops_at_the_cap_to_the_byte(self) -> None:
        assert inflate(gzip.compress(b"x" * 1000), most=1000) == b"x" * 1000
        assert inflate(members(b"x" * 1000, 3), most=1000) == b"x" * 1000
        with pytest.raises(Refused, match="1,000 bytes"):
            inflate(gzip.compress(b"x" * 1001), most=1000)
        with pytest.raises(Refused, match="1,000 bytes"):
            inflate(members(b"x" * 1001, 3), most=1000)

    def test_of_a_bomb_takes_no_more_memory_than_the_cap(self) -> None:
        body = bomb(512)
        tracemalloc.start()
        try:
            with pytest.raises(Refused):
                inflate(body, most=MOST)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 6 * MOST

    def test_gives_back_what_was_put_in(self) -> None:
        body = random.Random(7).randbytes(300_000)
        assert inflate(gzip.compress(body), most=MOST) == body


class Pieces:
    """What a server hands over of one request, piece by piece."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self._left = list(messages)
        self.taken = 0

    async def __call__(self) -> dict[str, Any]:
        self.taken += 1
        return self._left.pop(0)


def piece(body: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


GONE: Final = {"type": "http.disconnect"}


class TestReading:
    @pytest.mark.parametrize(
        "pieces",
        [
            pytest.param(Pieces(GONE), id="before its first byte"),
            pytest.param(Pieces(piece(b"{", more=True), GONE), id="in the middle"),
        ],
    )
    async def test_notices_a_tracker_that_goes_away(self, pieces: Pieces) -> None:
        with pytest.raises(Disconnected):
            await read_body(pieces, most=100)

    async def test_reads_a_refused_body_to_its_end(self) -> None:
        """A connection cut early looks like a bad network to a tracker, which then sends the same again."""
        pieces = Pieces(*[piece(b"x" * 60, more=True)] * 4, piece(b"x", more=False))
        assert len(await read_body(pieces, most=100)) == 101, "enough to see that it is too large"
        assert pieces.taken == 5

    async def test_gives_up_on_a_body_without_end(self) -> None:
        pieces = Pieces(*[piece(b"x" * 60, more=True)] * 1000)
        assert len(await read_body(pieces, most=100)) == 101
        assert pieces.taken < 100


class TestParsing:
    @pytest.mark.parametrize(
        ("body", "value"),
        [
            pytest.param(b'{"a":1}', {"a": 1}, id="JSON"),
            pytest.param(b'\xef\xbb\xbf{"a":1}', {"a": 1}, id="a byte order mark"),
            pytest.param(b'{"a":NaN,"b":[Infinity,-Infinity]}', {"a": None, "b": [None, None]}, id="NaN, infinity"),
            pytest.param(b'{"a":1e999}', {"a": None}, id="a number beyond all numbers"),
            pytest.param(b'{"\\ud800":"\\udfff x"}', {"?": "? x"}, id="lone surrogates"),
            pytest.param(b'{"a":"\\ud83d\\ude00"}', {"a": "😀"}, id="a pair of surrogates"),
            pytest.param(
                b'{"a":NaN,"b":true,"c":[false,null]}', {"a": None, "b": True, "c": [False, None]}, id="truths"
            ),
            pytest.param(b'{"a":NaN,"b":%d}' % 2**70, {"a": None, "b": float(2**70)}, id="a huge integer beside NaN"),
            pytest.param(b'{"a":NaN,"b":%d}' % (2**64 - 1), {"a": None, "b": 2**64 - 1}, id="a large integer by NaN"),
        ],
    )
    def test_takes(self, body: bytes, value: Any) -> None:
        assert parse_json(body) == value

    @pytest.mark.parametrize("body", [b"", b"\xef\xbb\xbf", b"{", b"[1,]", b"{'a':1}", b"\xff\xfe{", b"[" * 5000])
    def test_refuses_what_is_no_json_and_says_where(self, body: bytes) -> None:
        with pytest.raises(Refused, match=r"line \d+, column \d+"):
            parse_json(body)
