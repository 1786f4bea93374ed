"""The control panel, `/_sandbox/*`: read the ledger, change switches, add faults and keys, reset.

It needs no key, and limits and faults do not apply. Every error is a 400 or 404 whose `message` names the field.
"""

from collections.abc import Awaitable, Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.sandbox.bulk import results_of
from app.sandbox.config import UNSETTLED, SandboxConfig, first_problem
from app.sandbox.faults import FaultRule
from app.sandbox.keys import ApiKey
from app.sandbox.ledger import Search
from app.sandbox.people import Person
from app.sandbox.times import to_iso
from app.sandbox.world import World

CONTROL_PREFIX = "/_sandbox"
STATEMENT = (
    "A model of Attentive's API, built from public documents and never checked against the real one. "
    "The switches listed as unsettled stand for behaviour that no document settles."
)
INDEX = {
    "GET /_sandbox/healthz": "alive",
    "GET /_sandbox/ledger": "accepted calls; ?path= key= message_id= order_id= person= note= contains= since= limit=",
    "GET /_sandbox/summary": "counts of everything",
    "GET /_sandbox/people": "the identity graph; ?company= contains= limit= offset=",
    "GET /_sandbox/segments": "segments and their members; ?company=",
    "GET /_sandbox/jobs/{id}.jsonl": "the results of a bulk job",
    "GET, PATCH /_sandbox/config": "switches, limits, latency",
    "GET, POST, DELETE /_sandbox/faults": "fault rules",
    "DELETE /_sandbox/faults/{id}": "one fault rule",
    "GET, POST /_sandbox/keys": "API keys",
    "PATCH, DELETE /_sandbox/keys/{name}": "one API key",
    "GET, POST /_sandbox/clock": 'the time; {"advance_s": 3600} moves it ahead',
    "POST /_sandbox/reset": "forget everything; ?keep_config=true keeps switches and keys",
}

ModelT = TypeVar("ModelT", bound=BaseModel)
Handler = Callable[[Request], Awaitable[Response]]


class _Page(BaseModel):
    limit: int = Field(1000, ge=0, le=200_000)
    offset: int = Field(0, ge=0)


class _LedgerQuery(Search, _Page):
    model_config = ConfigDict(extra="forbid")


class _PeopleQuery(_Page):
    model_config = ConfigDict(extra="forbid")

    company: str | None = None
    contains: str | None = None


class _SegmentsQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    company: str | None = None


class _ResetQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keep_config: bool = False


class _ClockMove(BaseModel):
    model_config = ConfigDict(extra="forbid")

    advance_s: float = Field(ge=0, allow_inf_nan=False)


class _Held(NamedTuple):
    company: str
    person: Person


