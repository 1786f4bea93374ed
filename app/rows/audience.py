"""Who leaves a mirrored audience, verified before anyone is removed.

A member leaves when its row is gone from the source, or when the row names other identifiers now. A person whom
another row still names is not removed: a person may have two rows, and Attentive knows people by their identifiers.
"""

from collections.abc import Callable, Mapping
from typing import Final

import orjson

from app.counted import DELIVERED
from app.masking import mask_email, mask_id, mask_phone
from app.pipeline import Plan
from app.rows.bulk import member_of
from app.rows.events import RowEvents
from app.rows.state import State

Identifier = tuple[str, str]  # kind and value
_SEVERAL: Final = 0  # rows, or one that is no candidate for removal
_MASKS: Final[Mapping[str, Callable[[str], str]]] = {
    "email": mask_email,
    "phone": mask_phone,
    "clientUserId": mask_id,
}


def plan_removals(state: State, events: RowEvents, plan: Plan) -> None:
    """Plan who leaves."""
    state.members.plan_removals()
    _settle_changed(state, events, plan)
    removed = state.members.leaving()
    leaving = {identifier for _, member in removed for identifier in _identifiers(member)}
    if leaving:
        staying = {each for member in state.members.staying() for each in leaving.intersection(_identifiers(member))}
        named = _named(leaving, staying, state, events, plan)
        kept = [
            (place, member)
            for place, member in removed
            if any(named.get(identifier, place) != place for identifier in _identifiers(member))
        ]
        unsent = [member for _, member in kept if staying.isdisjoint(_identifiers(member))]
        state.members.keep([place for place, _ in kept], unsent)


def _settle_changed(state: State, events: RowEvents, plan: Plan) -> None:
    """End the changed rows that name no person now, whose members stay, and those that name their person as before."""
    ended: list[tuple[int, str, str]] = []
    accepted: list[tuple[int, str, str]] = []
    for row, old in state.members.changed():
        member, why = member_of(row, events, plan)
        if member is None:
            ended.append((row.place, why, "the member stays as it was"))
        elif member == old:
            accepted.append((row.place, DELIVERED, ""))
    state.members.keep(place for place, _, _ in (*ended, *accepted))
    state.jobs.settle(ended)
    state.members.settle_same(place for place, _, _ in accepted)


def _named(
    leaving: set[Identifier], staying: set[Identifier], state: State, events: RowEvents, plan: Plan
) -> dict[Identifier, int]:
    """Those of these identifiers that rows name, each with the place of the one row that does, or _SEVERAL.

    A row that names its member anew does not keep its own former member, and keeps that of another row.
    """
    named = dict.fromkeys(staying, _SEVERAL)
    for row in state.to_send():
        member_, _ = member_of(row, events, plan)
        for identifier in leaving.intersection(_identifiers(member_) if member_ else ()):
            named[identifier] = row.place if named.get(identifier, row.place) == row.place else _SEVERAL
    return named


def shown_member(member: bytes) -> dict[str, str]:
    """A member that people look at: its identifiers, masked."""
    return {kind: _MASKS[kind](value) for kind, value in _identifiers(member)}


def _identifiers(member: bytes) -> list[Identifier]:
    return list(orjson.loads(member).items())
