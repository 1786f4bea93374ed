"""Rows that go to Attentive many in one call: members of a segment, and attributes by the bulk endpoint.

Bulk calls are sent one after the other by the run itself. A chunk is sent, stored with the ID of its job, and settled
by the result of each record, which the job has. No call of this kind changes anything when it is repeated, so a chunk
whose answer was lost is sent again whole. People are removed before others are added, and the job of a removal ends
before its opposite for the same person is sent.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple, Protocol

import orjson

from app.attentive.answers import Reply, Unreachable
from app.attentive.endpoints import BULK_ATTRIBUTES, SEGMENT_MEMBERS
from app.config.sync import Segment
from app.counted import DELIVERED, DeadLettered, Dropped, DropReason, http_reason
from app.delivery.backoff import backoff
from app.identity.identity import Identity
from app.operations.operator import OperationError
from app.pipeline import Drop, Erase, Fail, Forward, Plan
from app.rows.codes import Code
from app.rows.events import RowEvents, outcome_of
from app.rows.jobs import Job
from app.rows.outcomes import Outcome
from app.rows.progress import Progress
from app.rows.sharing import TrackedSharing
from app.rows.staged import Planned
from app.rows.state import State
from app.segment.events import InvalidEvent

MEMBERS_PER_CALL: Final = 10_000
USERS_PER_CALL: Final = 256
_LEAST_S: Final = 0.02  # between two calls: half of the documented limit, and a run sends one at a time
_TRIES: Final = 8
_AGAIN: Final = frozenset({408, 425, 429})
_OF_THE_TOKEN: Final = frozenset({401, 403})
_LONGEST: Final = timedelta(seconds=30)  # between two tries
_LONGEST_LOOK_S: Final = 30.0
_ENDED: Final = frozenset({"FAILED", "CANCELLED"})

Method = Literal["POST", "DELETE"]


class BulkFailed(OperationError):  # noqa: N818
    """A bulk call cannot be made now. The run can be continued later. The text explains how."""


class Api(Protocol):
    """What is called of Attentive."""

    async def bulk(self, method: Method, path: str, body: bytes) -> Reply | Unreachable:
        """Make one call about many people."""

    async def job(self, job_id: str) -> Reply | Unreachable:
        """Ask how far a job is."""

    async def segment(self, external_id: str) -> Reply | Unreachable:
        """Ask whether there is a segment."""

    async def create_segment(self, body: bytes) -> Reply | Unreachable:
        """Make a segment."""

    async def results(self, url: str) -> bytes | None:
        """The results of a job."""


class Record(NamedTuple):
    """One record of a bulk call: of which row, and its JSON."""

    place: int
    body: bytes


@dataclass(slots=True)
class Bulk:
    """The bulk calls of one run."""

    state: State
    api: Api
    progress: Progress
    sharing: TrackedSharing
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def answered(self, call: Callable[[], Awaitable[Reply | Unreachable]]) -> Reply:
        """The answer to a call that may be repeated. Raises BulkFailed."""
        last = "no answer"
        for attempt in range(1, _TRIES + 1):
            await self.sleep(_LEAST_S)
            reply = await call()
            if isinstance(reply, Reply):
                if reply.status not in _AGAIN and reply.status < 500:
                    return _of_a_good_token(reply)
                last = f"HTTP {reply.status}"
                asked = reply.retry_after.total_seconds() if reply.retry_after else 0.0
            else:
                last, asked = reply.reason, 0.0
            await self.sleep(max(asked, backoff(attempt, longest=_LONGEST).total_seconds()))
        raise BulkFailed(f"Attentive does not take bulk calls now ({last}).")

    async def submit(self, method: Method, path: str, envelope: tuple[bytes, bytes], records: Sequence[Record]) -> None:
        """Send records in one call, and store the ID of its job. What is refused whole is sent in halves."""
        body = envelope[0] + b",".join(record.body for record in records) + envelope[1]
        reply = await self.answered(lambda: self.api.bulk(method, path, body))
        if 200 <= reply.status < 300 and (job := _field(reply, "batchJobId")):
            self.state.jobs.add(job, [record.place for record in records])
        elif len(records) > 1 and reply.status in (400, 413, 422):
            middle = len(records) // 2
            await self.submit(method, path, envelope, records[:middle])
            await self.submit(method, path, envelope, records[middle:])
        else:
            outcome = DeadLettered(http_reason(reply.status)).field
            self.state.jobs.settle([(record.place, outcome, "the bulk call was refused") for record in records])
            self.progress.advance(len(records))

    async def follow(self, *, wait: bool) -> None:
        """Settle the rows of all jobs that have ended; with `wait`, return when all have."""
        pause = 0.5
        while jobs := self.state.jobs.open():
            left = [job for job in jobs if not await self._settled(job)]
            if not left or not wait:
                return
            await self.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_LOOK_S)

    async def _settled(self, job: Job) -> bool:
        reply = await self.answered(lambda: self.api.job(job.id))
        if reply.status == 404:  # results are kept for two weeks
            return self._settle(job, [Outcome.LOST_SIGHT] * len(job.places))
        status = _field(reply, "status")
        if status in _ENDED:
            return self._settle(job, [DeadLettered(Code.JOB_FAILED).field] * len(job.places))
        if status != "COMPLETED":
            return False
        lines = await self._results(_field(reply, "url"))
        if lines is None:
            return self._settle(job, [Outcome.LOST_SIGHT] * len(job.places))
        return self._settle(job, _outcomes(lines, len(job.places)))

    async def _results(self, url: str) -> list[Any] | None:
        for attempt in range(1, 4):
            if (content := await self.api.results(url)) is not None:
                try:
                    return [orjson.loads(line) for line in content.splitlines() if line.strip()]
                except orjson.JSONDecodeError:
                    return None
            await self.sleep(backoff(attempt, longest=_LONGEST).total_seconds())
        return None

    def _settle(self, job: Job, outcomes: Sequence[str]) -> bool:
        self.state.jobs.settle([(place, outcome, "") for place, outcome in zip(job.places, outcomes, strict=True)])
        self.progress.advance(len(job.places))
        return True


@dataclass(slots=True)
class AudienceSending:
    """Adds and removes the members of one segment, as planned."""

    bulk: Bulk
    segment: Segment
    plan: Plan
    events: RowEvents
    removes: bool = False  # the rows are people who leave, as mode `remove` has them

    async def all(self, *, wait: bool) -> int:
        """Send every planned row; the number of rows that have not ended. Raises BulkFailed."""
        state = self.bulk.state
        await self._ensure_segment()
        await self.bulk.follow(wait=True)  # of an earlier process: an opposite may follow for the same person
        while leaving := state.members.leaving(MEMBERS_PER_CALL):
            await self._submit("DELETE", [Record(place, member) for place, member in leaving])
            await self.bulk.follow(wait=True)
        while rows := state.planned(MEMBERS_PER_CALL):
            if records := await self._members(rows):
                await self._submit("DELETE" if self.removes else "POST", records)
        await self.bulk.follow(wait=wait)
        return sum(len(job.places) for job in state.jobs.open())

    async def _submit(self, method: Method, records: Sequence[Record]) -> None:
        envelope = (b'{"externalId":' + orjson.dumps(self.segment.external_id) + b',"members":[', b"]}")
        await self.bulk.submit(method, SEGMENT_MEMBERS.path, envelope, records)

    async def _ensure_segment(self) -> None:
        reply = await self.bulk.answered(lambda: self.bulk.api.segment(self.segment.external_id))
        if reply.status != 404:
            return
        wanted = {"name": self.segment.name, "externalId": self.segment.external_id}
        wanted |= {"description": self.segment.description} if self.segment.description else {}
        made = await self.bulk.answered(lambda: self.bulk.api.create_segment(orjson.dumps(wanted)))
        if not 200 <= made.status < 300:
            raise BulkFailed(f"Attentive did not create the segment: HTTP {made.status}.")

    async def _members(self, rows: Sequence[Planned]) -> list[Record]:
        """The members that these rows are. Rows that name no person, or link what many share, end here."""
        records: list[Record] = []
        ended: list[tuple[int, str, str]] = []
        for row in rows:
            member, why = member_of(row, self.events, self.plan)
            if member is None:
                ended.append((row.place, why, ""))
            else:
                records.append(Record(row.place, member))
        members = {} if self.removes else {record.place: _named_by(record.body) for record in records}
        shared = await self.bulk.sharing.details(members)
        ended += [(place, Outcome.IDENTIFIER_SHARED, detail) for place, detail in shared.items()]
        records = [record for record in records if record.place not in shared]
        self.bulk.state.jobs.settle(ended)
        self.bulk.progress.advance(len(ended))
        if not self.removes:
            self.bulk.state.members.of_rows(records)
        return records


def member_of(row: Planned, events: RowEvents, plan: Plan) -> tuple[bytes | None, str]:
    """The member that a row is, as JSON, or how the row ends instead."""
    try:
        reading = events.reading(row)
    except InvalidEvent as invalid:
        return None, outcome_of(invalid)
    identity = reading.found.identity if reading.found else None
    if identity is None:
        return None, Dropped(DropReason.UNUSABLE_IDENTITY).field
    if not identity.has(plan.identity.primary):
        return None, Dropped(DropReason.NO_PRIMARY_IDENTIFIER).field
    named = {"email": identity.email, "phone": identity.phone, "clientUserId": identity.client_user_id}
    member = {name: value for name, value in named.items() if value}
    if not member:
        return None, Dropped(DropReason.UNUSABLE_IDENTITY).field
    if not plan.recipients.include_contacts(filter(None, (identity.email, identity.phone))):
        return None, Dropped(DropReason.NOT_DELIVERED).field
    return orjson.dumps(member, option=orjson.OPT_SORT_KEYS), ""


def _named_by(member: bytes) -> Identity:
    """The person that a member names."""
    named = orjson.loads(member)
    return Identity(named.get("email"), named.get("phone"), named.get("clientUserId"))


@dataclass(slots=True)
class AttributesSending:
    """Sends the attributes of many people by Attentive's bulk endpoint."""

    bulk: Bulk
    events: RowEvents
    learn: Callable[[dict[str, str]], Awaitable[None]]  # stores types of custom attributes that were not known

    async def all(self, *, wait: bool) -> int:
        """Send every planned row; the number of rows that have not ended. Raises BulkFailed."""
        state = self.bulk.state
        await self.bulk.follow(wait=False)
        looked = time.monotonic()
        while rows := state.planned(USERS_PER_CALL):
            if records := await self._users(rows):
                await self.bulk.submit("POST", BULK_ATTRIBUTES.path, (b'{"users":[', b"]}"), records)
            if time.monotonic() - looked > _LONGEST_LOOK_S:
                await self.bulk.follow(wait=False)
                looked = time.monotonic()
        await self.bulk.follow(wait=wait)
        return sum(len(job.places) for job in state.jobs.open())

    async def _users(self, rows: Sequence[Planned]) -> list[Record]:
        decided, ended = self.events.all_decided(rows, datetime.now(UTC))
        shared = await self.bulk.sharing.of_rows(decided)
        ended += [(place, Outcome.IDENTIFIER_SHARED, detail) for place, detail in shared.items()]
        records, new = list[Record](), dict[str, str]()
        for each in decided:
            place = each.row.place
            match each.decision:
                case _ if place in shared:
                    pass
                case Forward(deliveries=deliveries, attributes=attributes):
                    records.append(Record(place, deliveries[0].body))
                    new |= attributes
                case Drop(reason=reason):
                    ended.append((place, Dropped(reason).field, ""))
                case Fail(reason=reason, detail=detail):
                    ended.append((place, DeadLettered(reason).field, detail))
                case Erase():
                    pass
        if new:
            await self.learn(new)
        self.bulk.state.jobs.settle(ended)
        self.bulk.progress.advance(len(ended))
        return records