class _Panel:
    """The handlers, bound to the world they control."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def index(self, _: Request) -> Response:
        return _json({"about": STATEMENT, "unsettled": UNSETTLED, "endpoints": INDEX})

    async def healthz(self, _: Request) -> Response:
        return _json({"status": "ok"})

    async def ledger(self, request: Request) -> Response:
        query = _parsed(_LedgerQuery, dict(request.query_params))
        found = list(self.world.ledger.search(query))
        calls = found[query.offset : query.offset + query.limit]
        return _json({"calls": [entry.to_json() for entry in calls], "total": len(found)})

    async def summary(self, _: Request) -> Response:
        world = self.world
        tally = world.ledger.tally
        return _json(
            {
                "accepted": tally.accepted,
                "calls": tally.by_path,
                "journeys": tally.journeys,
                "notes": tally.notes,
                "duplicates": {kind: world.repeats.counts[kind] for kind in ("externalEventId", "orderId")},
                "merges": sum(account.people.merges for account in world.accounts.values()),
                "people": sum(len(account.people) for account in world.accounts.values()),
                "texts": tally.texts,
                "rate_limited": tally.rate_limited,
                "busiest_second": world.limits.busiest(),
                "ledger_kept": len(world.ledger),
                "recent_refusals": list(world.ledger.refusals),
            }
        )

    async def people(self, request: Request) -> Response:
        query = _parsed(_PeopleQuery, dict(request.query_params))
        found = list(self._people(query))
        page = islice(found, query.offset, query.offset + query.limit)
        listed = [{"company": company, **person.to_json()} for company, person in page]
        return _json({"people": listed, "total": len(found)})

    def _people(self, query: _PeopleQuery) -> Iterator[_Held]:
        for company, account in self.world.accounts.items():
            if query.company not in (None, company):
                continue
            for person in account.people:
                wanted = query.contains
                if wanted is None or any(wanted.lower() in each.value.lower() for each in person.identifiers):
                    yield _Held(company, person)

    async def segments(self, request: Request) -> Response:
        query = _parsed(_SegmentsQuery, dict(request.query_params))
        found = [
            {"company": company, **segment.to_json(), "members": [people[number].to_json() for number in members]}
            for company, account in self.world.accounts.items()
            if query.company in (None, company)
            for people in [{person.number: person for person in account.people}]
            for segment in account.segments.values()
            for members in [sorted(segment.members & people.keys())]
        ]
        return _json({"segments": found})

    async def job(self, request: Request) -> Response:
        for account in self.world.accounts.values():
            if (lines := results_of(account.jobs, request.path_params["id"])) is not None:
                return Response(lines, media_type="application/jsonl")
        raise HTTPException(404, "id: there is no such job")

    async def show_config(self, _: Request) -> Response:
        return _json(self.world.config.model_dump(mode="json"))

    async def change_config(self, request: Request) -> Response:
        changes = await _object(request)
        if "keys" in changes:
            raise HTTPException(400, "keys: are changed at /_sandbox/keys")
        current = self.world.config
        merged = {**current.model_dump(mode="json"), **changes}
        config = _parsed(SandboxConfig, merged).model_copy(update={"keys": current.keys})
        self.world.change(config)
        return _json(config.model_dump(mode="json"))

    async def show_faults(self, _: Request) -> Response:
        return _json({"faults": self.world.faults.to_json()})

    async def add_fault(self, request: Request) -> Response:
        rule = _parsed(FaultRule, await _object(request))
        number = self.world.faults.add(rule, self.world.clock.now())
        return _json({"id": number, **rule.model_dump(exclude_defaults=True)}, 201)

    async def clear_faults(self, _: Request) -> Response:
        return _json({"removed": self.world.faults.clear()})

    async def remove_fault(self, request: Request) -> Response:
        if not self.world.faults.remove(request.path_params["id"]):
            raise HTTPException(404, "id: there is no such fault")
        return Response(status_code=204)

    async def show_keys(self, _: Request) -> Response:
        return _json({"keys": [key.model_dump(mode="json") for key in self.world.keys.all()]})

    async def add_key(self, request: Request) -> Response:
        key = _parsed(ApiKey, await _object(request))
        if self.world.keys.named(key.name) is not None:
            raise HTTPException(400, "name: is taken")
        if not self.world.keys.put(key):
            raise HTTPException(400, "token: belongs to another key")
        return _json(key.model_dump(mode="json"), 201)

    async def change_key(self, request: Request) -> Response:
        key = self._key(request)
        changes = await _object(request)
        if changes.get("name", key.name) != key.name:
            raise HTTPException(400, "name: cannot be changed")
        changed = _parsed(ApiKey, {"token": key.token, **key.model_dump(mode="json"), **changes})
        if not self.world.keys.put(changed):
            raise HTTPException(400, "token: belongs to another key")
        return _json(changed.model_dump(mode="json"))

    async def remove_key(self, request: Request) -> Response:
        self.world.keys.remove(self._key(request).name)
        return Response(status_code=204)

    def _key(self, request: Request) -> ApiKey:
        if (key := self.world.keys.named(request.path_params["name"])) is None:
            raise HTTPException(404, "name: there is no such key")
        return key

    async def show_clock(self, _: Request) -> Response:
        clock = self.world.clock
        return _json({"now": to_iso(clock.now()), "ahead_s": clock.ahead_s})

    async def move_clock(self, request: Request) -> Response:
        self.world.clock.ahead_s += _parsed(_ClockMove, await _object(request)).advance_s
        return await self.show_clock(request)

    async def reset(self, request: Request) -> Response:
        query = _parsed(_ResetQuery, dict(request.query_params))
        self.world.reset(keep_config=query.keep_config)
        return _json({"status": "reset"})


def control_panel(world: World) -> Starlette:
    """The `/_sandbox/*` app that controls this world."""
    panel = _Panel(world)
    routes: dict[str, dict[str, Handler]] = {
        "/": {"GET": panel.index},
        "/healthz": {"GET": panel.healthz},
        "/ledger": {"GET": panel.ledger},
        "/summary": {"GET": panel.summary},
        "/people": {"GET": panel.people},
        "/segments": {"GET": panel.segments},
        "/jobs/{id}.jsonl": {"GET": panel.job},
        "/config": {"GET": panel.show_config, "PATCH": panel.change_config},
        "/faults": {"GET": panel.show_faults, "POST": panel.add_fault, "DELETE": panel.clear_faults},
        "/faults/{id:int}": {"DELETE": panel.remove_fault},
        "/keys": {"GET": panel.show_keys, "POST": panel.add_key},
        "/keys/{name}": {"PATCH": panel.change_key, "DELETE": panel.remove_key},
        "/clock": {"GET": panel.show_clock, "POST": panel.move_clock},
        "/reset": {"POST": panel.reset},
    }
    return Starlette(
        routes=[
            Route(CONTROL_PREFIX + path, handler, methods=[method])
            for path, methods in routes.items()
            for method, handler in methods.items()
        ],
        exception_handlers={HTTPException: _error},
    )


def _json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content, option=orjson.OPT_INDENT_2), status, media_type="application/json")


async def _error(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return _json({"message": error.detail}, error.status_code)


async def _object(request: Request) -> dict[str, Any]:
    try:
        content = orjson.loads(await request.body())
    except orjson.JSONDecodeError as error:
        raise HTTPException(400, f"body: is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise HTTPException(400, "body: must be an object")
    return content


def _parsed(model: type[ModelT], content: dict[str, Any]) -> ModelT:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise HTTPException(400, first_problem(error)) from error
