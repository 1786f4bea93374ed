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
from app.config.topology import Topology
from app.delivery.backlog import Lane
from app.delivery.pace import Pace
from app.delivery.unknown import WhenUnknown
from app.metrics import DeliveryMetrics
from app.settings import Settings
from app.topology import all_paces, all_policies


@dataclass(frozen=True, slots=True)
class Probe:
    """When a held destination is asked next, in monotonic seconds, and how long the pause before was."""

    due: float
    pause_s: float


@dataclass(slots=True)
class Desk:
    """Built when a worker starts, closed when it stops."""

    redis: ArqRedis
    paces: Mapping[Lane, Pace]
    metrics: DeliveryMetrics
    concurrency: int
    journal_entries: int
    journal_life: timedelta
    clients: dict[str, AttentiveClient]
    policies: Mapping[Lane, WhenUnknown]  # of outcomes that nobody knows
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    drains: "set[asyncio.Task[Any]]" = field(default_factory=set)  # the jobs under way
    probes: dict[str, Probe] = field(default_factory=dict)  # of held destinations
    sweeps: int = 0

    @classmethod
    def open(cls, redis: ArqRedis, settings: Settings, topology: Topology, metrics: DeliveryMetrics) -> "Desk":
        """A desk for every destination of `topology`. Nothing is connected yet."""
        return cls(
            redis=redis,
            paces=all_paces(topology),
            metrics=metrics,
            concurrency=settings.concurrency,
            journal_entries=settings.journal_entries,
            journal_life=timedelta(hours=settings.journal_hours),
            clients={
                name: AttentiveClient(
                    destination.base_url,
                    destination.api_token.get_secret_value(),
                    user_agent=f"attentive-gateway/{__version__}",
                    connections=settings.concurrency * len(ENDPOINTS),  # no endpoint waits for another's
                )
                for name, destination in topology.destinations.items()
            },
            policies=all_policies(topology),
        )

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
        if self.drains:
            await asyncio.wait(self.drains, timeout=within.total_seconds())

    async def close(self) -> None:
        """Close every connection to Attentive."""
        for client in self.clients.values():
            await client.close()
