"""The sandbox as an ASGI app: `/v1/*` and `/v2/*` are the modelled API, `/_sandbox/*` is its control panel.

It is plain ASGI, because throughput benchmarks use it, too.
"""

import asyncio
import time
from collections.abc import Callable

from starlette.types import Receive, Scope, Send

from app.sandbox.call import Call
from app.sandbox.config import SandboxConfig
from app.sandbox.control import CONTROL_PREFIX, control_panel
from app.sandbox.faults import FaultRule
from app.sandbox.limits import Allowance
from app.sandbox.times import Clock
from app.sandbox.wire import BREAKS_OFF, Sleep, hang, reset_connection, send_answer, send_spoiled
from app.sandbox.world import Arrival, World


def create_sandbox(
    config: SandboxConfig | None = None,
    *,
    clock: Callable[[], float] = time.time,
    sleep: Sleep = asyncio.sleep,
) -> "Sandbox":
    """A sandbox with an empty world of its own.

    `clock` yields Unix seconds; ages, limits and fault windows follow it. `sleep` waits out latencies and slow bodies.
    """
    return Sandbox(World(config or SandboxConfig(), Clock(clock)), sleep)


class Sandbox:
    """The ASGI app. A test may look into its `world` directly."""

    def __init__(self, world: World, sleep: Sleep = asyncio.sleep) -> None:
        """Serve this world."""
        self.world = world
        self._sleep = sleep
        self._control = control_panel(world)
        self._released = asyncio.Event()

    def open(self) -> None:
        """Start to serve, possibly again. The server calls this when it starts."""
        self._released = asyncio.Event()

    def release(self) -> None:
        """Release every caller that a fault keeps waiting. The server calls this when it stops."""
        self._released.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] != "http":
            raise ValueError(f"the sandbox speaks HTTP, not {scope['type']}")
        elif scope["path"].startswith(CONTROL_PREFIX):
            await self._control(scope, receive, send)
        elif (call := await _read(scope, receive, self.world.clock)) is not None:
            await self._answer(call, scope, receive, send)

    async def _answer(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        world = self.world
        arrival = world.admit(call)
        fault = world.faults.strike(call, arrival.known_endpoint, arrival.key_name)
        latency = world.config.latency_of(arrival.counted_path)
        if latency is not None:
            await self._sleep(latency.draw_s(world.rand))
        headers = _rate_headers(arrival.allowance) if world.config.rate_headers else ()
        if fault is None:
            answer = world.process(arrival)
            world.ledger.answered(arrival.counted_path, answer.status)
            await send_answer(answer, headers, send)
        else:
            await self._go_wrong(fault, arrival, headers, scope, receive, send)

    async def _go_wrong(
        self,
        fault: FaultRule,
        arrival: Arrival,
        headers: tuple[tuple[bytes, bytes], ...],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        world, path = self.world, arrival.counted_path
        answer = world.process(arrival) if fault.after else None
        if fault.kind == "hang" and not await hang(fault.seconds, receive, self._released):
            world.ledger.answered(path, None)
            if self._released.is_set():
                await reset_connection(scope, receive)
            return
        if fault.kind == "reset":
            world.ledger.answered(path, None)
            await reset_connection(scope, receive)
            return
        answer = fault.answer(world.config) or answer or world.process(arrival)
        world.ledger.answered(path, None if fault.kind in BREAKS_OFF else answer.status)
        await send_spoiled(fault, answer, headers, scope, receive, send, self._sleep)


async def _read(scope: Scope, receive: Receive, clock: Clock) -> Call | None:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body", False):
        message = await receive()
        body += message.get("body", b"")
    if message["type"] == "http.disconnect":
        return None
    authorization, content_type, host = None, b"", b""
    for name, value in scope["headers"]:
        if name == b"authorization":
            authorization = value
        elif name == b"content-type":
            content_type = value
        elif name == b"host":
            host = value
    query = scope["query_string"]
    return Call(
        method=scope["method"],
        path=scope["path"],
        query_string=query.decode("latin-1") if query else "",
        authorization=authorization,
        content_type=content_type,
        body=body,
        arrived_at=clock.now(),
        host=host.decode("latin-1"),
    )


def _rate_headers(allowance: Allowance) -> tuple[tuple[bytes, bytes], ...]:
    return (
        (b"x-ratelimit-limit", b"%d" % allowance.limit),
        (b"x-ratelimit-remaining", b"%d" % allowance.remaining),
    )


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
