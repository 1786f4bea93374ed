"""`attentive-gateway sync`: the rows of files and databases, planned, sent and reported."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any, TypeVar, cast

import orjson
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from app.commands.common import audit, err, fail, join_local_run, out, with_redis
from app.commands.sync_page import (
    print_finished,
    print_forecast,
    print_history,
    print_list,
    print_rejects,
    print_status,
)
from app.config.bad_settings import BadSettings
from app.logs import set_up_logging
from app.masking import mask_text
from app.operations.operator import Operator
from app.process import ignore_sighup, tune_gc
from app.rows import forecast, run, syncs
from app.rows.files import SourceFailed
from app.rows.guard import SyncRefused
from app.rows.run import Finished
from app.rows.schedule import keep_schedule
from app.rows.staged import Rejected
from app.settings import load_settings
from app.store.connection import QueueUnavailable, open_redis

T = TypeVar("T")
REJECTED, WAITING = 3, 4  # exit statuses

commands = typer.Typer(
    no_args_is_help=True,
    help="Send the rows of files and databases to Attentive: only what is new, and with a report on every row.",
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of the sync in the configuration.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
NoWait = Annotated[
    bool, typer.Option("--no-wait", help="Return when all rows are handed over. `resume` completes the report.")
]


class _Bar:
    """A progress bar on the terminal, and nothing elsewhere."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None)

    def phase(self, name: str, total: int | None) -> None:
        """Begin a new bar in place of the last one."""
        self._progress.remove_task(self._task)
        self._task = self._progress.add_task(name, total=total)

    def advance(self, rows: int) -> None:
        """Move the bar."""
        self._progress.advance(self._task, rows)


@contextmanager
def _bar() -> Iterator[_Bar]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=err, transient=True, disable=not err.is_terminal
    ) as progress:
        yield _Bar(progress)


def _run(work: Callable[[Operator], Awaitable[T]]) -> T:
    try:
        return with_redis(work)
    except SyncRefused as refused:
        fail(f"Nothing was sent ({refused.code}). {refused}")
    except SourceFailed as failed:
        fail(f"Nothing was sent. {failed}")
    except QueueUnavailable as unavailable:
        fail(f"Redis cannot keep rows now ({unavailable}). `sync resume` continues where the run was.")


@commands.command("list")
def list_syncs(as_json: AsJson = False) -> None:
    """List the syncs, each with its last run."""

    async def work(operator: Operator) -> list[syncs.Standing]:
        return [syncs.standing_of(operator, name) for name in operator.topology.syncs]

    found = _run(work)
    if as_json:
        for standing in found:
            _print_json(standing.facts())
    else:
        print_list(out, found)


@commands.command("plan")
def plan(name: Name, as_json: AsJson = False) -> None:
    """Show what a run would do now: rows, calls, samples and time. Nothing is sent or stored.

    Exit status 1: the source cannot be read, or the run would be refused.
    """

    async def work(operator: Operator) -> forecast.Forecast:
        with _bar() as bar:
            return await forecast.forecast(operator, name, bar)

    tune_gc()
    found = _run(work)
    if as_json:
        _print_json(found.facts())
    else:
        print_forecast(out, name, found)
    if found.first_bad:
        raise typer.Exit(1)


