"""Changing a destination's mapping: a form for a row, YAML for all of it, a comparison, and revisions."""

from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Form, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from app.console.pages.mapping_edit import KINDS, draft_page, row_form, row_from
from app.console.rendering import render
from app.console.visit import Administered, Visit
from app.console.web import link
from app.operations.mapping_draft import (
    COMPARED,
    Draft,
    compare,
    draft,
    put_into_use,
    read_mapping,
    recorded_events,
    row_of,
    with_row,
)
from app.operations.operator import BadRequest
from app.wiring.gateway import plan_of

router = APIRouter()
Text = Annotated[str, Form(max_length=500_000)]
Name = Annotated[str, Form(max_length=200)]
_FIELDS: Final = 500


@router.get("/mapping/edit")
async def edit(request: Request, visit: Administered, destination: str = "", event: str = "", to: str = "") -> Response:
    """The form for one row."""
    (name, *_) = visit.operator.chosen(destination or None)
    file, event = read_mapping(visit.operator, name), event.strip()[:200]
    if not event:
        return _row_page(request, visit, name, None)
    spelled, row = row_of(file.mapping, event)
    recorded = await recorded_events(visit.operator, name, event)
    catalogue = plan_of(visit.operator.topology.destinations[name]).catalogue
    page = row_form(name, spelled, row, to, catalogue, recorded[0] if recorded else None)
    return _row_page(request, visit, name, page)


def _row_page(request: Request, visit: Visit, destination: str, page: Any) -> Response:
    plan = plan_of(visit.operator.topology.destinations[destination])
    events = sorted({rule.event for rule in plan.catalogue.rules if rule.event})
    return render(request, "mapping_row.html", visit, destination=destination, page=page, kinds=KINDS, events=events)


@router.post("/mapping/edit")
async def write_row(request: Request, visit: Administered) -> Response:
    """The row of a form as YAML, as part of a draft."""
    async with request.form(max_fields=_FIELDS) as given:
        form = {name: value for name, value in given.items() if isinstance(value, str)}
    (name, *_) = visit.operator.chosen(form.get("destination") or None)
    event = form.get("event", "").strip()
    if not event:
        raise BadRequest("The form names no event.")
    file = read_mapping(visit.operator, name)
    spelled, row = row_of(file.mapping, event)
    made = {} if form.get("remove") else row_from(form, row)
    return await _draft_page(request, visit, draft(file, with_row(file.mapping, spelled, made)))


@router.get("/mapping/draft")
async def all_of_it(request: Request, visit: Administered, destination: str = "") -> Response:
    """The whole mapping as YAML."""
    (name, *_) = visit.operator.chosen(destination or None)
    file = read_mapping(visit.operator, name)
    return await _draft_page(request, visit, draft(file, file.mapping))


@router.post("/mapping/draft")
async def check(
    request: Request, visit: Administered, mapping: Text = "", destination: Name = "", events: Text = ""
) -> Response:
    """Check a draft, and compare it with what is in use, on recorded events or on those that are given."""
    (name, *_) = visit.operator.chosen(destination or None)
    return await _draft_page(request, visit, draft(read_mapping(visit.operator, name), mapping), events)


async def _draft_page(request: Request, visit: Visit, drafted: Draft, events: str = "") -> Response:
    name = drafted.file.destination
    given = _events(events) if events.strip() else await recorded_events(visit.operator, name)
    page = draft_page(drafted, await compare(drafted, given if drafted.changed else []))
    status = 422 if page.mistakes else 200
    return render(request, "mapping_draft.html", visit, status=status, page=page, events=events, recorded=len(given))


def _events(text: str) -> list[Any]:
    events = []
    for number, line in enumerate(filter(str.strip, text.splitlines()), 1):
        if number > COMPARED:
            raise BadRequest(f"Compare at most {COMPARED} events here. `mapping diff` takes files of any size.")
        try:
            events.append(orjson.loads(line))
        except orjson.JSONDecodeError:
            raise BadRequest(f"Line {number} of the events is not JSON. Write one event in each line.") from None
    return events


@router.post("/mapping/use")
async def use(visit: Administered, destination: Name, base: Name, mapping: Text = "") -> Response:
    """Put a draft into use: write the file, and keep a revision."""
    (name, *_) = visit.operator.chosen(destination)
    file = read_mapping(visit.operator, name)
    drafted = draft(file, mapping)
    put_into_use(drafted, base)
    revision = await visit.parts.revisions.add(visit.user, name, file.mapping, drafted.mapping)
    await visit.note("change the mapping", destination=name, ids=[revision])
    await visit.parts.reload.reload("the console changed the mapping")
    return RedirectResponse(link("mapping", destination=name, note="mapping-changed"), 303)


@router.post("/mapping/patch")
async def patch(visit: Administered, destination: Name, mapping: Text = "") -> Response:
    """The difference to the file, for a repository."""
    (name, *_) = visit.operator.chosen(destination)
    drafted = draft(read_mapping(visit.operator, name), mapping)
    if drafted.mistakes:
        raise BadRequest(f"The mapping has a mistake in line {drafted.mistakes[0].line}: {drafted.mistakes[0]}.")
    await visit.note("download a change of the mapping", destination=name)
    headers = {"Content-Disposition": f'attachment; filename="mapping-{name}.patch"'}
    return PlainTextResponse(drafted.patch, headers=headers)


@router.get("/mapping/revisions")
async def revisions(request: Request, visit: Administered, destination: str = "") -> Response:
    """What was put into use, by whom and when."""
    (name, *_) = visit.operator.chosen(destination or None)
    found = await visit.parts.revisions.of(name)
    return render(request, "mapping_revisions.html", visit, destination=name, revisions=found)
