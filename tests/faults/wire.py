"""A wire between the gateway and Redis or Attentive that can be slow, cut or gone."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from tests.ports import free_port
from tests.waiting import patient


class Wire:
    """Passes bytes on, `delay_s` late in each direction."""

    def __init__(self, target_port: int) -> None:
        self.delay_s = 0.0
        self.port = free_port()  # one that stays free while nothing listens on it
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Break every connection there is."""
        self._do(self._cut())

    def refuse(self) -> None:
        """Be gone: connecting fails at once."""
        self._do(self._close())

    def accept(self) -> None:
        """Be there again, on the same port."""
        self._do(self._listen())

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(patient(5))

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)

    async def _cut(self) -> None:
        for connection in self._connections:
            connection.cancel()
        if self._connections:
            await asyncio.wait(self._connections)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _connected(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        to_target = None
        try:
            from_target, to_target = await asyncio.open_connection("127.0.0.1", self._target_port)
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._pass_on(from_client, to_target))
                ways.create_task(self._pass_on(from_target, to_client))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            for writer in filter(None, (to_client, to_target)):
                writer.close()

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while received := await source.read(65536):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            target.write(received)
            await target.drain()
        raise ConnectionResetError  # one side has closed: so does the other

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()


@contextmanager
def wire(target_port: int) -> Iterator[Wire]:
    """A wire to this port of 127.0.0.1, in a thread of its own."""
    made = Wire(target_port)
    thread = threading.Thread(target=made._run, daemon=True)
    thread.start()
    made.accept()
    try:
        yield made
    finally:
        with contextlib.suppress(TimeoutError):
            made.refuse()
        made._loop.call_soon_threadsafe(made._loop.stop)
        thread.join()
        made._loop.close()
