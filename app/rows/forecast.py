"""What a run would do now: a dry run, in which every row is decided and none is sent."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from app.attentive.endpoints import BY_NAME, SEGMENT_MEMBERS
from app.counted import DeadLettered, Dropped
from app.delivery.accounts.attributes import read_attributes
from app.delivery.delivery import to_ms
from app.masking import mask_personal
from app.operations.operator import Operator
from app.pipeline import Drop, Erase, Fail, Forward, Plan
from app.rows.audience import shown_member
from app.rows.bulk import MEMBERS_PER_CALL, member_of
from app.rows.comparing import compare
from app.rows.consents import opted_out
from app.rows.events import Decided, RowEvents
from app.rows.guard import SyncRefused
from app.rows.outcomes import Op, Outcome, RunState
from app.rows.planning import check_plan, complete_plan, refusing_row
from app.rows.progress import SILENT, Progress, advancing
from app.rows.remote import copied
from app.rows.sending import BATCH, strangers
from app.rows.staged import Planned
from app.rows.state import State
from app.rows.subject import Subject, check_connection, subject_of
from app.wiring.gateway import plan_of_rows

SAMPLES: Final = 3


@dataclass(frozen=True, slots=True)
class Forecast:
    """The calls that a run would make, and the rows that it would not send."""

    ops: Mapping[Op, int]
    calls: Mapping[str, int]  # by endpoint
    hours: Mapping[str, float]  # by endpoint: how long they take at its limit
    not_sent: Mapping[str, int]  # by outcome
    journeys: int  # calls that are recent enough to start a journey
    samples: tuple[Mapping[str, Any], ...] = ()  # masked
    interrupted: bool = False  # an earlier run is continued first
    first_bad: str = ""  # why the run would be refused
    removals: int = 0  # people who would leave the audience, or be unsubscribed
    removed: tuple[Mapping[str, Any], ...] = ()  # some of them, masked

    @property
    def read(self) -> int:
        """The number of rows in the source."""
        return sum(self.ops.values())

    def facts(self) -> dict[str, Any]:
        """The forecast for programs."""
        return {
            "read": self.read,
            "rows": {op.value: self.ops.get(op, 0) for op in Op},
            "calls": dict(self.calls),
            "hours_at_the_limit": {name: round(hours, 2) for name, hours in self.hours.items()},
            "not_sent": dict(self.not_sent),
            "may_start_journeys": self.journeys,
            "removals": self.removals,
            "removed": list(self.removed),
            "samples": list(self.samples),
            "continues_an_interrupted_run_first": self.interrupted,
            "refused": self.first_bad,
        }


async def forecast(operator: Operator, name: str, progress: Progress = SILENT) -> Forecast:
    """Read the source and decide every row that a run would send.

    Raises OperationError, SourceFailed and StoreError.
    """
    subject = subject_of(operator, name)
    check_connection(subject)
    with copied(subject) as (path, _), State(path, subject.place) as state:
        last = state.last_run()
        state.stage_apart()
        progress.phase("Reading", None)
        await asyncio.to_thread(compare, subject.sync, state, None, advancing(progress))
        bad = refusing_row(subject.sync, state)
        trial = await _Trial.begin(operator, subject, state)
        removals, refusal = await asyncio.to_thread(trial.removals)
        ops: dict[Op, int] = {op: number for op, number in state.ops().items() if op is not Op.GONE}
        removed = tuple(shown_member(member) for _, member in state.members.leaving(SAMPLES))
        progress.phase("Deciding", ops.get(Op.NEW, 0) + ops.get(Op.CHANGED, 0))
        rows: list[Planned] = []
        for row in state.to_send():
            rows.append(row)
            if len(rows) == BATCH:
                await trial.decide(rows)
                progress.advance(len(rows))
                rows = []
                await asyncio.sleep(0)  # the console answers others meanwhile
        await trial.decide(rows)
        ended = {outcome: n for outcome, n in state.outcomes().items() if outcome.startswith(Dropped.prefix)}
    return Forecast(
        ops,
        trial.calls,
        {endpoint: count / trial.rate(endpoint) / 3600 for endpoint, count in trial.calls.items()},
        Counter(ended) + trial.not_sent,
        trial.journeys,
        tuple(trial.samples),
        last is not None and last.state is RunState.SENDING,
        refusal if bad is None else f"Row {bad.place:,}: {bad.detail or 'its key is that of another row.'}",
        removals,
        removed,
    )


@dataclass(slots=True)
class _Trial:
    """Decides rows and counts what becomes of them."""

    operator: Operator
    subject: Subject
    state: State
    events: RowEvents
    plan: Plan
    calls: Counter[str] = field(default_factory=Counter)
    not_sent: Counter[str] = field(default_factory=Counter)
    journeys: int = 0
    samples: list[Mapping[str, Any]] = field(default_factory=list)

    @classmethod
    async def begin(cls, operator: Operator, subject: Subject, state: State) -> "_Trial":
        to = subject.sync.destination
        attributes = (await read_attributes(operator.redis, [to]))[to]
        plan = plan_of_rows(subject.destination, subject.sync)
        events = RowEvents(subject.name, subject.source, secrets.token_hex(6), plan, attributes)
        return cls(operator, subject, state, events, plan)

    def removals(self) -> tuple[int, str]:
        """How many people would leave an audience, and why the run would wait for an approval, else empty."""
        removals = complete_plan(self.subject, self.state, self.events, self.plan)
        try:
            check_plan(self.subject.sync, self.state, removals)
        except SyncRefused as refused:
            return removals, str(refused)
        return removals, ""

    def rate(self, endpoint: str) -> float:
        """Calls per second of an endpoint."""
        if endpoint == SEGMENT_MEMBERS.name:
            return SEGMENT_MEMBERS.calls_per_second * MEMBERS_PER_CALL
        return self.subject.destination.limits.get(endpoint) or BY_NAME[endpoint].calls_per_second

    async def decide(self, rows: list[Planned]) -> None:
        """Decide these rows."""
        if self.subject.sync.object == "audience":
            self._count_members(rows)
            return
        now = datetime.now(UTC)
        decided, ended = self.events.all_decided(rows, now)
        self.not_sent.update(outcome for _, outcome, _ in ended)
        if self.subject.sync.how == "update":
            unknown = await strangers(self.operator.redis, self.subject.sync.destination, self.state, decided)
            self.not_sent[Outcome.NOT_KNOWN] += len(unknown)
            decided = [each for each in decided if each.row.place not in unknown]
        if self.subject.sync.consent is not None:
            out = await opted_out(self.operator.redis, self.subject.sync.destination, self.state, decided)
            self.not_sent[Outcome.OPTED_OUT] += len(out)
            decided = [each for each in decided if each.row.place not in out]
        for each in decided:
            self._count(each, now)
        self.not_sent = +self.not_sent

    def _count_members(self, rows: list[Planned]) -> None:
        for row in rows:
            member, why = member_of(row, self.events, self.plan)
            if member is None:
                self.not_sent[why] += 1
                continue
            self.calls[SEGMENT_MEMBERS.name] += 1
            if len(self.samples) < SAMPLES:
                shown = shown_member(member)
                self.samples.append({"row": row.place, "endpoint": SEGMENT_MEMBERS.name, "body": shown})

    def _count(self, decided: Decided, now: datetime) -> None:
        match decided.decision:
            case Forward(deliveries=deliveries):
                self.calls.update(delivery.endpoint for delivery in deliveries)
                self.journeys += sum(
                    delivery.fresh_until_ms is not None and to_ms(now) <= delivery.fresh_until_ms
                    for delivery in deliveries
                )
                if len(self.samples) < SAMPLES:
                    self.samples += [
                        {
                            "row": decided.row.place,
                            "endpoint": delivery.endpoint,
                            "body": mask_personal(orjson.loads(delivery.body)),
                        }
                        for delivery in deliveries
                    ]
            case Drop(reason=reason):
                self.not_sent[Dropped(reason).field] += 1
            case Fail(reason=reason):
                self.not_sent[DeadLettered(reason).field] += 1
            case Erase():
                pass
