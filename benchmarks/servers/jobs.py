"""arq as most of us would use it: one job per event.

Run as `python -m benchmarks.servers.jobs NAME`, where NAME is idle, post or as_delivered.
"""

import asyncio
import os
import sys
from typing import Any

import httpx
import uvloop
from arq import Worker, func
from arq.connections import RedisSettings

SINK = os.environ.get("SINK_URL", "")


async def idle(ctx: dict[Any, Any], event: dict[str, Any]) -> None:
    """What arq costs when a job does nothing."""


async def post(ctx: dict[Any, Any], event: dict[str, Any]) -> None:
    """Send the event on, with httpx's own transport."""
    body = {"type": event.get("event"), "externalEventId": event.get("messageId"), "properties": event["properties"]}
    answer = await ctx["http"].post(SINK + "/v1/events/custom", json=body)
    answer.raise_for_status()


async def open_http(ctx: dict[str, Any]) -> None:
    """One client for all jobs."""
    ctx["http"] = httpx.AsyncClient(limits=httpx.Limits(max_connections=64), timeout=10, trust_env=False)


async def close_http(ctx: dict[str, Any]) -> None:
    """Close it."""
    await ctx["http"].aclose()


def settings(name: str) -> dict[str, Any]:
    """The arguments of arq's Worker. `as_delivered` keeps arq's own, which start 128 jobs a second at the most."""
    job = idle if name == "idle" else post
    tuned = {} if name == "as_delivered" else {"max_jobs": 64, "queue_read_limit": 1000, "poll_delay": 0.01}
    return {
        "functions": [func(job, name="deliver", keep_result=0)],
        "redis_settings": RedisSettings.from_dsn(os.environ["GATEWAY_REDIS_URL"]),
        "on_startup": open_http,
        "on_shutdown": close_http,
        **tuned,
    }


if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())  # as the gateway's workers do
    Worker(**settings(sys.argv[1])).run()
