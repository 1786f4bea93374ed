"""What a worker's jobs share: Redis, one Attentive client per account, the lanes and their paces."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from arq.connections import ArqRedis

from app import __version__
from app.attentive.client import AttentiveClient
from app.attentive.endpoints import ENDPOINTS
from app.config.destination import Destination
from app.config.topology import Topology
from app.delivery.backlog import Lane
from app.delivery.connection import make_room
from app.delivery.deletions import DeletionRules
from app.delivery.pace import Pace
from app.delivery.retention import Retention
from app.delivery.unknown import WhenUnknown
from app.metrics import DeliveryMetrics
from app.settings import Settings
from app.topology import all_deletion_rules, all_paces, all_policies, retention_of, sources_of


@dataclass(frozen=True, slots=True)
class Probe:
    """When a held destination is asked next, in monotonic seconds, and how long the pause before was."""

    due: float
    pause_s: float


@dataclass(frozen=True, slots=True)
class Accounts:
    """The destinations as the configuration has them now."""

    destinations: Mapping[str, Destination]
    paces: Mapping[Lane, Pace]
    clients: Mapping[str, AttentiveClient]
    policies: Mapping[Lane, WhenUnknown]  # of outcomes that nobody knows
    deletions: Mapping[str, DeletionRules]  # by destination
    sources: Mapping[str, Sequence[str]]  # by destination
    over: asyncio.Event = field(default_factory=asyncio.Event)  # set when others have taken their place: drains end


@dataclass(slots=True)
class Desk:
    """Built when a worker starts, closed when it stops."""

    redis: ArqRedis
    accounts: Accounts
    metrics: DeliveryMetrics
    concurrency: int
    journal_entries: int
    journal_life: timedelta
    retention: Retention  # of letters
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    drains: "set[asyncio.Task[Any]]" = field(default_factory=set)  # the jobs under way
    probes: dict[str, Probe] = field(default_factory=dict)  # of held destinations
    sweeps: int = 0
    warned: dict[str, float] = field(default_factory=dict)  # when of a destination's letters last, monotonic seconds
    _closing: "asyncio.Future[Any] | None" = None  # of clients that are no longer used

    @classmethod
    def open(cls, redis: ArqRedis, settings: Settings, topology: Topology, metrics: DeliveryMetrics) -> "Desk":
        """A desk for every destination of `topology`. Nothing is connected yet."""
        desk = cls(
            redis=redis,
            accounts=Accounts({}, {}, {}, {}, {}, {}),
            metrics=metrics,
            concurrency=settings.concurrency,
            journal_entries=settings.journal_entries,
            journal_life=timedelta(hours=settings.journal_hours),
            retention=retention_of(settings),
        )
        desk.renew(topology)
        return desk

    def renew(self, topology: Topology) -> None:
        """These destinations take the place of those there were; calls under way end with the client they have."""
        old = self.accounts
        clients = {name: self._client(name, destination) for name, destination in topology.destinations.items()}
        self.accounts = Accounts(
            topology.destinations,
            all_paces(topology),
            clients,
            all_policies(topology),
            all_deletion_rules(topology),
            sources_of(topology),
        )
        make_room(self.redis, 2 * len(self.lanes) + 32)  # each drain keeps one while it waits, and needs one to settle
        old.over.set()
        if unused := [client for name, client in old.clients.items() if client is not clients.get(name)]:
            self._closing = asyncio.gather(self._close_when_idle(unused), *filter(None, [self._closing]))

    def _client(self, name: str, destination: Destination) -> AttentiveClient:
        """The client there is already, where the account has not changed, else one of its own."""
        before = self.accounts.destinations.get(name)
        if before and (before.base_url, before.api_token) == (destination.base_url, destination.api_token):
            return self.accounts.clients[name]
        return AttentiveClient(
            destination.base_url,
            destination.api_token.get_secret_value(),
            user_agent=f"attentive-gateway/{__version__}",
            connections=self.concurrency * len(ENDPOINTS),  # no endpoint waits for another's
        )

    async def _close_when_idle(self, clients: Sequence[AttentiveClient]) -> None:
        """Close what no drain uses any more once those that are under way have ended."""
        if self.drains:
            await asyncio.wait(self.drains)
        for client in clients:
            await client.close()

    @property
    def paces(self) -> Mapping[Lane, Pace]:
        """Every lane there is, with the pace it starts at."""
        return self.accounts.paces

    @property
    def clients(self) -> Mapping[str, AttentiveClient]:
        """One per account, by destination."""
        return self.accounts.clients

    @property
    def lanes(self) -> Sequence[Lane]:
        """Every lane there is."""
        return list(self.paces)

    @property
    def destinations(self) -> list[str]:
        """Their names."""
        return list(self.clients)

    def client(self, destination: str) -> AttentiveClient | None:
        """The account's client; None for a destination that the settings no longer have."""
        return self.clients.get(destination)

    @contextmanager
    def draining(self) -> Iterator[None]:
        """Marks the current task as a drain, so that a stop can wait for it."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - jobs run in tasks
        self.drains.add(task)
        try:
            yield
        finally:
            self.drains.discard(task)

    async def finish(self, within: timedelta) -> None:
        """Return when every drain has settled what it sent, or when the time is over."""
        self.stopping.set()
        self.accounts.over.set()
        if self.drains:
            await asyncio.wait(self.drains, timeout=within.total_seconds())

    async def close(self) -> None:
        """Close every connection to Attentive."""
        if self._closing is not None:
            await self._closing
        for client in self.clients.values():
            await client.close()
