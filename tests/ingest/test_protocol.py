"""The accelerator: it answers plain tracking requests below ASGI, as FastAPI's routes would answer them.

Each case is sent to two servers of one gateway: one with the accelerator, and one without.
"""

import asyncio
import base64
import contextlib
import gzip
import re
import socket
from collections.abc import AsyncIterator, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from app.ingest.admission import RateLimit
from app.ingest.auth import Sender
from app.ingest.intake import LONGEST_QUEUED_S, Limits
from app.ingest.origins import Origins
from app.ingest.paths import BY_PATH
from app.ingest.signatures import Scheme, Signing
from app.pipeline import Plan
from app.process import UVICORN
from tests.builders import track
from tests.fakes import ORIGIN, WRITE_KEY, Harness, open_intake
from tests.waiting import patient, until

WITHIN_S: Final = patient(10)
KEY: Final = "Authorization: Basic " + base64.b64encode(f"{WRITE_KEY}:".encode()).decode()
EVENT: Final = track("Product Viewed", {"product_id": "1"})


def batch(*events: Any) -> dict[str, Any]:
    """What server libraries post."""
    return {"batch": list(events)}


@dataclass(frozen=True)
class Answer:
    """One answer as it came."""

    status: int
    headers: dict[str, str]
    body: Any


