"""From the configuration to the parts of a gateway: sources by write key, and a plan for each destination."""

import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cache, partial
from typing import Final, Literal

from arq import ArqRedis

from app.attentive.call import Priority
from app.attentive.endpoints import (
    CUSTOM_ATTRIBUTES,
    CUSTOM_EVENT,
    IDENTITY,
    PURCHASE,
    SEGMENT_MEMBERS,
    SUBSCRIBE,
    UNSUBSCRIBE,
    USER_ATTRIBUTES,
    Endpoint,
)
from app.config.destination import Destination
from app.config.sync import Sync
from app.config.topology import Topology
from app.delivery.delivery import MS
from app.delivery.outbox import Outbox
from app.delivery.sharded_outbox import ShardedOutbox
from app.delivery.traced_outbox import TracedOutbox
from app.delivery.wakeup import Waker
from app.identity.enrichment import ProfileRules
from app.identity.extract import IdentityRules
from app.ingest.admission import RateLimit
from app.ingest.auth import Sender
from app.ingest.origins import Origins
from app.ingest.signatures import Scheme, Signing
from app.mapping.attributes import AttributeRules
from app.mapping.catalogue import CATALOGUE, Catalogue, Key, Rule
from app.mapping.overrides import catalogue_of
from app.mapping.subscriptions import Subscriptions
from app.pipeline import Plan
from app.privacy.guard import Guard
from app.privacy.policy import CONTACTS, Action, Check, Policy
from app.rights import Trust
from app.segment.placeholders import placeholder_word
from app.settings import Settings
from app.store.keys import ROWS_PREFIX
from app.store.shards import is_cluster
from app.traces.exporting import Emit
from app.wiring.shared import profile_rules, retention_of, trusted_sources

# For the digests of withheld identifiers: without a salt, the identifiers could be guessed.
_SALT: Final = secrets.token_bytes(32)


def all_senders(
    topology: Topology, rate_limit: Callable[[str, float], RateLimit] = lambda _source, rate: RateLimit(rate)
) -> dict[str, Sender]:
    """Sources by write key. All keys of a source share its limit, which `rate_limit` creates from its name and rate."""
    plans = {name: plan_of(destination) for name, destination in topology.destinations.items()}
    names = Counter(source.destination for source in topology.sources.values())
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
            plan=_plan_of_source(plans[source.destination], topology, name),
            origins=None if "*" in source.origins else Origins(source.origins),
            signing=signing,
            limit=rate_limit(name, rate) if (rate := source.most_events_per_second) else None,
            alone=names[source.destination] == 1,
        )
        for number, write_key in enumerate(source.write_keys, start=1):
            key = write_key.key.get_secret_value()
            senders[key] = replace(first, key_number=number, retiring=write_key.retiring)
    return senders


def destination_by_source(topology: Topology) -> dict[str, str]:
    """The destination of each source's events."""
    return {name: source.destination for name, source in topology.sources.items()}


def outbox_of(settings: Settings, redis: ArqRedis, waker: Waker, emit: Emit | None = None) -> Outbox | ShardedOutbox:
    """The outbox of a process that takes events in. `emit` records the spans of traced requests."""
    make = partial(
        Outbox if emit is None else partial(TracedOutbox, emit=emit),
        redis,
        wake=waker.hint,
        journal_entries=settings.journal_entries,
        replicas=settings.wait_for_replicas,
        retention=retention_of(settings),
    )
    return ShardedOutbox(lambda name: make(destination=name)) if is_cluster(redis) else make()


def all_warnings(topology: Topology) -> dict[str, int]:
    """The number of custom attributes that triggers a warning, by destination."""
    return {name: destination.attributes.warn_at_names for name, destination in topology.destinations.items()}


def rate_limits() -> Callable[[str, float], RateLimit]:
    """Creates a limit per source and rate. It returns existing ones again, so that a reload fills no bucket."""

    @cache
    def rate_limit(_source: str, per_second: float) -> RateLimit:
        return RateLimit(per_second)

    return rate_limit


def all_origins(topology: Topology) -> Origins:
    """The web pages that may post to any source."""
    return Origins(origin for source in topology.sources.values() for origin in source.origins)


def plan_for(topology: Topology, destination: str, source: str) -> Plan:
    """The plan for events of this source. A source that was removed from the settings has no profiles."""
    plan = plan_of(topology.destinations[destination])
    if source.startswith(ROWS_PREFIX) and (sync := topology.syncs.get(source.removeprefix(ROWS_PREFIX))):
        return plan_of_rows(topology.destinations[destination], sync)
    sender = topology.sources.get(source)
    if sender is None:
        return replace(plan, profiles=ProfileRules(user_id=False), subscriptions=Subscriptions())
    return replace(_plan_of_source(plan, topology, source), erasures=False)


