"""The syncs: where each stands, its runs, and what a dry run found. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cronsim import CronSim

from app.config.sync import Sync
from app.console.sync_runs import SyncProblem
from app.delivery.delivery import from_ms
from app.rows.codes import help_of
from app.rows.outcomes import Bucket, Op, Outcome, RunState, code_of
from app.rows.staged import Run
from app.rows.syncs import SyncOverview

APPROVED_WITHIN: Final = timedelta(hours=1)
_CHIPS: Final[Mapping[Bucket, str]] = {
    Bucket.DELIVERED: "delivered",
    Bucket.DROPPED: "dropped",
    Bucket.DEAD: "dead",
    Bucket.UNKNOWN: "unknown",
    Bucket.WAITING: "waiting",
    Bucket.UNCHANGED: "",
}
_ENDS: Final[Mapping[RunState, tuple[str, str]]] = {  # kind and words of a run that is not under way
    RunState.READING: ("bad", "interrupted"),
    RunState.SENDING: ("warn", "not finished"),
    RunState.DONE: ("good", "done"),
    RunState.HELD: ("warn", "waits for approval"),
    RunState.REFUSED: ("bad", "refused"),
    RunState.FAILED: ("bad", "failed"),
}
_PLANNED: Final[Mapping[Op, str]] = {
    Op.NEW: "new",
    Op.CHANGED: "changed",
    Op.SAME: "unchanged",
    Op.KEPT: "waiting for a decision",
    Op.BAD: "not valid",
    Op.GONE: "no longer in the source",
}


@dataclass(frozen=True, slots=True)
class Count:
    """A number of rows with one end."""

    name: str
    kind: str
    rows: int


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run."""

    id: str
    begun: datetime
    ended: datetime | None
    chip: str
    state: str
    reason: str  # why nothing was sent; else empty
    counts: Sequence[Count]  # empty before any row has ended
    planned: Sequence[tuple[str, int]]  # rows by what the run does with them, without zeros
    removals: int


