"""A simulation of one account: what its traffic becomes with this configuration, and how its backlogs fare."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from app.attentive.endpoints import ENDPOINTS, IDENTITY, USER_ATTRIBUTES
from app.config.destination import Destination
from app.config.scenario import IDENTIFY, PAGE, BurstSettings, OutageSettings, ScenarioSettings
from app.delivery.backlog import SourceBacklog
from app.delivery.pressure import BacklogSize, Pressure
from app.ingest.admission import Admission, Ceilings
from app.ingest.refusal import Refused
from app.operations.trial import tried
from app.pipeline import Forward, Plan
from app.settings import Settings
from app.simulation.course import Course
from app.simulation.figures import WAITING_CALL_BYTES
from app.simulation.run import Standing, admit_all, simulate
from app.simulation.scenario import Burst, Capacity, Flow, Outage, Scenario, Traffic
from app.wiring.gateway import plan_of
from app.wiring.shared import pace_of

_DAY_S: Final = 86_400.0
_HOUR_S: Final = 3600.0
_LONGEST_S: Final = 72 * _HOUR_S
_BROWSERS: Final = "browsers"
_SERVERS: Final = "servers"
_ONCE_KNOWN: Final = frozenset({IDENTITY.name, USER_ATTRIBUTES.name})  # a repeat that tells nothing new is not sent
_ITEM: Final[Mapping[str, Any]] = {
    "product_id": "NP-3307",
    "sku": "RDG-W-75",
    "name": "Ridge trail shoe",
    "price": 129.0,
    "currency": "USD",
    "quantity": 1,
    "url": "https://shop.example/products/ridge",
    "image_url": "https://shop.example/images/ridge.jpg",
}


@dataclass(frozen=True, slots=True)
class Simulated:
    """A scenario that was simulated."""

    course: Course
    begins_s: float  # its time of day, in seconds since midnight
    dropped: Mapping[str, str]  # events of the mix that become no call, and why
    unlimited: Course | None = None  # the same with an intake that refuses nothing, if it refused something


def run_simulation(wanted: ScenarioSettings, destination: Destination, settings: Settings) -> Simulated:
    """Simulate one account of this configuration. Takes some seconds at the most."""
    flows, dropped = _flows(wanted, plan_of(destination))
    scenario = _scenario(wanted, destination, settings, flows)
    course = simulate(scenario, _Intake(scenario, settings))
    unlimited = simulate(scenario, admit_all) if course.refused else None
    return Simulated(course, begin_of(wanted), dropped, unlimited)


def begin_of(wanted: ScenarioSettings) -> float:
    """When the simulation begins, in seconds since midnight: at a full hour, at least one before the first change."""
    if wanted.begins is not None:
        return wanted.begins
    changes: list[BurstSettings | OutageSettings] = [*wanted.bursts, *wanted.outages]
    first = min((each.at for each in changes), default=_HOUR_S)
    return (math.floor(first / _HOUR_S) - 1) * _HOUR_S % _DAY_S


def _scenario(
    wanted: ScenarioSettings, destination: Destination, settings: Settings, flows: tuple[Flow, ...]
) -> Scenario:
    begins_s = begin_of(wanted)

    def at(given: BurstSettings | OutageSettings) -> float:
        return (given.at - begins_s) % _DAY_S

    bursts = tuple(Burst(each.factor, at(each), each.lasts) for each in wanted.bursts)
    outages = tuple(Outage(at(each), each.lasts, frozenset(each.endpoints)) for each in wanted.outages)
    return Scenario(
        Traffic(wanted.rate, flows, wanted.public, bursts),
        _capacity(wanted, destination, settings),
        outages,
        accounts=wanted.accounts,
        people=wanted.people,
        longest_s=wanted.lasts or _LONGEST_S,
        shortest_s=wanted.lasts or _HOUR_S,
        name=wanted.name,
    )


def _capacity(wanted: ScenarioSettings, destination: Destination, settings: Settings) -> Capacity:
    limited = destination.model_copy(update={"limits": {**destination.limits, **wanted.limits}})
    return Capacity(
        paces={endpoint.name: pace_of(limited, endpoint.name) for endpoint in ENDPOINTS},
        fresh_s=destination.delivery.fresh_hours * _HOUR_S,
        horizon_s=destination.delivery.horizon_hours * _HOUR_S,
        concurrency=settings.concurrency,
        latency_s=wanted.latency,
        workers=wanted.workers,
        worker_calls_per_s=settings.worker_calls_per_second,
        journal_entries=settings.journal_entries,
        dead_letter_bytes=settings.dead_letter_bytes,
        maxmemory_bytes=wanted.maxmemory,
        sources=len([share for share in (wanted.public, 1 - wanted.public) if share]),
    )


def _flows(wanted: ScenarioSettings, plan: Plan) -> tuple[tuple[Flow, ...], dict[str, str]]:
    """The calls that the events of the mix become by the real mapping, and the events that become none."""
    total = sum(wanted.mix.values())
    flows, dropped = list[Flow](), dict[str, str]()
    for name, part in wanted.mix.items():
        share = part / total * wanted.identified if total else 0.0
        found = tried(_sample(name), plan)
        if not isinstance(found.decision, Forward):
            dropped[name] = found.outcome
            continue
        for sent in found.decision.deliveries:
            news = wanted.changed if name == IDENTIFY and sent.endpoint in _ONCE_KNOWN else 1.0
            flow = Flow(name, sent.endpoint, sent.priority, False, share * news, sent.fresh_until_ms is not None)
            flows += _by_kind(flow, wanted.public)
    return tuple(flows), dropped


def _by_kind(flow: Flow, public: float) -> Iterator[Flow]:
    for is_public, share in ((False, 1 - public), (True, public)):
        if share * flow.per_event:
            yield replace(flow, public=is_public, per_event=flow.per_event * share)


def _sample(name: str) -> dict[str, Any]:
    """An event of this name that has everything that any row of the catalogue needs."""
    contacts = {"email": "maya.okafor@example.com", "phone": "+14155550132"}
    event: dict[str, Any] = {
        "type": name if name in (IDENTIFY, PAGE) else "track",
        "userId": "cust_20418",
        "timestamp": datetime.now(UTC).isoformat(),
        "context": {"traits": contacts},
        "properties": {**_ITEM, "order_id": "NP-100482", "total": 129.0, "products": [dict(_ITEM)], "path": "/"},
    }
    if event["type"] == "track":
        event["event"] = name
    if name == IDENTIFY:
        event["traits"] = {**contacts, "firstName": "Maya"}
    return event


class _Intake:
    """The admission of a gateway, as one account and the Redis of all of them stand."""

    def __init__(self, scenario: Scenario, settings: Settings) -> None:
        ceilings = Ceilings(settings.max_backlog_events, settings.max_backlog_bytes, settings.max_memory_share)
        self._admission = Admission(ceilings, lambda: self._pressure)
        self._pressure = Pressure()
        self._maxmemory = scenario.capacity.maxmemory_bytes
        self._alone = scenario.capacity.sources == 1

    def __call__(self, standing: Standing, public: bool) -> str:
        """Why a source is refused, or empty."""
        by_source = {_SERVERS: standing.trusted_calls, _BROWSERS: standing.public_calls}
        calls = sum(by_source.values())
        sources = {name: SourceBacklog(each, each * WAITING_CALL_BYTES) for name, each in by_source.items()}
        size = BacklogSize(calls, calls * WAITING_CALL_BYTES, sources)
        share = standing.redis_bytes / self._maxmemory if self._maxmemory else 0.0
        self._pressure = Pressure({"": size}, share)
        source = _BROWSERS if public else _SERVERS
        try:
            self._admission.check("", None, 1, source=source, public=public, alone=self._alone)
        except Refused as refused:
            return refused.code
        return ""
