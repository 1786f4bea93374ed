"""Sends an answer to the caller: complete, or spoiled by a fault."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.types import Receive, Scope, Send

from app.sandbox.answers import Answer, Headers
from app.sandbox.faults import FaultRule

Sleep = Callable[[float], Awaitable[None]]

TRANSPORT = "sandbox_transport"  # where the server leaves the connection's transport, in scope["state"]
NO_LINGER = struct.pack("ii", 1, 0)  # close with a reset
FILLER = b'{"message":"accepted"}'  # a body to spoil, where the good answer has none
CUT_SHORT_BY = 32  # bytes that a cut answer announces and never sends
SLOW_BODY_S = 5.0
BREAKS_OFF = frozenset({"cut", "truncated_body"})  # faults after which the caller has no whole answer


class ConnectionCut(ConnectionResetError):  # noqa: N818  # not an error: ordered by a fault rule
    """A fault was to cut a connection that has no transport, as in a test without a server; the caller gets this."""


async def send_answer(answer: Answer, headers: Headers, send: Send) -> None:
    """Send a whole answer."""
    await send(_start(answer, headers, len(answer.body)))
    await send({"type": "http.response.body", "body": answer.body})


async def send_spoiled(
    fault: FaultRule, answer: Answer, headers: Headers, scope: Scope, receive: Receive, send: Send, sleep: Sleep
) -> None:
    """Send an answer as this fault defines it."""
    body = answer.body or FILLER
    match fault.kind:
        case "cut":
            await send(_start(answer, headers, len(body) + CUT_SHORT_BY))
            await send({"type": "http.response.body", "body": b"", "more_body": True})
            _transport_of(scope).close()
            await until_disconnect(receive)
        case "truncated_body":
            await send(_start(answer, headers, len(body)))
            await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
            _transport_of(scope).close()
            await until_disconnect(receive)
        case "slow_body":
            await _drip(answer, headers, body, SLOW_BODY_S if fault.seconds is None else fault.seconds, send, sleep)
        case _:
            await send_answer(answer, headers, send)


async def reset_connection(scope: Scope, receive: Receive) -> None:
    """End the connection with a TCP reset, whatever was sent or not."""
    transport = _transport_of(scope)
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    transport.abort()
    await until_disconnect(receive)


async def hang(seconds: float | None, receive: Receive, released: asyncio.Event) -> bool:
    """Send nothing for this long, or until the caller gives up. True if the caller still waits.

    `released` is set when the server stops, and releases all callers.
    """
    gone = asyncio.ensure_future(until_disconnect(receive))
    stopping = asyncio.ensure_future(released.wait())
    try:
        await asyncio.wait({gone, stopping}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return not gone.done() and not stopping.done()
    finally:
        gone.cancel()
        stopping.cancel()


async def until_disconnect(receive: Receive) -> None:
    """Wait until the connection is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _transport_of(scope: Scope) -> asyncio.Transport:
    transport: asyncio.Transport | None = scope.get("state", {}).get(TRANSPORT)
    if transport is None:
        raise ConnectionCut("the sandbox cut this connection, because of a fault rule")
    return transport


async def _drip(answer: Answer, headers: Headers, body: bytes, seconds: float, send: Send, sleep: Sleep) -> None:
    await send(_start(answer, headers, len(body)))
    for index in range(len(body)):
        await sleep(seconds / len(body))
        await send({"type": "http.response.body", "body": body[index : index + 1], "more_body": index + 1 < len(body)})


def _start(answer: Answer, headers: Headers, content_length: int) -> dict[str, Any]:
    all_headers = [(b"content-length", b"%d" % content_length), *headers, *answer.headers]
    if content_length:
        all_headers.append((b"content-type", answer.content_type))
    return {"type": "http.response.start", "status": answer.status, "headers": all_headers}
