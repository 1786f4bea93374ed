"""The ceiling for batches: the bare server, parsing, and one write of the events, each as its own JSON."""

import os
from collections.abc import Awaitable, Sequence
from typing import Any, cast

import orjson
from starlette.types import Receive, Scope, Send

from app.store.connection import open_redis
from benchmarks.servers import bare
from benchmarks.servers.grouped import APPEND, STREAM

redis = open_redis(os.environ.get("GATEWAY_REDIS_URL", "redis://127.0.0.1"))


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """One request: a batch of events."""
    assert scope["type"] == "http"
    content = orjson.loads(await bare.read(receive))
    events = [orjson.dumps(event) for event in content["batch"]] if "batch" in content else [orjson.dumps(content)]
    await cast(Awaitable[Any], redis.eval(APPEND, 1, STREAM, *cast(Sequence[str], events)))
    await bare.answer(send)
