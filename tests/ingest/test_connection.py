"""What a connection may send and how long it may take: limits that are answered, counted and logged."""

import resource
from collections.abc import AsyncIterator, MutableMapping
from typing import Any, Final

import orjson
import pytest

from app.ingest.connection import HEAD_BYTES, MOST_HEADERS, URL_BYTES, Connection
from app.ingest.limits import LOG_EVERY_S, LimitMonitor
from app.metrics import IngestMetrics
from app.process import most_connections
from tests.fakes import WRITE_KEY, open_intake
from tests.ingest.test_protocol import EVENT, KEY, Served, chunked, plain, serving
from tests.waiting import until

UPGRADES: Final = [
    pytest.param(("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"), id="to HTTP/2"),
    pytest.param(("Connection: upgrade", "Upgrade: websocket"), id="to a WebSocket"),
    pytest.param(("Upgrade: what/7", "Connection: Upgrade"), id="to something else"),
]


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving(open_intake()) as running:
        yield running


def reached(served: Served, limit: str, source: str = "") -> float:
    return served.intake.count("gateway_limits_reached_total", limit=limit, source=source)


def _connections(served: Served) -> set[Any]:
    return served.server.server_state.connections


def _has_head(served: Served) -> bool:
    return any(getattr(one, "cycle", None) for one in served.server.server_state.connections)


