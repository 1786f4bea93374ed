"""The Attentive account for which a destination's calls were queued. The calls must never reach another account.

A destination is bound to the account that its token belonged to when its calls were queued. If the account changes
while calls are kept, the destination is held until an operator decides whether to keep or to discard them.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, cast

import orjson
from redis.asyncio import Redis

from app.attentive.answers import Reply, Unreachable
from app.attentive.token import named_by, works
from app.delivery.backlog import calls_waiting
from app.delivery.delivery import to_ms
from app.delivery.hold import end_hold, hold_changed, hold_refused, hold_unverified, read_hold
from app.delivery.lane import Lane
from app.store.keys import DestinationKeys

_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Account:
    """One Attentive account, identified by its token and the answer to `/v1/me`. Only a digest of the token is kept."""

    base_url: str
    token_digest: str
    company_id: str = ""  # empty if Attentive has not named it
    company: str = ""

    @classmethod
    def of(cls, base_url: str, token: str, reply: Reply | Unreachable | None = None) -> "Account":
        """The account of a token, with its company if the answer names one."""
        digest = hashlib.sha256(f"{base_url}\n{token}".encode()).hexdigest()[:32]
        named = named_by(reply) if reply is not None else {}
        return cls(base_url, digest, str(named.get("companyId") or ""), str(named.get("companyName") or ""))

    def is_same_as(self, other: "Account") -> bool:
        """Whether both are certainly one account: they have one token, or Attentive names one company."""
        same_company = self.company_id != "" and self.company_id == other.company_id
        return self.token_digest == other.token_digest or same_company

    def __str__(self) -> str:
        return f"{self.company or 'an unnamed company'} at {self.base_url}"


def company_id_of(reply: Reply | Unreachable) -> str:
    """The company that an answer to `/v1/me` names. Empty if it names none."""
    return str(named_by(reply).get("companyId") or "")


class Verdict(StrEnum):
    """Whether calls may be sent with a token."""

    SAME = "same"  # the destination is bound to the token's account
    BOUND = "bound"  # bound just now: nothing was kept for another account
    CHANGED = "changed"  # calls are kept for another account, so the destination is held
    REFUSED = "refused"  # Attentive refuses the token, so the destination is held
    UNKNOWN = "unknown"  # the answer does not identify the account: ask again


@dataclass(frozen=True, slots=True)
class Binding:
    """The account of a destination. `found` is another account, about which an operator must decide."""

    bound: Account | None
    found: Account | None = None
    found_at: datetime | None = None


async def read_binding(redis: Redis, destination: str) -> Binding:
    """The account that a destination is bound to, and the one found instead. Raises StoreError."""
    fields = await cast(Any, redis.hgetall(DestinationKeys(destination).account))
    bound, found = (_account(fields.get(name)) for name in (b"bound", b"found"))
    at = fields.get(b"found_ms")
    return Binding(bound, found, datetime.fromtimestamp(int(at) / 1000, UTC) if at else None)


def _account(stored: bytes | None) -> Account | None:
    return Account(**orjson.loads(stored)) if stored else None


async def is_bound_to(redis: Redis, destination: str, account: Account) -> bool:
    """Whether exactly this token is known to belong to the destination's account. Raises StoreError."""
    bound = (await read_binding(redis, destination)).bound
    return bound is not None and bound.token_digest == account.token_digest


async def verify(
    redis: Redis, destination: str, lanes: Sequence[Lane], account: Account, reply: Reply | Unreachable
) -> Verdict:
    """Compare the account in Attentive's answer to `/v1/me` with the bound account. Raises StoreError."""
    binding = await read_binding(redis, destination)
    if isinstance(reply, Reply) and reply.status in (401, 403):
        await hold_refused(redis, destination)
        return Verdict.REFUSED
    if binding.bound is None:  # nothing was sent from here yet
        await bind(redis, destination, account)
        return Verdict.BOUND
    if binding.bound.is_same_as(account):
        await bind(redis, destination, account if account.company_id else binding.bound)
        return Verdict.SAME
    if not works(reply):
        why = reply.reason if isinstance(reply, Unreachable) else f"HTTP {reply.status}"
        await hold_unverified(redis, destination, why)
        return Verdict.UNKNOWN
    if not await kept_calls(redis, destination, lanes):
        await rebind(redis, destination, account)
        return Verdict.BOUND
    await _hold(redis, destination, binding, account)
    return Verdict.CHANGED


async def kept_calls(redis: Redis, destination: str, lanes: Sequence[Lane]) -> int:
    """The number of calls that wait, are dead letters or are in review. Raises StoreError."""
    keys = DestinationKeys(destination)
    waiting = (await calls_waiting(redis, lanes)).get(destination, 0)
    return int(waiting + await redis.xlen(keys.dead) + await redis.xlen(keys.review))


async def bind(redis: Redis, destination: str, account: Account) -> None:
    """Bind a destination to an account, and end the hold that an account change caused. Raises StoreError."""
    keys = DestinationKeys(destination)
    async with redis.pipeline(transaction=True) as pipeline:
        pipeline.hset(keys.account, mapping={"bound": orjson.dumps(account)})
        pipeline.hdel(keys.account, "found", "found_ms")
        await pipeline.execute()
    hold = await read_hold(redis, destination)
    if hold is not None and hold.needs_decision:
        await end_hold(redis, destination)


async def rebind(redis: Redis, destination: str, account: Account) -> None:
    """Bind a destination to another account, and forget what was sent to the old one. Raises StoreError."""
    keys = DestinationKeys(destination)
    page: list[bytes] = []
    async for key in redis.scan_iter(match=keys.last_sent("*"), count=1000):
        page.append(key)
        if len(page) >= _PAGE:
            await redis.unlink(*page)
            page = []
    await redis.unlink(keys.attributes, keys.event_keys, keys.event_keys_seen, *page)
    await cast(Any, redis.hdel(keys.account, "app", "found_app"))
    await bind(redis, destination, account)


async def _hold(redis: Redis, destination: str, binding: Binding, account: Account) -> None:
    async with redis.pipeline(transaction=True) as pipeline:
        if binding.found != account:
            found = {"found": orjson.dumps(account), "found_ms": to_ms(datetime.now(UTC))}
            pipeline.hset(DestinationKeys(destination).account, mapping=found)
        await hold_changed(pipeline, destination, f"its calls are for {binding.bound}, its token is of {account}")
        await pipeline.execute()
