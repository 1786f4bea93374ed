"""How `serve` runs uvicorn: plain tracking requests go a shorter way than ASGI, and nobody can tell by the answer."""

import asyncio
import base64
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import orjson
import pytest
import uvicorn

from app.ingest.routes import IN_LINE_S, Limits
from app.server import UVICORN
from tests.builders import track
from tests.fakes import ORIGIN, WRITE_KEY, Door, open_door
from tests.waiting import until

WITHIN_S: Final = 10
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
    """A door behind the real server."""

    door: Door
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
        await until(lambda: len(self.door.outbox.arrivals) >= events, f"{events} events are handed in")


@contextlib.asynccontextmanager
async def serving(door: Door) -> AsyncIterator[Served]:
    options = {**UVICORN, "loop": "none", "lifespan": "off", "timeout_graceful_shutdown": 1}
    server = uvicorn.Server(uvicorn.Config(door.app, **options))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        running = asyncio.create_task(server._serve([listening]))  # `serve` would take the tests' signals
        served = Served(door, server, running, listening.getsockname()[1], [])
        try:
            yield served
        finally:
            server.should_exit = True
            door.outbox.speak()
            for client in served.clients:
                client.writer.close()
            await asyncio.wait_for(running, WITHIN_S)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving(open_door(origins=[ORIGIN], limits=Limits(body_bytes=4_000))) as running:
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


class TestBothWaysAnswerAlike:
    @pytest.mark.parametrize(
        ("path", "content", "headers", "status"),
        [
            pytest.param("/v1/track", EVENT, [KEY], 200, id="an event"),
            pytest.param("/v1/track/", EVENT, [KEY], 200, id="a path with a slash at its end"),
            pytest.param(f"/v1/track?writeKey={WRITE_KEY}", EVENT, [], 200, id="a key in the query"),
            pytest.param("/v1/batch", batch(EVENT, EVENT), [KEY], 200, id="a batch"),
            pytest.param("/v1/batch", batch(EVENT, {"type": "x"}), [KEY], 200, id="a batch that is taken in part"),
            pytest.param("/v1/m", b"anything", [], 200, id="what is thrown away"),
            pytest.param("/v1/track", b"", [KEY], 400, id="no body"),
            pytest.param("/v1/track", b"{", [KEY], 400, id="no JSON"),
            pytest.param("/v1/track", EVENT, [], 401, id="no key"),
            pytest.param("/v1/track", EVENT, [KEY, "Content-Encoding: br"], 400, id="an unknown encoding"),
            pytest.param("/v1/track", EVENT, [KEY, f"Origin: {ORIGIN}"], 200, id="a page"),
            pytest.param("/v1/track", EVENT, [KEY, "Origin: https://evil.example"], 200, id="a page of nobody"),
            pytest.param("/v1/track", b"{", [KEY, f"Origin: {ORIGIN}"], 400, id="a page's mistake"),
            pytest.param("/v1/track", b"x" * 4_001, [KEY], 400, id="too much"),
            pytest.param("/v1/track", b"x" * 70_000, [KEY], 400, id="much too much"),
        ],
    )
    async def test_to(self, served: Served, path: str, content: Any, headers: list[str], status: int) -> None:
        client = await served.client()
        client.send(plain(path, content, *headers))
        short = await client.answer()
        client.send(chunked(path, content, *headers))
        long = await client.answer()
        assert (short.status, short.body, short.headers.keys()) == (long.status, long.body, long.headers.keys())
        assert short.status == status
        assert {**short.headers, "date": ""} == {**long.headers, "date": ""}
        kept = len(served.door.outbox.arrivals)
        assert kept % 2 == 0

    @pytest.mark.parametrize("away", ["redis_unreachable", "redis_full"])
    async def test_while_redis_is_away(self, served: Served, away: str) -> None:
        served.door.outbox.away = away
        client = await served.client()
        client.send(plain("/v1/track", EVENT, KEY), chunked("/v1/track", EVENT, KEY))
        short, long = await client.answer(), await client.answer()
        assert (short.status, short.body) == (long.status, long.body) == (503, short.body)
        assert short.headers["retry-after"] == long.headers["retry-after"]

    async def test_to_other_methods(self, served: Served) -> None:
        client = await served.client()
        client.send(plain("/v1/track", b"", method="GET"), plain("/v1/track", b"", method="OPTIONS"))
        assert [(await client.answer()).status for _ in range(2)] == [405, 200]


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
        served.door.outbox.slow = True
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
            served.door.outbox.speak()
            answers.append(await client.answer())
        assert [answer.status for answer in answers] == [200, 200, 400, 200, 200, 200]
        assert answers[1].body["accepted"] == 1
        assert served.door.outbox.message_ids == ["m-0", "m-1", "m-2", "m-3"]

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
        served.door.outbox.slow = True
        client = await served.client()
        client.send(plain("/v1/track", EVENT, KEY))
        await served.handed_in(1)
        client.writer.transport.abort()
        await until(lambda: not served.server.server_state.connections, "the server knows that it is gone")
        served.door.outbox.speak()
        served.door.outbox.slow = False
        other = await served.client()
        other.send(plain("/v1/track", EVENT, KEY))
        assert (await other.answer()).status == 200


