"""The lease that lets one run of a sync go at a time, in the whole fleet, and the note of how its last run went."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from app.delivery.row_outcomes import SyncProblem, lease_sync, note_problem, release_sync
from app.operations.operator import OperationError, Operator
from app.rows.bulk import BulkFailed
from app.rows.files import SourceFailed
from app.rows.guard import SyncRefused
from app.rows.state_failed import StateFailed
from app.rows.subject import Subject
from app.rows.syncs import publish
from app.store.errors import StoreError
from app.tasks import end

_RENEW_S: Final = 5.0


class Busy(OperationError):  # noqa: N818
    """Another process runs the sync now."""


class LeaseLost(OperationError):  # noqa: N818
    """Another process has taken the run over, because this one did not answer for long."""


@asynccontextmanager
async def leased(operator: Operator, subject: Subject) -> AsyncIterator[None]:
    """Hold the lease of the sync. Raises Busy; a lease that is lost ends what is under way with LeaseLost."""
    owner = secrets.token_hex(8)
    where = (operator.redis, subject.sync.destination, subject.name, owner)
    if not await lease_sync(*where):
        raise Busy(
            f"Sync {subject.name!r} is running in another process. If that process was killed, its lease ends within "
            "30 s."
        )
    task = asyncio.current_task()
    lost = False

    async def renew() -> None:
        nonlocal lost
        while True:
            await asyncio.sleep(_RENEW_S)
            with contextlib.suppress(StoreError):  # while Redis is away, no other process can take it either
                lost = not await lease_sync(*where)
            if lost:
                assert task is not None  # noqa: S101 - it is a task that awaits this
                task.cancel()
                return
            await _publish(operator, subject)

    renewing = asyncio.create_task(renew())
    try:
        yield
        await note_problem(*where[:3], None)
    except (SyncRefused, SourceFailed, BulkFailed, StateFailed) as failure:
        await note_problem(*where[:3], SyncProblem.STOPPED if isinstance(failure, SyncRefused) else SyncProblem.FAILED)
        raise
    except asyncio.CancelledError:
        if lost:
            raise LeaseLost(f"Another process has taken over sync {subject.name!r}.") from None
        raise
    finally:
        await end(renewing)
        await _publish(operator, subject)
        if not lost:
            with contextlib.suppress(StoreError):
                await release_sync(*where)


async def _publish(operator: Operator, subject: Subject) -> None:
    """Where the sync stands is for display: a run does not end because it cannot be published."""
    if not isinstance(subject.place, Path):
        return  # its run does so itself, each time that it stores the state
    with contextlib.suppress(StoreError, StateFailed):
        await publish(operator, subject.name)
