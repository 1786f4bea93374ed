"""Segments, bulk calls and their jobs (v2, beta).

A bulk call is answered with the ID of a job. Here it takes effect at once, and the job is reported as in progress
until `bulk_job_s` has passed, and then has a file with one result for each record.
Source: Attentive's OpenAPI document of v2. What a line of that file holds is documented nowhere in detail.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from app.sandbox.account import Visit
from app.sandbox.answers import Answer, Refused, json_answer
from app.sandbox.attributes import upsert_user
from app.sandbox.bodies import Misfit, check_body
from app.sandbox.ledger import NO_EFFECT, Effect
from app.sandbox.people import identifiers_in
from app.sandbox.times import to_iso

MOST_RECORD_BYTES = 1_048_576
_Record = dict[str, Any]


@dataclass(slots=True)
class Segment:
    """A segment that was made by the API, and the numbers of its members."""

    external_id: str
    name: str
    description: str
    made_at: float
    members: set[int] = field(default_factory=set)

    def to_json(self) -> dict[str, Any]:
        """As the API shows it."""
        moment = to_iso(self.made_at)
        shown = {"externalId": self.external_id, "name": self.name, "description": self.description}
        return shown | {"created": moment, "updated": moment}


@dataclass(slots=True)
class Job:
    """A bulk call that was taken, with a result for each record."""

    id: str
    ready_at: float
    results: list[dict[str, Any]]


def create_segment(visit: Visit) -> tuple[Answer, Effect]:
    """Make an empty segment."""
    body = visit.body
    external_id = str(body.get("externalId", f"SEG_{uuid.uuid4().hex[:12]}")).strip()
    if external_id in visit.account.segments:
        raise Refused(400, "externalId: another segment has it")
    made = Segment(external_id, body["name"].strip(), body.get("description", "Manual Segment Upload"), visit.now)
    visit.account.segments[external_id] = made
    shown = made.to_json()
    return json_answer(201, {key: shown[key] for key in ("externalId", "name", "description")}), NO_EFFECT


def show_segment(visit: Visit) -> tuple[Answer, Effect]:
    """Show one segment. No endpoint shows its members."""
    return json_answer(200, _segment(visit, visit.call.path.rpartition("/")[2]).to_json()), NO_EFFECT


def add_members(visit: Visit) -> tuple[Answer, Effect]:
    """Add people to a segment. An unknown address or number creates a person."""
    segment = _segment(visit, visit.body["externalId"])

    def add(record: _Record) -> None:
        person = visit.account.people.resolve(identifiers_in(record))
        if person is None:
            raise Refused(404, "no person has this ID")
        segment.members.add(person.number)

    return _taken(visit, visit.body["members"], add)


def remove_members(visit: Visit) -> tuple[Answer, Effect]:
    """Take people out of a segment. Their consent stays as it is."""
    segment = _segment(visit, visit.body["externalId"])

    def remove(record: _Record) -> None:
        for identifier in identifiers_in(record):
            if (person := visit.account.people.find(identifier)) is not None:
                segment.members.discard(person.number)

    return _taken(visit, visit.body["members"], remove)


def upsert_users(visit: Visit) -> tuple[Answer, Effect]:
    """Create or update up to 256 people."""

    def upsert(record: _Record) -> None:
        check_body("/v2/user/attributes", record, visit.config)
        upsert_user(replace(visit, body=record))

    return _taken(visit, visit.body["users"], upsert)


def show_job(visit: Visit) -> tuple[Answer, Effect]:
    """Tell how far a job is, and where its results are."""
    job = visit.account.jobs.get(visit.call.path.rpartition("/")[2])
    if job is None:
        raise Refused(404, "there is no such job")
    shown: dict[str, Any] = {"bulkJobId": job.id, "status": "IN_PROGRESS", "totalRecords": len(job.results)}
    if visit.now >= job.ready_at:
        shown |= {"status": "COMPLETED", "url": f"http://{visit.call.host}/_sandbox/jobs/{job.id}.jsonl"}
    return json_answer(200, shown), NO_EFFECT


def results_of(jobs: Mapping[str, Job], job_id: str) -> bytes | None:
    """The file of a job that is done: JSON Lines."""
    job = jobs.get(job_id)
    return None if job is None else b"".join(orjson.dumps(result) + b"\n" for result in job.results)


def _segment(visit: Visit, external_id: str) -> Segment:
    if (segment := visit.account.segments.get(external_id)) is None:
        raise Refused(404, "externalId: there is no such segment")
    return segment


def _taken(visit: Visit, records: list[_Record], act: Callable[[_Record], Any]) -> tuple[Answer, Effect]:
    job = Job(str(uuid.uuid4()), visit.now + visit.config.bulk_job_s, [_result(record, act) for record in records])
    visit.account.jobs[job.id] = job
    return json_answer(202, {"message": "Bulk job successfully submitted", "batchJobId": job.id}), NO_EFFECT


def _result(record: _Record, act: Callable[[_Record], Any]) -> dict[str, Any]:
    response: dict[str, Any] = {"status": 200}
    try:
        if len(orjson.dumps(record)) > MOST_RECORD_BYTES:
            raise Refused(413, "the record is larger than 1 MiB")
        act(record)
    except Misfit as misfit:
        response = {"status": 400, "message": str(misfit)}
    except Refused as refused:
        response = {"status": refused.status, "message": refused.message}
    return {"request": record, "response": response}