class TestAnUpgradeThatTheGatewayDoesNotSpeak:
    """Every POST of a stock JDK client over http asks for one. RFC 9110 lets a server ignore it."""

    @pytest.mark.parametrize("headers", UPGRADES)
    @pytest.mark.parametrize("in_pieces", [pytest.param(False, id="at once"), pytest.param(True, id="head, then body")])
    async def test_is_ignored(self, served: Served, headers: tuple[str, ...], in_pieces: bool) -> None:
        client = await served.client()
        head, _, body = plain("/v1/track", EVENT, KEY, *headers).partition(b"\r\n\r\n")
        client.send(head + b"\r\n\r\n")
        if in_pieces:
            await client.writer.drain()
            await until(lambda: _has_head(served), "the head is read")
        client.send(body)
        assert (await client.answer()).status == 200
        client.send(plain("/v1/track", EVENT, KEY))
        assert (await client.answer()).status == 200, "the connection goes on"
        assert served.intake.outbox.message_ids == ["message-1"] * 2

    async def test_does_not_hide_a_request_in_the_body(self, served: Served) -> None:
        client = await served.client()
        hidden = plain("/v1/track", EVENT | {"messageId": "hidden"}, KEY)
        client.send(plain("/v1/track", hidden, KEY, "Connection: Upgrade", "Upgrade: h2c"))
        assert (await client.answer()).status == 400
        client.send(plain("/v1/track", EVENT, KEY))
        assert (await client.answer()).status == 200
        assert served.intake.outbox.message_ids == ["message-1"]

    async def test_is_ignored_with_a_body_in_chunks_and_with_none(self, served: Served) -> None:
        client = await served.client()
        client.send(chunked("/v1/track", EVENT, KEY, "Connection: Upgrade", "Upgrade: h2c"))
        assert (await client.answer()).status == 200
        client.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        assert (await client.answer()).status == 200

    async def test_is_refused_where_it_is_a_tunnel(self, served: Served) -> None:
        client = await served.client()
        client.send(b"CONNECT evil.example:443 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await client.answer()).status == 400
        assert await client.ended()


PROBE: Final = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
LONG_PROBE: Final = PROBE.replace(b"Host: a", b"Host: a\r\nCookie: " + b"c" * 5_000)


def with_headers(*headers: str, path: str = "/v1/track") -> bytes:
    return plain(path, EVENT, KEY, *headers)


TOO_MUCH: Final = [
    pytest.param(with_headers(*["a: b"] * MOST_HEADERS), 431, "headers", id="many headers"),
    pytest.param(with_headers("a: " + "x" * HEAD_BYTES), 431, "head_bytes", id="a large header"),
    pytest.param(with_headers("x" * HEAD_BYTES + ": a"), 431, "head_bytes", id="a large name"),
    pytest.param(with_headers(path="/v1/track?a=" + "x" * URL_BYTES), 414, "url_bytes", id="a long address"),
]


class TestAHead:
    @pytest.mark.parametrize(("request_", "status", "limit"), TOO_MUCH)
    async def test_is_refused_and_counted_where_it_is_too_large(
        self, served: Served, request_: bytes, status: int, limit: str, logged: list[MutableMapping[str, Any]]
    ) -> None:
        client = await served.client()
        client.send(request_)
        answer = await client.answer()
        assert (answer.status, answer.body["success"], answer.headers["connection"]) == (status, False, "close")
        assert reached(served, limit) == 1
        assert [entry["limit"] for entry in logged if entry["event"] == "limit.reached"] == [limit]
        assert served.intake.outbox.arrivals == []

    @pytest.mark.parametrize(
        "begin", [pytest.param(b"POST /", id="address"), pytest.param(b"GET / HTTP/1.1\r\na: ", id="header")]
    )
    async def test_without_end_is_not_read_on(self, served: Served, begin: bytes) -> None:
        client = await served.client()
        client.send(begin + b"x" * 2_000_000)
        await until(lambda: reached(served, "head_bytes") == 1, "it is refused")
        await until(lambda: not served.server.server_state.connections, "the connection is closed")

    @pytest.mark.parametrize(
        "unit",
        [
            pytest.param(b"X-Trailer: y\r\n", id="many trailers"),
            pytest.param(b"y" * 100, id="a long trailer"),
        ],
    )
    async def test_has_no_trailers_without_end_behind_its_body(self, served: Served, unit: bytes) -> None:
        client = await served.client()
        begin = b"POST /v1/track HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: "
        client.send(begin + unit * (5_000_000 // len(unit)))
        await until(lambda: reached(served, "head_bytes") == 1, "it is refused")
        await until(lambda: not served.server.server_state.connections, "the connection is closed")

    async def test_may_be_followed_by_a_body_in_small_chunks_and_trailers(self, served: Served) -> None:
        client = await served.client()
        body = orjson.dumps(EVENT | {"properties": {"note": "x" * 20_000}})
        chunks = b"".join(b"1\r\n%b\r\n" % body[place : place + 1] for place in range(len(body)))
        head = f"POST /v1/track?writeKey={WRITE_KEY} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        client.send(head.encode() + chunks + b"0\r\nX-Checksum: 1\r\n\r\n")
        assert (await client.answer()).status == 200

    async def test_may_have_what_browsers_send(self, served: Served) -> None:
        client = await served.client()
        cookies = [f"x-{number}: " + "c" * 300 for number in range(70)]
        client.send(plain(f"/v1/track?writeKey={WRITE_KEY}&a=" + "x" * 4_000, EVENT, *cookies))
        assert (await client.answer()).status == 200

    async def test_is_not_confused_with_the_body_behind_it(self, served: Served) -> None:
        client = await served.client()
        large = EVENT | {"properties": {"note": "x" * 31_000}}
        client.send(plain("/v1/batch", {"batch": [large] * 20}, KEY))
        assert (await client.answer()).status == 200

    @pytest.mark.parametrize(
        "request_", [pytest.param(plain("/v1/track", EVENT, KEY), id="POST"), pytest.param(LONG_PROBE, id="GET")]
    )
    async def test_is_not_confused_with_the_requests_before_it(self, served: Served, request_: bytes) -> None:
        client = await served.client()
        requests = 1 + 300_000 // len(request_)
        client.send(request_ * requests)
        assert [(await client.answer()).status for _ in range(requests)] == [200] * requests

    @pytest.mark.parametrize(
        "pieces",
        [
            pytest.param([PROBE + b"GET / HTTP/1.1\r\na: " + b"x" * 2_000_000], id="without end"),
            pytest.param([PROBE + b"GET / HTTP/1.1\r\na: " + b"x" * 40_000, b"\r\n\r\n"], id="too large"),
        ],
    )
    async def test_is_refused_behind_another_request_as_well(self, served: Served, pieces: list[bytes]) -> None:
        client = await served.client()
        for piece in pieces:
            client.send(piece)
            await client.writer.drain()
        await until(lambda: reached(served, "head_bytes") == 1, "it is refused")
        await until(lambda: not served.server.server_state.connections, "the connection is closed")

    async def test_that_is_no_http_is_answered_in_the_form_of_every_refusal(self, served: Served) -> None:
        client = await served.client()
        client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
        answer = await client.answer()
        assert (answer.status, answer.body["code"]) == (400, "bad_request")


class TestAClientThatClosesItsHalf:
    """As `nc -N` and simple HTTP clients do, once they have sent their requests."""

    @pytest.mark.parametrize(
        "requests",
        [
            pytest.param([plain("/v1/track", EVENT, KEY)], id="a plain request"),
            pytest.param([chunked("/v1/track", EVENT, KEY)], id="a request through ASGI"),
            pytest.param([plain("/v1/track", EVENT, KEY)] * 3, id="several requests"),
        ],
    )
    async def test_gets_every_response_and_the_end(self, served: Served, requests: list[bytes]) -> None:
        served.intake.outbox.slow = True
        client = await served.client()
        client.send(*requests)
        client.writer.write_eof()
        await served.handed_in(1)
        if len(requests) == 1:  # behind a second request, the server reads on after its first response
            await until(lambda: any(one._half_closed for one in _connections(served)), "the end is read")
        served.intake.outbox.slow = False
        served.intake.outbox.speak()
        assert [(await client.answer()).status for _ in requests] == [200] * len(requests)
        assert await client.ended()
        await until(lambda: not _connections(served), "the connection is closed")

    async def test_within_a_request_gets_the_end(self, served: Served) -> None:
        client = await served.client()
        client.send(plain("/v1/track", EVENT, KEY)[:-5])
        client.writer.write_eof()
        assert await client.ended()


class TestTime:
    """A connection is swept once its deadline has passed: here it is set into the past."""

    @pytest.mark.parametrize(
        ("sent", "limit"),
        [
            pytest.param(b"", "idle_time", id="for the first byte"),
            pytest.param(b"POST /v1/track HTTP/1.1\r\nHost:", "head_time", id="for the rest of a head"),
            pytest.param(plain("/v1/track", EVENT, KEY)[:-5], "body_time", id="for the rest of a body"),
            pytest.param(chunked("/v1/track", EVENT, KEY)[:-5], "body_time", id="for the rest of chunks"),
        ],
    )
    async def test_is_limited(self, served: Served, sent: bytes, limit: str) -> None:
        client = await served.client()
        client.send(sent)

        def waits() -> bool:
            return any(getattr(one, "_expected", "") == limit for one in served.server.server_state.connections)

        await until(waits, "the server has read it")
        (connection,) = served.server.server_state.connections
        assert isinstance(connection, Connection)
        assert connection.deadline is not None
        connection.deadline = 0.0
        if limit != "idle_time":
            answer = await client.answer()
            assert (answer.status, answer.body["code"]) == (408, "timeout")
        assert await client.ended()
        assert reached(served, limit) == 1

    async def test_of_the_gateways_own_is_not_counted(self, served: Served) -> None:
        served.intake.outbox.slow = True
        client = await served.client()
        client.send(plain("/v1/track", EVENT, KEY))
        await served.handed_in(1)
        (connection,) = served.server.server_state.connections
        assert isinstance(connection, Connection)
        assert connection.deadline is None
        served.intake.outbox.speak()
        assert (await client.answer()).status == 200

    async def test_between_requests_is_limited_and_not_counted(self, served: Served) -> None:
        client = await served.client()
        for _ in range(2):
            client.send(plain("/v1/track", EVENT, KEY))
            assert (await client.answer()).status == 200
        (connection,) = served.server.server_state.connections
        assert isinstance(connection, Connection)
        assert connection.deadline is not None
        assert connection.deadline > connection.loop.time() + 1
        connection.deadline = 0.0
        assert await client.ended()
        assert [reached(served, limit) for limit in ("idle_time", "head_time", "body_time")] == [0, 0, 0]


class TestConnections:
    def test_are_as_many_as_files_may_be_open_and_the_limit_is_raised(self) -> None:
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(200, before[1]), before[1]))
            most = most_connections(10**9)
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert soft == hard
        assert most == (10**9 if hard == resource.RLIM_INFINITY else hard - 64)

    async def test_beyond_the_limit_are_answered_counted_and_logged(
        self, logged: list[MutableMapping[str, Any]]
    ) -> None:
        async with serving(open_intake(connections=2)) as served:
            first, second = await served.client(), await served.client()
            for client in (first, second):
                client.send(plain("/v1/track", EVENT, KEY))
                assert (await client.answer()).status == 200
            third = await served.client()
            answer = await third.answer()
            assert (answer.status, answer.body["code"], answer.headers["retry-after"]) == (503, "overloaded", "2")
            assert await third.ended()
            first.send(plain("/v1/track", EVENT, KEY))
            assert (await first.answer()).status == 200, "those that are open go on"
            assert reached(served, "connections") == 1
        assert [entry["limit"] for entry in logged if entry["event"] == "limit.reached"] == ["connections"]


class TestTheLog:
    def test_has_one_line_a_minute_for_each_limit_and_source(self, logged: list[MutableMapping[str, Any]]) -> None:
        now = [0.0]
        intake = open_intake()
        monitor = LimitMonitor(IngestMetrics(type(intake.registry)()), clock=lambda: now[0])
        for moment in (0.0, 1.0, 2.0, LOG_EVERY_S):
            now[0] = moment
            monitor.reached("rate_limited", "shop")
        monitor.reached("rate_limited", "app")
        assert [(entry["source"], entry["times"]) for entry in logged] == [("shop", 1), ("shop", 3), ("app", 1)]

    async def test_and_the_metric_name_the_source_where_it_is_known(self, served: Served) -> None:
        client = await served.client()
        client.send(plain("/v1/track", EVENT | {"properties": {"a": "x" * 40_000}}, KEY))
        assert (await client.answer()).status == 400
        assert reached(served, "event_too_large", "shop") == 1
