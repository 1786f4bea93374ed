"""Stand-ins for what a test does not want to be real. They are handed in where the real ones would be."""

import json
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, Final, cast

import httpx
import orjson
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from starlette.types import ASGIApp

from app.delivery.accounts.attributes import KnownAttributes
from app.delivery.delivery import in_full
from app.delivery.journal.refusals import Refusal
from app.delivery.outbox import Outbox
from app.delivery.outbox_event import OutboxEvent
from app.delivery.pressure import Pressure
from app.delivery.retention import Retention
from app.health import Observed
from app.ingest.admission import Admission, Ceilings
from app.ingest.auth import Sender, WriteKeys
from app.ingest.connection import ConnectionLimits
from app.ingest.cors import Cors, CorsPolicy
from app.ingest.exchange import Shortcut
from app.ingest.intake import Intake, Limits
from app.ingest.limits import LimitMonitor
from app.ingest.origins import Origins
from app.ingest.refusal_log import RefusalLog
from app.ingest.traced_intake import TracedIntake
from app.main import create_api
from app.metrics import IngestMetrics
from app.operators import operators_api
from app.pipeline import Plan
from app.profiles.lookup import ProfileLookup
from app.profiles.profile import Profile
from app.store.connection import QueueUnavailable
from app.traces.exporting import Emit
from tests.builders import deliveries_of

WRITE_KEY: Final = "wk_shop"
OTHER_KEY: Final = "wk_app"


@dataclass
class FakeOutbox:
    """Keeps what it is given, or refuses it all while `away` says why, or fails as ours never should.

    While it is `slow` it says nothing until `speak()`; while it is `full` it has no room until `make_room()`.
    """

    away: str | None = None
    bug: Exception | None = None
    slow: bool = False
    at_capacity: bool = False
    full_after: int | None = None  # so many events
    unheard: list[Callable[[], None]] = field(default_factory=list)
    arrivals: list[OutboxEvent] = field(default_factory=list)
    destinations: list[str] = field(default_factory=list)

    def on_capacity(self, told: Callable[[], None]) -> None:
        self._told = told

    def make_room(self) -> None:
        self.at_capacity = False
        self._told()

    def hand_in(
        self, destination: str, arrivals: Sequence[OutboxEvent], then: Callable[[BaseException | None], None]
    ) -> None:
        failure = QueueUnavailable(self.away) if self.away is not None else self.bug
        if failure is None:
            self.destinations += [destination] * len(arrivals)
            self.arrivals += arrivals
            self.at_capacity = self.at_capacity or len(self.arrivals) == self.full_after
        self.unheard.append(lambda: then(failure))
        if not self.slow:
            self.speak()

    def speak(self) -> None:
        unheard, self.unheard = self.unheard, []
        for say in unheard:
            say()

    @property
    def message_ids(self) -> list[str]:
        return [each.message_id for each in self.arrivals]

    @property
    def endings(self) -> list[str]:
        """How each event ended at once; empty text for those whose calls wait."""
        return [each.ending for each in self.arrivals]

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(each.record) for each in self.arrivals]

    @property
    def dead_letters(self) -> list[dict[str, Any]]:
        packed = [each.dead_letter for each in self.arrivals if each.dead_letter is not None]
        return [json.loads(in_full(each).partition(b"\n")[2]) for each in packed]

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """What Attentive would be sent."""
        return [json.loads(sent.body) for each in self.arrivals for sent in deliveries_of(each)]

    @property
    def stored(self) -> bytes:
        """Everything that would be written, as one text to search in."""
        sent = [in_full(call.stored) for arrival in self.arrivals for call in arrival.calls]
        return b"".join([*sent, *(each.record + in_full(each.dead_letter or b"") for each in self.arrivals)])


@dataclass
class FakeLookup:
    """Knows the people it is given, by name, or nobody while `away` says why."""

    away: str | None = None
    known: dict[str, Profile] = field(default_factory=dict)
    asked: list[set[str]] = field(default_factory=list)  # by request

    async def people(self, destination: str, names: Collection[str]) -> dict[str, Profile]:
        if self.away is not None:
            raise QueueUnavailable(self.away)
        self.asked.append(set(names))
        return {name: self.known[name] for name in names if name in self.known}


