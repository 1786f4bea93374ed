"""Rows that would link an identifier of many people: the phone number of a household, or the address of a shop.

Attentive links all identifiers of a call for good. Events of trackers are held to `identifiers.most_links` by profiles,
and rows within their source, which each run reads to its end, and by these profiles before they are sent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.config.sync import Sync
from app.identity.identity import Identity
from app.pipeline import Plan
from app.profiles.known import user_digest, users_with
from app.rows.events import Decided, RowEvents
from app.rows.identifiers import Sharing
from app.rows.outcomes import Outcome
from app.rows.shape import linked_by, opts_out
from app.rows.staged import Planned
from app.rows.state import State
from app.segment.events import InvalidEvent
from app.store.connection import Redis

_PAGE: Final = 2_000


def reject_shared(sync: Sync, state: State, events: RowEvents, plan: Plan, most: int) -> None:
    """End the rows that would link an identifier that comes with more than `most` others in the source."""
    if state.identifiers.find_shared(most):
        after = 0
        while page := state.identifiers.sharing(after, _PAGE):
            after = page[-1].row.place
            named = ((each.row.place, _shared(each, sync, events, plan)) for each in page)
            state.reject((place, Outcome.IDENTIFIER_SHARED, _detail(kinds, most)) for place, kinds in named if kinds)
    state.identifiers.forget()


def _shared(sharing: Sharing, sync: Sync, events: RowEvents, plan: Plan) -> list[str]:
    """The shared identifiers that a call for the row would link. Values that are not sent, and one alone, link none."""
    if _links_none(sharing.row, sync):
        return []
    sent = _sent(sharing.row, sync, events, plan)
    named = [kind for kind in linked_by(sync) if getattr(sent, kind, None)]
    return [kind for kind in named if kind in sharing.kinds] if len(named) > 1 else []


def _links_none(row: Planned, sync: Sync) -> bool:
    """Whether the row is an opt-out, which links no one."""
    return sync.object == "subscribers" and opts_out(row.content)


def _sent(row: Planned, sync: Sync, events: RowEvents, plan: Plan) -> Identity | None:
    """The identifiers of a row that are sent as such: an account may have one of the contacts as an attribute."""
    try:
        found = events.reading(row).found
    except InvalidEvent:
        return None
    return _sent_of(found.identity, sync, plan) if found and found.identity else None


def _sent_of(identity: Identity, sync: Sync, plan: Plan) -> Identity:
    if plan.attributes.secondary is None or sync.object == "audience":
        return identity
    return identity.without_secondary(plan.identity.primary)


def _detail(kinds: list[str], most: int, where: str = "others in the source") -> str:
    return f"More than {most} {where} have this {' and this '.join(kinds)}."


@dataclass(frozen=True, slots=True)
class TrackedSharing:
    """Finds the rows that would link what many people share by the profiles, which events of trackers make."""

    redis: Redis
    sync: Sync
    plan: Plan
    most: int

    async def of_rows(self, decided: Sequence[Decided]) -> dict[int, str]:
        """Why these rows are not sent, by their place. Raises StoreError."""
        return await self.details(
            {
                each.row.place: found.identity
                for each in decided
                if (found := each.reading.found) and found.identity and not _links_none(each.row, self.sync)
            }
        )

    async def details(self, people: Mapping[int, Identity]) -> dict[int, str]:
        """Why rows are not sent, by their place, given the people that they name. Raises StoreError."""
        linked = {place: named for place, person in people.items() if len(named := self._linked_by(person)) > 1}
        asked = sorted({(kind, value) for named in linked.values() for kind, value in named.items()})
        users = await users_with(self.redis, self.sync.destination, asked) if asked else {}
        found = {place: self._shared(named, users) for place, named in linked.items()}
        return {place: _detail(kinds, self.most, "people in profiles") for place, kinds in found.items() if kinds}

    def _linked_by(self, person: Identity) -> dict[str, str]:
        sent = _sent_of(person, self.sync, self.plan)
        return {kind: value for kind in linked_by(self.sync) if (value := getattr(sent, kind))}

    def _shared(self, named: Mapping[str, str], users: Mapping[tuple[str, str], set[str]]) -> list[str]:
        own = user_digest(next(named[kind] for kind in ("client_user_id", "email", "phone", *named) if kind in named))
        return [kind for kind, value in named.items() if len(users[kind, value] | {own}) > self.most]
