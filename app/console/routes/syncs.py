"""Syncs: where each stands, what a run would do, and runs that are begun, continued, approved and stopped here."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Request
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from app.console.access import Right
from app.console.pages.syncs import PlanPage, plan_page, removes, sync_page, sync_row
from app.console.rendering import render
from app.console.visit import Administered, Operated, Seen, Visit
from app.console.web import link
from app.masking import mask_text
from app.operations.operator import BadRequest, NotFound, Operator
from app.rows.files import SourceFailed
from app.rows.outcomes import RunState
from app.rows.state_failed import StateFailed
from app.rows.subject import Subject, subject_of
from app.rows.syncs import Standing, overview, reject_facts, rejects_csv, rejects_of

router = APIRouter()
_REJECTS: Final = 50


class Rows(StrEnum):
    """Which rows a run sends."""

    CHANGED = "what has changed"
    BASELINE = "baseline"  # all are taken as sent
    RESEND = "resend"  # all, although the state was lost or the key has changed


@router.get("/syncs")
async def syncs(request: Request, visit: Seen) -> Response:
    """Every sync."""
    now = datetime.now(UTC)
    found = await overview(visit.operator, list(visit.operator.topology.syncs))
    return render(request, "syncs.html", visit, rows=[sync_row(each, now) for each in found])


@router.get("/syncs/{name}")
async def sync(request: Request, visit: Seen, name: str) -> Response:
    """One sync: its last run, what of it was rejected, and the runs before."""
    subject = _known(visit.operator, name)
    (found,) = await overview(visit.operator, [name])
    page = sync_page(found, await visit.parts.sync_runs.problem(name), datetime.now(UTC))
    rejects = await asyncio.to_thread(_rejects, visit.operator, name, _REJECTS) if page.has_state else []
    return render(
        request,
        "sync.html",
        visit,
        page=page,
        source=subject.source,
        rejects=rejects,
        here=visit.parts.sync_runs.has(name),
        refreshes=found.running or page.row.may_resume,
    )


@router.get("/syncs/{name}/rejects")
async def rejects(visit: Seen, name: str, reveal: bool = False) -> Response:
    """The rows that were not accepted in the last run as CSV; masked, unless the user may see personal data and asks
    for it.
    """
    destination = _known(visit.operator, name).sync.destination
    if reveal:
        if not visit.may(Right.REVEAL, destination):
            raise HTTPException(403)
        await visit.note("reveal", destination=destination, sync=name)
    (found,) = await overview(visit.operator, [name])
    if not found.has_state:
        raise BadRequest(f"The rejected rows of sync {name!r} are on the machine that runs it.")
    content = await asyncio.to_thread(
        lambda: rejects_csv(_rejects(visit.operator, name, None, reveal=reveal)).encode("utf-8-sig")
    )
    headers = {"Content-Disposition": f'attachment; filename="rejects-{name}.csv"'}
    return Response(content, media_type="text/csv; charset=utf-8", headers=headers)


@router.post("/syncs/{name}/plan")
async def plan(request: Request, visit: Operated, name: str) -> Response:
    """Read the source, and show what a run would do. Nothing is sent or stored."""
    from app.rows.forecast import forecast

    subject = _known(visit.operator, name)
    problem, page = "", None
    try:
        page = plan_page((await forecast(visit.operator, name)).facts())
    except SourceFailed as failed:
        problem = f"The source cannot be read. {failed}"
    except StateFailed as failed:
        problem = str(failed)
    return _plan(request, visit, subject, page, problem)


@router.post("/syncs/{name}/run")
async def run(visit: Operated, name: str, rows: Annotated[Rows, Form()] = Rows.CHANGED) -> Response:
    """Begin a run. Only an admin has rows taken as sent, or sent again."""
    from app.rows.run import run as run_sync

    subject, _ = await _runnable(visit, name)
    if rows is not Rows.CHANGED and not visit.may(Right.ADMINISTER, subject.sync.destination):
        raise HTTPException(403)
    await visit.note("run a sync", destination=subject.sync.destination, sync=name, rows=rows.value)
    baseline, resend = rows is Rows.BASELINE, rows is Rows.RESEND
    await visit.parts.sync_runs.begin(name, run_sync(visit.operator, name, baseline=baseline, resend=resend))
    return RedirectResponse(link("syncs", name), 303)


@router.post("/syncs/{name}/resume")
async def resume(visit: Operated, name: str) -> Response:
    """Continue the run that was interrupted."""
    from app.rows.run import resume as resume_sync

    subject, _ = await _runnable(visit, name)
    await visit.note("resume a sync", destination=subject.sync.destination, sync=name)
    await visit.parts.sync_runs.begin(name, resume_sync(visit.operator, name))
    return RedirectResponse(link("syncs", name), 303)


@router.post("/syncs/{name}/approve")
async def approve(visit: Administered, name: str, run_id: Annotated[str, Form(alias="run", max_length=50)]) -> Response:
    """Carry out the plan that was refused because it removes people: exactly that one."""
    from app.rows.run import approve as approve_run

    subject, standing = await _runnable(visit, name)
    if not standing.runs or standing.runs[0].id != run_id or standing.runs[0].state is not RunState.HELD:
        raise BadRequest("The plan that you saw was replaced, or has ended. Reload the page.")
    await visit.note("approve a sync", destination=subject.sync.destination, sync=name, run=run_id)
    await visit.parts.sync_runs.begin(name, approve_run(visit.operator, name, run_id))
    return RedirectResponse(link("syncs", name), 303)


@router.post("/syncs/{name}/stop")
async def stop(visit: Operated, name: str) -> Response:
    """Interrupt the run of this console."""
    subject = _known(visit.operator, name)
    if not visit.parts.sync_runs.has(name):
        raise BadRequest(f"This console does not run sync {name!r} now. Stop it where it was begun.")
    await visit.note("stop a sync", destination=subject.sync.destination, sync=name)
    await visit.parts.sync_runs.stop(name)
    return RedirectResponse(link("syncs", name, note="sync-stopped"), 303)


def _plan(request: Request, visit: Visit, subject: Subject, page: PlanPage | None, problem: str) -> Response:
    shown = {"name": subject.name, "title": subject.sync.title or subject.name, "removes": removes(subject.sync)}
    status = 200 if page is not None else 409
    return render(request, "sync_plan.html", visit, status=status, page=page, problem=problem, **shown)


def _known(operator: Operator, name: str) -> Subject:
    """The sync. Raises NotFound: in a path, what does not exist is a page that does not."""
    try:
        return subject_of(operator, name)
    except BadRequest as refusal:
        raise NotFound(str(refusal)) from None


async def _runnable(visit: Visit, name: str) -> tuple[Subject, Standing]:
    """The sync and where it stands, where this process can run it. Raises NotFound and BadRequest."""
    subject = _known(visit.operator, name)
    (found,) = await overview(visit.operator, [name])
    if not found.has_state:
        raise BadRequest(f"The state of sync {name!r} is on another machine. Run it there.")
    return subject, found.standing


def _rejects(operator: Operator, name: str, most: int | None, *, reveal: bool = False) -> list[dict[str, Any]]:
    found: Iterator[Any] = islice(rejects_of(operator, name), most)
    return [reject_facts(each, each.label if reveal else mask_text(each.label)) for each in found]
