"""Sessions of the console's users: in Redis, so that they are shared by replicas and can be revoked.

A session is found by the digest of its ID, which is in a cookie of the browser alone. It ends 8 h after the last
request, and 24 h after the sign-in, and when the password that began it is changed.
"""

import hashlib
import secrets
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from app.delivery.delivery import from_ms, to_ms
from app.store.connection import Redis
from app.store.keys import ConsoleKeys

IDLE: Final = timedelta(hours=8)
LONGEST: Final = timedelta(hours=24)
_NOTED_EACH: Final = timedelta(minutes=1)  # a session is extended at most this often


@dataclass(frozen=True, slots=True)
class Session:
    """One browser of one user."""

    digest: str  # of the ID; enough to revoke it, too little to use it
    user: str
    groups: tuple[str, ...]
    way: str  # how the user signed in: password, oidc, proxy or link
    begun_at: datetime
    seen_at: datetime
    proof: str = field(default="", repr=False)  # of the password that began it, see SignIn.proof

    def to_json(self) -> bytes:
        """The stored form."""
        begun, seen = to_ms(self.begun_at), to_ms(self.seen_at)
        return orjson.dumps({"u": self.user, "g": self.groups, "w": self.way, "b": begun, "s": seen, "p": self.proof})

    @classmethod
    def from_json(cls, digest: str, stored: bytes) -> "Session":
        """Raises ValueError and KeyError."""
        facts: dict[str, Any] = orjson.loads(stored)
        begun, seen = from_ms(facts["b"]), from_ms(facts["s"])
        return cls(digest, facts["u"], tuple(facts["g"]), facts["w"], begun, seen, facts.get("p", ""))


class Sessions:
    """All sessions. Each method raises StoreError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def begin(self, user: str, groups: tuple[str, ...], way: str, proof: str = "") -> str:
        """Begin one. The ID for the cookie."""
        session_id = secrets.token_urlsafe(32)
        now = datetime.now(UTC)
        session = Session(digest_of(session_id), user, groups, way, now, now, proof)
        await self._store(session, IDLE)
        return session_id

    async def find(self, session_id: str) -> Session | None:
        """The session of a cookie; None when it has ended or was revoked. Using it extends it."""
        digest = digest_of(session_id)
        stored = await self._redis.get(ConsoleKeys.session(digest))
        if stored is None:
            return None
        session, now = Session.from_json(digest, stored), datetime.now(UTC)
        left = LONGEST - (now - session.begun_at)
        if left <= timedelta():
            await self.revoke(digest)
            return None
        if now - session.seen_at >= _NOTED_EACH:
            session = replace(session, seen_at=now)
            await self._store(session, min(IDLE, left), only_existing=True)
        return session

    async def all(self) -> list[Session]:
        """Those that have not ended, the latest used first."""
        digests = [each.decode() for each in await self._redis.zrange(ConsoleKeys.sessions, 0, -1)]
        stored = await self._redis.mget([ConsoleKeys.session(each) for each in digests]) if digests else []
        if ended := [digest for digest, each in zip(digests, stored, strict=True) if each is None]:
            await self._redis.zrem(ConsoleKeys.sessions, *ended)
        found = [Session.from_json(digest, each) for digest, each in zip(digests, stored, strict=True) if each]
        return sorted(found, key=lambda session: session.seen_at, reverse=True)

    async def revoke(self, digest: str) -> bool:
        """End one. False when it had ended already."""
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.delete(ConsoleKeys.session(digest))
            pipeline.zrem(ConsoleKeys.sessions, digest)
            ended, _ = await pipeline.execute()
        return bool(ended)

    async def _store(self, session: Session, life: timedelta, *, only_existing: bool = False) -> None:
        """`only_existing`: one that was revoked meanwhile stays so."""
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.set(ConsoleKeys.session(session.digest), session.to_json(), ex=life, xx=only_existing)
            pipeline.zadd(ConsoleKeys.sessions, {session.digest: to_ms(session.seen_at)}, xx=only_existing)
            pipeline.zremrangebyscore(ConsoleKeys.sessions, "-inf", to_ms(session.seen_at - LONGEST))
            await pipeline.execute()


def digest_of(session_id: str) -> str:
    """What a session is stored under."""
    return hashlib.sha256(session_id.encode()).hexdigest()