class TestAStop:
    async def test_waits_for_what_the_outbox_holds(self, served: Served) -> None:
        served.door.outbox.slow = True
        client, idle = await served.client(), await served.client()
        client.send(plain("/v1/track", EVENT, KEY))
        await served.handed_in(1)
        served.server.should_exit = True
        assert await idle.ended()
        served.door.outbox.speak()
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
        door = open_door()
        async with serving(door) as served:
            door.outbox.full = True
            clients = [await served.client() for _ in range(3)]
            for number, client in enumerate(clients):
                client.send(plain("/v1/track", EVENT | {"messageId": f"m-{number}"}, KEY))
                await client.writer.drain()
            page = await served.client()
            page.send(plain("/v1/nothing", b"", method="GET"))
            await asyncio.wait_for(page.reader.readuntil(b"\r\n\r\n"), WITHIN_S)  # nobody else waits for it
            assert door.outbox.arrivals == []
            door.outbox.make_room()
            assert [(await client.answer()).status for client in clients] == [200] * 3
            assert sorted(door.outbox.message_ids) == ["m-0", "m-1", "m-2"]

    async def test_goes_on_with_the_next_request_whatever_became_of_the_flush(self) -> None:
        door = open_door()
        async with serving(door) as served:
            door.outbox.full = True
            first, second = await served.client(), await served.client()
            first.send(plain("/v1/track", EVENT, KEY))
            page = await served.client()
            page.send(plain("/v1/nothing", b"", method="GET"))
            await asyncio.wait_for(page.reader.readuntil(b"\r\n\r\n"), WITHIN_S)
            door.outbox.full = False  # and it did not tell
            second.send(plain("/v1/track", EVENT, KEY))
            assert [(await client.answer()).status for client in (first, second)] == [200, 200]

    async def test_is_left_after_five_seconds_with_an_answer(self) -> None:
        now = [100.0]
        door = open_door(clock=lambda: now[0])
        async with serving(door) as served:
            door.outbox.full = True
            old, new = await served.client(), await served.client()
            for client, moment in ((old, 100.0), (new, 100.0 + IN_LINE_S)):
                now[0] = moment
                client.send(plain("/v1/track", EVENT, KEY))
                page = await served.client()
                page.send(plain("/v1/nothing", b"", method="GET"))
                await asyncio.wait_for(page.reader.readuntil(b"\r\n\r\n"), WITHIN_S)
            now[0] += 0.1
            door.outbox.make_room()
            refused = await old.answer()
            assert (refused.status, refused.body["code"], "retry-after" in refused.headers) == (503, "overloaded", True)
            assert (await new.answer()).status == 200

    async def test_stops_when_the_outbox_is_full_again(self) -> None:
        door = open_door()
        async with serving(door) as served:
            door.outbox.full = True
            client = await served.client()
            client.send(plain("/v1/track", EVENT, KEY))
            other = await served.client()
            other.send(plain("/v1/track", EVENT, KEY))
            page = await served.client()
            page.send(plain("/v1/nothing", b"", method="GET"))
            await asyncio.wait_for(page.reader.readuntil(b"\r\n\r\n"), WITHIN_S)
            door.outbox.full_after = 1
            door.outbox.make_room()
            await served.handed_in(1)
            assert len(door.outbox.arrivals) == 1
            door.outbox.make_room()
            await served.handed_in(2)
