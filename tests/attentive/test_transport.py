"""What the connections make of answers, and which of them carry another call."""

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.attentive import transport
from app.attentive.answers import Reply, Unreachable
from app.attentive.client import AttentiveClient, Timeouts
from app.attentive.connection import MOST_HEAD_BYTES, Connection
from app.attentive.endpoints import CUSTOM_EVENT
from tests.attentive.servers import BODY, IMPATIENT, Answer, client_of, hang, says, send, serving, writes_and_cuts
from tests.certificates import needs_openssl, self_signed


def writes(*parts: bytes) -> Answer:
    """These bytes, on a connection that stays open."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()

    return answer


async def says_and_closes(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An answer, and the end of a connection that the answer does not announce."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    writer.close()


async def calls(answer: Answer, number: int = 2) -> tuple[list[Reply | Unreachable], int]:
    """The results of calls one after another, and how many connections they took."""
    async with serving(answer) as server, client_of(server.url) as client:
        replies = [await client.send(CUSTOM_EVENT, BODY) for _ in range(number)]
        return replies, server.connections


class TestAConnection:
    async def test_carries_one_call_after_another(self) -> None:
        replies, connections = await calls(says("200 OK", b"{}"), 5)
        assert [reply.status for reply in replies if isinstance(reply, Reply)] == [200] * 5
        assert connections == 1

    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param(says("200 OK", b"{}", "Connection: close"), id="one that the server wants to close"),
            pytest.param(writes(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}"), id="one of HTTP 1.0"),
            pytest.param(writes_and_cuts(b"HTTP/1.1 200 OK\r\n\r\n{}"), id="one whose end is the answer's"),
            pytest.param(
                writes(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"),
                id="one with a second answer that was not asked for",
            ),
        ],
    )
    async def test_carries_no_call_after(self, answer: Answer) -> None:
        replies, connections = await calls(answer)
        assert [(reply.status, reply.body) for reply in replies if isinstance(reply, Reply)] == [(200, b"{}")] * 2
        assert connections == 2

    async def test_that_has_just_been_closed_carries_no_call(self) -> None:
        async with serving(says_and_closes) as server, client_of(server.url) as client:
            for number in range(1, 4):
                assert isinstance(await client.send(CUSTOM_EVENT, BODY), Reply)
                (pool,) = client._transport._pools.values()
                while any((end := idle._transport) and not end.is_closing() for idle in pool._idle):  # noqa: ASYNC110
                    await asyncio.sleep(0)  # the connection is told a moment later
                assert server.connections == number

    async def test_that_is_closed_before_its_first_call_is_not_ambiguous(self, monkeypatch: pytest.MonkeyPatch) -> None:
        connected = transport._Pool._connected

        async def lost(pool: transport._Pool) -> Connection:
            connection = await connected(pool)
            connection.close()
            return connection

        monkeypatch.setattr(transport._Pool, "_connected", lost)
        (reply, _), connections = await calls(says("200 OK"))
        assert isinstance(reply, Unreachable)
        assert (reply.reason, reply.ambiguous, connections) == ("connection cut before the call", False, 2)

    async def test_whose_call_was_cancelled_gives_no_other_call_its_answer(self) -> None:
        asked, may_answer = asyncio.Event(), asyncio.Event()

        async def late(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            first = not asked.is_set()
            asked.set()
            if first:
                await may_answer.wait()
            writer.write(b"HTTP/1.1 %d OK\r\nContent-Length: 0\r\n\r\n" % (500 if first else 200))

        async with serving(late) as server, client_of(server.url) as client:
            call = asyncio.create_task(client.send(CUSTOM_EVENT, BODY))
            await asked.wait()
            call.cancel()
            await asyncio.wait({call})
            may_answer.set()
            reply = await client.send(CUSTOM_EVENT, BODY)
            assert isinstance(reply, Reply)
            assert (reply.status, server.connections) == (200, 2)

    async def test_is_shared_where_there_are_more_calls_than_connections(self) -> None:
        async with serving(says("200 OK", b"{}")) as server, client_of(server.url, connections=2) as client:
            replies = await asyncio.gather(*(client.send(CUSTOM_EVENT, BODY) for _ in range(20)))
            assert all(isinstance(reply, Reply) for reply in replies)
            assert server.connections == 2

    async def test_that_fails_makes_room_for_the_next(self) -> None:
        async with serving(writes_and_cuts(b"")) as server, client_of(server.url, connections=1) as client:
            replies = await asyncio.gather(*(client.send(CUSTOM_EVENT, BODY) for _ in range(3)))
            assert [isinstance(reply, Unreachable) for reply in replies] == [True] * 3
            assert server.connections == 3

    async def test_that_is_not_free_in_time_is_not_ambiguous(self) -> None:
        async with serving(says("200 OK")) as server:
            async with client_of(server.url, connections=0, timeouts=IMPATIENT) as client:
                reply = await client.send(CUSTOM_EVENT, BODY)
            assert isinstance(reply, Unreachable)
            assert (reply.reason, reply.ambiguous) == ("no free connection in time", False)
            assert server.requests == []

    async def test_is_made_to_the_next_address_of_a_name(self) -> None:
        """localhost has two addresses on most machines, and the server listens on one."""
        async with serving(says("200 OK")) as server, client_of(f"http://localhost:{server.port}") as client:
            assert isinstance(await client.send(CUSTOM_EVENT, BODY), Reply)
            assert f"Host: localhost:{server.port}\r\n" in server.requests[0]


class TestAnAnswer:
    async def test_may_follow_others_that_are_preliminary(self) -> None:
        early = b"HTTP/1.1 103 Early Hints\r\nx-ratelimit-limit: 7\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
        replies, connections = await calls(writes(early, b"HTTP/1.1 202 OK\r\nContent-Length: 2\r\n\r\n{}"))
        assert [(r.status, r.body, r.limit) for r in replies if isinstance(r, Reply)] == [(202, b"{}", None)] * 2
        assert connections == 1

    async def test_in_chunks_is_put_together_without_its_trailers(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-ratelimit-limit\r\n\r\n"
        replies, connections = await calls(writes(head, b"1\r\n{\r\n1\r\n}\r\n", b"0\r\nx-ratelimit-limit: 7\r\n\r\n"))
        assert [(r.body, r.limit) for r in replies if isinstance(r, Reply)] == [(b"{}", None)] * 2
        assert connections == 1

    @pytest.mark.parametrize(
        "raw",
        [
            pytest.param(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", id="an upgrade"
            ),
            pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"x" * (MOST_HEAD_BYTES + 1), id="a head without end"),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", id="a negative length"),
        ],
    )
    async def test_that_is_no_answer_is_ambiguous(self, raw: bytes) -> None:
        reply = await send(writes(raw))
        assert isinstance(reply, Unreachable)
        assert (reply.reason, reply.ambiguous) == ("the answer is not HTTP", True)

    @pytest.mark.parametrize(
        ("raw", "reason"),
        [
            pytest.param(b"", "connection cut", id="before it began"),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-", "connection cut", id="in its head"),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "answer cut short", id="before its length"),
            pytest.param(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
                "answer cut short",
                id="before its last chunk",
            ),
        ],
    )
    async def test_that_is_cut_off_is_no_answer(self, raw: bytes, reason: str) -> None:
        reply = await send(writes_and_cuts(raw))
        assert isinstance(reply, Unreachable)
        assert (reply.reason, reply.ambiguous) == (reason, True)

    async def test_that_never_comes_is_told_from_one_that_never_ends(self) -> None:
        silent = await send(hang, timeouts=Timeouts(read_s=0.2))
        assert isinstance(silent, Unreachable)
        assert silent.reason == "no answer in time"


async def test_a_header_cannot_begin_another() -> None:
    client = AttentiveClient("http://127.0.0.1:9", "token\r\nX-Other: 1", user_agent="test")
    with pytest.raises(ValueError, match="line break"):
        await client.send(CUSTOM_EVENT, BODY)
    await client.close()


@pytest.fixture
def anew() -> Iterator[None]:
    """The trusted certificates are read again."""
    transport.trusted.cache_clear()
    yield
    transport.trusted.cache_clear()


@needs_openssl
@pytest.mark.usefixtures("anew")
async def test_a_certificate_of_ours_is_trusted_where_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls: ssl.SSLContext = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    async with serving(says("200 OK", b"{}"), tls) as server:
        async with client_of(server.url.replace("http:", "https:")) as client:
            replies = [await client.send(CUSTOM_EVENT, BODY) for _ in range(2)]
        assert [reply.status for reply in replies if isinstance(reply, Reply)] == [200, 200]
        assert server.connections == 1
