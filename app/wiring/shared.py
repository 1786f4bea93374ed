"""From the configuration to the parts that gateways and workers both need: lanes, paces and profiles."""

from collections.abc import Iterable
from datetime import timedelta

from app.attentive.call import Priority
from app.attentive.endpoints import BY_NAME, ENDPOINTS
from app.config.destination import Destination
from app.config.source import Source
from app.config.topology import Topology
from app.delivery.journal.recording import Recording
from app.delivery.lag import Objectives
from app.delivery.lane import Lane
from app.delivery.objectives import Objective
from app.delivery.pace import Pace
from app.delivery.retention import Retention
from app.identity.enrichment import ProfileRules
from app.settings import Settings


def all_lanes(topology: Topology) -> list[Lane]:
    """Every possible lane: each destination with each endpoint."""
    return lanes_of(topology.destinations)


def lanes_of(destinations: Iterable[str]) -> list[Lane]:
    """Every lane that these destinations can have."""
    return [Lane(name, endpoint.name) for name in destinations for endpoint in ENDPOINTS]


def all_paces(topology: Topology) -> dict[Lane, Pace]:
    """Every lane with its initial pace: the operator's limit if there is one, else the documented one."""
    return {lane: pace_of(topology.destinations[lane.destination], lane.endpoint) for lane in all_lanes(topology)}


def pace_of(destination: Destination, endpoint: str) -> Pace:
    """The initial pace of one endpoint of an account."""
    limit = destination.limits.get(endpoint)
    return Pace(
        limit=limit or BY_NAME[endpoint].calls_per_second,
        fixed=limit is not None,
        ceiling=destination.delivery.calls_per_second,
        starvation_limit=timedelta(seconds=destination.delivery.starvation_seconds),
    )


def all_objectives(topology: Topology) -> dict[str, Objectives]:
    """The objectives for lag, by destination."""
    return {
        name: {
            Priority[priority.upper()]: Objective(timedelta(seconds=wanted.within_s), wanted.share)
            for priority, wanted in destination.delivery.objectives.items()
        }
        for name, destination in topology.destinations.items()
    }


def retention_of(settings: Settings) -> Retention:
    """How long dead letters are kept, and how many of each source."""
    return Retention(
        timedelta(days=settings.dead_letter_days), settings.dead_letter_entries, settings.dead_letter_bytes
    )


def recording_of(settings: Settings) -> Recording:
    """Which calls are recorded, and how many are kept."""
    return Recording(settings.recorded_calls, settings.recorded_bytes, settings.record_share)


def all_memories(topology: Topology) -> dict[tuple[str, str], timedelta]:
    """Destination and source of all stored profiles, and how long they are kept."""
    rules = {(source.destination, name): profile_rules(source) for name, source in topology.sources.items()}
    return {where: each.life for where, each in rules.items() if each.user_id or each.anonymous_id}


def profile_rules(source: Source) -> ProfileRules:
    """The profiles of this source: the IDs under which they are stored, their expiry, and what they can verify."""
    rights = source.granted
    return ProfileRules(
        source.profiles.user_id,
        source.profiles.anonymous_id,
        timedelta(days=source.profiles.days),
        verified=not rights.merge,
        per_visitor=rights.complete == "visitor",
        alias=rights.alias,
    )


def trusted_sources(topology: Topology, destination: str) -> tuple[str, ...]:
    """The sources of a destination whose profiles outweigh the claims of public ones."""
    return tuple(
        name
        for name, source in topology.sources.items()
        if source.destination == destination and source.granted.complete == "source"
    )
