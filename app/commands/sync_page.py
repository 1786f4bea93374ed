"""What `attentive-gateway sync` prints."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from rich.console import Console

from app.attentive.endpoints import SEGMENT_MEMBERS, UNSUBSCRIBE
from app.commands.common import numeric, table_with, whole
from app.rows.bulk import MEMBERS_PER_CALL
from app.rows.codes import help_of
from app.rows.forecast import Forecast
from app.rows.outcomes import Bucket, Op, Outcome, Report, RunState, code_of
from app.rows.run import Finished
from app.rows.staged import Run
from app.rows.syncs import Standing

_EMPTY: Final = "The configuration has no `syncs`. See docs/rows.md for a first one."


def print_list(out: Console, found: Sequence[Standing]) -> None:
    """All syncs."""
    if not found:
        out.print(_EMPTY, markup=False)
        return
    table = table_with(whole("Sync"), "From and to", "Last run", *numeric("Accepted", "Rejected"))
    for each in found:
        sync = each.subject.sync
        last = _last(each.runs[0]) if each.runs else "never"
        place = " ".join(sync.source.place.split())
        way = f"{sync.source.kind} {place if len(place) <= 40 else place[:39] + '…'}\n→ {sync.destination}"
        what = f"{each.subject.name}\n{sync.object}, {sync.how}"
        table.add_row(what, way, last, f"{each.accepted:,}", f"{each.rejected:,}")
    out.print(table)


def print_status(out: Console, found: Standing) -> None:
    """One sync."""
    sync = found.subject.sync
    out.print(
        f"{found.subject.name}: {sync.object}, {sync.how}, from {sync.source.kind} to {sync.destination}",
        markup=False,
        highlight=False,
    )
    out.print(f"{found.accepted:,} rows are accepted by Attentive, {found.rejected:,} were rejected in the last run.")
    if not found.runs:
        name = found.subject.name
        out.print(f"It has not run yet. Preview it with: attentive-gateway sync plan {name}", highlight=False)
        return
    out.print(f"Last run {found.runs[0].id}: {_last(found.runs[0])}", markup=False, highlight=False)
    last = found.runs[0]
    if last.state is RunState.HELD:
        out.print(f"{last.facts['reason']}", style="yellow", markup=False, highlight=False)
        for member in found.removed:
            out.print(f"  {orjson.dumps(member).decode()}", style="dim", markup=False, highlight=False)
        out.print(f"Approve it with: attentive-gateway sync approve {found.subject.name} {last.id}", highlight=False)
        return
    if found.report is not None:
        counts = ", ".join(f"{found.report[bucket.value]:,} {bucket.value}" for bucket in Bucket)
        out.print(f"Under way: {counts}", markup=False, highlight=False)


def print_history(out: Console, found: Standing) -> None:
    """The runs of one sync."""
    if not found.runs:
        out.print("It has not run yet.")
        return
    table = table_with(whole("Run\nstarted"), *numeric(*(bucket.value.capitalize() for bucket in Bucket)))
    for each in found.runs:
        report = each.facts.get("report", {})
        numbers = [f"{report[name]:,}" if name in report else "-" for name in Bucket]
        table.add_row("\n".join([each.id, *_moment(each.started_ms).split(), each.state]), *numbers)
    out.print(table)
    for each in found.runs:
        if "reason" in each.facts:
            out.print(f"{each.id}: {each.facts['reason']}", markup=False, highlight=False)


def print_finished(out: Console, name: str, finished: Finished) -> None:
    """The report on a run."""
    report = finished.report
    what = "continued" if finished.resumed else "done" if not report.waiting else "handed over"
    out.print(f"Run {finished.run.id} of {name} is {what}: {report.read:,} rows", markup=False, highlight=False)
    _print_buckets(out, report)
    if report.reasons:
        table = table_with(*numeric("Rows"), "Ended", whole("Code"), "Meaning", "What to do")
        for outcome, number in sorted(report.reasons.items(), key=lambda item: -item[1]):
            help_ = help_of(code_of(outcome))
            ended = Outcome.bucket(outcome).value
            table.add_row(f"{number:,}", ended, code_of(outcome), help_.meaning, help_.action)
        out.print(table)
        out.print(f"The rows: attentive-gateway sync rejects {name}", markup=False, highlight=False)
    if report.waiting:
        out.print(f"Complete the report with: attentive-gateway sync resume {name}", markup=False, highlight=False)


def _print_buckets(out: Console, report: Report) -> None:
    counts = ", ".join(f"{report.buckets[bucket]:,} {bucket.value}" for bucket in Bucket)
    out.print(f"  {counts}", markup=False, highlight=False)


def print_forecast(out: Console, name: str, found: Forecast) -> None:
    """The dry run."""
    if found.interrupted:
        out.print("An earlier run was interrupted. It is continued first; the numbers below do not count it.")
    counts = ", ".join(f"{found.ops.get(op, 0):,} {op.value}" for op in Op if found.ops.get(op))
    out.print(f"{found.read:,} rows: {counts or 'none'}", markup=False, highlight=False)
    if found.first_bad:
        out.print(
            f"The run would be refused. {found.first_bad}",
            style="red",
            markup=False,
        )
    if found.removals and UNSUBSCRIBE.name in found.calls:
        out.print(f"  {found.removals:,} would be unsubscribed", style="yellow", highlight=False)
    elif found.removals:
        out.print(f"  {found.removals:,} would leave the audience:", style="yellow", highlight=False)
        for member in found.removed:
            out.print(f"    {orjson.dumps(member).decode()}", style="dim", markup=False, highlight=False)
    for endpoint, number in found.calls.items():
        if endpoint == SEGMENT_MEMBERS.name:
            out.print(f"  {number:,} members, {MEMBERS_PER_CALL:,} in a call", highlight=False)
            continue
        calls = f"{number:,} calls" if number > 1 else "1 call"
        lasting = _lasting(found.hours[endpoint])
        out.print(f"  {calls} to {endpoint}, at its limit in {lasting}", markup=False, highlight=False)
    if found.journeys:
        out.print(f"  {found.journeys:,} of them are recent enough to start a journey", highlight=False)
    for outcome, number in sorted(found.not_sent.items(), key=lambda item: -item[1]):
        text = f"  {number:,} not sent: {code_of(outcome)}. {help_of(code_of(outcome)).action}"
        out.print(text, style="yellow", markup=False, highlight=False)
    for sample in found.samples:
        body = orjson.dumps(sample["body"]).decode()
        out.print(f"  row {sample['row']:,} → {sample['endpoint']}", style="dim", markup=False, highlight=False)
        out.print(f"    {body}", style="dim", markup=False, highlight=False, soft_wrap=True)
    if found.calls and not found.first_bad:
        out.print(f"Send them with: attentive-gateway sync run {name}", markup=False, highlight=False)
    elif not found.calls and not found.removals:
        out.print("There is nothing to send.")


def print_rejects(out: Console, rows: Sequence[dict[str, Any]]) -> None:
    """The rejects of the last run."""
    if not rows:
        out.print("No row was rejected in the last run.")
        return
    table = table_with(*numeric("Row"), "Key", "Ended", whole("Code"), "Detail", "What to do")
    for row in rows:
        table.add_row(f"{row['row']:,}", row["key"], row["ended"], row["code"], row["detail"], row["action"])
    out.print(table)


def _lasting(hours: float) -> str:
    if hours >= 1:
        return f"{hours:.1f} hours"
    return "less than a minute" if hours * 60 < 1 else f"{hours * 60:.0f} minutes"


def _last(run: Run) -> str:
    report = run.facts.get("report", {})
    rejected = sum(report.get(bucket, 0) for bucket in (Bucket.DROPPED, Bucket.DEAD, Bucket.UNKNOWN))
    counts = f", {report.get('delivered', 0):,} delivered, {rejected:,} rejected" if report else ""
    return f"{run.state} {_moment(run.started_ms)}{counts}"


def _moment(epoch_ms: int) -> str:
    return f"{datetime.fromtimestamp(epoch_ms / 1000, UTC):%Y-%m-%d %H:%M}"