@dataclass
class Client:
    """A connection whose every byte is the test's."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)

    async def answer(self) -> Answer:
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), WITHIN_S)
        first, *lines = head.decode().strip().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        body = await asyncio.wait_for(self.reader.readexactly(int(headers["content-length"])), WITHIN_S)
        return Answer(int(first.split()[1]), headers, orjson.loads(body))

    async def ended(self) -> bool:
        """Whether the server closes the connection, with nothing more to say."""
        return await asyncio.wait_for(self.reader.read(), WITHIN_S) == b""


@dataclass
class Served:
    """An intake behind the real server."""

    intake: Harness
    server: uvicorn.Server
    running: "asyncio.Task[None]"
    port: int
    clients: list[Client]

    async def client(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self.clients.append(client)
        return client

    async def handed_in(self, events: int) -> None:
        """Return when so many events were handed to the outbox."""
        await until(lambda: len(self.intake.outbox.arrivals) >= events, f"{events} events are handed in")


@contextlib.asynccontextmanager
async def serving(intake: Harness, **more: Any) -> AsyncIterator[Served]:
    options = {**UVICORN, "loop": "none", "timeout_graceful_shutdown": 1, "app": intake.app, **more}
    server = uvicorn.Server(uvicorn.Config(**options))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        running = asyncio.create_task(server._serve([listening]))  # `serve` would take the tests' signals
        served = Served(intake, server, running, listening.getsockname()[1], [])
        try:
            yield served
        finally:
            server.should_exit = True
            intake.outbox.speak()
            for client in served.clients:
                client.writer.close()
            await asyncio.wait_for(running, WITHIN_S)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving(open_intake(origins=[ORIGIN], limits=Limits(body_bytes=4_000))) as running:
        yield running


def plain(path: str, content: Any, *headers: str, method: str = "POST", version: str = "1.1") -> bytes:
    """A request that says how long its body is."""
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    lines = (f"{method} {path} HTTP/{version}", "Host: gateway", f"Content-Length: {len(body)}", *headers)
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(path: str, content: Any, *headers: str, method: str = "POST") -> bytes:
    """The same in pieces, which takes the way through ASGI."""
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(body[at : at + 50]), body[at : at + 50]) for at in range(0, len(body), 50))
    lines = (f"{method} {path} HTTP/1.1", "Host: gateway", "Transfer-Encoding: chunked", *headers)
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + pieces + b"0\r\n\r\n"


def request_of(path: str, *headers: str, content: Any = EVENT, method: str = "POST") -> bytes:
    return plain(path, content, *headers, method=method)


WITHOUT_ACCELERATOR: Final = "app.ingest.connection:Connection"


def shops() -> dict[str, Sender]:
    """Sources, one of which has sent as much as it may."""
    limit = RateLimit(0.001, clock=lambda: 0.0)
    limit.take(9)
    return {
        WRITE_KEY: Sender("shop", "acme", Plan(), origins=Origins([ORIGIN])),
        "wk_slow": Sender("slow", "acme", Plan(), limit=limit),
        "wk_signed": Sender("signed", "acme", Plan(), signing=Signing(Scheme.BEARER, ("secret",))),
    }


GZIPPED: Final = gzip.compress(orjson.dumps(EVENT), mtime=0)
EACH_PATH: Final = [
    pytest.param(request_of(path, KEY, content=content), id=f"{path}: {name}")
    for path in BY_PATH
    for name, content in (("an event", EVENT | {"type": "page"}), ("a batch", batch(EVENT)), ("no JSON", b"{"))
]
EACH_FORM: Final = [
    pytest.param(request_of(f"/v1/track?writeKey={WRITE_KEY}"), id="a key in the query"),
    pytest.param(request_of("/v1/track?a=%00&writeKey=nobody"), id="an unknown key in the query"),
    pytest.param(request_of("/v1/track", f"X-Write-Key: {WRITE_KEY}"), id="a key in a header"),
    pytest.param(request_of("/v1/track", "X-Write-Key: nobody"), id="an unknown key in a header"),
    pytest.param(request_of("/v1/track", content=EVENT | {"writeKey": WRITE_KEY}), id="a key in the body"),
    pytest.param(request_of("/v1/track", content=EVENT | {"writeKey": "x"}), id="an unknown key in the body"),
    pytest.param(request_of("/v1/track", "Authorization: Basic %%%"), id="a key that cannot be read"),
    pytest.param(request_of("/v1/track"), id="no key"),
    pytest.param(request_of("/v1/track", KEY, "Content-Encoding: gzip", content=GZIPPED), id="gzip"),
    pytest.param(request_of("/v1/track", KEY, "Content-Encoding: gzip", content=b"x"), id="no gzip"),
    pytest.param(request_of("/v1/track", KEY, "Content-Encoding: br"), id="an unknown encoding"),
    pytest.param(request_of("/v1/track", KEY, content=b""), id="no body"),
    pytest.param(request_of("/v1/track", KEY, content=b"x" * 4_001), id="a body that is too large"),
    pytest.param(request_of("/v1/track", KEY, content=b"x" * 70_000), id="a body that is much too large"),
    pytest.param(request_of("/v1/batch", KEY, content=batch(EVENT, {"type": "x"})), id="a batch accepted in part"),
    pytest.param(request_of("/v1/batch", KEY, content=batch()), id="an empty batch"),
    pytest.param(request_of("/v1/track", KEY, f"Origin: {ORIGIN}"), id="a page"),
    pytest.param(request_of("/v1/track", KEY, "Origin: https://evil.example"), id="a page of another origin"),
    pytest.param(request_of("/v1/track", KEY, f"Origin: {ORIGIN}", content=b"{"), id="a mistake of a page"),
    pytest.param(request_of("/v1/track", "X-Write-Key: wk_signed"), id="no signature"),
    pytest.param(request_of("/v1/track", "X-Write-Key: wk_signed", "Authorization: Bearer secret"), id="signed"),
    pytest.param(request_of("/v1/batch", "X-Write-Key: wk_slow", content=batch(*[EVENT] * 9)), id="too many events"),
    pytest.param(request_of("/v1/track", KEY, method="GET", content=b""), id="GET"),
    pytest.param(request_of("/v1/track", KEY, method="PUT", content=b""), id="PUT"),
    pytest.param(request_of("/v1/track", method="OPTIONS", content=b""), id="OPTIONS"),
    pytest.param(request_of("/v1/track", f"Origin: {ORIGIN}", method="OPTIONS", content=b""), id="a preflight"),
    pytest.param(request_of("//v1//track", KEY), id="two slashes"),
    pytest.param(request_of("/v1/nothing", KEY), id="an unknown path"),
    pytest.param(request_of("/v1/tr%61ck", KEY), id="a path in other characters"),
    pytest.param(request_of("/v1/track", KEY, "Connection: close"), id="a connection to be closed"),
]


def without_date(head: bytes) -> bytes:
    return re.sub(rb"\r\ndate: [^\r]*", b"", head)


class TestBothRoads:
    @pytest.mark.parametrize("request_", [*EACH_PATH, *EACH_FORM])
    async def test_give_byte_for_byte_one_response_to(self, request_: bytes) -> None:
        fast, reference = [await self.answer(protocol, request_) for protocol in (UVICORN["http"], WITHOUT_ACCELERATOR)]
        assert fast == reference

    @pytest.mark.parametrize("away", ["redis_unreachable", "redis_full", "redis_read_only"])
    async def test_give_one_response_while_redis_is_away(self, away: str) -> None:
        request_ = plain("/v1/track", EVENT, KEY)
        answers = [await self.answer(protocol, request_, away) for protocol in (UVICORN["http"], WITHOUT_ACCELERATOR)]
        assert answers[0] == answers[1]
        assert b"503 " in answers[0][0]
        assert b"retry-after" in answers[0][0]

    @staticmethod
    async def answer(protocol: str, request_: bytes, away: str | None = None) -> tuple[bytes, bytes, list[str]]:
        """The head and the body of the response, and what was stored."""
        intake = open_intake(senders=shops(), origins=[ORIGIN], limits=Limits(body_bytes=4_000))
        intake.outbox.away = away
        async with serving(intake, http=protocol) as served:
            client = await served.client()
            client.send(request_)
            head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), WITHIN_S)
            length = re.search(rb"content-length: (\d+)", head)
            body = await client.reader.readexactly(int(length[1])) if length else b""
        return without_date(head), body, [orjson.loads(each.record)["type"] for each in intake.outbox.arrivals]


class TestTheAccelerator:
    @pytest.mark.parametrize(
        ("protocol", "in_use"),
        [pytest.param(UVICORN["http"], True, id="of serve"), pytest.param(WITHOUT_ACCELERATOR, False, id="left out")],
    )
    async def test_is_in_the_log_with_whether_it_is_in_use(
        self, protocol: str, in_use: bool, logged: list[MutableMapping[str, Any]]
    ) -> None:
        async with serving(open_intake(), http=protocol) as served:
            for _ in range(2):
                client = await served.client()
                client.send(plain("/v1/track", EVENT, KEY))
                assert (await client.answer()).status == 200
        found = [entry["in_use"] for entry in logged if entry["event"] == "intake.accelerator"]
        assert found == [in_use]

    async def test_is_in_use_in_an_app_that_is_wrapped_in_more_middleware(
        self, logged: list[MutableMapping[str, Any]]
    ) -> None:
        intake, seen = open_intake(), []

        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(scope["type"])
            await intake.app(scope, receive, send)

        async with serving(intake, app=wrapped) as served:
            client = await served.client()
            client.send(plain("/v1/track", EVENT, KEY))
            assert (await client.answer()).status == 200
        assert seen == ["lifespan"], "the request did not take the way through ASGI"
        assert [entry["in_use"] for entry in logged if entry["event"] == "intake.accelerator"] == [True]


class TestAConnection:
    async def test_is_kept_for_the_next_request(self, served: Served) -> None:
        client = await served.client()
        for _ in range(3):
            client.send(plain("/v1/track", EVENT, KEY))
            assert (await client.answer()).headers.get("connection") is None

    @pytest.mark.parametrize(
        "request_",
        [
            pytest.param(plain("/v1/track", EVENT, KEY, "Connection: close"), id="it says so"),
            pytest.param(plain("/v1/track", EVENT, KEY, version="1.0"), id="its HTTP is of 1996"),
        ],
    )
    async def test_is_closed_after_the_answer_where(self, served: Served, request_: bytes) -> None:
        client = await served.client()
        client.send(request_)
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await client.ended()

    async def test_may_bring_a_request_byte_by_byte(self, served: Served) -> None:
        client = await served.client()
        for byte in plain("/v1/track", EVENT, KEY):
            client.send(bytes([byte]))
            await client.writer.drain()
            await asyncio.sleep(0)
        assert (await client.answer()).status == 200

    async def test_may_bring_requests_that_wait_for_no_answer_which_come_in_order(self, served: Served) -> None:
        served.intake.outbox.slow = True
        client = await served.client()
        events = [EVENT | {"messageId": f"m-{number}"} for number in range(4)]
        client.send(
            plain("/v1/track", events[0], KEY),
            plain("/v1/batch", batch(events[1], {}), KEY),
            chunked("/v1/track", b"{", KEY),
            plain("/v1/track", events[2], KEY),
            plain("/v1/m", b"", KEY),
            plain("/v1/track", events[3], KEY),
        )
        answers = []
        for events_there in (1, 2, 2, 3, 3, 4):
            await served.handed_in(events_there)
            served.intake.outbox.speak()
            answers.append(await client.answer())
        assert [answer.status for answer in answers] == [200, 200, 400, 200, 200, 200]
        assert answers[1].body["accepted"] == 1
        assert served.intake.outbox.message_ids == ["m-0", "m-1", "m-2", "m-3"]

    async def test_is_told_to_go_on_when_it_asks_first(self, served: Served) -> None:
        client = await served.client()
        head, _, body = plain("/v1/track", EVENT, KEY, "Expect: 100-continue").partition(b"\r\n\r\n")
        client.send(head + b"\r\n\r\n")
        go_on = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), WITHIN_S)
        assert go_on.startswith(b"HTTP/1.1 100 ")
        client.send(body)
        assert (await client.answer()).status == 200

    @pytest.mark.parametrize("length", ["-1", "1_0", "+5", "x", "٣", "99999999999999999999"])
    async def test_with_a_length_that_is_none_never_hangs_the_server(self, served: Served, length: str) -> None:
        client = await served.client()
        client.send(f"POST /v1/track HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{KEY}\r\n\r\n".encode())
        client.writer.write_eof()
        await asyncio.wait_for(client.reader.read(), WITHIN_S)
        other = await served.client()
        other.send(plain("/v1/track", EVENT, KEY))
        assert (await other.answer()).status == 200

    async def test_may_go_away_before_the_answer(self, served: Served) -> None:
        served.intake.outbox.slow = True
        client = await served.client()
        client.send(plain("/v1/track", EVENT, KEY))
        await served.handed_in(1)
        client.writer.transport.abort()
        served.intake.outbox.speak()
        served.intake.outbox.slow = False
        await until(lambda: not served.server.server_state.connections, "the server knows that it is gone")
        other = await served.client()
        other.send(plain("/v1/track", EVENT, KEY))
        assert (await other.answer()).status == 200


class TestAStop:
    async def test_waits_for_what_the_outbox_holds(self, served: Served) -> None:
        served.intake.outbox.slow = True
        client, idle = await served.client(), await served.client()
        client.send(plain("/v1/track", EVENT, KEY))
        await served.handed_in(1)
        served.server.should_exit = True
        assert await idle.ended()
        served.intake.outbox.speak()
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await client.ended()
        await asyncio.wait_for(served.running, WITHIN_S)

    async def test_does_not_wait_for_ever_for_half_a_body(self, served: Served) -> None:
        client = await served.client()
        client.send(plain("/v1/track", EVENT, KEY)[:-10])
        await until(lambda: bool(served.server.server_state.connections), "the server knows of it")
        served.server.should_exit = True
        await asyncio.wait_for(served.running, WITHIN_S)


class TestALine:
    """Requests are judged when the outbox has room for them, and not before: they would but wait behind a flush."""

    async def test_is_kept_in_order_until_there_is_room(self) -> None:
        intake = open_intake()
        async with serving(intake) as served:
            intake.outbox.at_capacity = True
            clients = [await served.client() for _ in range(3)]
            for number, client in enumerate(clients):
                client.send(plain("/v1/track", EVENT | {"messageId": f"m-{number}"}, KEY))
                await client.writer.drain()
            page = await served.client()
            page.send(plain("/v1/nothing", b"", method="GET"))
            await asyncio.wait_for(page.reader.readuntil(b"\r\n\r\n"), WITHIN_S)  # nobody else waits for it
            assert intake.outbox.arrivals == []
            intake.outbox.make_room()
            assert [(await client.answer()).status for client in clients] == [200] * 3
            assert sorted(intake.outbox.message_ids) == ["m-0", "m-1", "m-2"]

    async def test_goes_on_with_the_next_request_whatever_became_of_the_flush(self) -> None:
        intake = open_intake()
        async with serving(intake) as served:
            intake.outbox.at_capacity = True
            first, second = await served.client(), await served.client()
            first.send(plain("/v1/track", EVENT, KEY))
            page = await served.client()
            page.send(plain("/v1/nothing", b"", method="GET"))
            await asyncio.wait_for(page.reader.readuntil(b"\r\n\r\n"), WITHIN_S)
            intake.outbox.at_capacity = False  # and it did not tell
            second.send(plain("/v1/track", EVENT, KEY))
            assert [(await client.answer()).status for client in (first, second)] == [200, 200]

    async def test_is_left_after_five_seconds_with_an_answer(self) -> None:
        now = [100.0]
        intake = open_intake(clock=lambda: now[0])
        async with serving(intake) as served:
            intake.outbox.at_capacity = True
            old, new = await served.client(), await served.client()
            for client, moment in ((old, 100.0), (new, 100.0 + LONGEST_QUEUED_S)):
                now[0] = moment
                client.send(plain("/v1/track", EVENT, KEY))
                page = await served.client()
                page.send(plain("/v1/nothing", b"", method="GET"))
                await asyncio.wait_for(page.reader.readuntil(b"\r\n\r\n"), WITHIN_S)
            now[0] += 0.1
            intake.outbox.make_room()
            refused = await old.answer()
            assert (refused.status, refused.body["code"], "retry-after" in refused.headers) == (503, "overloaded", True)
            assert (await new.answer()).status == 200

    async def test_stops_when_the_outbox_is_full_again(self) -> None:
        intake = open_intake()
        async with serving(intake) as served:
            intake.outbox.at_capacity = True
            client = await served.client()
            client.send(plain("/v1/track", EVENT, KEY))
            other = await served.client()
            other.send(plain("/v1/track", EVENT, KEY))
            page = await served.client()
            page.send(plain("/v1/nothing", b"", method="GET"))
            await asyncio.wait_for(page.reader.readuntil(b"\r\n\r\n"), WITHIN_S)
            intake.outbox.full_after = 1
            intake.outbox.make_room()
            await served.handed_in(1)
            assert len(intake.outbox.arrivals) == 1
            intake.outbox.make_room()
            await served.handed_in(2)
