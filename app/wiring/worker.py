"""From the configuration to the parts of a worker: the delivery rules of each lane and destination."""

from datetime import timedelta

from app.attentive.endpoints import BY_NAME
from app.config.topology import Topology
from app.delivery.consent import ConsentRules
from app.delivery.lane import Lane
from app.delivery.unknown import WhenUnknown, default_policy
from app.erasure.requests import ErasureRules
from app.wiring.shared import all_lanes


def all_policies(topology: Topology) -> dict[Lane, WhenUnknown]:
    """What follows an unknown outcome in every lane: the operator's setting, or the default."""
    return {
        lane: topology.destinations[lane.destination].unknown_outcomes.get(lane.endpoint)
        or default_policy(BY_NAME[lane.endpoint])
        for lane in all_lanes(topology)
    }


def all_consent_rules(topology: Topology) -> dict[str, ConsentRules]:
    """What a worker needs to know of the subscriptions of each destination, those of its syncs included."""
    return {
        name: ConsentRules(
            {**_types_of_rows(topology, name), **destination.subscriptions.types_by_source()},
            timedelta(seconds=destination.subscriptions.check_after_s),
        )
        for name, destination in topology.destinations.items()
    }


def _types_of_rows(topology: Topology, destination: str) -> dict[str, str]:
    consents = [sync.consent for sync in topology.syncs_of(destination).values()]
    return {each.sign_up_source: each.type for each in consents if each is not None and each.sign_up_source}


def all_erasure_rules(topology: Topology) -> dict[str, ErasureRules]:
    """The effects of an erasure in each Attentive account."""
    return {
        name: ErasureRules(wanted.unsubscribe, wanted.request, keep=timedelta(days=wanted.receipt_days))
        for name, destination in topology.destinations.items()
        for wanted in (destination.erasure,)
    }


def trusted_of(topology: Topology) -> dict[str, list[str]]:
    """The sources of each destination whose links an erasure follows."""
    return {
        destination: [
            name
            for name, source in topology.sources.items()
            if source.destination == destination and source.granted.erase
        ]
        for destination in topology.destinations
    }


def sources_of(topology: Topology) -> dict[str, list[str]]:
    """The sources of each destination."""
    return {
        destination: [name for name, source in topology.sources.items() if source.destination == destination]
        for destination in topology.destinations
    }
