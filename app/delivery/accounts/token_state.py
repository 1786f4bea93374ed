"""Whether each destination's token works, by the latest answer: one state, shared by workers and commands."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, cast

import orjson
from redis.asyncio import Redis

from app.attentive.answers import Reply, Unreachable
from app.attentive.token import works
from app.delivery.delivery import from_ms, to_ms
from app.store.keys import DestinationKeys


class TokenState(StrEnum):
    """What Attentive answered about a token."""

    WORKS = "works"
    REFUSED = "refused"
    UNKNOWN = "unknown"  # no answer, or one that shows nothing


@dataclass(frozen=True, slots=True)
class TokenReport:
    """The state, since when it holds, and when a worker asks next (None: not before something changes)."""

    state: TokenState
    answer: str  # "HTTP 401", "could not connect"
    since: datetime
    asked_at: datetime
    next_try: datetime | None = None


async def read_token(redis: Redis, destination: str) -> TokenReport | None:
    """The latest state. None before the first question. Raises StoreError."""
    stored = await cast(Any, redis.hget(DestinationKeys(destination).account, "token"))
    if stored is None:
        return None
    state, answer, since, asked, following = orjson.loads(stored)
    return TokenReport(
        TokenState(state), answer, from_ms(since), from_ms(asked), None if following is None else from_ms(following)
    )


async def note_token(
    redis: Redis, destination: str, reply: Reply | Unreachable, *, next_try: timedelta | None = None
) -> TokenReport:
    """Store the token's state by an answer to `/v1/me`, and return the stored report. Raises StoreError."""
    now, before = datetime.now(UTC), await read_token(redis, destination)
    state = _state(reply)
    report = TokenReport(
        state,
        f"HTTP {reply.status}" if isinstance(reply, Reply) else reply.reason,
        before.since if before is not None and before.state is state else now,
        now,
        None if next_try is None else now + next_try,
    )
    following = None if report.next_try is None else to_ms(report.next_try)
    stored = orjson.dumps([state.value, report.answer, to_ms(report.since), to_ms(now), following])
    await cast(Any, redis.hset(DestinationKeys(destination).account, mapping={"token": stored}))
    return report


def _state(reply: Reply | Unreachable) -> TokenState:
    if works(reply):
        return TokenState.WORKS
    refused = isinstance(reply, Reply) and reply.status in (401, 403)
    return TokenState.REFUSED if refused else TokenState.UNKNOWN
