"""A wire between a client and the gateway that notes each answer's status, and can break before the client has it."""

import asyncio
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

CUT = 0  # stands among the statuses for a 200 that the client did not get
_MESSAGE_ID = re.compile(rb'"messageId":"([^"]+)"')  # as browsers write it; what is compressed has none
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time


class Proxy:
    """Passes bytes on unchanged, save that the first `cuts` successes of a POST become a reset connection."""

    def __init__(self, gateway_port: int, *, cuts: int = 0) -> None:
        self.statuses: list[int] = []  # of answers to POST requests, in their order
        self.unanswered: set[bytes] = set()  # message ids of events whose answer was cut off, until they get another
        self.port = 0
        self._gateway_port = gateway_port
        self._cuts = cuts

    async def serve(self) -> asyncio.Server:
        """Start on a free port."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _connected(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        from_gateway, to_gateway = await asyncio.open_connection("127.0.0.1", self._gateway_port)
        exchange = _Exchange(self)
        ways = (
            asyncio.create_task(_pass_on(from_client, to_gateway, exchange.asked)),
            asyncio.create_task(_pass_on(from_gateway, to_client, exchange.answered)),
        )
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            if exchange.cut:
                connection: socket.socket = to_client.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            to_client.close()
            to_gateway.close()

    def passes(self, status: int, request: bytes) -> bool:
        """Note an answer; whether it goes on to the client."""
        cut = status == 200 and self._cuts > 0
        self._cuts -= cut
        self.statuses.append(CUT if cut else status)
        events = set(_MESSAGE_ID.findall(request))
        if cut:
            self.unanswered |= events
        elif status == 200:
            self.unanswered -= events
        return not cut


class _Exchange:
    """What one connection is about right now. Clients send no request before the last one is answered."""

    def __init__(self, proxy: Proxy) -> None:
        self.cut = False
        self._proxy = proxy
        self._request = b""

    def asked(self, chunk: bytes) -> bool:
        begins = chunk.partition(b" ")[0] in (b"POST", b"GET", b"OPTIONS")
        self._request = chunk if begins else self._request + chunk
        return True

    def answered(self, chunk: bytes) -> bool:
        if self._request.startswith(b"POST ") and chunk.startswith(b"HTTP/1.1 "):
            self.cut = not self._proxy.passes(int(chunk[9:12]), self._request)
        return not self.cut


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, look: Callable[[bytes], bool]) -> None:
    """Until a side ends, or `look` says no."""
    while (chunk := await reader.read(65_536)) and look(chunk):
        writer.write(chunk)
        await writer.drain()


@contextmanager
def running_proxy(gateway_port: int, *, cuts: int = 0) -> Iterator[Proxy]:
    """A proxy in a thread of its own."""
    proxy = Proxy(gateway_port, cuts=cuts)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="proxy", daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(proxy.serve(), loop).result()

    async def stop() -> None:
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