@commands.command("run")
def run_sync(
    name: Name,
    no_wait: NoWait = False,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Take all rows of the source as sent, and send none of them.")
    ] = False,
    resend: Annotated[
        bool,
        typer.Option("--resend", help="Send all rows as new although the state was lost or the key has changed."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read the source, send the rows that are new or changed, and report what became of each.

    A run that was interrupted is continued first. Ctrl-C interrupts a run; nothing is lost.

    Exit status 1: nothing was sent; 3: some rows were rejected; 4: some rows still wait.
    """
    if baseline and resend:
        fail("Give either --baseline or --resend.", 2)

    async def work(operator: Operator) -> list[Finished]:
        with _bar() as bar:
            how = "baseline" if baseline else "resend" if resend else "what has changed"
            await audit(operator, "run a sync", sync=name, rows=how)
            return await run.run(operator, name, wait=not no_wait, baseline=baseline, resend=resend, progress=bar)

    _report(name, _until_stopped(work, name), as_json=as_json)


@commands.command("resume")
def resume_sync(name: Name, no_wait: NoWait = False, as_json: AsJson = False) -> None:
    """Continue a run that was interrupted, and report what became of its rows. The source is not read again.

    Exit status 3: some rows were rejected; 4: some rows still wait.
    """

    async def work(operator: Operator) -> list[Finished]:
        with _bar() as bar:
            found = await run.resume(operator, name, wait=not no_wait, progress=bar)
            return [] if found is None else [found]

    finished = _until_stopped(work, name)
    if not finished and not as_json:
        out.print("No run was interrupted.")
    _report(name, finished, as_json=as_json)


@commands.command("approve")
def approve_run(
    name: Name,
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The ID of the run that was refused.")],
    no_wait: NoWait = False,
    as_json: AsJson = False,
) -> None:
    """Carry out a plan that was refused because it removes people: exactly that plan, within an hour.

    Exit status 3: some rows were rejected; 4: some rows still wait.
    """

    async def work(operator: Operator) -> list[Finished]:
        with _bar() as bar:
            await audit(operator, "approve a sync", sync=name, run=run_id)
            return [await run.approve(operator, name, run_id, wait=not no_wait, progress=bar)]

    _report(name, _until_stopped(work, name), as_json=as_json)


@commands.command("schedule")
def schedule() -> None:
    """Run each sync at the times of its `schedule`, until it is stopped. Interrupted runs are continued first.

    `run` starts this process where a sync has a schedule. In production run one of it, beside a disk for the state.
    """
    ignore_sighup()
    tune_gc()
    join_local_run()
    ours = load_settings()
    set_up_logging(ours.log_level, ours.log_format, component="sync")

    async def work() -> None:
        redis = open_redis(ours.redis_url.get_secret_value())
        loop, me = asyncio.get_running_loop(), asyncio.current_task()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, cast("asyncio.Task[None]", me).cancel)
        try:
            with suppress(asyncio.CancelledError):
                await keep_schedule(lambda: Operator(ours, load_settings().topology(), redis))
        finally:
            await redis.aclose(close_connection_pool=True)

    try:
        asyncio.run(work())
    except BadSettings as problem:
        fail(f"{problem}.", 2)


@commands.command("status")
def status(name: Name, as_json: AsJson = False) -> None:
    """Show where a sync stands: its last run, the rows that were accepted, and those that were not."""

    async def work(operator: Operator) -> syncs.Standing:
        return syncs.standing_of(operator, name)

    found = _run(work)
    if as_json:
        _print_json(found.facts())
    else:
        print_status(out, found)


@commands.command("history")
def history(
    name: Name,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The largest number of runs.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the runs of a sync, newest first."""

    async def work(operator: Operator) -> syncs.Standing:
        return syncs.standing_of(operator, name, runs=limit)

    found = _run(work)
    if as_json:
        for each in found.runs:
            _print_json(syncs.run_facts(each))
    else:
        print_history(out, found)


class RejectsAs(StrEnum):
    """The form in which rejects are printed."""

    TABLE = "table"
    CSV = "csv"
    NDJSON = "ndjson"


@commands.command("rejects")
def rejects(
    name: Name,
    form: Annotated[RejectsAs, typer.Option("--format", help="How they are printed.")] = RejectsAs.TABLE,
    limit: Annotated[int | None, typer.Option(min=1, help="The largest number of rows. A table has 50.")] = (None),
    reveal: Annotated[bool, typer.Option("--reveal", help="Show keys that are addresses or phone numbers.")] = False,
) -> None:
    """Show the rows that Attentive did not accept in the last run: each with its code and what to do about it."""

    async def work(operator: Operator) -> list[Rejected]:
        most = 50 if limit is None and form is RejectsAs.TABLE else limit
        rows = list(islice(syncs.rejects_of(operator, name), most))
        if reveal:
            await audit(operator, "reveal", sync=name, rows=len(rows))
        return rows

    found = _run(work)
    rows = [syncs.reject_facts(each, each.label if reveal else mask_text(each.label)) for each in found]
    match form:
        case RejectsAs.TABLE:
            print_rejects(out, rows)
        case RejectsAs.CSV:
            sys.stdout.write(syncs.rejects_csv(rows))
        case RejectsAs.NDJSON:
            for row in rows:
                _print_json(row)


@commands.command("reset")
def reset(name: Name, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Forget what Attentive accepted of a sync. The next run takes all of its rows for new. Nothing is sent."""

    async def work(operator: Operator) -> bool:
        standing = syncs.standing_of(operator, name)
        question = f"Forget {standing.accepted:,} accepted rows of {name}? The next run takes every row for new."
        if not yes and not typer.confirm(question):
            return False
        await run.reset(operator, name)
        await audit(operator, "reset a sync", sync=name, accepted=standing.accepted)
        return True

    if not _run(work):
        raise typer.Exit(1)
    out.print(f"The state of {name} is empty.", markup=False)


def _until_stopped(work: Callable[[Operator], Awaitable[list[Finished]]], name: str) -> list[Finished]:
    tune_gc()
    try:
        return _run(work)
    except KeyboardInterrupt:
        err.print(f"Stopped. Continue with `attentive-gateway sync resume {name}`.", markup=False, highlight=False)
        raise typer.Exit(130) from None


def _report(name: str, finished: list[Finished], *, as_json: bool) -> None:
    for each in finished:
        if as_json:
            _print_json({**syncs.run_facts(each.run), "resumed": each.resumed, **each.report.facts()})
        else:
            print_finished(out, name, each)
    if any(each.report.waiting for each in finished):
        raise typer.Exit(WAITING)
    if any(each.report.rejected for each in finished):
        raise typer.Exit(REJECTED)


def _print_json(facts: dict[str, Any]) -> None:
    out.out(orjson.dumps(facts).decode(), highlight=False)
