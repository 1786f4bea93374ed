"""Where the state of a sync is kept: in a file of this machine, or in an object of S3 that a run works on a copy of.

The copy is stored before anything is sent, each minute and at the end. Until then Redis remembers how rows ended, so
that a process that takes the run over from an older copy finds out.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from app.delivery.row_outcomes import unfollow
from app.operations.operator import Operator
from app.rows.lease import leased
from app.rows.remote import RemoteState, copied
from app.rows.state import State
from app.rows.subject import Subject
from app.rows.syncs import publish_state

_EVERY_S: Final = 60.0


@dataclass(slots=True)
class StateStore:
    """Keeps a state, and has Redis forget how rows ended once it is kept."""

    operator: Operator
    subject: Subject
    state: State
    remote: RemoteState | None = None
    _ended: list[bytes] = field(default_factory=list)  # event keys, not yet forgotten
    _kept: float = field(default_factory=time.monotonic)

    async def unfollow(self, event_keys: Sequence[bytes]) -> None:
        """Forget how these events ended, which the state has. Raises StoreError and StateFailed."""
        if self.remote is None:
            return await unfollow(self.operator.redis, self.subject.sync.destination, event_keys)
        self._ended += event_keys
        if time.monotonic() - self._kept > _EVERY_S:
            await self.keep()
        return None

    async def keep(self) -> None:
        """Store the state as it is now. Raises StoreError and StateFailed."""
        if self.remote is None:
            return
        content = self.state.packed()
        await asyncio.to_thread(self.remote.store, content)
        self._kept = time.monotonic()
        ended, self._ended = self._ended, []
        await unfollow(self.operator.redis, self.subject.sync.destination, ended)
        await publish_state(self.operator, self.subject, self.state)


@asynccontextmanager
async def opened(operator: Operator, subject: Subject) -> AsyncIterator[StateStore]:
    """The state of a sync, while its lease is held. Raises Busy, StateFailed and what ends the lease."""
    async with leased(operator, subject):
        with copied(subject) as (path, remote), State(path, subject.place) as state:
            yield StateStore(operator, subject, state, remote)