def _outcomes(lines: Sequence[Any], expected: int) -> list[str]:
    """How each record ended, by the lines of its job. Lines that are missing leave their records unknown."""
    if len(lines) != expected:  # which line is about which record is not known
        return [Outcome.LOST_SIGHT] * expected
    return [_outcome(line) for line in lines]


def _outcome(line: Any) -> str:
    """How one record ended. Attentive's documents name no form of the line: a status, in it or in its response."""
    response = line.get("response", line) if isinstance(line, dict) else None
    status = None
    if isinstance(response, dict):
        status = next((response[name] for name in ("status", "statusCode", "code") if name in response), None)
    if isinstance(status, str) and status.isdecimal():
        status = int(status)
    if isinstance(status, int):
        return DELIVERED if 200 <= status < 300 else DeadLettered(http_reason(status)).field
    return Outcome.LOST_SIGHT


def _of_a_good_token(reply: Reply) -> Reply:
    """The reply, unless the token is to blame. Raises BulkFailed."""
    if reply.status in _OF_THE_TOKEN:
        raise BulkFailed(
            f"Attentive refused the API token: HTTP {reply.status}. Audiences need the scopes segments:read and "
            "segments:write, bulk attributes attributes:write and subscriptions:write."
        )
    return reply


def _field(reply: Reply, name: str) -> str:
    try:
        content = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return ""
    return str(content.get(name) or "") if isinstance(content, dict) else ""
