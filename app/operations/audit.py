"""The audit log: who signed in, who saw personal data, and who did what. Names and ids, never values.

One stream, bounded in number. Every process that runs a console writes to it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from app.store.connection import Redis
from app.store.keys import ConsoleKeys

KEPT: Final = 100_000
_IDS: Final = 20  # of one act; the number of all is kept beside them


@dataclass(frozen=True, slots=True)
class Entry:
    """One act."""

    id: str
    at: datetime
    user: str
    act: str  # sign-in, sign-in failed, sign-out, reveal, edit, replay, …
    destination: str  # empty where the act concerns none
    ids: tuple[str, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)


class AuditLog:
    """Each method raises StoreError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def add(
        self, user: str, act: str, *, destination: str = "", ids: Sequence[str] = (), **facts: str | int
    ) -> None:
        """Write one entry. `facts` are counts, names of fields and results, never what a field holds."""
        if len(ids) > _IDS:
            facts["ids_left_out"] = len(ids) - _IDS
        entry = {"u": user, "a": act, "d": destination, "i": list(ids[:_IDS]), "f": facts}
        await self._redis.xadd(ConsoleKeys.audit, {b"d": orjson.dumps(entry)}, maxlen=KEPT, approximate=True)

    async def latest(self, count: int, before: str | None = None) -> list[Entry]:
        """The newest entries, or those before one; the newest first."""
        newest = "+" if before is None else f"({before}"
        return [_entry(entry_id.decode(), fields[b"d"]) for entry_id, fields in await self._page(newest, count)]

    async def _page(self, newest: str, count: int) -> list[tuple[bytes, dict[bytes, bytes]]]:
        page: list[tuple[bytes, dict[bytes, bytes]]] = await self._redis.xrevrange(
            ConsoleKeys.audit, max=newest, count=count
        )
        return page


def _entry(entry_id: str, stored: bytes) -> Entry:
    facts: dict[str, Any] = orjson.loads(stored)
    at = datetime.fromtimestamp(int(entry_id.partition("-")[0]) / 1000, UTC)
    return Entry(entry_id, at, facts["u"], facts["a"], facts["d"], tuple(facts["i"]), facts["f"])
