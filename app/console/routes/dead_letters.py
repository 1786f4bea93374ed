"""Dead letters and calls of unknown outcome: found, shown, changed, sent again, discarded and exported."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Depends, Form, Request
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response, StreamingResponse

from app.attentive.call import Priority
from app.attentive.endpoints import ENDPOINTS
from app.console.access import Right
from app.console.jobs import Job
from app.console.pages.dead_letters import (
    AGES,
    PATHS,
    QUEUES,
    Acting,
    changes,
    conditions,
    list_page,
    query_of,
    reason_words,
    wanted_of,
)
from app.console.rendering import pretty, render
from app.console.visit import Administered, Operated, Revealed, Seen, Visit
from app.console.web import link
from app.counted import Dropped
from app.delivery.dead_letter import DeadLetter, DeadLetterQueue
from app.operations.dead_letter_groups import survey
from app.operations.dead_letters import delete, details, find, masked, matching, paced, select
from app.operations.editing import Rejected, content_of, edit, identity_rules, read_json, with_changes, with_content
from app.operations.operator import BadRequest, NotFound, Operator
from app.operations.replay import AlreadyGone, SentAgain, in_words, replay

router = APIRouter()
Text = Annotated[str, Form(max_length=1_000_000)]
_SHOWN: Final = 50
_MOST_SHOWN: Final = 1000
_PRIORITIES: Final = {"low": Priority.LOW, "normal": Priority.NORMAL, "high": Priority.HIGH, "own": None}


@dataclass(frozen=True, slots=True)
class Typed:
    """What stands in the form of an edit: the whole content, or changes to it. The repr shows nothing."""

    text: Text = field(default="", repr=False)
    settings: Text = field(default="", repr=False)
    removals: Text = field(default="", repr=False)


TypedForm = Annotated[Typed, Depends()]


def queue_of(request: Request) -> DeadLetterQueue:
    """The queue that an address is about."""
    return QUEUES[request.url.path.split("/")[1]]


Queue = Annotated[DeadLetterQueue, Depends(queue_of)]


async def list_letters(request: Request, visit: Seen, queue: Queue, limit: int = _SHOWN) -> Response:
    """The groups and the newest calls that match."""
    query = query_of(request.query_params)
    found = await survey(visit.operator, wanted_of(query), queue, limit=min(max(limit, 1), _MOST_SHOWN))
    page = list_page(queue, found, query)
    return render(
        request,
        "dead_letters.html",
        visit,
        page=page,
        ages=list(AGES),
        endpoints=[*(endpoint.name for endpoint in ENDPOINTS), "none"],
        more=min(len(page.rows) * 4, _MOST_SHOWN) if page.count > len(page.rows) else 0,
    )


async def export(request: Request, visit: Seen, queue: Queue, reveal: bool = False) -> Response:
    """The calls that match as NDJSON; masked, unless the user may see personal data and asks for it."""
    query = query_of(request.query_params)
    operator = visit.operator
    if reveal:
        may = set(visit.access.among(Right.REVEAL, operator.destinations))
        if not set(operator.chosen(query.get("destination"))) <= may:
            raise HTTPException(403)
        await visit.note("export with personal data", destination=query.get("destination", ""), queue=queue.value)
    lines = _lines(operator, queue, query, reveal=reveal)
    name = f"{PATHS[queue]}.ndjson"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(lines, media_type="application/x-ndjson", headers=headers)


async def _lines(
    operator: Operator, queue: DeadLetterQueue, query: dict[str, str], *, reveal: bool
) -> AsyncIterator[bytes]:
    async for dead_letter in matching(operator, wanted_of(query), queue):
        yield orjson.dumps(details(dead_letter, reveal=reveal), option=orjson.OPT_APPEND_NEWLINE)


async def show(request: Request, visit: Seen, queue: Queue, destination: str, dead_letter_id: str) -> Response:
    """One call, masked."""
    return _letter_page(request, visit, await _letter(visit, queue, destination, dead_letter_id), reveal=False)


async def reveal(request: Request, visit: Revealed, queue: Queue, destination: str, dead_letter_id: str) -> Response:
    """One call with its personal data. Each time is an entry of the audit log."""
    dead_letter = await _letter(visit, queue, destination, dead_letter_id)
    await visit.note("reveal", destination=destination, ids=[dead_letter.id], queue=queue.value)
    return _letter_page(request, visit, dead_letter, reveal=True)


async def send_one(visit: Operated, queue: Queue, destination: str, dead_letter_id: str) -> Response:
    """Send one call again."""
    dead_letter = await _letter(visit, queue, destination, dead_letter_id)
    result = await replay(visit.operator, dead_letter)
    act = "replay" if queue is DeadLetterQueue.DEAD else "send after review"
    await visit.note(act, destination=destination, ids=[dead_letter.id], result=type(result).__name__)
    match result:
        case SentAgain(endpoints=endpoints):
            where = link("events", dead_letter.message_id, note="replayed", n=len(endpoints))
        case Dropped():
            where = link("events", dead_letter.message_id, note="dropped")
        case AlreadyGone():
            where = link(PATHS[queue], note="gone")
        case _:
            where = link(PATHS[queue], destination, dead_letter_id, note="still-fails")
    return RedirectResponse(where, 303)


async def discard_one(visit: Operated, queue: Queue, destination: str, dead_letter_id: str) -> Response:
    """Attentive processed the call: end its review."""
    return await _delete(visit, queue, destination, dead_letter_id, "discard after review", "discarded")


async def delete_one(visit: Administered, queue: Queue, destination: str, dead_letter_id: str) -> Response:
    """Delete one call for good."""
    return await _delete(visit, queue, destination, dead_letter_id, "delete", "deleted")


async def confirm(request: Request, visit: Operated, queue: Queue) -> Response:
    """The number of selected calls, and how to send them again."""
    return await _acting(request, visit, queue, "replay" if queue is DeadLetterQueue.DEAD else "send")


async def confirm_discard(request: Request, visit: Operated, queue: Queue) -> Response:
    """The number of selected calls in review."""
    return await _acting(request, visit, queue, "discard")


async def confirm_delete(request: Request, visit: Administered, queue: Queue) -> Response:
    """The number of selected dead letters."""
    return await _acting(request, visit, queue, "delete")


async def send_many(
    request: Request,
    visit: Operated,
    queue: Queue,
    rate: Annotated[str, Form(max_length=20)] = "",
    priority: Annotated[str, Form(max_length=10)] = "low",
    ignore_age: Annotated[bool, Form()] = False,
) -> Response:
    """Start to send all that match. The job's page shows its progress."""
    level, pace = _priority(priority), _rate(rate)
    operator = visit.operator

    async def one(dead_letter: DeadLetter) -> str:
        return in_words(await replay(operator, dead_letter, ignore_age=ignore_age, priority=level))

    return await _begin(request, visit, queue, "replay", one, pace)


