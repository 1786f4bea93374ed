"""Servers on this machine that stand in for Attentive, and calls to them."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from app.attentive.answers import Reply, Unreachable
from app.attentive.client import AttentiveClient, Timeouts
from app.attentive.endpoints import CUSTOM_EVENT
from tests.waiting import patient

IMPATIENT: Final = Timeouts(connect_s=patient(1.0), read_s=patient(0.1), total_s=patient(0.3))
BODY: Final = b'{"type":"x"}'

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """A server that answers each request as the test says, and remembers what it was sent."""

    answer: Answer
    requests: list[str] = field(default_factory=list)  # head and body of each
    port: int = 0
    connections: int = 0  # so far

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lengths = (line for line in head.splitlines() if line.lower().startswith("content-length:"))
                length = int(next(lengths, "none: 0").partition(":")[2])
                self.requests.append(head + (await reader.readexactly(length)).decode())
                await self.answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(answer)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()


@asynccontextmanager
async def client_of(url: str, **options: Any) -> AsyncIterator[AttentiveClient]:
    client = AttentiveClient(url, "secret-token", user_agent="attentive-gateway/test", **options)
    try:
        yield client
    finally:
        await client.close()


def says(status: str, body: bytes = b"", *headers: str) -> Answer:
    """An HTTP answer on a connection that stays open."""
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""])

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head.encode() + body)
        await writer.drain()

    return answer


def writes_and_cuts(raw: bytes) -> Answer:
    """These bytes, and then the end of the connection."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()
        writer.close()
        raise ConnectionError

    return answer


async def hang(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def send_to(url: str, **options: Any) -> Reply | Unreachable:
    async with client_of(url, **options) as client:
        return await client.send(CUSTOM_EVENT, BODY)


async def send(answer: Answer, **options: Any) -> Reply | Unreachable:
    async with serving(answer) as server:
        return await send_to(server.url, **options)
