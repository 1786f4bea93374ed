"""What a run may send: rows whose keys or identifiers forbid it, and people who would leave an audience."""

from app.config.sync import Sync
from app.pipeline import Plan
from app.rows.audience import plan_removals
from app.rows.consents import plan_consents
from app.rows.events import RowEvents
from app.rows.guard import check_removals
from app.rows.outcomes import Op, Outcome
from app.rows.sharing import reject_shared
from app.rows.staged import Rejected
from app.rows.state import State
from app.rows.subject import Subject


def refusing_row(sync: Sync, state: State) -> Rejected | None:
    """The row whose key has the run refused.

    A mirror cannot tell whether the person of a row without a key has left.
    """
    bad = state.first_bad()
    if bad is None or sync.duplicates == "refuse":
        return bad
    return bad if sync.how == "mirror" and bad.outcome == Outcome.MISSING_KEY else None


def complete_plan(subject: Subject, state: State, events: RowEvents, plan: Plan) -> int:
    """Plan who leaves a mirrored audience, and end the rows that would link what many share; the number who leave, or
    are unsubscribed.

    Who leaves is planned first: who is named by a row that is not sent stays. A sync of mode `remove` removes all.
    """
    sync = subject.sync
    opt_outs = 0 if sync.consent is None else plan_consents(sync, state, events)
    if sync.how == "mirror":
        plan_removals(state, events, plan)
    reject_shared(sync, state, events, plan, subject.destination.identifiers.most_links)
    if sync.how == "mirror":
        return state.members.removals()
    if sync.consent is not None:
        return opt_outs
    ops = state.ops()
    return ops.get(Op.NEW, 0) + ops.get(Op.CHANGED, 0) if sync.how == "remove" else 0


def check_plan(sync: Sync, state: State, removals: int) -> None:
    """Raises SyncRefused for a plan that an operator has to approve."""
    check_removals(
        sync,
        rows=sum(number for op, number in state.ops().items() if op is not Op.GONE),
        members=state.members.count(),
        removals=removals,
        before=state.meta("fingerprint"),
    )
