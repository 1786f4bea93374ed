"""The arq cron that works off deletions. Each takes step after step, in one direction, and each step may be repeated.

find → forget → check → unsubscribe → request → follow → done. A worker that dies between two steps or within one leaves
a deletion that the next one takes up where it stands.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
import structlog
from redis.asyncio.lock import Lock
from redis.exceptions import LockError, RedisError

from app.attentive.client import AttentiveClient, Reply
from app.attentive.endpoints import PRIVACY_DELETE, UNSUBSCRIBE, Endpoint
from app.delivery.backlog import Lane
from app.delivery.connection import why_unavailable
from app.delivery.deletions import Deletion, State, advance, begin, count_open, due
from app.delivery.delivery import to_ms
from app.delivery.forgetting import Stores, forget, known_of
from app.delivery.keys import DestinationKeys
from app.delivery.outcome import Outcome, RetryLater, Undeliverable
from app.delivery.script import Argument
from workers.desk import Desk
from workers.single_call import call_once

TIMEOUT: Final = timedelta(minutes=10)  # of one run; a way through a backlog of a million calls takes a minute
LOCK_S: Final = 6.0  # a dead worker's deletions are taken up after this
CHECK_AFTER: Final = timedelta(seconds=3)
COME_AGAIN: Final = timedelta(seconds=1)  # while a drain holds a call
NOBODY: Final = "nobody there"  # to Attentive's knowledge: there is nothing to delete
AFTER_A_CRASH: Final = timedelta(minutes=10)
GIVE_UP: Final = timedelta(days=7)  # asking Attentive
LONGEST_LOOK: Final = timedelta(hours=6)  # between two looks at a delete request
CONFIRMED_WITHIN: Final = timedelta(days=45)  # Attentive says: within 30 days

log = structlog.get_logger()

Clock = Callable[[], datetime]


class _Over(Exception):  # noqa: N818
    """This run ends here: the worker stops, or somebody else has the lock."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


async def work_off(ctx: dict[str, Any], *, clock: Clock = _utc_now) -> None:
    """Do what is due of all deletions. One worker at a time is at those of a destination."""
    desk: Desk = ctx["desk"]
    with desk.draining():
        try:
            counts = await count_open(desk.redis, desk.destinations, until=clock())
            wanted = [name for name, count in zip(desk.destinations, counts, strict=True) if count]
        except RedisError as failure:
            log.warning("deletions.interrupted", reason=why_unavailable(failure))
            return
        await asyncio.gather(*(_work_off(desk, name, clock) for name in wanted))


async def _work_off(desk: Desk, destination: str, clock: Clock) -> None:
    client = desk.client(destination)
    if client is None or desk.stopping.is_set():
        return
    try:
        lock = Lock(desk.redis, DestinationKeys(destination).deletions_lock, timeout=LOCK_S, blocking=False)
        if await lock.acquire():
            await _work_under(lock, desk, destination, client, clock)
    except RedisError as failure:
        log.warning("deletions.interrupted", destination=destination, reason=why_unavailable(failure))


async def _work_under(lock: Lock, desk: Desk, destination: str, client: AttentiveClient, clock: Clock) -> None:
    keeper = asyncio.create_task(_keep(lock))
    try:
        await _Work(desk, destination, client, keeper, clock).run()
    except _Over:
        return
    finally:
        keeper.cancel()
        await asyncio.wait({keeper})
        with contextlib.suppress(LockError):
            await lock.release()


async def _keep(lock: Lock) -> None:
    """Hold the lock while a long call or a long way is under way. Ends when it is lost."""
    while True:
        await asyncio.sleep(LOCK_S / 3)
        await lock.reacquire()


