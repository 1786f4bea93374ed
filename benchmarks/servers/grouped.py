"""(b) The bare server, plus the least that keeps an event: parse it, and append the raw body to a Redis stream.

With the gateway's own group commit, and nothing else of it: no write key, no filter, no mapping, no deduplication.
"""

import os
from collections.abc import Awaitable, Sequence
from typing import Any, cast

import orjson
from redis.exceptions import RedisError
from starlette.types import Receive, Scope, Send

from app.delivery.outbox import EVENTS_PER_FLUSH
from app.store.connection import open_redis
from app.store.group_commit import GroupCommit
from benchmarks.servers import bare

STREAM = "events"
APPEND = "for _, body in ipairs(ARGV) do redis.call('XADD', KEYS[1], '*', 'd', body) end"

redis = open_redis(os.environ.get("GATEWAY_REDIS_URL", "redis://127.0.0.1"))


async def append(bodies: Sequence[bytes]) -> list[BaseException | None]:
    """One round trip for all."""
    try:
        await cast(Awaitable[Any], redis.eval(APPEND, 1, STREAM, *cast(Sequence[str], bodies)))
    except RedisError as failure:
        return [failure] * len(bodies)
    return [None] * len(bodies)


commit = GroupCommit(append, most=EVENTS_PER_FLUSH)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """One request."""
    assert scope["type"] == "http"
    body = await bare.read(receive)
    orjson.loads(body)
    await commit.submit(body)
    await bare.answer(send)
