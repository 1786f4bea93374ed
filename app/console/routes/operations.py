"""Lanes, destinations and sources, and what an operator does with them."""

from datetime import UTC, datetime, timedelta
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from app.console.pages.lanes import lanes_page
from app.console.pages.overview import hold_line
from app.console.pages.topology import (
    DestinationPage,
    destination_row,
    destination_settings,
    lag_row,
    source_rows,
    token_page,
)
from app.console.refused import refusals_seen
from app.console.rendering import render
from app.console.visit import Administered, Operated, Seen
from app.console.web import link
from app.delivery.backlog import lane_depths, read_workload
from app.delivery.journal.event_search import attempts_lately
from app.delivery.queue_age import oldest_receipts
from app.delivery.recipients import Deliver
from app.operations.accounts import account_change, discard_old, keep
from app.operations.destinations import DestinationStatus, read_statuses, resume
from app.operations.lag import lag_status
from app.operations.operator import BadRequest, NotFound, Operator
from app.operations.promotion import delivers_to, plan_promotion
from app.operations.tokens import check_token, note_findings
from app.wiring.shared import all_paces

router = APIRouter()
_REFUSALS: Final = 50
_USED_OVER: Final = timedelta(seconds=10)


@router.get("/lanes")
async def lanes(request: Request, visit: Seen, destination: str = "") -> Response:
    """What waits where, and how long it will take."""
    operator = visit.operator
    wanted = set(operator.chosen(destination or None))
    paces = {lane: pace for lane, pace in all_paces(operator.topology).items() if lane.destination in wanted}
    depths = await lane_depths(operator.redis, list(paces))
    work = await read_workload(operator.redis, depths, paces)
    oldest = await oldest_receipts(operator.redis, depths)
    statuses = await read_statuses(operator, destination or None)
    now = datetime.now(UTC)
    used = {name: await attempts_lately(operator.redis, name, now, _USED_OVER) for name in sorted(wanted)}
    page = lanes_page(depths, work, oldest, statuses, used, now)
    return render(request, "lanes.html", visit, page=page, destination=destination)


@router.get("/destinations")
async def destinations(request: Request, visit: Seen) -> Response:
    """Every destination."""
    statuses = {status.name: status for status in await read_statuses(visit.operator)}
    rows = [
        destination_row(name, settings, statuses[name], _sources(visit.operator, name))
        for name, settings in visit.operator.topology.destinations.items()
    ]
    return render(request, "destinations.html", visit, rows=rows)


@router.get("/destinations/{name}")
async def destination(request: Request, visit: Seen, name: str) -> Response:
    """One destination: its holds, its token, its settings."""
    status = await _status(visit.operator, name)
    settings, now = visit.operator.topology.destinations[name], datetime.now(UTC)
    row = destination_row(name, settings, status, _sources(visit.operator, name))
    page = DestinationPage(
        row,
        [hold_line(each, status.token, now) for each in status.holds],
        destination_settings(settings),
        [lag_row(each) for each in await lag_status(visit.operator, name)],
    )
    change = None
    if any(hold.needs_decision for hold in page.holds):
        change = await account_change(visit.operator, name)
    return render(request, "destination.html", visit, page=page, change=change)


@router.get("/destinations/{name}/promote")
async def promote(request: Request, visit: Operated, name: str, to: Deliver | None = None) -> Response:
    """What would change if the destination delivered to more people. It changes nothing itself."""
    plan = await plan_promotion(visit.operator, _known(visit.operator, name), to)
    return render(request, "promote.html", visit, plan=plan, now=delivers_to(plan.now), then=delivers_to(plan.then))


@router.post("/destinations/{name}/resume")
async def resume_now(visit: Operated, name: str) -> Response:
    """End the holds, and send now."""
    ended = await resume(visit.operator, _known(visit.operator, name))
    await visit.note("resume", destination=name, holds=ended)
    note = {"note": "resumed", "n": ended} if ended else {"note": "nothing-held"}
    return RedirectResponse(link("lanes", **note), 303)


@router.post("/destinations/{name}/test")
async def test_token(request: Request, visit: Operated, name: str) -> Response:
    """Ask Attentive about the token and its scopes. Nothing is written there."""
    topology = visit.operator.topology
    found = await check_token(topology.destinations[_known(visit.operator, name)], topology.syncs_of(name))
    await note_findings(visit.operator, name, found)
    await visit.note("test token", destination=name, works=str(found.works))
    return render(request, "token.html", visit, page=token_page(name, found))


@router.post("/destinations/{name}/keep")
async def keep_calls(visit: Administered, name: str) -> Response:
    """Send to the new account what was queued for the old one."""
    change = await account_change(visit.operator, _known(visit.operator, name))
    await keep(visit.operator, change)
    await visit.note("keep calls", destination=name)
    return RedirectResponse(link("destinations", name, note="kept"), 303)


@router.post("/destinations/{name}/discard")
async def discard_calls(visit: Administered, name: str) -> Response:
    """Discard what was queued for the old account."""
    change = await account_change(visit.operator, _known(visit.operator, name))
    gone = await discard_old(visit.operator, change)
    await visit.note("discard calls", destination=name, waiting=gone.waiting, kept=gone.kept)
    return RedirectResponse(link("destinations", name, note="discarded", n=gone.waiting + gone.kept), 303)


@router.get("/sources")
async def sources(request: Request, visit: Seen) -> Response:
    """Every source, and how to post to it."""
    settings = visit.parts.settings
    host = "localhost" if settings.host in ("0.0.0.0", "::") else settings.host
    rows = source_rows(visit.operator.topology.sources)
    refusals = (await refusals_seen(visit))[:_REFUSALS]
    return render(
        request, "sources.html", visit, rows=rows, refusals=refusals, gateway=f"http://{host}:{settings.port}"
    )


async def _status(operator: Operator, name: str) -> DestinationStatus:
    (status,) = await read_statuses(operator, _known(operator, name))
    return status


def _known(operator: Operator, name: str) -> str:
    """The name itself. Raises NotFound: in a path, what does not exist is a page that does not."""
    try:
        operator.chosen(name)
    except BadRequest as refusal:
        raise NotFound(str(refusal)) from None
    return name


def _sources(operator: Operator, destination: str) -> list[str]:
    return [name for name, source in operator.topology.sources.items() if source.destination == destination]
