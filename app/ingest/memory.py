"""The events of one request and memory: whom they ask it about, what they hear, and what they do in it themselves."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from app.delivery.delivery import Delivery, to_ms
from app.delivery.people import CONTACTS, Facts, Remembered, Step, record_name
from app.identity.memory import PersonId, Renamed, Told, asked_by, told_by
from app.pipeline import Decision, Drop, DropReason, Forget, Forward, Plan
from app.segment.events import SegmentEvent
from app.value import changed

EXTENDED_AFTER: Final = 1 / 30  # of its life: what is of use each minute is written once a day, to live on
# Neither sent nor remembered.
_KEPT_OUT: Final = frozenset({DropReason.INTEGRATIONS, DropReason.PRIVACY, DropReason.DELETION_NOT_ALLOWED})
_NOTHING: Final[Mapping[str, str]] = {}

Decide = Callable[[Mapping[str, str], bool], Decision]  # pipeline.decide, given what is remembered, and whether apart


class Decided(NamedTuple):
    """A decision, and what the event does in memory."""

    decision: Decision
    steps: tuple[Step, ...] = ()
    instead: tuple[Delivery, ...] = ()  # its calls where a step would join two people and is held


class Conversation:
    """What is known of the people of one request: by memory, and by its own events, each for those after it."""

    def __init__(self, events: Sequence[SegmentEvent], plan: Plan, source: str) -> None:
        """`names` are whom memory is to be asked about: nobody, where the events say themselves whom they are about."""
        self._plan, self._source = plan, source
        self._life_s = int(plan.memory.life.total_seconds())
        self._asked = {place: name for place, event in enumerate(events) if (name := self._asks(event)) is not None}
        self._stored: dict[str, Remembered] = {}
        self._known: dict[str, Facts] = {}
        self.recalled = 0  # events that were told something
        self.names = set(self._asked.values())
        if self.names and len(events) > 1:  # an alias among them may lend one of these what is known of another
            for event in events:
                if event.type == "alias" and event.user_id and event.previous_id:
                    self.names |= {self._name(PersonId(kind, event.previous_id)) for kind in ("u", "a")}

    def hear(self, stored: Mapping[str, Remembered]) -> None:
        """What memory answered."""
        self._stored = dict(stored)
        self._known = {name: person.facts for name, person in stored.items()}

    def decide(self, place: int, event: SegmentEvent, decide: Decide, received_at: datetime) -> Decided:
        """What `decide` says of the event at this place, with what is known of its person. Events come in order."""
        remembered = self._told(place)
        decision = decide(remembered, False)
        steps = self._steps(place, event, decision, received_at)
        if steps and steps[0].do == "alias":
            decision = changed(decision, notes=(*decision.notes, "previousId and userId are one person from now on"))
        apart = decide(remembered, True) if steps and steps[0].joins == "hold" else None
        return Decided(decision, steps, apart.deliveries if isinstance(apart, Forward) else ())

    def _told(self, place: int) -> Mapping[str, str]:
        """What is known of the person of the event at this place."""
        if place not in self._asked or not (known := self._known.get(self._asked[place])):
            return _NOTHING
        self.recalled += 1
        return {what: value for what, (value, _) in known.items()}

    def _steps(self, place: int, event: SegmentEvent, decision: Decision, received_at: datetime) -> tuple[Step, ...]:
        """What this event does in memory. Its neighbours behind it know of it at once."""
        if isinstance(decision, Forget) or (isinstance(decision, Drop) and decision.reason in _KEPT_OUT):
            return ()
        match told_by(event, self._plan.identity, self._plan.memory, received_at):
            case Told() as told:
                return (self._learn(told, joins=isinstance(decision, Forward)),)
            case Renamed() as renamed:
                return (self._rename(renamed),)
            case None:
                return self._see(self._asked[place], received_at) if place in self._asked else ()

    def _asks(self, event: SegmentEvent) -> str | None:
        asked = asked_by(event, self._plan.identity, self._plan.memory)
        return None if asked is None else self._name(asked)

    def _name(self, person: PersonId) -> str:
        return record_name(self._source, person.kind, person.value)

    def _learn(self, told: Told, *, joins: bool) -> Step:
        names, at_ms = tuple(map(self._name, told.ids)), to_ms(told.at)
        joins = joins and told.ids[0].kind == "u" and any(what in told.facts for what in CONTACTS)
        said = {what: (value, at_ms) for what, value in told.facts.items()}
        for name in names:
            known = self._known.get(name, {})
            if not (joins and self._plan.joins == "hold" and _differ(known, said)):  # else it may be held
                self._known[name] = _newest(known, said)
        return Step(
            "learn", names, self._life_s, facts=told.facts, at_ms=at_ms, joins=self._plan.joins if joins else None
        )

    def _rename(self, renamed: Renamed) -> Step:
        previous, name = tuple(map(self._name, renamed.previous)), self._name(renamed.id)
        facts = self._known.get(name, {})
        for before in previous:
            facts = _newest(self._known.get(before, {}), facts)
        for each in (name, *previous):
            self._known[each] = facts
        return Step("alias", (name,), self._life_s, previous=previous)

    def _see(self, name: str, now: datetime) -> tuple[Step, ...]:
        person = self._stored.get(name)
        if person is None or to_ms(now) - person.seen_ms < self._life_s * 1000 * EXTENDED_AFTER:
            return ()
        del self._stored[name]
        return (Step("see", (name,), self._life_s, contacts=person.contacts),)


def _newest(known: Facts, said: Facts) -> Facts:
    """As memory.lua does it: of two of the same moment, the one said later."""
    newer = {what: fact for what, fact in said.items() if what not in known or fact[1] >= known[what][1]}
    return {**known, **newer}


def _differ(known: Facts, said: Facts) -> bool:
    """Whether `said` has a contact that somebody with other contacts did not have."""
    return any(what in known for what in CONTACTS) and any(
        what in said and known.get(what, ("", 0))[0] != said[what][0] for what in CONTACTS
    )
