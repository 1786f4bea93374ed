"""Forgetting a person: who is meant, what an erasure would reach, its request, and the receipts."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, cast

from app.erasure.removal import Reach, Stores, reach_of
from app.erasure.requests import OVER_HERE, Erasure, Request, ask, find, receipts
from app.erasure.subject import Subject
from app.identity.normalise import to_e164, to_email
from app.masking import mask_email, mask_id, mask_phone, mask_text
from app.operations.operator import BadRequest, OperationError, Operator
from app.store.errors import CommandRefused
from app.store.script import Answer
from app.wiring.worker import sources_of, trusted_of

_KINDS: Final = (
    ("e-mail", "emails", mask_email),
    ("phone", "phones", mask_phone),
    ("user ID", "user_ids", mask_id),
    ("anonymous ID", "anonymous_ids", mask_id),
)


@dataclass(frozen=True, slots=True)
class Named:
    """A person as an operator names them. The repr shows nothing."""

    emails: tuple[str, ...] = field(default=(), repr=False)
    phones: tuple[str, ...] = field(default=(), repr=False)
    user_ids: tuple[str, ...] = field(default=(), repr=False)
    anonymous_ids: tuple[str, ...] = field(default=(), repr=False)


def subject_of(operator: Operator, destination: str, named: Named) -> Subject:
    """The person in the destination's terms. Raises BadRequest for what cannot be read, and without any identifier."""
    region = operator.topology.destinations[destination].default_region
    subject = Subject.of(
        emails=[_address(each) for each in _given(named.emails)],
        phones=[_number(each, region) for each in _given(named.phones)],
        user_ids=_given(named.user_ids),
        anonymous_ids=_given(named.anonymous_ids),
    )
    if not subject:
        raise BadRequest("No person is named. Give an e-mail address, a phone number, a user ID or an anonymous ID.")
    return subject


def identifiers(subject: Subject, *, reveal: bool) -> list[tuple[str, str]]:
    """Kind and value of each identifier of a person, masked unless revealed."""
    return [
        (kind, value if reveal else mask(value))
        for kind, name, mask in _KINDS
        for value in sorted(getattr(subject, name))
    ]


async def reach(operator: Operator, destination: str, subject: Subject) -> Reach:
    """What an erasure would reach, and what it would leave alone."""
    sources, trusted = sources_of(operator.topology), trusted_of(operator.topology)
    return await reach_of(Stores(operator.redis, destination, (), sources[destination], trusted[destination]), subject)


async def erase(operator: Operator, destination: str, subject: Subject, *, reference: str = "") -> str:
    """Request an erasure, and return its ID. A worker carries it out."""
    request = Request.new(subject, reference=mask_text(reference)[:200])
    await ask(operator.redis, destination, request)
    return request.id


async def all_receipts(operator: Operator, destination: str | None = None) -> list[tuple[str, Erasure]]:
    """Every erasure that is known, with its destination; the newest first."""
    found = [
        (name, erasure) for name in operator.chosen(destination) for erasure in await receipts(operator.redis, name)
    ]
    return sorted(found, key=lambda each: _asked_at(each[1]), reverse=True)


async def find_erasure(operator: Operator, destination: str | None, erasure_id: str) -> list[tuple[str, Erasure]]:
    """The erasure of this ID, in each destination that knows it."""
    names = operator.chosen(destination)
    found = [(name, await find(operator.redis, name, erasure_id)) for name in names]
    return [(name, erasure) for name, erasure in found if erasure is not None]


def is_done_here(erasure: Erasure) -> bool:
    """Whether nothing is left to do in the gateway. What Attentive has still to do may take 30 days."""
    return erasure.state in OVER_HERE


async def rewrite_log(operator: Operator) -> None:
    """Have Redis rewrite its append-only file, which keeps a history. Raises OperationError where it refuses."""
    try:
        await cast(Answer, operator.redis.execute_command("BGREWRITEAOF"))  # type: ignore[no-untyped-call]
    except CommandRefused as refusal:
        raise OperationError(f"Redis does not rewrite its append-only file: {refusal}") from None


def _asked_at(erasure: Erasure) -> datetime:
    return erasure.asked_at if "asked" in erasure.facts else datetime.now(UTC)


def _given(values: Iterable[str]) -> list[str]:
    stripped = [value.strip() for value in values]
    if not all(stripped):
        raise BadRequest("An identifier must not be blank.")
    return stripped


def _address(text: str) -> str:
    if address := to_email(text):
        return address
    raise BadRequest("The e-mail address cannot be read. Write it as name@domain.example.")


def _number(text: str, region: str) -> str:
    if number := to_e164(text, region):
        return number
    raise BadRequest(f"The phone number cannot be read as one of {region}. Write it with + and its country code.")
