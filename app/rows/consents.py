"""The consent that rows state: an opt-out counts over every opt-in of the person, whichever row or event it comes from.

Opt-outs of rows are remembered in the state before anything is sent, and those of events and of other syncs in Redis.
"""

from collections.abc import Sequence

from app.attentive.endpoints import SUBSCRIBE
from app.config.sync import RowConsent, Sync
from app.delivery import opt_outs
from app.delivery.consent import contacts_with_values
from app.delivery.last_sent import opt_out_name
from app.mapping.subscriptions import CONTACTS
from app.mapping.users import contacts
from app.pipeline import Forward
from app.rows.events import Decided, RowEvents
from app.rows.outcomes import Outcome
from app.rows.shape import opts_out
from app.rows.staged import Planned
from app.rows.state import State
from app.segment.events import InvalidEvent
from app.store.connection import Redis


def plan_consents(sync: Sync, state: State, events: RowEvents) -> int:
    """Remember the opt-outs of the rows that are to be sent, and end those that the mode does not send.

    Returns the number of opt-outs that are sent.
    """
    assert sync.consent is not None  # noqa: S101 - the configuration is checked
    planned, not_sent, out = 0, list[int](), set[str]()
    for row in state.to_send():
        if opts_out(row.content):
            planned += 1
            out.update(_contacts(row, sync.consent, events))
        if sync.how == ("add" if opts_out(row.content) else "remove"):
            not_sent.append(row.place)
    state.remember_opt_outs(out)
    state.settle((place, Outcome.OTHER_CONSENT, "") for place in not_sent)
    return 0 if sync.how == "add" else planned


def _contacts(row: Planned, consent: RowConsent, events: RowEvents) -> list[str]:
    try:
        found = events.reading(row).found
    except InvalidEvent:
        return []
    if found is None or found.identity is None:
        return []
    wanted = frozenset(CONTACTS[channel] for channel in consent.channels)
    return [opt_out_name(*contact) for contact in contacts(found.identity, wanted).items()]


async def opted_out(redis: Redis, destination: str, state: State, decided: Sequence[Decided]) -> set[int]:
    """The places of opt-ins of people who have opted out, by a row or by an event. Raises StoreError."""
    asked = {each.row.place: _opted_in(each) for each in decided}
    every = sorted({contact for some in asked.values() for contact in some})
    by_rows = state.opted_out([opt_out_name(*contact) for contact in every])
    out = {contact for contact in every if opt_out_name(*contact) in by_rows}
    out |= await opt_outs.opted_out(redis, destination, every)
    return {place for place, some in asked.items() if not out.isdisjoint(some)}


def _opted_in(decided: Decided) -> list[opt_outs.Contact]:
    match decided.decision:
        case Forward(deliveries=deliveries):
            opt_ins = (each for each in deliveries if each.endpoint == SUBSCRIBE.name)
            return [contact for each in opt_ins for contact in contacts_with_values(each.body)]
        case _:
            return []
