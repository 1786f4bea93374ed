"""The Attentive app whose token a destination uses.

A custom event type belongs to the app that sent it first. If another app sends it, no journey that is built on it
starts. So a destination's first app is stored, and another one is an error that an operator accepts or undoes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import structlog
from redis.asyncio import Redis

from app.attentive.answers import Reply, Unreachable
from app.attentive.token import app_of
from app.delivery.accounts.account import company_id_of, read_binding
from app.store.keys import DestinationKeys

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class TokenApp:
    """The app that made a destination's event types, and the one whose token it uses now, if they differ."""

    made_by: str
    found: str | None = None

    def __str__(self) -> str:
        return f"the token belongs to the app {self.found!r}, and the event types were made by the app {self.made_by!r}"


async def read_apps(redis: Redis, destinations: Sequence[str]) -> dict[str, TokenApp]:
    """The apps of these destinations, where known. Raises StoreError."""
    async with redis.pipeline(transaction=False) as pipeline:
        for destination in destinations:
            pipeline.hmget(DestinationKeys(destination).account, ["app", "found_app"])
        answers = await pipeline.execute()
    return {
        destination: TokenApp(made_by.decode(), found.decode() if found else None)
        for destination, (made_by, found) in zip(destinations, answers, strict=True)
        if made_by
    }


async def note_app(redis: Redis, destination: str, reply: Reply | Unreachable) -> TokenApp | None:
    """Compare the app that an answer to `/v1/me` names with the stored one, and store the first.

    None if it names none, or belongs to another company (account.py handles that). Raises StoreError.
    """
    app, key = app_of(reply), DestinationKeys(destination).account
    bound = (await read_binding(redis, destination)).bound
    if app is None or bound is None or bound.company_id != company_id_of(reply):
        return None
    known = (await read_apps(redis, [destination])).get(destination)
    if known is None:
        await cast(Any, redis.hset(key, "app", app))
        return TokenApp(app)
    if known.made_by == app:
        await cast(Any, redis.hdel(key, "found_app"))
        return TokenApp(app)
    if known.found != app:
        await cast(Any, redis.hset(key, "found_app", app))
        log.error(
            "destination.app_changed",
            destination=destination,
            made_by=known.made_by,
            found=app,
            hint="Journeys on event types of the first app do not start. Use its token, or run: destinations keep.",
        )
    return TokenApp(known.made_by, app)


async def accept_app(redis: Redis, destination: str, app: str) -> None:
    """Accept this app as the one that made the event types. Raises StoreError."""
    key = DestinationKeys(destination).account
    async with redis.pipeline(transaction=True) as pipeline:
        pipeline.hset(key, mapping={"app": app})
        pipeline.hdel(key, "found_app")
        await pipeline.execute()
