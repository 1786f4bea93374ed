"""What is simulated: the traffic of one Attentive account, what happens to it, and what it is sent with. Pure.

All times are seconds since the simulation begins.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from app.attentive.call import Priority
from app.delivery.pace import Pace


@dataclass(frozen=True, slots=True)
class Flow:
    """Calls of one kind: what one kind of event becomes."""

    event: str  # its name, for people
    endpoint: str
    priority: Priority
    public: bool  # from a public source
    per_event: float  # calls for each event of the whole traffic
    dated: bool = True  # whether the call can miss its journey


@dataclass(frozen=True, slots=True)
class Burst:
    """Traffic that is `factor` times as much for a while. Bursts at one time multiply."""

    factor: float
    at_s: float
    lasts_s: float

    @property
    def ends_s(self) -> float:
        """When it is over."""
        return self.at_s + self.lasts_s


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which Attentive does not answer, at these endpoints (empty: at all of them)."""

    at_s: float
    lasts_s: float
    endpoints: frozenset[str] = frozenset()

    @property
    def ends_s(self) -> float:
        """When it is over."""
        return self.at_s + self.lasts_s

    def covers(self, endpoint: str, at_s: float) -> bool:
        """Whether this endpoint does not answer at this time."""
        return self.at_s <= at_s < self.ends_s and (not self.endpoints or endpoint in self.endpoints)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Events over time, and the calls that they become."""

    events_per_s: float
    flows: tuple[Flow, ...]
    public_share: float = 1.0  # of the events, those from public sources
    bursts: tuple[Burst, ...] = ()

    def rate_at(self, at_s: float) -> float:
        """Events per second at one time."""
        return self.events_per_s * math.prod(burst.factor for burst in self.bursts if burst.at_s <= at_s < burst.ends_s)

    @property
    def peak(self) -> float:
        """The highest rate, in events per second."""
        return max(map(self.rate_at, [0.0, *(burst.at_s for burst in self.bursts)]))


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one account's calls are sent with, and what bounds them."""

    paces: Mapping[str, Pace]  # by endpoint
    fresh_s: float  # an older call of a dated flow starts no journey
    horizon_s: float  # an older call is not sent
    concurrency: int = 64  # calls under way at once, per lane
    latency_s: float = 0.1  # of one answer
    workers: int | None = None  # for all accounts; None: as many as are needed
    worker_calls_per_s: float = 2000.0
    journal_entries: int = 100_000
    dead_letter_bytes: int = 64 * 2**20  # of each source
    maxmemory_bytes: int | None = None  # of the Redis of all accounts
    sources: int = 2  # of the account

    @property
    def ceiling(self) -> float | None:
        """Calls per second of all endpoints together, if there is such a limit."""
        return next((pace.ceiling for pace in self.paces.values() if pace.ceiling), None)


@dataclass(frozen=True, slots=True)
class Scenario:
    """All of it. `accounts` equal accounts share Redis, gateways and workers; one of them is simulated."""

    traffic: Traffic
    capacity: Capacity
    outages: tuple[Outage, ...] = ()
    accounts: int = 1
    people: int = 0  # known to all accounts together
    longest_s: float = 72 * 3600.0  # the simulation ends here, or once everything is sent
    shortest_s: float = 0.0
    step_s: float = 1.0
    name: str = field(default="", compare=False)

    @property
    def changes(self) -> tuple[float, ...]:
        """When something changes by itself, in order: the beginning and the end of each burst and each outage."""
        spans: tuple[Burst | Outage, ...] = (*self.traffic.bursts, *self.outages)
        return tuple(sorted({moment for span in spans for moment in (span.at_s, span.ends_s)}))

    def fails(self, endpoint: str, at_s: float) -> bool:
        """Whether Attentive does not answer at this endpoint."""
        return any(outage.covers(endpoint, at_s) for outage in self.outages)

    def endpoints(self) -> Iterator[str]:
        """The endpoints that calls go to, without repeats."""
        yield from dict.fromkeys(flow.endpoint for flow in self.traffic.flows)
