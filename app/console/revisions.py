"""The mappings that were put into use: which, by whom and when. One can be made the draft of the next."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from app.store.connection import Redis
from app.store.keys import ConsoleKeys

KEPT: Final = 500  # of all destinations


@dataclass(frozen=True, slots=True)
class Revision:
    """One change of a destination's mapping, as YAML."""

    id: str
    at: datetime
    user: str
    destination: str
    before: str
    after: str


class Revisions:
    """Each method raises StoreError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def add(self, user: str, destination: str, before: str, after: str) -> str:
        """Keep one change. Its ID."""
        stored = orjson.dumps({"u": user, "d": destination, "b": before, "a": after})
        entry_id: bytes = await self._redis.xadd(ConsoleKeys.revisions, {b"d": stored}, maxlen=KEPT, approximate=False)
        return entry_id.decode()

    async def of(self, destination: str) -> list[Revision]:
        """Those of one destination, the newest first."""
        entries = await self._redis.xrevrange(ConsoleKeys.revisions)
        revisions = (_revision(entry_id.decode(), fields[b"d"]) for entry_id, fields in entries)
        return [each for each in revisions if each.destination == destination]


def _revision(entry_id: str, stored: bytes) -> Revision:
    facts: dict[str, Any] = orjson.loads(stored)
    at = datetime.fromtimestamp(int(entry_id.partition("-")[0]) / 1000, UTC)
    return Revision(entry_id, at, facts["u"], facts["d"], facts["b"], facts["a"])
