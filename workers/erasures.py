"""The arq cron that works off erasures. Each takes step after step, in one direction, and each step may be repeated.

find → forget → check → unsubscribe → request → follow → done. A worker that dies between two steps or within one leaves
an erasure that the next one takes up where it stands.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import orjson
import structlog

from app.attentive.answers import Reply
from app.attentive.client import AttentiveClient
from app.attentive.endpoints import PRIVACY_DELETE, UNSUBSCRIBE, Endpoint
from app.delivery.delivery import to_ms
from app.delivery.lane import Lane
from app.delivery.outcome import Outcome, RetryLater, Undeliverable
from app.erasure.removal import Stores, forget, reach_of
from app.erasure.requests import Erasure, State, advance, begin, count_open, due
from app.store.connection import Lock, why_unavailable
from app.store.errors import LockLost, StoreError
from app.store.keys import DestinationKeys
from app.store.script import Argument
from app.store.shards import each_shard
from app.tasks import end
from workers.context import WorkerContext
from workers.single_call import call_once

TIMEOUT: Final = timedelta(minutes=10)  # of one run; a pass through a backlog of a million calls takes a minute
LOCK_S: Final = 6.0  # a dead worker's erasures are taken up after this
CHECK_AFTER: Final = timedelta(seconds=3)
COME_AGAIN: Final = timedelta(seconds=1)  # while a drain holds a call
NOT_DELIVERED: Final = "not delivered: the destination does not deliver calls about this person"
UNKNOWN_PERSON: Final = "not known to Attentive"  # there is nothing to delete
AFTER_A_CRASH: Final = timedelta(minutes=10)
GIVE_UP: Final = timedelta(days=7)  # asking Attentive
LONGEST_LOOK: Final = timedelta(hours=6)  # between two looks at a delete request
CONFIRMED_WITHIN: Final = timedelta(days=45)  # Attentive states 30 days

log = structlog.get_logger()

Clock = Callable[[], datetime]


class _Over(Exception):  # noqa: N818
    """This run ends here: the worker stops, or another one has the lock."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


async def work_off(ctx: dict[str, Any], *, clock: Clock = _utc_now) -> None:
    """Do what is due of all erasures. One worker at a time is at those of a destination."""
    context: WorkerContext = ctx["context"]
    with context.draining():
        try:
            shards = await each_shard(context.redis, context.destinations, partial(_wanted, context, clock()))
        except StoreError as failure:
            log.warning("erasures.interrupted", reason=why_unavailable(failure))
            return
        await asyncio.gather(*(_work_off(context, name, clock) for wanted in shards for name in wanted))


async def _wanted(context: WorkerContext, until: datetime, destinations: Sequence[str]) -> list[str]:
    """Those of these destinations that have something to do by then."""
    counts = await count_open(context.redis, destinations, until=until)
    return [name for name, count in zip(destinations, counts, strict=True) if count]


async def _work_off(context: WorkerContext, destination: str, clock: Clock) -> None:
    client = context.client(destination)
    if client is None or context.stopping.is_set():
        return
    try:
        lock = Lock(context.redis, DestinationKeys(destination).erasures_lock, timeout=LOCK_S, blocking=False)
        if await lock.acquire():
            await _work_under(lock, context, destination, client, clock)
    except StoreError as failure:
        log.warning("erasures.interrupted", destination=destination, reason=why_unavailable(failure))


async def _work_under(
    lock: Lock, context: WorkerContext, destination: str, client: AttentiveClient, clock: Clock
) -> None:
    keeper = asyncio.create_task(_keep(lock))
    try:
        await _Work(context, destination, client, keeper, clock).run()
    except _Over:
        return
    finally:
        await end(keeper)
        with contextlib.suppress(LockLost):
            await lock.release()


async def _keep(lock: Lock) -> None:
    """Hold the lock while a long call or a long pass is under way. Ends when it is lost."""
    while True:
        await asyncio.sleep(LOCK_S / 3)
        await lock.reacquire()


