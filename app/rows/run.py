"""One run of a sync: read → plan → send → settle → report. The shell: an order, and no rules.

One run of a sync goes at a time, in the whole fleet, by a lease in Redis. A run that was interrupted is continued by
the next start, before anything is read anew.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from app import __version__
from app.attentive.client import AttentiveClient, Timeouts
from app.clock import now_ms
from app.config.destination import Destination
from app.counted import DELIVERED
from app.delivery.accounts.attributes import read_attributes, store_attributes
from app.delivery.outbox import Outbox
from app.delivery.row_outcomes import (
    known_state,
    note_state,
    read_outcomes,
)
from app.delivery.sharded_outbox import ShardedOutbox
from app.delivery.wakeup import Waker
from app.operations.operator import BadRequest, Operator
from app.pipeline import Plan
from app.rows.bulk import Api, AttributesSending, AudienceSending, Bulk, BulkFailed
from app.rows.comparing import compare
from app.rows.consents import plan_consents
from app.rows.events import RowEvents
from app.rows.files import SourceFailed
from app.rows.guard import SyncRefused, check_first_run, fingerprint_of
from app.rows.outcomes import Report, RunState, report_of
from app.rows.planning import check_plan, complete_plan, refusing_row
from app.rows.progress import SILENT, Progress, advancing
from app.rows.results import write_results
from app.rows.sending import Road, Sending
from app.rows.sharing import TrackedSharing
from app.rows.staged import Run
from app.rows.storing import StateStore, opened
from app.rows.subject import Subject, check_connection, has_token, subject_of
from app.wiring.gateway import endpoint_of_rows, outbox_of, plan_of_rows

_APPROVED_WITHIN_MS: Final = 3_600_000
_SLOW: Final = Timeouts(read_s=60.0, total_s=120.0)  # 10,000 members take longer than one event


@dataclass(frozen=True, slots=True)
class Finished:
    """A run, and what became of its rows."""

    run: Run
    report: Report
    resumed: bool = False  # it had been interrupted before


async def run(
    operator: Operator,
    name: str,
    *,
    wait: bool = True,
    baseline: bool = False,
    resend: bool = False,
    progress: Progress = SILENT,
) -> list[Finished]:
    """Continue a run that was interrupted, then run the sync. Raises OperationError, SyncRefused, SourceFailed and
    StoreError.

    `baseline` takes all rows as sent. `resend` sends them although the state was lost or the key has changed.
    """
    subject = subject_of(operator, name)
    async with opened(operator, subject) as store:
        runner = Runner(operator, subject, store, progress)
        before = await runner.resume(wait=wait)
        if before is not None and before.report.waiting:
            return [before]
        after = await runner.run(wait=wait, baseline=baseline, resend=resend)
        return [after] if before is None else [before, after]


async def resume(operator: Operator, name: str, *, wait: bool = True, progress: Progress = SILENT) -> Finished | None:
    """Continue the run that was interrupted; None where there is none. Raises OperationError and StoreError."""
    subject = subject_of(operator, name)
    async with opened(operator, subject) as store:
        return await Runner(operator, subject, store, progress).resume(wait=wait)


async def approve(
    operator: Operator, name: str, run_id: str, *, wait: bool = True, progress: Progress = SILENT
) -> Finished:
    """Send what a run has planned that waits for an approval. Raises OperationError and StoreError."""
    subject = subject_of(operator, name)
    async with opened(operator, subject) as store:
        return await Runner(operator, subject, store, progress).approve(run_id, wait=wait)


async def reset(operator: Operator, name: str) -> None:
    """Forget what Attentive accepted of the sync. Raises OperationError and StoreError."""
    subject = subject_of(operator, name)
    async with opened(operator, subject) as store:
        await store.unfollow([*store.state.ended_keys(), *(key for _, _, key in store.state.unresolved_events())])
        store.state.reset()
        await store.keep()
        await note_state(operator.redis, subject.sync.destination, name, None)


@asynccontextmanager
async def connected(account: Destination) -> AsyncIterator[Api]:
    """A connection to one account, for bulk calls."""
    agent = f"attentive-gateway/{__version__}"
    token = account.api_token.get_secret_value()
    client = AttentiveClient(account.base_url, token, user_agent=agent, timeouts=_SLOW)
    try:
        yield client
    finally:
        await client.close()


@dataclass(frozen=True, slots=True)
class Outside:
    """How bulk calls reach Attentive, and how they wait."""

    connect: Callable[[Destination], AbstractAsyncContextManager[Api]] = connected
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Runner:
    """The steps of one sync, while its lease is held."""

    def __init__(
        self,
        operator: Operator,
        subject: Subject,
        store: StateStore,
        progress: Progress = SILENT,
        outside: Outside | None = None,
    ) -> None:
        self._outside = outside or Outside()
        self._operator = operator
        self._subject = subject
        self._store, self._state = store, store.state
        self._progress = progress
        self._to = subject.sync.destination

    async def resume(self, *, wait: bool) -> Finished | None:
        """Continue the last run where it was interrupted while it was sending."""
        last = self._state.last_run()
        if last is None or last.state is not RunState.SENDING:
            return None
        return await self._send(last, wait=wait, resumed=True)

    async def run(self, *, wait: bool, baseline: bool, resend: bool) -> Finished:
        """Read, plan, send, settle and report."""
        self._use_account()
        known = await known_state(self._operator.redis, self._to, self._subject.name)
        if not (baseline or resend):
            check_first_run(self._subject.sync, own=self._state.id, known=known, before=self._state.meta("fingerprint"))
        await self._take_resolved()
        self._use_segment()
        run_id = secrets.token_hex(6)
        self._state.begin(run_id, now_ms())
        try:
            await asyncio.to_thread(self._read)
            self._check_keys()
        except (SourceFailed, SyncRefused) as failure:
            refused = isinstance(failure, SyncRefused)
            facts = {"reason": str(failure), "code": failure.code if refused else "source_failed"}  # type: ignore[union-attr]
            self._state.finish(run_id, RunState.REFUSED if refused else RunState.FAILED, facts, now_ms())
            await self._store.keep()
            raise
        sync = self._subject.sync
        removals = await asyncio.to_thread(self._complete_plan, run_id, baseline=baseline)
        facts = {op.value: number for op, number in self._state.ops().items()}
        try:
            check_plan(sync, self._state, removals)
        except SyncRefused as refused:
            held = {**facts, "removals": removals, "reason": str(refused), "code": refused.code}
            self._state.conclude(run_id, RunState.HELD, held)
            await self._store.keep()
            raise SyncRefused(
                refused.code, f"{refused} Look with `sync status`, then: sync approve {self._subject.name} {run_id}"
            ) from None
        self._remember_source()
        await note_state(self._operator.redis, self._to, self._subject.name, self._state.id)
        if baseline:
            self._state.accept_all()
        self._state.conclude(run_id, RunState.SENDING, facts)
        return await self._send(self._state.runs()[0], wait=wait)

    async def approve(self, run_id: str, *, wait: bool) -> Finished:
        """Send exactly what was planned. Raises BadRequest."""
        last = self._state.last_run()
        if last is None or last.id != run_id or last.state is not RunState.HELD:
            raise BadRequest(f"Run {run_id!r} does not wait for an approval. See `sync status {self._subject.name}`.")
        if now_ms() - last.started_ms > _APPROVED_WITHIN_MS:
            raise BadRequest(f"The plan of run {run_id!r} is older than an hour. Run the sync again for a new one.")
        self._remember_source()
        self._state.conclude(run_id, RunState.SENDING, {**last.facts, "approved": True})
        return await self._send(self._state.runs()[0], wait=wait)

    def _remember_source(self) -> None:
        self._state.remember({"fingerprint": fingerprint_of(self._subject.sync)})

    def _use_account(self) -> None:
        """Begin anew where the rows go to another host now: what a sandbox accepted, Attentive does not have."""
        if self._state.meta("account") not in (None, self._subject.destination.base_url):
            self._state.reset()
            self._state.forget_opt_outs()
        self._state.remember({"account": self._subject.destination.base_url})

    def _use_segment(self) -> None:
        """Begin anew where the audience is another segment now: its members are not those of the last one."""
        if (segment := self._subject.sync.segment) is None:
            return
        if self._state.meta("segment") not in (None, segment.external_id):
            self._state.members.forget()
        self._state.remember({"segment": segment.external_id})

    def _plan(self) -> Plan:
        return plan_of_rows(self._subject.destination, self._subject.sync)

    def _events(self, run_id: str, attributes: Mapping[str, str]) -> RowEvents:
        return RowEvents(self._subject.name, self._subject.source, run_id, self._plan(), attributes)

    def _read(self) -> None:
        self._progress.phase("Reading", None)
        check_connection(self._subject)
        compare(self._subject.sync, self._state, read=advancing(self._progress))

    def _complete_plan(self, run_id: str, *, baseline: bool) -> int:
        """The number of people who would leave or be unsubscribed. A baseline remembers opt-outs, and plans nothing."""
        events = self._events(run_id, {})
        if not baseline:
            return complete_plan(self._subject, self._state, events, self._plan())
        if self._subject.sync.consent is not None:
            plan_consents(self._subject.sync, self._state, events)
        return 0

    def _check_keys(self) -> None:
        if (bad := refusing_row(self._subject.sync, self._state)) is not None:
            what = bad.detail or "Its key is that of another row."
            raise SyncRefused(
                "keys",
                f"Row {bad.place:,} cannot be identified. {what} Correct the source, or set `duplicates`.",
            )

    async def _take_resolved(self) -> None:
        """Count rows as accepted whose dead letter or review has been sent since the last run."""
        rows = self._state.unresolved_events()
        found = await read_outcomes(self._operator.redis, self._to, [event_key for _, _, event_key in rows])
        resolved = [row for row, outcome in zip(rows, found, strict=True) if outcome == DELIVERED]
        self._state.accept((key, hash_) for key, hash_, _ in resolved)
        await self._store.unfollow([event_key for _, _, event_key in resolved])

    async def _send(self, run: Run, *, wait: bool, resumed: bool = False) -> Finished:
        redis = self._operator.redis
        attributes = (await read_attributes(redis, [self._to]))[self._to]
        events = self._events(run.id, attributes)
        await self._store.keep()
        self._progress.phase("Sending", self._state.outcomes().get("", 0))
        if self._by_bulk():
            await self._send_by_bulk(events, wait=wait)
        else:
            await self._send_by_lanes(events, wait=wait)
        report = report_of(self._state.outcomes())
        facts: dict[str, Any] = {**run.facts, "report": report.facts()}
        if report.waiting:
            self._state.conclude(run.id, RunState.SENDING, facts)
        else:
            if (results := self._subject.sync.results) is not None:
                await asyncio.to_thread(write_results, self._subject, results, self._state, run.id)
            if resumed:  # what the process before this one had stored, and not unfollowed
                await self._store.unfollow(self._state.ended_keys())
            self._state.finish(run.id, RunState.DONE, facts, now_ms())
        await self._store.keep()
        return Finished(self._state.runs()[0], report, resumed)

    def _by_bulk(self) -> bool:
        """Whether the rows go by bulk calls: a run keeps to the way that it has begun."""
        sync, account = self._subject.sync, self._subject.destination
        if sync.object == "audience" or self._state.jobs.open():
            return True
        if sync.object != "attributes" or sync.bulk_from is None or account.attributes.endpoint != "v2":
            return False
        planned = self._state.outcomes().get("", 0)
        return planned >= sync.bulk_from and has_token(account) and not self._state.waiting()

    async def _send_by_bulk(self, events: RowEvents, *, wait: bool) -> None:
        sync, account = self._subject.sync, self._subject.destination
        if not has_token(account):
            raise BulkFailed(
                "An audience is sent by this command itself, which needs the API token of the destination here."
            )
        async with self._outside.connect(account) as api:
            bulk = Bulk(self._state, api, self._progress, self._sharing(), self._outside.sleep)
            if sync.segment is not None:
                await AudienceSending(bulk, sync.segment, self._plan(), events, sync.how == "remove").all(wait=wait)
            else:
                learn = partial(store_attributes, self._operator.redis, self._to)
                await AttributesSending(bulk, events, learn).all(wait=wait)

    async def _send_by_lanes(self, events: RowEvents, *, wait: bool) -> None:
        settings, redis = self._operator.settings, self._operator.redis
        waker = Waker(redis)
        outbox = outbox_of(settings, redis, waker)
        try:
            await Sending(self._store, events, self._road(outbox), self._progress).all(wait=wait)
        finally:
            await outbox.close()
            await waker.close()

    def _road(self, outbox: Outbox | ShardedOutbox) -> Road:
        endpoint = endpoint_of_rows(self._subject.destination, self._subject.sync)
        return Road(
            self._operator.redis,
            outbox,
            self._to,
            self._subject.destination.limits.get(endpoint.name) or endpoint.calls_per_second,
            only_known=self._subject.sync.how == "update",
            max_memory_share=self._operator.settings.max_memory_share,
            consents=self._subject.sync.consent is not None,
            sharing=self._sharing(),
        )

    def _sharing(self) -> TrackedSharing:
        most = self._subject.destination.identifiers.most_links
        return TrackedSharing(self._operator.redis, self._subject.sync, self._plan(), most)
