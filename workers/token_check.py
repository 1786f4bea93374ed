"""Whose token each destination has, asked when a worker starts and when a token has changed.

A token that does not work is logged as an error and stops nothing else: its destination's calls wait for a good one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from app.attentive.answers import Reply, Unreachable
from app.attentive.client import AttentiveClient
from app.attentive.token import owner, works
from app.store.errors import StoreError
from app.tasks import end

log = structlog.get_logger()

Heard = Callable[[str, AttentiveClient, Reply | Unreachable], Awaitable[None]]


class TokenCheck:
    """Asks each account once for every token that it is given."""

    def __init__(self, clients: Callable[[], Mapping[str, AttentiveClient]], heard: Heard | None = None) -> None:
        """`clients` are those of the destinations there are now; a new token makes a new one.

        `heard` gets each answer.
        """
        self._clients = clients
        self._heard = heard
        self._asked: dict[str, AttentiveClient] = {}
        self._asking: dict[str, asyncio.Task[Any]] = {}

    def begin(self) -> None:
        """Ask, in the background, about each token that was not checked with its current client."""
        clients = dict(self._clients())
        for name in self._asked.keys() - clients.keys():
            self._asking.pop(name).cancel()
        for name, client in clients.items():
            if self._asked.get(name) is not client:
                if name in self._asking:
                    self._asking[name].cancel()
                self._asking[name] = asyncio.create_task(self._ask(name, client))
        self._asked = clients

    async def _ask(self, name: str, client: AttentiveClient) -> None:
        reply = await client.who_am_i()
        _log(name, reply)
        if self._heard is not None:
            try:
                await self._heard(name, client, reply)
            except StoreError as failure:  # the first drain asks again
                log.warning("destination.account_unknown", destination=name, reason=type(failure).__name__)

    async def done(self) -> None:
        """Return when all that were asked have answered, or will not."""
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    async def end(self) -> None:
        """Ask no more."""
        await end(*self._asking.values())


def _log(name: str, reply: Reply | Unreachable) -> None:
    if works(reply):
        log.info("destination.token_works", destination=name, owner=owner(reply))
    elif isinstance(reply, Reply) and reply.status in (401, 403):
        log.error(
            "destination.token_refused",
            destination=name,
            status=reply.status,
            hint="Its calls wait for a token that works. Run attentive-gateway destinations test.",
        )
    else:
        reason = f"HTTP {reply.status}" if isinstance(reply, Reply) else reply.reason
        log.warning("destination.token_unknown", destination=name, reason=reason)
