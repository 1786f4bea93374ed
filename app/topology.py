"""From settings to the parts that are handed them: lanes, senders, and what each destination wants."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Literal

from app.attentive.endpoints import BY_NAME, CUSTOM_ATTRIBUTES, ENDPOINTS, USER_ATTRIBUTES
from app.config.destination import Destination
from app.config.source import Source
from app.config.topology import Topology
from app.delivery.backlog import Lane
from app.delivery.consent import ConsentRules
from app.delivery.deletions import DeletionRules
from app.delivery.delivery import MS
from app.delivery.pace import Pace
from app.delivery.retention import Retention
from app.delivery.unknown import WhenUnknown, default_policy
from app.identity.extract import IdentityRules
from app.identity.memory import MemoryRules
from app.ingest.admission import RateLimit
from app.ingest.auth import Sender
from app.ingest.origins import Origins
from app.ingest.signatures import Scheme, Signing
from app.mapping.attributes import AttributeRules
from app.mapping.catalogue import Catalogue
from app.mapping.overrides import catalogue_of
from app.mapping.subscriptions import Subscriptions
from app.pipeline import Plan
from app.privacy.guard import Guard
from app.privacy.policy import CONTACTS, ID_NAMES, Action, Check, Policy
from app.settings import Settings


def all_lanes(topology: Topology) -> list[Lane]:
    """Every lane there can be: each destination with each endpoint."""
    return lanes_of(topology.destinations)


def lanes_of(destinations: Iterable[str]) -> list[Lane]:
    """Every lane that these destinations can have."""
    return [Lane(name, endpoint.name) for name in destinations for endpoint in ENDPOINTS]


def all_paces(topology: Topology) -> dict[Lane, Pace]:
    """Every lane with the pace it starts at: the operator's limit where there is one, else the documented one."""
    return {lane: _pace(topology.destinations[lane.destination], lane.endpoint) for lane in all_lanes(topology)}


def _pace(destination: Destination, endpoint: str) -> Pace:
    limit = destination.limits.get(endpoint)
    return Pace(
        limit=limit or BY_NAME[endpoint].calls_per_second,
        fixed=limit is not None,
        ceiling=destination.delivery.calls_per_second,
        patience=timedelta(seconds=destination.delivery.patience_seconds),
    )


def all_policies(topology: Topology) -> dict[Lane, WhenUnknown]:
    """What follows in every lane when nobody knows whether Attentive acted: the operator's word, else the default."""
    return {
        lane: topology.destinations[lane.destination].unknown_outcomes.get(lane.endpoint)
        or default_policy(BY_NAME[lane.endpoint])
        for lane in all_lanes(topology)
    }


def retention_of(settings: Settings) -> Retention:
    """How long letters are kept, and how many."""
    return Retention(timedelta(days=settings.dead_letter_days), settings.dead_letter_entries)


def consent_rules(destination: Destination) -> ConsentRules:
    """What a worker has to know of this destination's subscriptions."""
    rules = destination.subscriptions
    return ConsentRules(rules.types_by_source(), timedelta(seconds=rules.check_after_s))


def all_deletion_rules(topology: Topology) -> dict[str, DeletionRules]:
    """What a deletion does in each Attentive account."""
    return {
        name: DeletionRules(wanted.unsubscribe, wanted.request, keep=timedelta(days=wanted.receipt_days))
        for name, destination in topology.destinations.items()
        for wanted in (destination.deletion,)
    }


def sources_of(topology: Topology) -> dict[str, list[str]]:
    """The sources of each destination."""
    return {
        destination: [name for name, source in topology.sources.items() if source.destination == destination]
        for destination in topology.destinations
    }


def all_senders(
    topology: Topology, rate_limit: Callable[[str, float], RateLimit] = lambda _source, rate: RateLimit(rate)
) -> dict[str, Sender]:
    """Sources by write key. The keys of one source share its limit, made by `rate_limit` of its name and rate."""
    plans = {name: plan_of(destination) for name, destination in topology.destinations.items()}
    senders: dict[str, Sender] = {}
    for name, source in topology.sources.items():
        signing = (
            None
            if source.signing is None
            else Signing(
                Scheme(source.signing.scheme),
                tuple(secret.get_secret_value() for secret in source.signing.secrets),
                source.signing.header,
            )
        )
        first = Sender(
            source=name,
            destination=source.destination,
            plan=replace(plans[source.destination], memory=_memory_rules(source), deletions=source.deletions),
            origins=None if "*" in source.origins else Origins(source.origins),
            signing=signing,
            limit=rate_limit(name, source.events_per_second) if source.events_per_second else None,
        )
        for number, write_key in enumerate(source.write_keys, start=1):
            key = write_key.key.get_secret_value()
            senders[key] = replace(first, key_number=number, retiring=write_key.retiring)
    return senders