class _Work:
    """One run over the erasures of one destination."""

    def __init__(
        self,
        context: WorkerContext,
        destination: str,
        client: AttentiveClient,
        keeper: "asyncio.Task[None]",
        clock: Clock,
    ) -> None:
        self._context, self._redis = context, context.redis
        self._destination = destination
        self._client = client
        self._keeper = keeper
        self._clock = clock
        self._rules = context.accounts.erasures[destination]
        self._recipients = context.accounts.destinations[destination].recipients
        lanes = [lane for lane in context.lanes if lane.destination == destination]
        accounts = context.accounts
        self._stores = Stores(
            context.redis, destination, lanes, accounts.sources[destination], accounts.trusted[destination]
        )

    async def run(self) -> None:
        """Until nothing is due."""
        await begin(self._redis, self._destination, now=self._clock())
        while erasures := await due(self._redis, self._destination, now=self._clock()):
            together = [each for each in erasures if each.state in (State.FORGETTING, State.CHECKING)]
            if together:
                await self._forget(together)
            for erasure in erasures:
                await self._checkpoint()
                try:
                    await self._step(erasure)
                except (StoreError, _Over):
                    raise
                except Exception:  # an error of ours must not stop the others
                    log.exception("erasure.crashed", erasure=erasure.id, state=erasure.state)
                    await self._later(erasure, RetryLater(AFTER_A_CRASH, "an error in the gateway: see the log"))

    async def _step(self, erasure: Erasure) -> None:
        match erasure.state:
            case State.FINDING:
                await self._find(erasure)
            case State.UNSUBSCRIBING:
                await self._unsubscribe(erasure)
            case State.REQUESTING:
                await self._request(erasure)
            case State.FOLLOWING:
                await self._follow(erasure)
            case _:
                return  # it was forgotten with others

    async def _checkpoint(self) -> None:
        """Go on only while the worker runs and the lock is ours."""
        if self._context.stopping.is_set() or self._keeper.done():
            raise _Over

    async def _find(self, erasure: Erasure) -> None:
        """The first state, because the profile that holds the address under their ID is removed later."""
        reach = await reach_of(self._stores, erasure.subject)
        facts: dict[str, Argument] = {"who": reach.person.to_json(), "left_alone": orjson.dumps(reach.claimed.counts)}
        await self._advance(erasure, State.FORGETTING, facts=facts)

    async def _forget(self, erasures: Sequence[Erasure]) -> None:
        """All of them in one pass through everything, and each once more a little later."""
        under_way = await forget(self._stores, erasures, self._checkpoint)
        for erasure in erasures:
            facts: dict[str, Argument] = {"under_way": under_way[erasure.id]}
            if under_way[erasure.id]:
                await self._advance(erasure, erasure.state, wait=COME_AGAIN, facts=facts)
            elif erasure.state is State.FORGETTING:
                await self._advance(erasure, State.CHECKING, wait=CHECK_AFTER, facts=facts)
            else:
                await self._advance(erasure, State.UNSUBSCRIBING, facts=facts | {"forgotten": to_ms(self._clock())})

    async def _unsubscribe(self, erasure: Erasure) -> None:
        if self._rules.unsubscribe and not self._delivers_about(erasure):
            await self._advance(erasure, State.REQUESTING, facts={"unsubscribed": NOT_DELIVERED})
            return
        bodies = erasure.subject.unsubscribe_bodies() if self._rules.unsubscribe else []
        number = erasure.number("unsubscribes")
        if number >= len(bodies):
            result = erasure.facts.get("unsubscribed")
            result = result or ("done" if bodies else "no e-mail or phone known" if self._rules.unsubscribe else "off")
            await self._advance(erasure, State.REQUESTING, facts={"unsubscribed": result})
            return
        outcome, _ = await self._send(UNSUBSCRIBE, erasure, bodies[number])
        match outcome:
            case RetryLater():
                await self._later(erasure, outcome)
            case Undeliverable(reason=reason):
                await self._advance(
                    erasure, erasure.state, facts={"unsubscribes": number + 1, "unsubscribed": f"refused: {reason}"}
                )
            case _:
                await self._advance(erasure, erasure.state, facts={"unsubscribes": number + 1})

    def _delivers_about(self, erasure: Erasure) -> bool:
        """Whether the destination delivers calls about this person at all."""
        subject = erasure.subject
        return self._recipients.include_contacts((*subject.emails, *subject.phones))

    async def _request(self, erasure: Erasure) -> None:
        if self._rules.request and not self._delivers_about(erasure):
            await self._end(erasure, NOT_DELIVERED)
            return
        note = f"attentive-gateway erasure {erasure.id}"
        bodies = erasure.subject.delete_bodies(note) if self._rules.request else []
        number, ids = erasure.number("requests"), erasure.request_ids
        if number >= len(bodies):
            result = erasure.facts.get("requested")
            result = result or ("filed" if ids else "nothing to ask by" if self._rules.request else "off")
            if ids:
                await self._advance(erasure, State.FOLLOWING, wait=COME_AGAIN, facts={"requested": result})
            else:
                await self._end(erasure, result)
            return
        outcome, reply = await self._send(PRIVACY_DELETE, erasure, bodies[number])
        facts: dict[str, Argument] = {"requests": number + 1}
        match outcome:
            case RetryLater():
                await self._later(erasure, outcome)
                return
            case Undeliverable(reason="http_404"):
                facts["requested"] = erasure.facts.get("requested") or UNKNOWN_PERSON
            case Undeliverable(reason=reason):
                facts["requested"] = f"refused: {reason}"
            case _:
                facts["filed"] = to_ms(self._clock())
                if (request_id := _id_in(reply)) is None:
                    facts["requested"] = "filed, and Attentive gave no id to follow"
                else:
                    facts["request_ids"] = orjson.dumps([*ids, request_id])
        await self._advance(erasure, erasure.state, facts=facts)

    async def _follow(self, erasure: Erasure) -> None:
        """Look at the delete requests, with growing pauses, until Attentive has processed them all."""
        for request_id in erasure.request_ids:
            await self._checkpoint()
            reply = await self._client.delete_request(request_id)
            if not _is_processed(reply):
                break
        else:
            result = erasure.facts["requested"]
            await self._end(erasure, "processed" if result in ("filed", UNKNOWN_PERSON) else result)
            return
        if self._clock() - erasure.asked_at > CONFIRMED_WITHIN:
            await self._end(erasure, f"not confirmed within {CONFIRMED_WITHIN.days} days")
            return
        wait = min(LONGEST_LOOK, timedelta(seconds=2 ** min(erasure.tries + 1, 20)))
        why = f"HTTP {reply.status}" if isinstance(reply, Reply) and reply.status != 200 else "Attentive to process it"
        await self._later(erasure, RetryLater(wait, why))

    async def _end(self, erasure: Erasure, requested: str) -> None:
        refused = "refused" in erasure.facts.get("unsubscribed", "")
        good = requested in ("off", "processed", "nothing to ask by", UNKNOWN_PERSON) and not refused
        facts: dict[str, Argument] = {"requested": requested, "waits_for": ""}
        await self._advance(erasure, State.DONE if good else State.INCOMPLETE, facts=facts)
        log.info("erasure.ended", destination=self._destination, erasure=erasure.id, complete=good)

    async def _send(self, endpoint: Endpoint, erasure: Erasure, body: dict[str, Any]) -> tuple[Outcome, Reply | None]:
        return await call_once(
            self._context,
            Lane(self._destination, endpoint.name),
            self._client,
            body,
            attempt=erasure.tries + 1,
            deadline=erasure.asked_at + GIVE_UP,
            now=self._clock(),
        )

    async def _later(self, erasure: Erasure, outcome: RetryLater) -> None:
        facts: dict[str, Argument] = {"tries": erasure.tries + 1, "waits_for": outcome.reason}
        await self._advance(erasure, erasure.state, wait=outcome.wait, facts=facts)

    async def _advance(
        self,
        erasure: Erasure,
        state: State,
        *,
        wait: timedelta = timedelta(),
        facts: dict[str, Argument] | None = None,
    ) -> None:
        now, keep = self._clock(), self._rules.keep
        facts = {"waits_for": "", **(facts or {})}
        await advance(self._redis, self._destination, erasure, state, now=now, wait=wait, keep=keep, facts=facts)


def _id_in(reply: Reply | None) -> str | None:
    try:
        return str(orjson.loads(reply.body if reply else b"")["id"]) or None
    except (ValueError, KeyError, TypeError):
        return None


def _is_processed(reply: object) -> bool:
    """Whether this answer ends the following: processed, or a request that Attentive knows no more."""
    if not isinstance(reply, Reply) or reply.status not in (200, 404):
        return False
    try:
        return reply.status == 404 or orjson.loads(reply.body).get("processed") is True
    except (ValueError, AttributeError):
        return False
