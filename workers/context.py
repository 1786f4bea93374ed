"""What a worker's jobs share: Redis, one Attentive client per account, the lanes and their paces."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from arq.connections import ArqRedis

from app import __version__
from app.attentive.answers import Reply, Unreachable
from app.attentive.client import AttentiveClient
from app.attentive.endpoints import ENDPOINTS
from app.config.destination import Destination
from app.config.topology import Topology
from app.delivery.accounts.event_keys import EventKeys
from app.delivery.accounts.token_app import note_app
from app.delivery.accounts.token_state import note_token
from app.delivery.consent import ConsentRules
from app.delivery.journal.recording import Recording
from app.delivery.lag import LagCounts, Objectives
from app.delivery.lane import Lane
from app.delivery.pace import Pace
from app.delivery.retention import Retention
from app.delivery.unknown import WhenUnknown
from app.erasure.requests import ErasureRules
from app.metrics import DeliveryMetrics
from app.settings import Settings
from app.store.connection import make_room
from app.traces.exporting import Emit
from app.wiring.shared import all_objectives, all_paces, recording_of, retention_of
from app.wiring.worker import all_consent_rules, all_erasure_rules, all_policies, sources_of, trusted_of
from workers.account_gate import AccountClient, AccountGate


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
    policies: Mapping[Lane, WhenUnknown]  # of unknown outcomes
    erasures: Mapping[str, ErasureRules]  # by destination
    sources: Mapping[str, Sequence[str]]  # by destination
    trusted: Mapping[str, Sequence[str]]  # those of them whose links an erasure follows
    objectives: Mapping[str, Objectives] = field(default_factory=dict)  # for lag, by destination
    consents: Mapping[str, ConsentRules] = field(default_factory=dict)  # by destination
    superseded: asyncio.Event = field(default_factory=asyncio.Event)  # set when new accounts replace them: drains end

    def lanes_of(self, destination: str) -> list[Lane]:
        """Every lane of one destination."""
        return [lane for lane in self.paces if lane.destination == destination]

    def account_client(self, destination: str) -> AccountClient:
        """One destination with the client of its token, and its lanes."""
        account, client = self.destinations[destination], self.clients[destination]
        return AccountClient(destination, account, client, self.lanes_of(destination))


@dataclass(slots=True)
class WorkerContext:
    """Built when a worker starts, closed when it stops."""

    redis: ArqRedis
    accounts: Accounts
    metrics: DeliveryMetrics
    concurrency: int
    journal_entries: int
    journal_life: timedelta
    journal_bytes: int
    retention: Retention  # of dead letters
    recording: Recording = field(default_factory=Recording)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    drains: "set[asyncio.Task[Any]]" = field(default_factory=set)  # the jobs under way
    beside_arq: "set[asyncio.Task[Any]]" = field(default_factory=set)  # drains while arq's shard is away
    probes: dict[str, Probe] = field(default_factory=dict)  # of held destinations
    sweeps: int = 0
    warned: dict[str, float] = field(default_factory=dict)  # about dead letters, by destination, at monotonic s
    event_keys: EventKeys = field(default_factory=EventKeys)
    lag: LagCounts = field(default_factory=LagCounts)
    emit: Emit | None = None  # records a span; None: traces are off
    evicted: dict[str, Mapping[tuple[str, str, str], int]] = field(default_factory=dict)  # as last seen in the counters
    gate: AccountGate = field(init=False)
    _closing: "asyncio.Future[Any] | None" = None  # of clients that are no longer used

    def __post_init__(self) -> None:
        self.gate = AccountGate(self.redis)

    @classmethod
    def open(cls, redis: ArqRedis, settings: Settings, topology: Topology, metrics: DeliveryMetrics) -> "WorkerContext":
        """The context of a worker for every destination of `topology`. Nothing is connected yet."""
        context = cls(
            redis=redis,
            accounts=Accounts({}, {}, {}, {}, {}, {}, {}),
            metrics=metrics,
            concurrency=settings.concurrency,
            journal_entries=settings.journal_entries,
            journal_life=timedelta(hours=settings.journal_hours),
            journal_bytes=settings.journal_bytes,
            retention=retention_of(settings),
            recording=recording_of(settings),
        )
        context.renew(topology)
        return context

    def renew(self, topology: Topology) -> None:
        """These destinations take the place of those there were; calls under way end with the client they have."""
        old = self.accounts
        clients = {name: self._client(name, destination) for name, destination in topology.destinations.items()}
        self.accounts = Accounts(
            topology.destinations,
            all_paces(topology),
            clients,
            all_policies(topology),
            all_erasure_rules(topology),
            sources_of(topology),
            trusted_of(topology),
            all_objectives(topology),
            all_consent_rules(topology),
        )
        make_room(self.redis, 2 * len(self.lanes) + 32)  # each drain keeps one while it waits, and needs one to settle
        old.superseded.set()
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

    def lanes_of(self, destinations: Sequence[str]) -> Sequence[Lane]:
        """The lanes of these destinations."""
        return [lane for lane in self.paces if lane.destination in destinations]

    @property
    def destinations(self) -> list[str]:
        """Their names."""
        return list(self.clients)

    async def may_send(self, accounts: Accounts, destination: str) -> bool:
        """Whether the token of `accounts` is of the account that calls were queued for. Raises StoreError."""
        return await self.gate.admits(accounts.account_client(destination))

    async def heard(self, destination: str, client: AttentiveClient, reply: Reply | Unreachable) -> None:
        """Use the answer that a token's owner was asked for anyway. Raises StoreError."""
        accounts = self.accounts
        if accounts.clients.get(destination) is client:
            await note_token(self.redis, destination, reply)
            await self.gate.heard(accounts.account_client(destination), reply)
            await note_app(self.redis, destination, reply)

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
        self.accounts.superseded.set()
        if self.drains:
            await asyncio.wait(self.drains, timeout=within.total_seconds())

    async def close(self) -> None:
        """Close every connection to Attentive."""
        if self._closing is not None:
            await self._closing
        for client in self.clients.values():
            await client.close()
