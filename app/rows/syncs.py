"""What is known of syncs without running them: the last runs, how many rows were accepted, and the rejects.

The state of a sync is a file of the machine that runs it. Where the sync stands is published in Redis too, without
personal data, so that the console shows it on any machine.
"""

import asyncio
import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from typing import Any, Final

import orjson

from app.delivery.row_outcomes import are_leased, note_standing, read_standings
from app.operations.operator import Operator
from app.rows.audience import shown_member
from app.rows.codes import help_of
from app.rows.outcomes import Outcome, RunState, code_of, report_of
from app.rows.remote import copied
from app.rows.staged import Rejected, Run
from app.rows.state import State
from app.rows.state_failed import StateFailed
from app.rows.subject import Subject, subject_of

_SHOWN: Final = 10
_RUNS: Final = 20  # that are published


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one sync stands. All is empty before its first run."""

    subject: Subject
    runs: tuple[Run, ...] = ()  # newest first
    accepted: int = 0
    rejected: int = 0
    report: dict[str, Any] | None = None  # of the run that is under way or was interrupted
    removed: tuple[Any, ...] = ()  # some of the people whom it would remove, masked

    def facts(self) -> dict[str, Any]:
        """The same for programs."""
        sync = self.subject.sync
        return {
            "sync": self.subject.name,
            "title": sync.title or self.subject.name,
            "destination": sync.destination,
            "object": sync.object,
            "mode": sync.how,
            "source": {"kind": sync.source.kind, "place": sync.source.place},
            "schedule": sync.schedule,
            "accepted": self.accepted,
            "rejected": self.rejected,
            "under_way": self.report,
            "removed": list(self.removed),
            "runs": [run_facts(run) for run in self.runs],
        }


@dataclass(frozen=True, slots=True)
class SyncOverview:
    """One sync as any process sees it."""

    standing: Standing
    running: bool  # a run of it is under way somewhere
    has_state: bool  # its state is on this machine, or it has not run on any yet


def standing_of(operator: Operator, name: str, *, runs: int = 1) -> Standing:
    """Where a sync stands, with its last runs. Raises BadRequest."""
    subject = subject_of(operator, name)
    with copied(subject) as (path, _):
        if not path.exists():
            return Standing(subject)
        with State(path, subject.place) as state:
            return _standing_in(subject, state, runs)


def _standing_in(subject: Subject, state: State, runs: int) -> Standing:
    outcomes = state.outcomes()
    return Standing(
        subject,
        tuple(state.runs(runs)),
        state.accepted.count(),
        state.rejected_count(),
        report_of(outcomes).facts() if outcomes else None,
        tuple(shown_member(member) for _, member in state.members.leaving(_SHOWN)),
    )


def rejects_of(operator: Operator, name: str) -> Iterator[Rejected]:
    """The rows that were not accepted in the last run. Raises BadRequest."""
    subject = subject_of(operator, name)
    with copied(subject) as (path, _):
        if path.exists():
            with State(path, subject.place) as state:
                yield from state.rejects()


def run_facts(run: Run) -> dict[str, Any]:
    """One run for programs."""
    return {
        "run": run.id,
        "state": run.state.value,
        "started_at": _moment(run.started_ms),
        "ended_at": None if run.ended_ms is None else _moment(run.ended_ms),
        **run.facts,
    }


def reject_facts(reject: Rejected, shown_key: str) -> dict[str, Any]:
    """One reject for programs, with what its code means and what to do."""
    code = code_of(reject.outcome)
    help_ = help_of(code)
    return {
        "row": reject.place,
        "key": shown_key,
        "ended": Outcome.bucket(reject.outcome).value,
        "code": code,
        "detail": reject.detail,
        "meaning": help_.meaning,
        "action": help_.action,
        "message_id": reject.message_id,
    }


def _moment(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="seconds")


async def publish(operator: Operator, name: str) -> None:
    """Store in Redis where a sync stands. Raises BadRequest and StoreError."""
    await _publish(operator, await asyncio.to_thread(standing_of, operator, name, runs=_RUNS))


async def publish_state(operator: Operator, subject: Subject, state: State) -> None:
    """Store in Redis where a sync stands by a state that is open. Raises StoreError."""
    await _publish(operator, _standing_in(subject, state, _RUNS))


async def _publish(operator: Operator, standing: Standing) -> None:
    subject = standing.subject
    await note_standing(operator.redis, subject.sync.destination, subject.name, _packed(standing))


async def overview(operator: Operator, names: Sequence[str]) -> list[SyncOverview]:
    """Where these syncs stand: by their state where this machine has it, else as published. Raises BadRequest and
    StoreError.
    """
    subjects = [subject_of(operator, name) for name in names]
    places = [(subject.sync.destination, subject.name) for subject in subjects]
    running, published = await are_leased(operator.redis, places), await read_standings(operator.redis, places)
    found = []
    for subject, leased, packed in zip(subjects, running, published, strict=True):
        own = await asyncio.to_thread(_own_standing, operator, subject)
        standing = own or (Standing(subject) if packed is None else _unpacked(subject, packed))
        found.append(SyncOverview(standing, leased, own is not None or packed is None))
    return found


def _own_standing(operator: Operator, subject: Subject) -> Standing | None:
    try:
        return standing_of(operator, subject.name, runs=_RUNS) if subject.has_state else None
    except StateFailed:  # not ours to read
        return None


def _packed(standing: Standing) -> bytes:
    runs = [(run.id, run.state, run.started_ms, run.ended_ms, run.facts) for run in standing.runs]
    return orjson.dumps([standing.accepted, standing.rejected, standing.report, standing.removed, runs])


def _unpacked(subject: Subject, packed: bytes) -> Standing:
    accepted, rejected, report, removed, runs = orjson.loads(packed)
    known = tuple(Run(id_, RunState(state), begun, ended, facts) for id_, state, begun, ended, facts in runs)
    return Standing(subject, known, accepted, rejected, report, tuple(removed))


def rejects_csv(rejects: Iterable[dict[str, Any]]) -> str:
    """Rejects, each as `reject_facts` has it, as a table for spreadsheets."""
    text = StringIO()
    columns = ("row", "key", "ended", "code", "detail", "meaning", "action", "message_id")
    lines = csv.DictWriter(text, columns, lineterminator="\n")
    lines.writeheader()
    lines.writerows({name: _not_a_formula(value) for name, value in row.items()} for row in rejects)
    return text.getvalue()


def _not_a_formula(value: Any) -> Any:
    """A spreadsheet would calculate text that begins like a formula: it gets an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value