def all_warnings(topology: Topology) -> dict[str, int]:
    """How many custom attributes are worth a warning, by destination."""
    return {name: destination.attributes.warn_at_names for name, destination in topology.destinations.items()}


def rate_limits() -> Callable[[str, float], RateLimit]:
    """Makes a limit for each source and rate, and gives the same one again: a reload fills no bucket."""

    @cache
    def rate_limit(_source: str, per_second: float) -> RateLimit:
        return RateLimit(per_second)

    return rate_limit


def all_origins(topology: Topology) -> Origins:
    """The web pages that may post to any source."""
    return Origins(origin for source in topology.sources.values() for origin in source.origins)


def all_memories(topology: Topology) -> dict[tuple[str, str], timedelta]:
    """Destination and source of each memory there is, and how long it lasts."""
    rules = {(source.destination, name): _memory_rules(source) for name, source in topology.sources.items()}
    return {where: each.life for where, each in rules.items() if each.user_id or each.anonymous_id}


def _memory_rules(source: Source) -> MemoryRules:
    return MemoryRules(source.memory.user_id, source.memory.anonymous_id, timedelta(days=source.memory.days))


def plan_for(topology: Topology, destination: str, source: str) -> Plan:
    """What is to be done with events of this source, which may be gone from the settings: then without its memory."""
    plan = plan_of(topology.destinations[destination])
    sender = topology.sources.get(source)
    memory = MemoryRules(user_id=False) if sender is None else _memory_rules(sender)
    return replace(plan, memory=memory)


def plan_of(destination: Destination) -> Plan:
    """What this destination wants done with events."""
    match destination.other_events:
        case True:
            allowed = None
        case False:
            allowed = frozenset[str]()
        case names:
            allowed = frozenset(names)
    identity = _identity_rules(destination)
    catalogue = catalogue_of(destination.mapping.overrides(), allowed)
    return Plan(
        identity,
        _with_attributes(catalogue, destination.attributes.endpoint),
        AttributeRules(
            identifiers=identity.traits,
            join_lists=destination.attributes.lists == "join",
            precise_location=destination.attributes.precise_location,
            most_names=destination.attributes.most_names,
            kinds=destination.attributes.types,
        ),
        fresh_ms=timedelta(hours=destination.delivery.fresh_hours) // MS,
        horizon_ms=timedelta(hours=destination.delivery.horizon_hours) // MS,
        guard=Guard(_policy(destination, identity)),
        joins=destination.joins,
        subscriptions=Subscriptions(destination.subscriptions.rules()),
    )


def _with_attributes(catalogue: Catalogue, endpoint: Literal["v2", "v1", "off"]) -> Catalogue:
    """The catalogue with the attributes endpoint that the destination wants, or without one."""
    match endpoint:
        case "v2":
            return catalogue
        case "v1":
            rules = [
                replace(rule, endpoint=CUSTOM_ATTRIBUTES) if rule.endpoint is USER_ATTRIBUTES else rule
                for rule in catalogue.rules
            ]
        case "off":
            rules = [rule for rule in catalogue.rules if rule.endpoint is not USER_ATTRIBUTES]
    return replace(catalogue, rules=tuple(rules))


def _policy(destination: Destination, identity: IdentityRules) -> Policy:
    privacy = destination.privacy
    return Policy(
        actions={check: Action(getattr(privacy, check.value)) for check in Check},
        secret_names=privacy.secret_names,
        harmless_names=privacy.harmless_names,
        id_names=ID_NAMES if privacy.id_names is None else privacy.id_names,
        identifiers=(*CONTACTS, *sorted(path.text for path in identity.paths)),
        deny=privacy.deny,
        allow=privacy.allow,
    )


def _identity_rules(destination: Destination) -> IdentityRules:
    identifiers = destination.identifiers
    return IdentityRules(
        default_region=destination.default_region,
        primary=identifiers.primary,
        email=identifiers.email,
        phone=identifiers.phone,
        client_user_id=identifiers.client_user_id,
        shopify_id=identifiers.shopify_id,
        klaviyo_id=identifiers.klaviyo_id,
        custom=tuple(identifiers.custom.items()),
    )
