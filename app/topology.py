"""From settings to the parts that are handed them: lanes, senders, and what each destination wants."""

from app.attentive.endpoints import BY_NAME, ENDPOINTS
from app.delivery.backlog import Lane
from app.identity.extract import IdentityRules
from app.ingest.auth import Sender
from app.mapping.catalogue import CATALOGUE, Catalogue
from app.pipeline import Plan
from app.settings import BadSettings, Destination, Settings, Topology


def load_topology(settings: Settings) -> Topology:
    """The settings' sources and destinations, checked against what Attentive has. Raises BadSettings."""
    topology = settings.topology()
    for name, destination in topology.destinations.items():
        if unknown := sorted(set(destination.limits) - set(BY_NAME)):
            known = ", ".join(BY_NAME)
            raise BadSettings(f"destinations.{name}.limits: {unknown[0]!r} is no endpoint; there are: {known}")
    return topology


def all_lanes(topology: Topology) -> list[Lane]:
    """Every lane there can be: each destination with each endpoint."""
    return [Lane(name, endpoint.name) for name in topology.destinations for endpoint in ENDPOINTS]


def all_senders(topology: Topology) -> dict[str, Sender]:
    """Sources by write key."""
    plans = {name: plan_of(destination) for name, destination in topology.destinations.items()}
    return {
        source.write_key.get_secret_value(): Sender(name, source.destination, plans[source.destination])
        for name, source in topology.sources.items()
    }


def plan_of(destination: Destination) -> Plan:
    """What this destination wants done with events."""
    match destination.other_events:
        case True:
            allowed = None
        case False:
            allowed = frozenset[str]()
        case names:
            allowed = frozenset(names)
    return Plan(
        IdentityRules(destination.default_region, tuple(destination.custom_identifiers)),
        Catalogue(CATALOGUE, allowed),
    )