def _plan_of_source(plan: Plan, topology: Topology, name: str) -> Plan:
    """The destination's plan, within the rights of the source."""
    source = topology.sources[name]
    rights = source.granted
    most_links = topology.destinations[source.destination].identifiers.most_links
    profiles = replace(
        profile_rules(source), trusted=trusted_sources(topology, source.destination), most_links=most_links
    )
    return replace(
        plan,
        profiles=profiles,
        horizon_ms=plan.horizon_ms if source.horizon_hours is None else int(source.horizon_hours * 3_600_000),
        merges=plan.merges if rights.merge else "block",
        one_identifier=not rights.merge,
        erasures=source.erasures,
        public=source.trust is Trust.PUBLIC,
        attributes=replace(plan.attributes, defines=rights.define_attributes),
        subscriptions=plan.subscriptions.for_source(name, rights.consent),
    )


def plan_of(destination: Destination) -> Plan:
    """How this destination treats events."""
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
            types=destination.attributes.types,
            secondary=destination.identifiers.secondary_attribute,
        ),
        fresh_ms=timedelta(hours=destination.delivery.fresh_hours) // MS,
        horizon_ms=timedelta(hours=destination.delivery.horizon_hours) // MS,
        guard=Guard(_policy(destination, identity), salt=_SALT),
        recipients=destination.recipients,
        merges=destination.merges,
        subscriptions=Subscriptions(destination.subscriptions.rules()),
    )


def plan_of_rows(destination: Destination, sync: Sync) -> Plan:
    """What this destination wants done with the rows of a sync, whose own mapping defines what they contain."""
    plan = plan_of(destination)
    identity = replace(
        plan.identity,
        **{name: getattr(_IDENTITY_OF_ROWS, name) for name in ("email", "phone", "client_user_id")},
        **{name: getattr(_IDENTITY_OF_ROWS, name) for name in ("shopify_id", "klaviyo_id", "custom")},
    )
    return replace(
        plan,
        identity=identity,
        catalogue=_with_attributes(Catalogue(_rules_of_rows(sync)), destination.attributes.endpoint),
        attributes=replace(plan.attributes, identifiers=identity.traits),
        horizon_ms=plan.horizon_ms if sync.horizon_hours is None else int(sync.horizon_hours * 3_600_000),
        guard=Guard(_policy(destination, identity), salt=_SALT),
        profiles=ProfileRules(user_id=False),
        subscriptions=_consents_of_rows(sync),
    )


def _consents_of_rows(sync: Sync) -> Subscriptions:
    rules = () if sync.consent is None else sync.consent.rules(sync.how)
    return Subscriptions(tuple(replace(rule, priority=Priority.LOW) for rule in rules))


_IDENTITY_OF_ROWS: Final = IdentityRules(custom=())  # where the content of a row has its identifiers
_ENDPOINTS_OF_ROWS: Final = {
    "attributes": USER_ATTRIBUTES,
    "events": CUSTOM_EVENT,
    "purchases": PURCHASE,
    "identity": IDENTITY,
    "subscribers": SUBSCRIBE,
}


def endpoint_of_rows(destination: Destination, sync: Sync) -> Endpoint:
    """The endpoint that the rows of a sync go to."""
    endpoint = _ENDPOINTS_OF_ROWS.get(sync.object, SEGMENT_MEMBERS)
    if sync.object == "subscribers" and sync.how == "remove":
        endpoint = UNSUBSCRIBE
    return CUSTOM_ATTRIBUTES if endpoint is USER_ATTRIBUTES and destination.attributes.endpoint == "v1" else endpoint


def _rules_of_rows(sync: Sync) -> tuple[Rule, ...]:
    """The rows of the catalogue for one object, each call behind those of events that happen now."""
    wanted = _ENDPOINTS_OF_ROWS.get(sync.object)  # an audience goes by bulk alone
    key = {"events": Key("track"), "purchases": Key.of("track", "Order Completed")}.get(sync.object, Key("identify"))
    return tuple(
        replace(rule, priority=Priority.LOW) for rule in CATALOGUE if rule.endpoint is wanted and rule.key == key
    )


def _with_attributes(catalogue: Catalogue, endpoint: Literal["v2", "v1", "off"]) -> Catalogue:
    """The catalogue with the destination's attributes endpoint, or without one."""
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
        id_names=privacy.id_names,
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
        phone_regions=frozenset(identifiers.phone_regions),
        placeholders=frozenset(map(placeholder_word, identifiers.placeholders)),
    )