async def discard_many(request: Request, visit: Operated, queue: Queue) -> Response:
    """Begin to discard all calls in review that match."""
    return await _begin(request, visit, queue, "discard", lambda dead_letter: _deleted(visit.operator, dead_letter))


async def delete_many(request: Request, visit: Administered, queue: Queue) -> Response:
    """Begin to delete all that match, for good."""
    return await _begin(request, visit, queue, "delete", lambda dead_letter: _deleted(visit.operator, dead_letter))


async def edit_form(request: Request, visit: Operated, destination: str, dead_letter_id: str) -> Response:
    """The form: the whole content if the user may see personal data, else field by field."""
    dead_letter = await _letter(visit, DeadLetterQueue.DEAD, destination, dead_letter_id)
    whole = visit.may(Right.REVEAL, destination)
    if whole:
        await visit.note("reveal", destination=destination, ids=[dead_letter.id], queue="dead", to="edit")
    return _edit_page(
        request, visit, dead_letter, whole=whole, typed=Typed(pretty(content_of(dead_letter)) if whole else "")
    )


async def edit_preview(
    request: Request, visit: Operated, typed: TypedForm, destination: str, dead_letter_id: str
) -> Response:
    """Check a change against Attentive's schema and show what differs, or the field and the rule that it breaks."""
    dead_letter = await _letter(visit, DeadLetterQueue.DEAD, destination, dead_letter_id)
    whole = visit.may(Right.REVEAL, destination)
    try:
        after = _edited(dead_letter, typed, whole=whole)
        with_content(dead_letter, after, identity_rules(visit.operator, dead_letter))
    except Rejected as rejected:
        return _edit_page(request, visit, dead_letter, whole=whole, typed=typed, problem=str(rejected), status=422)
    found = changes(dead_letter, after, reveal=whole)
    return _edit_page(request, visit, dead_letter, whole=whole, typed=typed, found=found, good=True)


