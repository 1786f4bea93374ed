"""Couriers: each takes the messages of one channel out of its queue, one after the other, until the channel took them.

A channel has a courier, a queue and a backoff of its own, so one that is dead delays no other.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

import structlog

from app.alerts.channels import Post
from app.alerts.messages import Message, digest_of
from app.alerts.plan import AlertPlan
from app.alerts.register import ChannelReport, Register, messages_sent, note_channel, waiting_messages
from app.alerts.routing import Channel
from app.clock import now_ms
from app.store.connection import why_unavailable
from app.store.errors import StoreError
from app.tasks import end

LOOK_EVERY_S: Final = 0.5
FIRST_WAIT_S: Final = 2.0
LONGEST_WAIT_S: Final = 60.0
GIVEN_UP_AFTER_MS: Final = 86_400_000  # an older message is of no use
DIGEST_ABOVE: Final = 5  # messages within the next
DIGEST_S: Final = 30.0
_AT_ONCE: Final = 50

log = structlog.get_logger()


class MessageQueue(Protocol):
    """The messages that wait for one channel."""

    async def waiting(self) -> Sequence[tuple[bytes, Message]]:
        """The oldest ones, with their IDs. Raises StoreError."""

    async def sent(self, ids: Sequence[bytes]) -> None:
        """Take these out. Raises StoreError."""

    async def report(self, report: ChannelReport) -> None:
        """Store how the last attempt went. Raises StoreError."""


class StoredQueue:
    """A queue in Redis."""

    def __init__(self, register: Register, channel: str) -> None:
        self._register, self._channel = register, channel
        self._redis, self._side = register.redis, register.side

    async def waiting(self) -> Sequence[tuple[bytes, Message]]:
        """The oldest ones; none while another process leads, and sends them."""
        if not await self._register.lead():
            return []
        return await waiting_messages(self._redis, self._side, self._channel, _AT_ONCE)

    async def sent(self, ids: Sequence[bytes]) -> None:
        """Take these out."""
        await messages_sent(self._redis, self._side, self._channel, ids)

    async def report(self, report: ChannelReport) -> None:
        """Store how the last attempt went."""
        await note_channel(self._redis, self._channel, report)


class MemoryQueue:
    """A queue of a process that has no Redis."""

    def __init__(self) -> None:
        self._messages: dict[bytes, Message] = {}
        self._count = 0

    @property
    def is_empty(self) -> bool:
        """Whether all were sent."""
        return not self._messages

    def add(self, message: Message) -> None:
        """Add one."""
        self._count += 1
        self._messages[b"%d" % self._count] = message

    async def waiting(self) -> Sequence[tuple[bytes, Message]]:
        """The oldest ones."""
        return list(self._messages.items())[:_AT_ONCE]

    async def sent(self, ids: Sequence[bytes]) -> None:
        """Take these out."""
        for each in ids:
            self._messages.pop(each, None)

    async def report(self, report: ChannelReport) -> None:
        """Nothing stores it."""


class Courier:
    """One channel's courier."""

    def __init__(
        self, channel: Channel, post: Post, queue: MessageQueue, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._channel, self._post, self._queue, self._clock = channel, post, queue, clock
        self._sent: list[float] = []  # when, within DIGEST_S
        self._failures = 0
        self._report = ChannelReport()

    async def run(self) -> None:
        """Send until cancelled."""
        await self._post.prepare()
        while True:
            try:
                await asyncio.sleep(await self.deliver())
            except StoreError as failure:
                log.debug("alerts.courier_interrupted", channel=self._channel.name, reason=why_unavailable(failure))
                await asyncio.sleep(LOOK_EVERY_S)

    async def deliver(self) -> float:
        """Send what is next, if anything is, and return how long to wait then, in s. Raises StoreError."""
        waiting = await self._queue.waiting()
        if not waiting:
            return LOOK_EVERY_S
        now = now_ms()
        if old := [entry_id for entry_id, message in waiting if now - message.at > GIVEN_UP_AFTER_MS]:
            log.error("alerts.given_up", channel=self._channel.name, messages=len(old))
            await self._queue.sent(old)
            return 0.0
        ids, message, wait = self._next(waiting)
        if message is None:
            return wait
        failure = await self._post.send(message)
        if failure:
            return await self._failed(failure, now)
        await self._queue.sent(ids)
        self._sent.append(self._clock())
        self._failures, self._report = 0, replace(self._report, sent_at=now, failure="")
        await self._queue.report(self._report)
        log.info("alerts.sent", channel=self._channel.name, kind=message.kind, messages=len(ids))
        return 0.0

    def _next(self, waiting: Sequence[tuple[bytes, Message]]) -> tuple[list[bytes], Message | None, float]:
        """What to send now, with the IDs that it stands for; or how long to wait."""
        now = self._clock()
        self._sent = [at for at in self._sent if now - at < DIGEST_S]
        first_id, first = waiting[0]
        if self._post.keeps_incidents or not self._channel.digest:
            return [first_id], first, 0.0
        if len(self._sent) >= DIGEST_ABOVE:
            return [], None, min(LOOK_EVERY_S, DIGEST_S - (now - self._sent[0]))
        if len(waiting) + len(self._sent) > DIGEST_ABOVE and len(waiting) > 1:
            return [entry_id for entry_id, _ in waiting], digest_of([message for _, message in waiting]), 0.0
        return [first_id], first, 0.0

    async def _failed(self, failure: str, now: int) -> float:
        self._failures += 1
        wait = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(self._failures - 1, 10))
        log.warning("alerts.not_sent", channel=self._channel.name, reason=failure, attempt=self._failures, wait_s=wait)
        self._report = replace(self._report, failed_at=now, failure=failure)
        await self._queue.report(self._report)
        return wait


class Couriers:
    """The couriers of all channels of a process, while it leads."""

    def __init__(self, queue_of: Callable[[str], MessageQueue]) -> None:
        self._queue_of = queue_of
        self._plan: AlertPlan | None = None
        self._tasks: list[asyncio.Task[Any]] = []

    async def use(self, plan: AlertPlan | None) -> None:
        """Send for the channels of this plan from now on; None: for none."""
        if plan is self._plan:
            return
        await self.stop()
        self._plan = plan
        if plan is not None:
            self._tasks = [asyncio.create_task(courier.run()) for courier in self._made(plan.addresses, plan.channels)]

    def _made(self, addresses: Mapping[str, str], channels: Sequence[Channel]) -> list[Courier]:
        return [
            Courier(channel, Post(addresses[channel.name]), self._queue_of(channel.name))
            for channel in channels
            if channel.name in addresses
        ]

    async def stop(self) -> None:
        """Send nothing more. A message that is under way may have been sent: it is sent again."""
        await end(*self._tasks)
        self._tasks, self._plan = [], None
