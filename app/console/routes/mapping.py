"""The mapping: the catalogue in force, and a playground for one event."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from app.console.pages.mapping import EXAMPLE, catalogue_page, trial_page
from app.console.rendering import render
from app.console.visit import Seen, Visit
from app.operations.editing import Rejected, read_json
from app.operations.operator import Operator
from app.operations.trial import tried, whatever_its_age
from app.pipeline import Plan
from app.segment.events import InvalidEvent
from app.wiring.gateway import plan_for, plan_of

router = APIRouter()


@router.get("/mapping")
async def catalogue(request: Request, visit: Seen, destination: str = "") -> Response:
    """What becomes of each event."""
    (name, *_) = visit.operator.chosen(destination or None)
    page = catalogue_page(name, plan_of(visit.operator.topology.destinations[name]))
    return render(request, "mapping.html", visit, page=page)


@router.get("/mapping/try")
async def playground(request: Request, visit: Seen, destination: str = "") -> Response:
    """An example to change."""
    (name, *_) = visit.operator.chosen(destination or None)
    return _page(request, visit, name, "", EXAMPLE)


@router.post("/mapping/try")
async def try_event(
    request: Request,
    visit: Seen,
    event: Annotated[str, Form(max_length=200_000)],
    destination: Annotated[str, Form(max_length=100)] = "",
    source: Annotated[str, Form(max_length=100)] = "",
    ignore_age: Annotated[bool, Form()] = False,
) -> Response:
    """Every decision about one event, and the exact calls. Nothing is sent or stored."""
    (name, *_) = visit.operator.chosen(destination or None)
    try:
        raw = read_json(event)
    except Rejected as rejected:
        return _page(request, visit, name, source, event, problem=str(rejected), status=422)
    plan = _plan(visit.operator, name, source)
    try:
        trial = tried(raw, whatever_its_age(plan) if ignore_age else plan)
    except (InvalidEvent, RecursionError) as invalid:
        problem = f"The gateway would answer with a 400: {invalid}"
        return _page(request, visit, name, source, event, problem=problem, status=422)
    page = trial_page(trial, visit.operator.topology.destinations[name], plan)
    return _page(request, visit, name, source, event, page=page)


def _plan(operator: Operator, destination: str, source: str) -> Plan:
    sender = operator.topology.sources.get(source)
    if sender is None or sender.destination != destination:
        return plan_of(operator.topology.destinations[destination])
    return plan_for(operator.topology, destination, source)


def _page(
    request: Request,
    visit: Visit,
    destination: str,
    source: str,
    event: str,
    *,
    problem: str = "",
    page: Any = None,
    status: int = 200,
) -> Response:
    return render(
        request,
        "playground.html",
        visit,
        status=status,
        destination=destination,
        source=source,
        sources=[name for name, each in visit.operator.topology.sources.items() if each.destination == destination],
        event=event,
        problem=problem,
        page=page,
    )
