"""What many accounts take: the arithmetic of docs/scale-out.md, from the measured figures. Pure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from app.simulation.figures import (
    GATEWAY_EVENTS_PER_S,
    JOURNAL_ENTRY_BYTES,
    MEMORY_HEADROOM,
    MESSAGE_ID_BYTES,
    MESSAGE_ID_KEPT_S,
    PERSON_BYTES,
    PLANNED_LOAD,
    REDIS_DELIVERY_US,
    REDIS_INTAKE_US,
    WAITING_CALL_BYTES,
    WORKER_LOAD,
)
from app.simulation.findings import gigabytes
from app.simulation.sizing import SPARE, gateways_for, maxmemory, redis_load, shards_for

SERVER_BYTES: Final = 32e9  # the maxmemory of one Redis server, for the example
WIRE_BYTES: Final = 810  # of an event
_TIMES: Final = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True, slots=True)
class Demand:
    """The traffic of all accounts together, at its peak, and what surrounds it."""

    accounts: int
    events_per_s: float
    people: int
    calls_per_event: float = 0.3  # of all events, those that are dropped included
    average: float = 0.25  # of the peak, over 32 hours
    outage_s: float = 3600.0  # that waiting calls have room for, at the peak
    journal_entries: int = 100_000  # for each account
    worker_calls_per_s: float = 2000.0

    @property
    def calls_per_s(self) -> float:
        """Calls at the peak."""
        return self.events_per_s * self.calls_per_event


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the arithmetic."""

    name: str
    cells: tuple[str, ...]
    how: str


def message_ids_bytes(demand: Demand) -> float:
    """The message IDs that Redis knows."""
    return demand.events_per_s * demand.average * MESSAGE_ID_KEPT_S * MESSAGE_ID_BYTES


def waiting_bytes(demand: Demand) -> float:
    """The calls that wait at the end of the outage."""
    return demand.calls_per_s * demand.outage_s * WAITING_CALL_BYTES


def journal_bytes(demand: Demand) -> float:
    """The journals of all accounts."""
    return float(demand.accounts * demand.journal_entries * JOURNAL_ENTRY_BYTES)


def people_bytes(demand: Demand) -> float:
    """What is known about people."""
    return float(demand.people * PERSON_BYTES)


def together_bytes(demand: Demand) -> float:
    """All of it."""
    return message_ids_bytes(demand) + waiting_bytes(demand) + journal_bytes(demand) + people_bytes(demand)


def workers(demand: Demand) -> int:
    """Workers that send these calls."""
    return max(SPARE, math.ceil(demand.calls_per_s / (demand.worker_calls_per_s * WORKER_LOAD)))


def servers_for_memory(demand: Demand) -> int:
    """Redis servers of SERVER_BYTES that hold it."""
    return max(1, math.ceil(maxmemory(together_bytes(demand)) / SERVER_BYTES))


def servers(demand: Demand) -> int:
    """Redis servers that both hold it and keep up."""
    return max(servers_for_memory(demand), shards_for(demand.events_per_s, demand.calls_per_s))


def arithmetic(demands: Sequence[Demand]) -> list[Row]:
    """Each line of the arithmetic for these demands."""
    first = demands[0]

    def row(name: str, shown: Callable[[Demand], str], how: str = "") -> Row:
        return Row(name, tuple(map(shown, demands)), how)

    return [
        row("accounts", lambda each: f"{each.accounts:,}"),
        row("events/s at the peak", lambda each: f"{each.events_per_s:,.0f}"),
        row("known people", lambda each: f"{each.people:,}"),
        row(
            "calls/s",
            lambda each: f"{each.calls_per_s:,.0f}",
            f"events/s {_TIMES} {first.calls_per_event:g}",
        ),
        row(
            "**gateways**",
            lambda each: f"**{gateways_for(each.events_per_s)}**",
            f"events/s / ({GATEWAY_EVENTS_PER_S:,} {_TIMES} {PLANNED_LOAD:g}), at least {SPARE}",
        ),
        row(
            "**workers**",
            lambda each: f"**{workers(each)}**",
            f"calls/s / ({first.worker_calls_per_s:,.0f} {_TIMES} {WORKER_LOAD:g}), at least {SPARE}",
        ),
        row(
            "requests in",
            lambda each: f"{each.events_per_s * WIRE_BYTES * 8 / 1e6:,.0f} Mbit/s",
            f"events/s {_TIMES} {WIRE_BYTES} bytes",
        ),
        row(
            "Redis: cores busy",
            lambda each: f"{redis_load(each.events_per_s, each.calls_per_s):.2f}",
            f"events/s {_TIMES} {REDIS_INTAKE_US} µs + calls/s {_TIMES} {REDIS_DELIVERY_US} µs",
        ),
        row(
            "message IDs",
            lambda each: gigabytes(message_ids_bytes(each)),
            f"events/s {_TIMES} {first.average:g} {_TIMES} {MESSAGE_ID_KEPT_S:,} s {_TIMES} {MESSAGE_ID_BYTES}",
        ),
        row(
            "calls that wait",
            lambda each: gigabytes(waiting_bytes(each)),
            f"calls/s {_TIMES} {first.outage_s:,.0f} s {_TIMES} {WAITING_CALL_BYTES:,}",
        ),
        row(
            "journals",
            lambda each: gigabytes(journal_bytes(each)),
            f"accounts {_TIMES} {first.journal_entries:,} {_TIMES} {JOURNAL_ENTRY_BYTES}",
        ),
        row("people", lambda each: gigabytes(people_bytes(each)), f"people {_TIMES} {PERSON_BYTES:,}"),
        row(
            "**`maxmemory`, all servers**",
            lambda each: f"**{gigabytes(maxmemory(together_bytes(each)))}**",
            f"the four together {_TIMES} {MEMORY_HEADROOM:g}",
        ),
        row(
            "Redis servers by memory",
            lambda each: f"{servers_for_memory(each)}",
            f"`maxmemory` / {gigabytes(SERVER_BYTES)}",
        ),
        row(
            "Redis servers by processor time",
            lambda each: f"{shards_for(each.events_per_s, each.calls_per_s)}",
            f"cores busy / {PLANNED_LOAD:g}",
        ),
        row("**Redis servers**", lambda each: f"**{servers(each)}**", "the larger of both"),
    ]
