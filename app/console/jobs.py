"""Work on many calls that continues after its request. Its progress is in Redis, so every replica can show and stop it.

The process that began a job runs it. If that process ends, the job is shown as interrupted. Starting it again continues
with the rest, because each call is moved in a step of its own.
"""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

import orjson
import structlog

from app.delivery.delivery import from_ms, to_ms
from app.operations.operator import OperationError
from app.store.connection import Redis, why_unavailable
from app.store.errors import StoreError
from app.store.hashes import read_hashes
from app.store.keys import ConsoleKeys
from app.tasks import end

LIFE: Final = timedelta(days=2)  # of what is known of a job
_KEPT: Final = 200
_BEAT_S: Final = 0.5
_LOST_AFTER: Final = timedelta(seconds=20)

log = structlog.get_logger()
Work = Callable[[asyncio.Event], AsyncIterator[str]]  # the result of each call, until the event is set


class JobState(StrEnum):
    """The state of a job."""

    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"  # its process ended


@dataclass(frozen=True, slots=True)
class Job:
    """One job, in its latest stored state."""

    id: str
    user: str
    act: str  # replay, send, discard, delete
    destination: str  # empty: several
    total: int
    results: Mapping[str, int]
    state: JobState
    begun_at: datetime
    problem: str = ""

    @property
    def done(self) -> int:
        """The number of calls that are finished."""
        return sum(self.results.values())

    @property
    def over(self) -> bool:
        """Whether the job has ended."""
        return self.state not in (JobState.RUNNING, JobState.STOPPING)


class Jobs:
    """All jobs, including those of other processes. Each method raises StoreError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._tasks: set[asyncio.Task[None]] = set()

    async def begin(self, user: str, act: str, destination: str, total: int, work: Work) -> str:
        """Begin one, and return its ID."""
        job = Job(uuid.uuid4().hex[:16], user, act, destination, total, {}, JobState.RUNNING, datetime.now(UTC))
        await self._store(job)
        task = asyncio.create_task(self._carry_out(job, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job.id

    async def find(self, job_id: str) -> Job | None:
        """One job. None if it is unknown or ended long ago."""
        stored = await self._redis.hgetall(ConsoleKeys.job(job_id))  # type: ignore[misc]
        return _job(job_id, stored, datetime.now(UTC)) if stored else None

    async def latest(self, count: int = 20) -> list[Job]:
        """The newest jobs, the newest first."""
        ids = [each.decode() for each in await self._redis.zrevrange(ConsoleKeys.jobs, 0, count - 1)]
        stored, now = await read_hashes(self._redis, map(ConsoleKeys.job, ids)), datetime.now(UTC)
        return [_job(each, facts, now) for each, facts in zip(ids, stored, strict=True) if facts]

    async def stop(self, job_id: str) -> None:
        """Let a job end after the current call."""
        if await self._redis.exists(ConsoleKeys.job(job_id)):
            await self._redis.hset(ConsoleKeys.job(job_id), "stop", "1")  # type: ignore[misc]

    async def close(self) -> None:
        """Interrupt the jobs of this process."""
        await end(*self._tasks)

    async def _carry_out(self, job: Job, work: Work) -> None:
        results: Counter[str] = Counter()
        stopping = asyncio.Event()
        beating = asyncio.create_task(self._beat(job, results, stopping))
        state, problem = JobState.DONE, ""
        try:
            async for result in work(stopping):
                results[result] += 1
            state = JobState.STOPPED if stopping.is_set() and results.total() < job.total else JobState.DONE
        except asyncio.CancelledError:
            state = JobState.INTERRUPTED
        except StoreError as failure:
            state, problem = JobState.FAILED, f"Redis does not answer ({why_unavailable(failure)})."
        except OperationError as refusal:
            state, problem = JobState.FAILED, str(refusal)
        except Exception as bug:
            log.exception("console.job_failed", job=job.id)
            state, problem = JobState.FAILED, f"An internal error ({type(bug).__name__}); the log has more."
        await end(beating)
        with suppress(StoreError):
            await self._progress(job, results, state, problem)

    async def _beat(self, job: Job, results: Mapping[str, int], stopping: asyncio.Event) -> None:
        while True:
            with suppress(StoreError):
                state = JobState.STOPPING if stopping.is_set() else JobState.RUNNING
                if await self._progress(job, results, state):
                    stopping.set()
            await asyncio.sleep(_BEAT_S)

    async def _progress(self, job: Job, results: Mapping[str, int], state: JobState, problem: str = "") -> bool:
        """Store the progress of a job. Returns whether it must stop."""
        facts = {"state": state.value, "results": orjson.dumps(dict(results)), "beat": to_ms(datetime.now(UTC))}
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hset(ConsoleKeys.job(job.id), mapping={**facts, "problem": problem})
            pipeline.hget(ConsoleKeys.job(job.id), "stop")
            _, stop = await pipeline.execute()
        return stop is not None

    async def _store(self, job: Job) -> None:
        key, now = ConsoleKeys.job(job.id), to_ms(job.begun_at)
        facts = {"user": job.user, "act": job.act, "destination": job.destination, "total": job.total, "begun": now}
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hset(key, mapping={**facts, "state": job.state.value, "results": "{}", "beat": now})
            pipeline.expire(key, LIFE)
            pipeline.zadd(ConsoleKeys.jobs, {job.id: time.time()})
            pipeline.zremrangebyrank(ConsoleKeys.jobs, 0, -_KEPT - 1)
            await pipeline.execute()


def _job(job_id: str, stored: Mapping[bytes, bytes], now: datetime) -> Job:
    facts = {name.decode(): value.decode() for name, value in stored.items()}
    state = JobState(facts["state"])
    if state in (JobState.RUNNING, JobState.STOPPING):
        if now - from_ms(int(facts["beat"])) > _LOST_AFTER:
            state = JobState.INTERRUPTED
        elif "stop" in facts:
            state = JobState.STOPPING
    return Job(
        id=job_id,
        user=facts["user"],
        act=facts["act"],
        destination=facts["destination"],
        total=int(facts["total"]),
        results=orjson.loads(facts["results"]),
        state=state,
        begun_at=from_ms(int(facts["begun"])),
        problem=facts.get("problem", ""),
    )
