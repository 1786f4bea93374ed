"""Before a worker sends anything with a token: is it of the account that the destination's calls were queued for?"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from arq.connections import ArqRedis

from app.attentive.answers import Reply, Unreachable
from app.attentive.client import AttentiveClient
from app.config.destination import Destination
from app.delivery.accounts.account import Account, Verdict, is_bound_to, kept_calls, read_binding, verify
from app.delivery.lane import Lane

ASK_AGAIN_S: Final = 5.0  # while Attentive does not answer whose token it is

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class AccountClient:
    """A destination with the client of its token, and its lanes."""

    name: str
    destination: Destination
    client: AttentiveClient
    lanes: Sequence[Lane]

    def account(self, reply: Reply | Unreachable | None = None) -> Account:
        """The account of the token, with the company where the answer names one."""
        return Account.of(self.destination.base_url, self.destination.api_token.get_secret_value(), reply)


class AccountGate:
    """Lets calls through with tokens whose account is known to be the right one."""

    def __init__(self, redis: ArqRedis) -> None:
        self._redis = redis
        self._admitted: dict[str, AttentiveClient] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._asked: dict[str, tuple[AttentiveClient, float]] = {}

    async def admits(self, account_client: AccountClient) -> bool:
        """Whether calls may be sent with this token now. Raises StoreError."""
        name, client = account_client.name, account_client.client
        if self._admitted.get(name) is client:
            return True
        async with self._locks[name]:
            if self._admitted.get(name) is client:
                return True
            if await is_bound_to(self._redis, name, account_client.account()):
                self._admitted[name] = client
                return True
            asked, when = self._asked.get(name, (None, 0.0))
            if asked is client and time.monotonic() - when < ASK_AGAIN_S:
                return False
            self._asked[name] = (client, time.monotonic())
            return await self._judge(account_client, await client.who_am_i())

    async def heard(self, account_client: AccountClient, reply: Reply | Unreachable) -> None:
        """Use an answer to "who am I" that this client got anyway. Raises StoreError."""
        async with self._locks[account_client.name]:
            if self._admitted.get(account_client.name) is not account_client.client:
                await self._judge(account_client, reply)

    async def _judge(self, account_client: AccountClient, reply: Reply | Unreachable) -> bool:
        name, account = account_client.name, account_client.account(reply)
        before = await read_binding(self._redis, name)
        verdict = await verify(self._redis, name, account_client.lanes, account, reply)
        match verdict:
            case Verdict.SAME | Verdict.BOUND:
                self._admitted[name] = account_client.client
                if before.bound is None or not before.bound.is_same_as(account):
                    log.info("destination.account_bound", destination=name, account=str(account))
            case Verdict.CHANGED if before.found != account:
                log.error(
                    "destination.account_changed",
                    destination=name,
                    bound=str(before.bound),
                    found=str(account),
                    calls_kept=await kept_calls(self._redis, name, account_client.lanes),
                    hint="Nothing is sent until you run: attentive-gateway destinations keep, or discard.",
                )
            case Verdict.UNKNOWN:
                log.warning("destination.account_unknown", destination=name, hint="Nothing is sent until it is known.")
            case _:
                pass
        return verdict in (Verdict.SAME, Verdict.BOUND)