async def edit_save(
    request: Request, visit: Operated, typed: TypedForm, destination: str, dead_letter_id: str
) -> Response:
    """Replace the content of the dead letter."""
    dead_letter = await _letter(visit, DeadLetterQueue.DEAD, destination, dead_letter_id)
    whole = visit.may(Right.REVEAL, destination)
    try:
        edited = await edit(visit.operator, dead_letter, _edited(dead_letter, typed, whole=whole))
    except Rejected as rejected:
        return _edit_page(request, visit, dead_letter, whole=whole, typed=typed, problem=str(rejected), status=422)
    if edited is None:
        return RedirectResponse(link("dead-letters", destination, dead_letter_id, note="unchanged"), 303)
    fields = ", ".join(edited.changed[:20])
    await visit.note("edit", destination=destination, ids=[dead_letter.id, edited.id], fields=fields)
    where = link("dead-letters", destination, edited.id, note="edited", n=len(edited.changed))
    return RedirectResponse(where, 303)


def _edited(dead_letter: DeadLetter, typed: Typed, *, whole: bool) -> Any:
    if whole:
        return read_json(typed.text)
    lines = [line.strip() for line in typed.settings.splitlines() if line.strip()]
    gone = [line.strip() for line in typed.removals.splitlines() if line.strip()]
    return with_changes(content_of(dead_letter), lines, gone)


def _edit_page(
    request: Request,
    visit: Visit,
    dead_letter: DeadLetter,
    *,
    whole: bool,
    typed: Typed,
    problem: str = "",
    found: Any = None,
    good: bool = False,
    status: int = 200,
) -> Response:
    return render(
        request,
        "edit.html",
        visit,
        status=status,
        dead_letter=dead_letter,
        whole=whole,
        typed={"text": typed.text} if whole else {"settings": typed.settings, "removals": typed.removals},
        content=None if whole else masked(dead_letter, content_of(dead_letter)),
        problem=problem,
        found=found,
        good=good,
    )


def _letter_page(request: Request, visit: Visit, dead_letter: DeadLetter, *, reveal: bool) -> Response:
    return render(
        request,
        "dead_letter.html",
        visit,
        dead_letter=dead_letter,
        facts=details(dead_letter, reveal=reveal),
        reason=reason_words(dead_letter.reason),
        revealed=reveal,
        path_of=PATHS[dead_letter.queue],
    )


async def _letter(visit: Visit, queue: DeadLetterQueue, destination: str, dead_letter_id: str) -> DeadLetter:
    try:
        return await find(visit.operator, dead_letter_id, destination, queue)
    except BadRequest as refusal:
        raise NotFound(str(refusal)) from None


async def _delete(
    visit: Visit, queue: DeadLetterQueue, destination: str, dead_letter_id: str, act: str, note: str
) -> Response:
    dead_letter = await _letter(visit, queue, destination, dead_letter_id)
    gone = await delete(visit.operator, dead_letter)
    await visit.note(act, destination=destination, ids=[dead_letter.id])
    return RedirectResponse(link(PATHS[queue], note=note if gone else "gone"), 303)


async def _deleted(operator: Operator, dead_letter: DeadLetter) -> str:
    return "deleted" if await delete(operator, dead_letter) else "already gone"


async def _acting(request: Request, visit: Visit, queue: DeadLetterQueue, act: str) -> Response:
    query = query_of(request.query_params)
    chosen = await select(visit.operator, queue, wanted_of(query), None, everything=True)
    page = Acting(PATHS[queue], act, query, chosen.count, conditions(query))
    return render(request, "acting.html", visit, page=page)