@dataclass(frozen=True, slots=True)
class Reason:
    """Rows that were not accepted, for one reason."""

    rows: int
    ended: str
    code: str
    meaning: str
    action: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the run that is under way, or that was interrupted, is."""

    done: int
    total: int
    reading: bool


@dataclass(frozen=True, slots=True)
class SyncRow:
    """One sync in the list."""

    name: str
    title: str
    destination: str
    what: str  # "audience, mirror"
    source: str  # "csv loyalty.csv"
    schedule: str
    next_at: datetime | None
    chip: str
    state: str
    last: RunRow | None
    delivered: int | None  # in the last run; None before any of its rows has ended
    accepted: int
    rejected: int
    running: bool
    may_resume: bool
    removes: str  # what a run does with those whom it removes: "would leave"
    traced: bool  # its rows are events: members of an audience are not


@dataclass(frozen=True, slots=True)
class SyncPage:
    """One sync whole."""

    row: SyncRow
    runs: Sequence[RunRow]
    progress: Progress | None
    reasons: Sequence[Reason]
    waits: RunRow | None  # the run that waits for an approval
    valid_until: datetime | None  # of its plan
    expired: bool
    removed: Sequence[Mapping[str, str]]  # some of those who would leave, masked
    has_state: bool
    problem: str  # why the last attempt to run it from a console ended; else empty


@dataclass(frozen=True, slots=True)
class PlanPage:
    """What a dry run found."""

    read: int
    planned: Sequence[tuple[str, int]]
    calls: Sequence[tuple[str, int, str]]  # by endpoint, with how long they take at its limit
    not_sent: Sequence[Reason]
    journeys: int
    samples: Sequence[Mapping[str, Any]]
    removals: int
    removed: Sequence[Mapping[str, Any]]
    interrupted: bool
    refused: str

    @property
    def sends(self) -> bool:
        """Whether a run would send anything."""
        return bool(self.calls or self.removals) and not self.refused


def sync_row(found: SyncOverview, now: datetime) -> SyncRow:
    """One sync of the list."""
    standing, subject = found.standing, found.standing.subject
    sync = subject.sync
    last = _run_row(standing.runs[0]) if standing.runs else None
    ended = (last.chip, last.state) if last else ("quiet", "never run")
    chip, state = ("accent", "running") if found.running else ended
    return SyncRow(
        name=subject.name,
        title=sync.title or subject.name,
        destination=sync.destination,
        what=f"{sync.object}, {sync.how}",
        source=f"{sync.source.kind} {' '.join(sync.source.place.split())}",
        schedule=sync.schedule or "",
        next_at=next(CronSim(sync.schedule, now.astimezone(UTC))) if sync.schedule else None,
        chip=chip,
        state=state,
        last=last,
        delivered=next((each.rows for each in last.counts if each.name == Bucket.DELIVERED), None) if last else None,
        accepted=standing.accepted,
        rejected=standing.rejected,
        running=found.running,
        may_resume=bool(standing.runs) and standing.runs[0].state is RunState.SENDING and not found.running,
        removes=removes(sync),
        traced=sync.object != "audience",
    )


def sync_page(found: SyncOverview, problem: SyncProblem | None, now: datetime) -> SyncPage:
    """One sync. `problem` ended the last attempt to run it from a console."""
    standing = found.standing
    runs = [_run_row(each) for each in standing.runs]
    waits = runs[0] if standing.runs and standing.runs[0].state is RunState.HELD and not found.running else None
    until = None if waits is None else waits.begun + APPROVED_WITHIN
    last: Mapping[str, Any] = standing.runs[0].facts.get("report", {}) if standing.runs else {}
    return SyncPage(
        row=sync_row(found, now),
        runs=runs,
        progress=_progress(found) if found.running or _unfinished(standing.runs) else None,
        reasons=_reasons((standing.report or last).get("reasons", {})),
        waits=waits,
        valid_until=until,
        expired=until is not None and until < now,
        removed=standing.removed if waits is not None else (),
        has_state=found.has_state,
        problem="" if waits is not None or found.running else _problem(problem, runs),
    )


def removes(sync: Sync) -> str:
    """What becomes of the people that a run removes."""
    return "would leave" if sync.object == "audience" else "would be unsubscribed"


def plan_page(facts: Mapping[str, Any]) -> PlanPage:
    """What a dry run found, from its facts for programs."""
    hours: Mapping[str, float] = facts["hours_at_the_limit"]
    return PlanPage(
        read=facts["read"],
        planned=_planned(facts["rows"]),
        calls=[(endpoint, count, _lasting(hours[endpoint])) for endpoint, count in facts["calls"].items()],
        not_sent=_reasons(facts["not_sent"]),
        journeys=facts["may_start_journeys"],
        samples=facts["samples"],
        removals=facts["removals"],
        removed=facts["removed"],
        interrupted=facts["continues_an_interrupted_run_first"],
        refused=facts["refused"],
    )


def _problem(problem: SyncProblem | None, runs: Sequence[RunRow]) -> str:
    """The problem, unless a run has begun since; else why the last run sent nothing."""
    if problem is not None and (not runs or (runs[0].ended or runs[0].begun) <= problem.at):
        return problem.text
    return f"Nothing was sent. {runs[0].reason}" if runs and runs[0].reason else ""


def _lasting(hours: float) -> str:
    if hours >= 1:
        return f"{hours:.1f} hours"
    return "less than a minute" if hours * 60 < 1 else f"{hours * 60:.0f} minutes"


def _unfinished(runs: Sequence[Run]) -> bool:
    return bool(runs) and runs[0].state is RunState.SENDING


def _progress(found: SyncOverview) -> Progress:
    report = found.standing.report or {}
    total, waiting = report.get("read", 0), report.get(Bucket.WAITING.value, 0)
    reading = not found.standing.runs or found.standing.runs[0].state is not RunState.SENDING
    return Progress(0 if reading else total - waiting, total, reading)


def _run_row(run: Run) -> RunRow:
    chip, state = _ENDS[run.state]
    report: Mapping[str, Any] = run.facts.get("report", {})
    counts = [Count(bucket.value, _CHIPS[bucket], report[bucket.value]) for bucket in Bucket] if report else []
    if run.state is RunState.DONE and any(report.get(name) for name in (Bucket.DROPPED, Bucket.DEAD, Bucket.UNKNOWN)):
        chip, state = "warn", "done, some rejected"
    return RunRow(
        id=run.id,
        begun=from_ms(run.started_ms),
        ended=None if run.ended_ms is None else from_ms(run.ended_ms),
        chip=chip,
        state=state,
        reason=str(run.facts.get("reason", "")) if run.state is not RunState.DONE else "",
        counts=counts,
        planned=_planned(run.facts),
        removals=run.facts.get("removals", 0),
    )


def _planned(rows: Mapping[str, Any]) -> list[tuple[str, int]]:
    return [(words, rows[op.value]) for op, words in _PLANNED.items() if rows.get(op.value)]


def _reasons(counts: Mapping[str, int]) -> list[Reason]:
    return [
        Reason(rows, Outcome.bucket(outcome).value, code_of(outcome), *help_of(code_of(outcome)))
        for outcome, rows in sorted(counts.items(), key=lambda each: -each[1])
    ]
