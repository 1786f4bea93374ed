"""IDs that were seen before: `externalEventId` per app and type, `orderId` per app."""

from collections import Counter
from typing import Literal

IdKind = Literal["externalEventId", "orderId"]


class Repeats:
    """The IDs seen so far, up to a maximum. Beyond it, the oldest are removed."""

    def __init__(self, most: int) -> None:
        """Start with none."""
        self._most = most
        self._seen: dict[tuple[str, ...], None] = {}
        self.counts: Counter[str] = Counter()

    def seen_before(self, kind: IdKind, *scope_and_id: str) -> bool:
        """Whether this ID was seen within its scope. Records it."""
        mark = (kind, *scope_and_id)
        if mark in self._seen:
            self.counts[kind] += 1
            return True
        if len(self._seen) >= self._most:
            del self._seen[next(iter(self._seen))]
        self._seen[mark] = None
        return False
