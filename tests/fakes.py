"""Stand-ins for what a test does not want to be real. They are handed in where the real ones would be."""

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, cast

import httpx
import orjson
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from app.delivery.arrival import Arrival
from app.delivery.attributes import KnownAttributes
from app.delivery.connection import QueueUnavailable
from app.delivery.delivery import in_full
from app.delivery.memory import Recall
from app.delivery.outbox import Outbox
from app.delivery.people import Remembered
from app.delivery.pressure import Pressure
from app.delivery.retention import Retention
from app.health import Observed
from app.ingest.admission import Admission, Ceilings
from app.ingest.auth import Sender, WriteKeys
from app.ingest.cors import Cors
from app.ingest.origins import Origins
from app.ingest.routes import Limits, TrackingRoutes
from app.main import create_api
from app.metrics import IngestMetrics
from app.pipeline import Plan
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
    full: bool = False
    full_after: int | None = None  # so many events
    unheard: list[Callable[[], None]] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    destinations: list[str] = field(default_factory=list)

    def tell_of_room(self, told: Callable[[], None]) -> None:
        self._told = told

    def make_room(self) -> None:
        self.full = False
        self._told()

    def hand_in(
        self, destination: str, arrivals: Sequence[Arrival], then: Callable[[BaseException | None], None]
    ) -> None:
        failure = QueueUnavailable(self.away) if self.away is not None else self.bug
        if failure is None:
            self.destinations += [destination] * len(arrivals)
            self.arrivals += arrivals
            self.full = self.full or len(self.arrivals) == self.full_after
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
    def letters(self) -> list[dict[str, Any]]:
        return [json.loads(each.dead_letter) for each in self.arrivals if each.dead_letter is not None]

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """What Attentive would be sent."""
        return [json.loads(sent.body) for each in self.arrivals for sent in deliveries_of(each)]

    @property
    def stored(self) -> bytes:
        """Everything that would be written, as one text to search in."""
        sent = [in_full(call.stored) for arrival in self.arrivals for call in arrival.calls]
        return b"".join([*sent, *(each.record + (each.dead_letter or b"") for each in self.arrivals)])


@dataclass
class FakeRecall:
    """Knows the people it is given, by name, or nobody while `away` says why."""

    away: str | None = None
    known: dict[str, Remembered] = field(default_factory=dict)
    asked: list[set[str]] = field(default_factory=list)  # by request

    async def people(self, destination: str, names: Collection[str]) -> dict[str, Remembered]:
        if self.away is not None:
            raise QueueUnavailable(self.away)
        self.asked.append(set(names))
        return {name: self.known[name] for name in names if name in self.known}


@dataclass(frozen=True)
class Door:
    """The tracking routes in front of a fake outbox, and a tracker that posts to them."""

    app: ASGIApp
    outbox: FakeOutbox
    http: httpx.AsyncClient
    registry: CollectorRegistry
    recall: FakeRecall

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


def nothing_beneath(_: WriteKeys) -> ASGIApp:
    """Pages that say no more than that a request got past the tracking routes."""

    async def anything_else(request: Request) -> PlainTextResponse:
        return PlainTextResponse("not a tracking path", 404)

    return Starlette(routes=[Route("/{path:path}", anything_else, methods=["GET", "POST"])])


def pages(write_keys: WriteKeys) -> FastAPI:
    """The gateway's own pages, with a Redis that nobody asks."""
    return create_api(Observed(Redis(), dict, CollectorRegistry(), 1, Retention(timedelta(days=1), 1)), write_keys)


def open_door(
    *,
    limits: Limits | None = None,
    admission: Admission | None = None,
    plan: Plan | None = None,
    senders: Mapping[str, Sender] | None = None,
    origins: Iterable[str] = ("*",),
    beneath: Callable[[WriteKeys], ASGIApp] = nothing_beneath,
    wrap: Callable[[Any], Any] = lambda app: app,
    clock: Callable[[], float] = time.perf_counter,
) -> Door:
    """A door with two sources: `WRITE_KEY` for "shop" and `OTHER_KEY` for "app", of "acme" and "other"."""
    outbox, recall, registry = FakeOutbox(), FakeRecall(), CollectorRegistry()
    write_keys = WriteKeys(
        senders
        or {
            WRITE_KEY: Sender("shop", "acme", plan or Plan()),
            OTHER_KEY: Sender("app", "other", plan or Plan()),
        }
    )
    routes = TrackingRoutes(
        beneath(write_keys),
        write_keys=write_keys,
        outbox=cast(Outbox, outbox),
        recall=cast(Recall, recall),
        admission=admission or Admission(UNBOUNDED, Pressure),
        limits=limits or Limits(),
        metrics=IngestMetrics(registry),
        attributes=KnownAttributes(Redis(), {}),
        clock=clock,
    )
    app: ASGIApp = wrap(Cors(routes, origins=Origins(origins)))
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://gateway", headers={"Origin": ORIGIN}
    )
    return Door(app, outbox, client, registry, recall)
