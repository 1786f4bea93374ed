"""Whose token each destination has, asked when a worker starts and when a token has changed.

One that does not work is told loudly, and stops nothing: its calls wait until a good one comes.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from app.attentive.client import AttentiveClient, Reply
from app.attentive.token import owner, works

log = structlog.get_logger()


class TokenCheck:
    """Asks each account once for every token that it is given."""

    def __init__(self, clients: Callable[[], Mapping[str, AttentiveClient]]) -> None:
        """`clients` are those of the destinations there are now; a new token makes a new one."""
        self._clients = clients
        self._asked: dict[str, AttentiveClient] = {}
        self._asking: dict[str, asyncio.Task[Any]] = {}

    def begin(self) -> None:
        """Ask, in the background, whoever was not asked with the client it has now."""
        clients = dict(self._clients())
        for name in self._asked.keys() - clients.keys():
            self._asking.pop(name).cancel()
        for name, client in clients.items():
            if self._asked.get(name) is not client:
                if name in self._asking:
                    self._asking[name].cancel()
                self._asking[name] = asyncio.create_task(_ask(name, client))
        self._asked = clients

    async def done(self) -> None:
        """Return when all that were asked have answered, or will not."""
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    async def end(self) -> None:
        """Ask no more."""
        for task in self._asking.values():
            task.cancel()
        await self.done()


async def _ask(name: str, client: AttentiveClient) -> None:
    reply = await client.who_am_i()
    if works(reply):
        log.info("destination.token_works", destination=name, owner=owner(reply))
    elif isinstance(reply, Reply) and reply.status in (401, 403):
        log.error(
            "destination.token_refused",
            destination=name,
            status=reply.status,
            hint="its calls wait until a token comes that works; see attentive-gateway destinations test",
        )
    else:
        reason = f"HTTP {reply.status}" if isinstance(reply, Reply) else reply.reason
        log.warning("destination.token_unknown", destination=name, reason=reason)