class _Work:
    """One run over the deletions of one destination."""

    def __init__(
        self, desk: Desk, destination: str, client: AttentiveClient, keeper: "asyncio.Task[None]", clock: Clock
    ) -> None:
        self._desk, self._redis = desk, desk.redis
        self._destination = destination
        self._client = client
        self._keeper = keeper
        self._clock = clock
        self._rules = desk.accounts.deletions[destination]
        lanes = [lane for lane in desk.lanes if lane.destination == destination]
        self._stores = Stores(desk.redis, destination, lanes, desk.accounts.sources[destination])

    async def run(self) -> None:
        """Until nothing is due."""
        await begin(self._redis, self._destination, now=self._clock())
        while deletions := await due(self._redis, self._destination, now=self._clock()):
            together = [each for each in deletions if each.state in (State.FORGETTING, State.CHECKING)]
            if together:
                await self._forget(together)
            for deletion in deletions:
                await self._beat()
                try:
                    await self._step(deletion)
                except (RedisError, _Over):
                    raise
                except Exception:  # our mistake: it must not stand in the way of the others
                    log.exception("deletion.crashed", deletion=deletion.id, state=deletion.state)
                    await self._later(deletion, RetryLater(AFTER_A_CRASH, "our mistake to be mended: see the log"))

    async def _step(self, deletion: Deletion) -> None:
        match deletion.state:
            case State.FINDING:
                await self._find(deletion)
            case State.UNSUBSCRIBING:
                await self._unsubscribe(deletion)
            case State.REQUESTING:
                await self._request(deletion)
            case State.FOLLOWING:
                await self._follow(deletion)
            case _:
                return  # it was forgotten with others

    async def _beat(self) -> None:
        """Go on only while the worker runs and the lock is ours."""
        if self._desk.stopping.is_set() or self._keeper.done():
            raise _Over

    async def _find(self, deletion: Deletion) -> None:
        """First of all, for memory is what knows the person's address under their id, and is to forget it."""
        known = await known_of(self._stores, deletion.subject)
        await self._advance(deletion, State.FORGETTING, facts={"who": known.to_json()})

    async def _forget(self, deletions: Sequence[Deletion]) -> None:
        """All of them on one way through everything, and each once more a little later."""
        under_way = await forget(self._stores, deletions, self._beat)
        for deletion in deletions:
            facts: dict[str, Argument] = {"under_way": under_way[deletion.id]}
            if under_way[deletion.id]:
                await self._advance(deletion, deletion.state, wait=COME_AGAIN, facts=facts)
            elif deletion.state is State.FORGETTING:
                await self._advance(deletion, State.CHECKING, wait=CHECK_AFTER, facts=facts)
            else:
                await self._advance(deletion, State.UNSUBSCRIBING, facts=facts | {"forgotten": to_ms(self._clock())})

    async def _unsubscribe(self, deletion: Deletion) -> None:
        bodies = deletion.subject.unsubscribe_bodies() if self._rules.unsubscribe else []
        number = deletion.number("unsubscribes")
        if number >= len(bodies):
            said = deletion.facts.get("unsubscribed")
            said = said or ("done" if bodies else "no e-mail or phone known" if self._rules.unsubscribe else "off")
            await self._advance(deletion, State.REQUESTING, facts={"unsubscribed": said})
            return
        outcome, _ = await self._send(UNSUBSCRIBE, deletion, bodies[number])
        match outcome:
            case RetryLater():
                await self._later(deletion, outcome)
            case Undeliverable(reason=reason):
                await self._advance(
                    deletion, deletion.state, facts={"unsubscribes": number + 1, "unsubscribed": f"refused: {reason}"}
                )
            case _:
                await self._advance(deletion, deletion.state, facts={"unsubscribes": number + 1})

    async def _request(self, deletion: Deletion) -> None:
        note = f"attentive-gateway deletion {deletion.id}"
        bodies = deletion.subject.delete_bodies(note) if self._rules.request else []
        number, ids = deletion.number("requests"), deletion.request_ids
        if number >= len(bodies):
            said = deletion.facts.get("requested")
            said = said or ("filed" if ids else "nothing to ask by" if self._rules.request else "off")
            if ids:
                await self._advance(deletion, State.FOLLOWING, wait=COME_AGAIN, facts={"requested": said})
            else:
                await self._end(deletion, said)
            return
        outcome, reply = await self._send(PRIVACY_DELETE, deletion, bodies[number])
        facts: dict[str, Argument] = {"requests": number + 1}
        match outcome:
            case RetryLater():
                await self._later(deletion, outcome)
                return
            case Undeliverable(reason="http_404"):
                facts["requested"] = deletion.facts.get("requested") or NOBODY
            case Undeliverable(reason=reason):
                facts["requested"] = f"refused: {reason}"
            case _:
                facts["filed"] = to_ms(self._clock())
                if (request_id := _id_in(reply)) is None:
                    facts["requested"] = "filed, and Attentive gave no id to follow"
                else:
                    facts["request_ids"] = orjson.dumps([*ids, request_id])
        await self._advance(deletion, deletion.state, facts=facts)

    async def _follow(self, deletion: Deletion) -> None:
        """Look at the delete requests, with growing pauses, until Attentive has processed them all."""
        for request_id in deletion.request_ids:
            await self._beat()
            reply = await self._client.delete_request(request_id)
            if not _is_processed(reply):
                break
        else:
            said = deletion.facts["requested"]
            await self._end(deletion, "processed" if said in ("filed", NOBODY) else said)
            return
        if self._clock() - deletion.asked_at > CONFIRMED_WITHIN:
            await self._end(deletion, f"not confirmed within {CONFIRMED_WITHIN.days} days")
            return
        wait = min(LONGEST_LOOK, timedelta(seconds=2 ** min(deletion.tries + 1, 20)))
        why = f"HTTP {reply.status}" if isinstance(reply, Reply) and reply.status != 200 else "Attentive to process it"
        await self._later(deletion, RetryLater(wait, why))

    async def _end(self, deletion: Deletion, requested: str) -> None:
        refused = "refused" in deletion.facts.get("unsubscribed", "")
        good = requested in ("off", "processed", "nothing to ask by", NOBODY) and not refused
        facts: dict[str, Argument] = {"requested": requested, "waits_for": ""}
        await self._advance(deletion, State.DONE if good else State.INCOMPLETE, facts=facts)
        log.info("deletion.ended", destination=self._destination, deletion=deletion.id, complete=good)

    async def _send(self, endpoint: Endpoint, deletion: Deletion, body: dict[str, Any]) -> tuple[Outcome, Reply | None]:
        return await call_once(
            self._desk,
            Lane(self._destination, endpoint.name),
            self._client,
            body,
            attempt=deletion.tries + 1,
            deadline=deletion.asked_at + GIVE_UP,
            now=self._clock(),
        )

    async def _later(self, deletion: Deletion, outcome: RetryLater) -> None:
        facts: dict[str, Argument] = {"tries": deletion.tries + 1, "waits_for": outcome.reason}
        await self._advance(deletion, deletion.state, wait=outcome.wait, facts=facts)

    async def _advance(
        self,
        deletion: Deletion,
        state: State,
        *,
        wait: timedelta = timedelta(),
        facts: dict[str, Argument] | None = None,
    ) -> None:
        now, keep = self._clock(), self._rules.keep
        facts = {"waits_for": "", **(facts or {})}
        await advance(self._redis, self._destination, deletion, state, now=now, wait=wait, keep=keep, facts=facts)


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
