"""A drain dies right before or after each thing it asks of Redis: its successor loses nothing, and doubles little."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import orjson
import pytest
from arq.connections import ArqRedis
from prometheus_client import CollectorRegistry
from redis.exceptions import ClusterDownError, MovedError, ReadOnlyError, RedisError, TryAgainError

from app.attentive.answers import Reply
from app.attentive.client import AttentiveClient
from app.attentive.endpoints import Endpoint
from app.config.destination import Destination
from app.delivery.consumer import LaneConsumer
from app.delivery.counters import read_counters
from app.delivery.lane import Lane
from app.delivery.outbox import Outbox
from app.delivery.outbox_event import OutboxEvent, calls_of
from app.delivery.pace import Pace
from app.delivery.retention import Retention
from app.delivery.unknown import WhenUnknown
from app.metrics import DeliveryMetrics
from app.store.connection import open_redis
from tests.builders import delivery
from tests.waiting import patient
from workers.context import Accounts, WorkerContext
from workers.drain import _settle, drain

ACCOUNT: Final = "acme"
LANE: Final = Lane(ACCOUNT, "custom-event")
EVENTS: Final = 6
CONCURRENCY: Final = 2


class Died(BaseException):
    """SIGKILL, as far as a test in the same process can have it: nothing of the drain's reaches Redis after it."""


@dataclass
class Mortal:
    """Takes the place of a client's `execute_command`: at step number `dies_at` the drain is dead."""

    redis: ArqRedis
    dies_at: int | None = None
    done_first: bool = False  # whether Redis still does that step, and only the answer is lost
    steps: int = 0
    dead: bool = False

    def __post_init__(self) -> None:
        self._real = cast(Callable[..., Awaitable[Any]], self.redis.execute_command)
        self.redis.execute_command = self._step  # type: ignore[method-assign]

    async def _step(self, *command: Any, **options: Any) -> Any:
        self.steps += 1
        if self.dead:
            raise Died
        if self.steps != self.dies_at:
            return await self._real(*command, **options)
        self.dead = True
        if self.done_first:
            await self._real(*command, **options)
        raise Died


@dataclass
class Attentive:
    """Accepts everything."""

    got: "Counter[str]" = field(default_factory=Counter)

    async def who_am_i(self) -> Reply:
        return Reply(200, body=b"{}")

    async def send(self, _endpoint: Endpoint, body: bytes) -> Reply:
        await asyncio.sleep(0.002)
        self.got[orjson.loads(body)["externalEventId"]] += 1
        return Reply(200)


def context(redis: ArqRedis, attentive: Attentive) -> WorkerContext:
    accounts = Accounts(
        {ACCOUNT: Destination.model_validate({"api_token": "t"})},
        paces={LANE: Pace(10_000)},
        clients={ACCOUNT: cast(AttentiveClient, attentive)},
        policies={LANE: WhenUnknown.SEND_AGAIN},
        erasures={},
        sources={},
        trusted={},
    )
    metrics, dead_letters = DeliveryMetrics(CollectorRegistry()), Retention(timedelta(days=1), 100)
    return WorkerContext(redis, accounts, metrics, CONCURRENCY, 100, timedelta(hours=1), 2**30, dead_letters)


async def accept(redis: ArqRedis) -> Counter[str]:
    """Take events in, as the gateway does; their message ids."""
    later = datetime.now(UTC) + timedelta(hours=1)
    names = [f"event-{number}" for number in range(EVENTS)]
    waiting = [
        delivery(message_id=name, body=orjson.dumps({"externalEventId": name}), deadline=later, fresh_until=later)
        for name in names
    ]
    arrivals = [OutboxEvent(each.event_key, each.message_id, b"{}", calls=calls_of([each])) for each in waiting]
    await Outbox(redis, wake=lambda *_: None, journal_entries=100).submit(ACCOUNT, arrivals)
    return Counter(names)


async def waiting(redis: ArqRedis) -> int:
    """Events, by the counters."""
    [counters] = await read_counters(redis, [ACCOUNT])
    return counters.waiting


async def work(redis: ArqRedis, client: ArqRedis, attentive: Attentive) -> None:
    """One drain, until it has died or nothing waits any more; then a worker's stop."""
    worker = context(client, attentive)
    task = asyncio.create_task(drain({"context": worker}, ACCOUNT, LANE.endpoint))
    while not task.done() and await waiting(redis):  # noqa: ASYNC110 - no event tells of either
        await asyncio.sleep(0.002)
    await worker.finish(timedelta(seconds=patient(5)))
    await asyncio.wait({task})
    if (failure := task.exception()) is not None and not isinstance(failure, Died):
        raise failure


async def run(
    url: str, redis: ArqRedis, *, dies_at: int | None, done_first: bool = False
) -> tuple[Counter[str], Mortal]:
    """What Attentive has got when one drain has died at that step and another one has followed."""
    accepted, attentive = await accept(redis), Attentive()
    client = open_redis(url)
    mortal = Mortal(client, dies_at, done_first)
    await work(redis, client, attentive)
    await client.aclose(close_connection_pool=True)
    await redis.delete(LANE.keys.lease)  # as its time would
    successor = asyncio.create_task(work(redis, redis, attentive))
    while not successor.done():
        if retries := await redis.zrange(LANE.keys.retry, 0, -1):
            await redis.zadd(LANE.keys.retry, dict.fromkeys(retries, 1), xx=True)
        await asyncio.sleep(0.002)
    await successor
    assert set(attentive.got) == set(accepted), "nothing is lost"
    return attentive.got, mortal


@pytest.mark.timeout(120)
@pytest.mark.parametrize("done_first", [False, True], ids=["before", "after"])
async def test_a_drain_may_die_around_any_of_its_steps(
    url: str, redis: ArqRedis, done_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each drain ends in this wait, which no stop interrupts.
    monkeypatch.setattr("workers.drain._BLOCK", timedelta(milliseconds=100))
    _, undisturbed = await run(url, redis, dies_at=None)
    assert undisturbed.steps > 10
    for step in range(1, undisturbed.steps + 1):
        await redis.flushall()
        got, mortal = await run(url, redis, dies_at=step, done_first=done_first)
        assert mortal.dead or mortal.steps < step
        assert got.total() <= EVENTS + CONCURRENCY, f"twice at most what was under way at step {step}"
        assert await waiting(redis) == 0


@dataclass
class Refusing:
    """A lane whose node does nothing twice."""

    refusal: RedisError
    tries: int = 0

    async def settle(self, _settlements: object) -> None:
        self.tries += 1
        if self.tries < 3:
            raise self.refusal


@pytest.mark.parametrize("refusal", [ClusterDownError, TryAgainError, MovedError, ReadOnlyError])
async def test_an_answer_is_recorded_once_a_cluster_has_settled(refusal: type[RedisError]) -> None:
    lane = Refusing(refusal("7 127.0.0.1:7000"))
    await _settle(cast(LaneConsumer, lane), [])
    assert lane.tries == 3
