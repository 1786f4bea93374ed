"""(a) The least an HTTP server can do: read the body, say yes. No Python server of this kind answers faster."""

from starlette.types import Receive, Scope, Send

_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"17")],
}
_END = {"type": "http.response.body", "body": b'{"success": true}'}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """One request."""
    assert scope["type"] == "http"  # uvicorn's start-up call ends here, and uvicorn goes on without
    await read(receive)
    await answer(send)


async def read(receive: Receive) -> bytes:
    """The whole body."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def answer(send: Send) -> None:
    """Success."""
    await send(_START)
    await send(_END)
