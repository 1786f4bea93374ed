"""People: the data stored about a person, and erasures."""

from dataclasses import asdict, astuple, dataclass, field
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from app.console.access import Right
from app.console.pages.people import reached, receipt_row, shared_ids
from app.console.rendering import render
from app.console.visit import Administered, Seen
from app.console.web import link
from app.operations.erasures import Named, all_receipts, erase, find_erasure, reach, subject_of
from app.operations.operator import NotFound
from app.profiles.suspicious import read_suspicious

router = APIRouter()
Field = Annotated[str, Form(max_length=500)]
_RECEIPTS: Final = 50


@dataclass(frozen=True, slots=True)
class Typed:
    """A person as a form names them. The repr shows nothing."""

    email: Field = field(default="", repr=False)
    phone: Field = field(default="", repr=False)
    user_id: Field = field(default="", repr=False)
    anonymous_id: Field = field(default="", repr=False)

    @property
    def named(self) -> Named:
        """What is not blank."""
        return Named(*((value,) if value.strip() else () for value in astuple(self)))


TypedForm = Annotated[Typed, Depends()]


@router.get("/people")
async def people(request: Request, visit: Seen) -> Response:
    """The search, shared identifiers, and receipts."""
    operator = visit.operator
    receipts = [receipt_row(*each) for each in (await all_receipts(operator))[:_RECEIPTS]]
    found = {name: await read_suspicious(operator.redis, name) for name in operator.destinations}
    return render(request, "people.html", visit, receipts=receipts, shared=shared_ids(found))


@router.post("/people")
async def look_up(request: Request, visit: Seen, person: TypedForm, destination: Field = "") -> Response:
    """What is stored of a person, which is what an erasure would reach. What is typed stays in the form."""
    operator, typed = visit.operator, asdict(person)
    pages = []
    for name in operator.chosen(destination or None):
        found = await reach(operator, name, subject_of(operator, name, person.named))
        reveal = visit.may(Right.REVEAL, name)
        if reveal:
            await visit.note("reveal", destination=name, queue="profiles")
        pages.append(reached(name, found.person, found.claimed, reveal=reveal))
    await visit.note("look up a person", destination=destination, by=", ".join(k for k, v in typed.items() if v))
    return render(request, "person.html", visit, pages=pages, typed=typed, destination=destination)


@router.post("/people/erase")
async def erase_person(
    visit: Administered,
    person: TypedForm,
    destination: Field = "",
    reference: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """Request the erasure that the preview showed."""
    operator = visit.operator
    subjects = {name: subject_of(operator, name, person.named) for name in operator.chosen(destination or None)}
    for name, subject in subjects.items():
        erasure_id = await erase(operator, name, subject, reference=reference)
        await visit.note("erase", destination=name, ids=[erasure_id])
    return RedirectResponse(link("people", note="erasing", n=len(subjects)), 303)


@router.get("/people/receipts/{destination}/{erasure_id}")
async def one_receipt(request: Request, visit: Seen, destination: str, erasure_id: str) -> Response:
    """One receipt in full. It identifies no person."""
    known = destination in visit.operator.destinations
    found = await find_erasure(visit.operator, destination, erasure_id) if known else []
    if not found:
        raise NotFound("There is no such receipt.")
    return render(request, "receipt.html", visit, row=receipt_row(*found[0]))
