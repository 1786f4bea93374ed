"""(c) What most of us would write first: a pydantic body, and one arq job per event."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings
from fastapi import FastAPI, Request
from pydantic import BaseModel


class TrackEvent(BaseModel):
    """A Segment track call."""

    type: str = "track"
    event: str
    messageId: str  # noqa: N815
    userId: str | None = None  # noqa: N815
    anonymousId: str | None = None  # noqa: N815
    properties: dict[str, Any] = {}
    context: dict[str, Any] = {}
    timestamp: datetime | None = None
    sentAt: datetime | None = None  # noqa: N815


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open arq's Redis."""
    app.state.redis = await create_pool(RedisSettings.from_dsn(os.environ["GATEWAY_REDIS_URL"]))
    yield
    await app.state.redis.aclose()


app = FastAPI(lifespan=lifespan)


@app.post("/v1/track")
async def track(request: Request, event: TrackEvent) -> dict[str, bool]:
    """One event."""
    await request.app.state.redis.enqueue_job("deliver", event.model_dump())
    return {"success": True}


class Batch(BaseModel):
    """A Segment batch call."""

    batch: list[TrackEvent]


@app.post("/v1/batch")
async def batch(request: Request, body: Batch) -> dict[str, bool]:
    """Many events, one job each."""
    for event in body.batch:
        await request.app.state.redis.enqueue_job("deliver", event.model_dump())
    return {"success": True}
