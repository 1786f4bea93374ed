"""Events that come in, are attempted and end, written as gateway and worker write them: what searches are tested on."""

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import orjson
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from app.attentive.answers import Reply, Unreachable
from app.attentive.client import AttentiveClient
from app.attentive.endpoints import Endpoint
from app.delivery.consent import ConsentRules
from app.delivery.consumer import LaneConsumer
from app.delivery.journal.recording import Recording
from app.delivery.lane import Lane
from app.delivery.outbox import Outbox
from app.delivery.pace import Pace
from app.delivery.unknown import WhenUnknown
from app.ingest.arrivals import outbox_event_of
from app.metrics import DeliveryMetrics
from app.pipeline import Plan, decide, read
from tests.builders import Raw
from workers.attempt import Attempts

ACME = "acme"
ACCEPTED = Reply(200, b'{"ok":true}', limit=150, remaining=149, took=timedelta(milliseconds=12))


@dataclass
class Answers:
    """Attentive: the next answer of the list, then ACCEPTED for ever."""

    replies: list[Reply | Unreachable] = field(default_factory=list)

    async def send(self, _endpoint: Endpoint, _body: bytes) -> Reply | Unreachable:
        return self.replies.pop(0) if self.replies else ACCEPTED


@dataclass
class History:
    """One destination."""

    redis: Redis
    recording: Recording = field(default_factory=Recording)
    journal_entries: int = 100_000
    answers: Answers = field(default_factory=Answers)
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def arrive(self, *events: Raw, source: str = "shop") -> list[str]:
        """Take events in, in one flush; their message IDs: `m-1` and so on."""
        named = [{**each, "messageId": f"m-{next(self.numbers)}"} for each in events]
        outbox = Outbox(self.redis, wake=lambda *_: None, journal_entries=self.journal_entries)
        arrivals = []
        for raw in named:
            now = datetime.now(UTC)
            raw["timestamp"] = now.isoformat()
            reading = read(raw, orjson.dumps(raw), Plan())
            decision = decide(reading, Plan(), source=source, received_at=now)
            arrivals.append(
                outbox_event_of(reading.event, decision, original=reading.original, source=source, received_at=now)
            )
        await outbox.submit(ACME, arrivals)
        await outbox.close()
        return [str(raw["messageId"]) for raw in named]

    async def attempt(self, endpoint: str, replies: Sequence[Reply | Unreachable] = ()) -> int:
        """Attempt what waits in one lane, as a drain does. How many attempts were made."""
        lane = Lane(ACME, endpoint)
        self.answers.replies = list(replies)
        attempts = Attempts(
            lane,
            cast(AttentiveClient, self.answers),
            DeliveryMetrics(CollectorRegistry()),
            WhenUnknown.SEND_AGAIN,
            ConsentRules(),
            share=self.recording.share,
        )
        consumer = LaneConsumer(
            self.redis, lane, Pace(100_000), journal_entries=self.journal_entries, recording=self.recording
        )
        await consumer.acquire()
        made = 0
        while (claim := await consumer.claim(1000, under_way=0)).entries or (claim.wait and not claim.held):
            await asyncio.sleep(claim.wait.total_seconds())  # for the pace, where it lets no call leave yet
            attempts.follow(claim)
            ends = [await attempts.make(entry) for entry in claim.entries]
            await consumer.settle(ends)
            made += len(ends)
        await consumer.release()
        return made

    async def held(self) -> str:
        """All that is stored, as text, nothing packed."""
        client: Any = self.redis
        parts: list[str] = []
        for key in sorted(await client.keys()):
            match await client.type(key):
                case b"stream":
                    parts += [repr(fields) for _, fields in await client.xrange(key)]
                case b"list":
                    parts += map(repr, await client.lrange(key, 0, -1))
                case b"string":
                    parts.append(repr(await client.get(key)))
                case b"hash":
                    parts.append(repr(await client.hgetall(key)))
        return "\n".join(parts)
