"""The profiles that the events of one request need, and the updates that these events make."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, NamedTuple

from app.counted import DropReason
from app.delivery.delivery import Delivery, to_ms
from app.identity.enrichment import (
    Aliased,
    Identified,
    Link,
    PersonId,
    link_in,
    link_news,
    linked_by,
    profile_asked_for,
    profile_news,
    with_profile,
)
from app.identity.extract import extract_identity
from app.masking import mask_email, mask_id, mask_phone
from app.pipeline import Decision, Drop, Erase, Forward, Plan
from app.profiles.profile import CONTACTS, Facts, Profile, ProfileUpdate, contact_digest, is_linking, record_name
from app.segment.events import SegmentEvent
from app.value import changed

EXTENDED_AFTER: Final = 1 / 30  # of its life: the expiry of a profile in constant use is refreshed once a day
# Neither sent nor stored in a profile.
_KEPT_OUT: Final = frozenset({DropReason.INTEGRATIONS, DropReason.PRIVACY, DropReason.ERASURE_NOT_ALLOWED})
_NOTHING: Final[Mapping[str, str]] = {}

_MASKS: Final[Mapping[str, Callable[[str], str]]] = {"email": mask_email, "phone": mask_phone}

# pipeline.decide with the facts of the profile, and whether the person is named unlinked, see Known.
Decide = Callable[[Mapping[str, str], bool | None], Decision]


class Decided(NamedTuple):
    """A decision, and its updates of stored profiles."""

    decision: Decision
    updates: tuple[ProfileUpdate, ...] = ()
    instead: tuple[Delivery, ...] = ()  # its calls if an update would merge two people and is blocked


class ProfileSession:
    """The profiles of the people of one request: as stored, with the updates of its earlier events."""

    def __init__(self, events: Sequence[SegmentEvent], plan: Plan, source: str) -> None:
        """`names` are the profiles to load: none if the events themselves contain a contact of their person.

        A contact beside another identifier is a link, which the profile verifies.
        """
        self._plan, self._source = plan, source
        self._life_s = int(plan.profiles.life.total_seconds())
        self._asked = {place: name for place, event in enumerate(events) if (name := self._asks(event)) is not None}
        self._linked = {place: name for place, event in enumerate(events) if (name := self._links(event)) is not None}
        self._stored: dict[str, Profile] = {}
        self._known: dict[str, Facts] = {}
        self._touched: set[str] = set()
        self._unverified: set[str] = set()  # names whose known facts may yet be blocked
        self.enriched = 0  # events whose identity was completed from a profile
        self.verified: list[Link] = []  # links that the profiles contain, of events that need no more of these
        self.names = {*self._asked.values(), *self._linked.values()}
        if self.names and len(events) > 1:  # an alias among them may lead to the profile of another
            for event in events:
                if event.type == "alias" and event.user_id and event.previous_id:
                    self.names |= {self._name(PersonId(kind, event.previous_id)) for kind in ("u", "a")}

    def load(self, stored: Mapping[str, Profile]) -> None:
        """Set the stored profiles of `names`."""
        self._stored = dict(stored)
        self._known = {name: person.facts for name, person in stored.items()}

    def decide(self, place: int, event: SegmentEvent, decide: Decide, received_at: datetime) -> Decided:
        """Decide the event at this place with the profile of its person. Events come in order."""
        facts = self._facts_of(place)
        news = profile_news(event, self._plan.identity, self._plan.profiles, received_at)
        lent_at = self._lent_at(place, facts)
        if news is None:
            news = self._link_of(place, event, facts, lent_at, received_at)
        elif isinstance(news, Identified) and lent_at is not None:
            news = news._replace(facts={**facts, **news.facts}, at=lent_at)
        may_link = isinstance(news, Identified) and _may_link(news)
        decision = decide(facts, False if may_link else None)
        updates = self._updates(place, event, news, decision, received_at)
        if updates and updates[0].action == "alias":
            decision = changed(decision, notes=(*decision.notes, "previousId and userId are one person from now on"))
        instead: Decision | None = None
        if updates and updates[0].may_be_blocked:  # by one identifier, and without facts that are blocked with it
            instead = decide(facts if lent_at is None else self._stored_facts(self._asked[place]), True)
        return Decided(decision, updates, instead.deliveries if isinstance(instead, Forward) else ())

    def _lent_at(self, place: int, facts: Mapping[str, str]) -> datetime | None:
        """When the facts that complete an event were stated, if they may yet be blocked: its link repeats theirs."""
        if not facts or self._asked[place] not in self._unverified:
            return None
        at_ms = min(at_ms for _, at_ms in self._known[self._asked[place]].values())
        return datetime.fromtimestamp(at_ms / 1000, UTC)

    def _link_of(
        self,
        place: int,
        event: SegmentEvent,
        facts: Mapping[str, str],
        lent_at: datetime | None,
        received_at: datetime,
    ) -> Identified | None:
        """The link that an event other than an identify call makes, unless the profile has it already."""
        plan = self._plan
        found = extract_identity(event, plan.identity)
        if lent_at is not None:
            found = with_profile(found, facts, plan.identity)
        if plan.one_identifier or found.identity is None:
            return None
        news = link_news(event, found.identity, plan.identity, plan.profiles, received_at)
        if news is None:
            return None
        if lent_at is not None:
            return news._replace(at=lent_at)
        if not self._contains(self._name(news.ids[0]), news.facts):
            return news
        if place not in self._asked and (link := link_in(event, found.identity, self._source)) is not None:
            self.verified.append(link)
        return None

    def _contains(self, name: str, facts: Mapping[str, str]) -> bool:
        """Whether the stored profile has these identifiers, so that they have been linked before."""
        stored = self._stored_facts(name)
        return all(stored.get(what) == value for what, value in facts.items())

    def _stored_facts(self, name: str) -> dict[str, str]:
        stored = self._stored.get(name)
        return {} if stored is None else {what: value for what, (value, _) in stored.facts.items()}

    def _facts_of(self, place: int) -> Mapping[str, str]:
        """The known facts about the person of the event at this place."""
        if place not in self._asked or not (known := self._known.get(self._asked[place])):
            return _NOTHING
        self.enriched += 1
        return {what: value for what, (value, _) in known.items()}

    def _updates(
        self,
        place: int,
        event: SegmentEvent,
        news: Identified | Aliased | None,
        decision: Decision,
        received_at: datetime,
    ) -> tuple[ProfileUpdate, ...]:
        """The updates that this event makes. Later events of the request see them immediately."""
        if isinstance(decision, Erase) or (isinstance(decision, Drop) and decision.reason in _KEPT_OUT):
            return ()
        forwarded = isinstance(decision, Forward)
        match news:
            case Identified() as identified:
                links_nothing = event.type != "identify" and not forwarded
                return () if links_nothing else (self._upsert(identified, may_merge=forwarded),)
            case Aliased() as aliased:
                return (self._alias(aliased),)
            case None:
                name = self._asked.get(place) or self._linked.get(place)
                return () if name is None else self._touch(name, received_at)

    def _asks(self, event: SegmentEvent) -> str | None:
        asked = profile_asked_for(event, self._plan.identity, self._plan.profiles)
        return None if asked is None else self._name(asked)

    def _links(self, event: SegmentEvent) -> str | None:
        """The profile that verifies the link that the event makes. Events of public sources make none."""
        if self._plan.one_identifier or event.type == "identify":
            return None
        identity = extract_identity(event, self._plan.identity).identity
        linked = None if identity is None else linked_by(event, identity, self._plan.profiles)
        return None if linked is None else self._name(linked)

    def _name(self, person: PersonId) -> str:
        return record_name(self._source, person.kind, person.value, person.visitor)

    def _upsert(self, identified: Identified, *, may_merge: bool) -> ProfileUpdate:
        names, at_ms = tuple(map(self._name, identified.ids)), to_ms(identified.at)
        rules = self._plan.profiles
        merges = self._plan.merges if may_merge and _may_link(identified) else None
        facts = {what: (value, at_ms) for what, value in identified.facts.items()}
        for name in names:
            known = self._known.get(name, {})
            if not (merges == "block" and _differ(known, facts)):  # else it may be blocked
                self._known[name] = _newest(known, facts)
        update = ProfileUpdate(
            "upsert",
            names,
            self._life_s,
            facts=identified.facts,
            at_ms=at_ms,
            merges=merges,
            most_links=rules.most_links,
            labels=self._labels(identified) if merges is not None else {},
        )
        if update.may_be_blocked and not all(self._contains(name, identified.facts) for name in names):
            self._unverified.update(names)
        return self._claim(update, identified) if rules.per_visitor else update

    def _claim(self, update: ProfileUpdate, identified: Identified) -> ProfileUpdate:
        """The update as a public source's claim, verified against the profiles of trusted sources."""
        person, rules = identified.ids[0], self._plan.profiles
        user = person.value if person.kind == "u" else None
        elsewhere = () if user is None else tuple(record_name(source, "u", user) for source in rules.trusted)
        digest = "" if user is None else contact_digest("user", user)
        return replace(update, claim=True, verified=rules.verified, user=digest, elsewhere=elsewhere)

    def _labels(self, identified: Identified) -> dict[str, str]:
        """The identifiers by kind, masked, for the list of suspicious identifiers."""
        facts, person = identified.facts, identified.ids[0]
        masked = {"user": mask_id(person.value)}
        masked |= {what: _MASKS.get(what, mask_id)(value) for what, value in facts.items() if is_linking(what)}
        return {what: f"{self._source} {_kind(what)} {text}" for what, text in masked.items()}

    def _alias(self, aliased: Aliased) -> ProfileUpdate:
        previous, name = tuple(map(self._name, aliased.previous)), self._name(aliased.id)
        facts = self._known.get(name, {})
        for before in previous:
            facts = _newest(self._known.get(before, {}), facts)
        for each in (name, *previous):
            self._known[each] = facts
        if not self._unverified.isdisjoint((name, *previous)):
            self._unverified.update((name, *previous))
        return ProfileUpdate("alias", (name,), self._life_s, previous=previous)

    def _touch(self, name: str, now: datetime) -> tuple[ProfileUpdate, ...]:
        person = self._stored.get(name)
        unused_ms = 0 if person is None else to_ms(now) - person.seen_ms
        if person is None or name in self._touched or unused_ms < self._life_s * 1000 * EXTENDED_AFTER:
            return ()
        self._touched.add(name)
        claim = self._plan.profiles.per_visitor
        return (ProfileUpdate("touch", (name,), self._life_s, contacts=person.contacts, claim=claim),)


def _may_link(identified: Identified) -> bool:
    """Whether it links a contact or another identifier to an ID, which profiles can verify."""
    return identified.ids[0].kind == "u" and any(map(is_linking, identified.facts))


def _kind(what: str) -> str:
    """A kind of identifier as it is listed: `username`, `loyalty_card`."""
    return what.removeprefix("custom.").replace(" ", "_")


def _newest(known: Facts, new: Facts) -> Facts:
    """Combine the facts as profiles.lua does: of two values with equal times, the one that arrived later wins."""
    newer = {what: fact for what, fact in new.items() if what not in known or fact[1] >= known[what][1]}
    return {**known, **newer}


def _differ(known: Facts, new: Facts) -> bool:
    """Whether `new` adds a contact to the person of `known`, who already has other contacts."""
    return any(what in known for what in CONTACTS) and any(
        what in new and known.get(what, ("", 0))[0] != new[what][0] for what in CONTACTS
    )
