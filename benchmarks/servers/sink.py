"""Stands in for Attentive where its speed must not count: takes every call, says yes, and may note when it came."""

import os
import time

import orjson
from starlette.types import Receive, Scope, Send

from benchmarks.servers import bare

_STAMPING = os.environ.get("SINK_STAMPS") == "1"
_stamps: dict[str, int] = {}  # when each externalEventId came first, in ns of the machine's monotonic clock


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """One request. GET answers the stamps."""
    assert scope["type"] == "http"
    if scope["method"] == "GET":
        body = orjson.dumps(_stamps)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        return
    body = await bare.read(receive)
    if _STAMPING and (name := orjson.loads(body).get("externalEventId")):
        _stamps.setdefault(name, time.monotonic_ns())
    await bare.answer(send)