@dataclass(frozen=True)
class Harness:
    """The tracking routes in front of a fake outbox, and a tracker that posts to them."""

    app: ASGIApp
    outbox: FakeOutbox
    http: httpx.AsyncClient
    registry: CollectorRegistry
    profiles: FakeLookup
    refusals: RefusalLog
    recorded: list[Refusal] = field(default_factory=list)  # the refusals that were stored

    async def post(self, path: str, content: Any, *, key: str | None = WRITE_KEY, **options: Any) -> httpx.Response:
        """Post JSON (or bytes as they are), with the write key as the Basic user name."""
        body = content if isinstance(content, bytes) else orjson.dumps(content)
        if key is not None:
            options["auth"] = (key, "")
        return await self.http.post(path, content=body, **options)

    def count(self, name: str, **labels: str) -> float:
        """The value of a metric."""
        return self.registry.get_sample_value(name, labels) or 0.0


def assert_refused(answer: httpx.Response, status: int, code: str) -> None:
    """Refused so, in the shape without which some trackers send a refused batch again and again."""
    body = answer.json()
    assert (answer.status_code, body["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/json"
    assert body["success"] is False
    assert all(isinstance(body[key], str) and body[key] for key in ("message", "error"))


ORIGIN = "https://shop.example"
UNBOUNDED = Ceilings(backlog_events=10**9, backlog_bytes=10**12, memory_share=1)


def described_api() -> FastAPI:
    """All paths of the gateway, to read their description."""
    observed = Observed(Redis(), dict, CollectorRegistry(), 1, Retention(timedelta(days=1), 1))
    shortcut = Shortcut(lambda request, respond: None, body_bytes=0)
    return operators_api(observed, create_api(shortcut.serve, shortcut, observed, WriteKeys({})))


def open_intake(
    *,
    limits: Limits | None = None,
    admission: Admission | None = None,
    plan: Plan | None = None,
    senders: Mapping[str, Sender] | None = None,
    origins: Iterable[str] = ("*",),
    extend: Callable[[FastAPI], None] = lambda api: None,
    clock: Callable[[], float] = time.perf_counter,
    connections: int = 1000,
    emit: Emit | None = None,
    share: float = 1,
) -> Harness:
    """An intake with two sources: `WRITE_KEY` for "shop" and `OTHER_KEY` for "app", of "acme" and "other"."""
    outbox, lookup, registry = FakeOutbox(), FakeLookup(), CollectorRegistry()
    write_keys = WriteKeys(
        senders
        or {
            WRITE_KEY: Sender("shop", "acme", plan or Plan()),
            OTHER_KEY: Sender("app", "other", plan or Plan()),
        }
    )
    metrics = IngestMetrics(registry)
    monitor = LimitMonitor(metrics)
    recorded: list[Refusal] = []

    async def record(found: Sequence[Refusal]) -> None:
        recorded.extend(found)

    refusals = RefusalLog(record, clock=clock)
    intake = (Intake if emit is None else partial(TracedIntake, emit=emit, share=share))(
        write_keys=write_keys,
        outbox=cast(Outbox, outbox),
        profiles=cast(ProfileLookup, lookup),
        admission=admission or Admission(UNBOUNDED, Pressure),
        limits=limits or Limits(),
        metrics=metrics,
        monitor=monitor,
        attributes=KnownAttributes(Redis(), {}),
        refusals=refusals,
        clock=clock,
    )
    cors = CorsPolicy(Origins(origins))
    shortcut = Shortcut(cors.around(intake.serve), body_bytes=intake.limits.body_bytes)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        yield {"shortcut": shortcut, "connection_limits": ConnectionLimits(connections, monitor)}

    observed = Observed(Redis(), dict, CollectorRegistry(), 1, Retention(timedelta(days=1), 1))  # nothing asks it
    api = create_api(intake.serve, shortcut, observed, write_keys, lifespan)
    api.state.refusals = refusals
    extend(api)
    app = Cors(api, cors)
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://gateway", headers={"Origin": ORIGIN}
    )
    return Harness(app, outbox, client, registry, lookup, refusals, recorded)
