"""Runs of syncs that this process carries out. They continue after their request, and why one ended is in Redis."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, NamedTuple, cast

import structlog

from app.clock import now_ms
from app.delivery.delivery import from_ms
from app.operations.operator import BadRequest, OperationError
from app.store.connection import QueueUnavailable, Redis, why_unavailable
from app.store.errors import StoreError
from app.store.keys import ConsoleKeys
from app.store.script import Answer
from app.tasks import end

_AT_ONCE_S: Final = 1.0  # a run that is refused ends sooner, so that the next page shows why
log = structlog.get_logger()


class SyncProblem(NamedTuple):
    """Why a run ended, and when."""

    at: datetime
    text: str


class SyncRuns:
    """At most one run of each sync."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def has(self, name: str) -> bool:
        """Whether this process runs the sync now."""
        task = self._tasks.get(name)
        return task is not None and not task.done()

    async def begin(self, name: str, work: Coroutine[Any, Any, object]) -> None:
        """Begin a run, and wait a moment for how it goes. Raises BadRequest and StoreError."""
        if self.has(name):
            work.close()
            raise BadRequest(f"Sync {name!r} is running already.")
        await cast(Answer, self._redis.hdel(ConsoleKeys.sync_problems, name))
        self._tasks[name] = asyncio.create_task(self._carry_out(name, work))
        await asyncio.wait([self._tasks[name]], timeout=_AT_ONCE_S)

    async def stop(self, name: str) -> None:
        """Interrupt the run of this process. Nothing of it is lost: it can be continued."""
        await end(self._tasks.get(name))

    async def problem(self, name: str) -> SyncProblem | None:
        """Why the last run that a console began did not go on; None where it did. Raises StoreError."""
        found = await cast(Answer, self._redis.hget(ConsoleKeys.sync_problems, name))
        if found is None:
            return None
        at_ms, _, text = found.decode().partition(" ")
        return SyncProblem(from_ms(int(at_ms)), text)

    async def close(self) -> None:
        """Interrupt all."""
        await end(*self._tasks.values())

    async def _carry_out(self, name: str, work: Coroutine[Any, Any, object]) -> None:
        from app.rows.files import SourceFailed
        from app.rows.guard import SyncRefused

        try:
            await work
        except SyncRefused as refused:
            problem = f"Nothing was sent ({refused.code}). {refused}"
        except SourceFailed as failed:
            problem = f"Nothing was sent. {failed}"
        except OperationError as failed:
            problem = str(failed)
        except (QueueUnavailable, StoreError) as failure:
            reason = str(failure) if isinstance(failure, QueueUnavailable) else why_unavailable(failure)
            problem = f"Redis cannot keep rows now ({reason}). Continue the run later."
        except OSError as failure:
            problem = f"The state of the sync cannot be written here ({failure.strerror}). Check GATEWAY_SYNC_STATE."
        except Exception as bug:
            log.exception("console.sync_failed", sync=name)
            problem = f"An internal error ({type(bug).__name__}); the log has more. Continue the run later."
        else:
            return
        with suppress(StoreError):
            await cast(Answer, self._redis.hset(ConsoleKeys.sync_problems, name, f"{now_ms()} {problem}"))