async def _begin(
    request: Request, visit: Visit, queue: DeadLetterQueue, act: str, one: Any, rate: float | None = None
) -> Response:
    query, operator = query_of(request.query_params), visit.operator
    chosen = await select(operator, queue, wanted_of(query), None, everything=True)

    async def work(stopping: asyncio.Event) -> AsyncIterator[str]:
        async for dead_letter in paced(chosen.dead_letters(operator), rate, stopping):
            yield await one(dead_letter)

    destination = query.get("destination", "")
    job = await visit.parts.jobs.begin(visit.user, act, destination, chosen.count, work)
    names = ", ".join(name for name in query if name != "message_id")
    await visit.note(act, destination=destination, ids=[job], queue=queue.value, calls=chosen.count, filters=names)
    return RedirectResponse(link("jobs", job), 303)


def _priority(text: str) -> Priority | None:
    if text not in _PRIORITIES:
        raise BadRequest("The priority must be low, normal, high or own.")
    return _PRIORITIES[text]


def _rate(text: str) -> float | None:
    if not text.strip():
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = 0
    if not 0.01 <= rate <= 1_000_000:
        raise BadRequest("The rate must be a number of calls per second, such as 10 or 0.5.")
    return rate


@router.get("/jobs")
async def jobs(request: Request, visit: Seen) -> Response:
    """The latest replays and other acts on many calls."""
    found = [job for job in await visit.parts.jobs.latest() if _may_see(visit, job)]
    return render(request, "jobs.html", visit, jobs=found)


@router.get("/jobs/{job_id}")
async def job_page(request: Request, visit: Seen, job_id: str) -> Response:
    """The progress of one."""
    job = await _job(visit, job_id)
    return render(request, "job.html", visit, job=job, running=not job.over)


@router.post("/jobs/{job_id}/stop")
async def stop_job(visit: Operated, job_id: str) -> Response:
    """Let it end after the current call."""
    job = await _job(visit, job_id)
    await visit.parts.jobs.stop(job_id)
    await visit.note("stop job", destination=job.destination, ids=[job_id])
    return RedirectResponse(link("jobs", job_id, note="stopping"), 303)


async def _job(visit: Visit, job_id: str) -> Job:
    job = await visit.parts.jobs.find(job_id)
    if job is None or not _may_see(visit, job):
        raise NotFound("There is no such job, or it ended more than two days ago.")
    return job


def _may_see(visit: Visit, job: Job) -> bool:
    """Whether the user may see a job: their own, those of their destinations, and all if they see every destination."""
    if job.user == visit.user:
        return True
    return job.destination in visit.destinations if job.destination else visit.access.everywhere(Right.SEE)


_ONE: Final = "/{destination}/{dead_letter_id}"
for _path in QUEUES:
    router.add_api_route(f"/{_path}", list_letters, methods=["GET"])
    router.add_api_route(f"/{_path}/export", export, methods=["GET"])
    router.add_api_route(f"/{_path}/replay", confirm, methods=["GET"])
    router.add_api_route(f"/{_path}/replay", send_many, methods=["POST"])
    router.add_api_route(f"/{_path}{_ONE}", show, methods=["GET"])
    router.add_api_route(f"/{_path}{_ONE}/reveal", reveal, methods=["POST"])
    router.add_api_route(f"/{_path}{_ONE}/replay", send_one, methods=["POST"])
router.add_api_route("/unknown-outcomes/discard", confirm_discard, methods=["GET"])
router.add_api_route("/unknown-outcomes/discard", discard_many, methods=["POST"])
router.add_api_route(f"/unknown-outcomes{_ONE}/discard", discard_one, methods=["POST"])
router.add_api_route("/dead-letters/delete", confirm_delete, methods=["GET"])
router.add_api_route("/dead-letters/delete", delete_many, methods=["POST"])
router.add_api_route(f"/dead-letters{_ONE}/delete", delete_one, methods=["POST"])
router.add_api_route(f"/dead-letters{_ONE}/edit", edit_form, methods=["GET"])
router.add_api_route(f"/dead-letters{_ONE}/edit", edit_preview, methods=["POST"])
router.add_api_route(f"/dead-letters{_ONE}/save", edit_save, methods=["POST"])
