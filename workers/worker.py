"""A worker process: arq with our jobs, and around it what a process needs. Both ways to start one share it.

`attentive-gateway worker` (and `python -m workers`) survives an outage of Redis. `arq workers.worker.WorkerSettings`
ends then, as arq does: its supervisor starts it again. Everything else comes from `on_startup` and `on_shutdown`.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final

import click
import orjson
import structlog
import uvicorn
import uvloop
from arq import Worker, cron, func
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from app import __version__
from app.alerts.reports import ProcessReport
from app.config.bad_settings import BadSettings
from app.config.topology import Topology
from app.delivery.backlog import lanes_to_wake
from app.delivery.lane import Lane
from app.delivery.wakeup import DRAIN
from app.health import Observed, health_router
from app.logs import set_up_logging
from app.metrics import DeliveryMetrics
from app.process import ignore_sighup, tune_gc
from app.settings import Settings, load_settings
from app.store.connection import open_redis, why_unavailable
from app.store.errors import StoreError, StoreFull
from app.store.keys import ARQ_QUEUE, ARQ_TAG
from app.store.shards import each_shard, is_cluster
from app.tasks import end
from app.traces.fastapi import NO_TELEMETRY
from app.wiring.alerts import AlertPlans, watched
from app.wiring.durability import warn_unless_durable
from app.wiring.pages import observed
from app.wiring.reloading import reload_of
from app.wiring.traces import tracing_of
from workers.alerts import AlertLoop
from workers.context import WorkerContext
from workers.drain import SLICE, drain
from workers.erasures import TIMEOUT, work_off
from workers.sweep import sweep
from workers.token_check import TokenCheck

FINISH_WITHIN: Final = timedelta(seconds=7)  # of a stop: what is under way to Attentive by then is settled
_AGAIN_AFTER_S: Final = 1.0
_END_WITHIN_S: Final = 2.0  # with FINISH_WITHIN before it, a stop is over within 10 s
_POLL_S: Final = 0.05  # arq looks for jobs this often: the latency of the first event of a quiet lane
_EACH_SECOND: Final = set(range(60))
_MAX_JOBS: Final = 1000  # one job per lane, and each spends its life waiting: no lane may wait for another's job

log = structlog.get_logger()


class WorkerProcess:
    """What runs around arq: health pages, metrics, token check, reload and signals. Both ways to start use it."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is connected yet. Raises BadSettings."""
        self.settings = settings
        self._loaded = settings.loaded()
        registry = CollectorRegistry()
        redis = open_redis(settings.redis_url.get_secret_value())
        self.context = WorkerContext.open(redis, settings, self._loaded.topology, DeliveryMetrics(registry))
        self._tracing = tracing_of(settings, registry, service="attentive-gateway-worker")
        if self._tracing is not None:
            self.context.emit = self._tracing.emit
        self._tokens = TokenCheck(lambda: self.context.clients, self.context.heard)
        self._reload = reload_of(settings, self._loaded, redis, registry, self._use)
        self._pages = observed(settings, redis, registry, lambda: self._reload.running.topology)
        self._alerts = AlertLoop(
            redis,
            AlertPlans(lambda: self._reload.running.topology).now,
            lambda: watched(self._reload.running.topology, self.context.retention, managed_redis=settings.is_managed),
            ProcessReport(redis, "worker", self._reload.status),
        )
        self._ends = contextlib.AsyncExitStack()

    def _use(self, topology: Topology) -> None:
        self.context.renew(topology)
        self._tokens.begin()

    async def start(self) -> None:
        """Start everything but arq. Raises BadSettings for a Redis that the settings do not allow."""
        settings, context, ends = self.settings, self.context, self._ends
        set_up_logging(settings.log_level, settings.log_format, component="worker")  # arq's command has set up its own
        for signum in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signum, context.stopping.set)
        ends.push_async_callback(context.redis.aclose, close_connection_pool=True)
        ends.push_async_callback(context.close)
        if self._tracing is not None:
            self._tracing.start()
            ends.push_async_callback(self._tracing.stop)
        await ends.enter_async_context(_health_pages(settings, self._pages))
        await warn_unless_durable(context.redis, required=settings.require_durable_redis, managed=settings.is_managed)
        tune_gc()
        pages = f"{settings.worker_host}:{settings.worker_port}"
        started = {"version": __version__, "lanes": len(context.lanes), "config": self._loaded.sha256[:12]}
        log.info("worker.started", **started, pages=pages)
        ends.push_async_callback(self._tokens.end)
        self._tokens.begin()
        await ends.enter_async_context(self._reload.watching())
        await ends.enter_async_context(self._alerts.running())

    async def stop(self) -> None:
        """End what start() began, in the opposite order. The drains must have ended."""
        await self._ends.aclose()
        log.info("worker.stopped")


async def on_startup(ctx: dict[str, Any]) -> None:
    """Start the worker process of `ctx`."""
    await ctx["process"].start()


async def on_shutdown(ctx: dict[str, Any]) -> None:
    """Stop the worker process of `ctx`."""
    await ctx["process"].stop()


def arq_options(process: WorkerProcess) -> dict[str, Any]:
    """The arguments of arq's Worker."""
    return {
        "functions": [func(drain, name=DRAIN, keep_result=0, timeout=SLICE + timedelta(seconds=30), max_tries=1)],
        "cron_jobs": [
            cron(sweep, name=f"{ARQ_TAG}sweep", second=_EACH_SECOND, timeout=20, keep_result=0, run_at_startup=True),
            cron(work_off, name=f"{ARQ_TAG}erasures", second=_EACH_SECOND, timeout=TIMEOUT, keep_result=0),
        ],
        "redis_pool": open_redis(process.settings.redis_url.get_secret_value()),
        "queue_name": ARQ_QUEUE,
        "job_serializer": orjson.dumps,
        "job_deserializer": orjson.loads,
        "handle_signals": False,
        "max_jobs": _MAX_JOBS,
        "poll_delay": _POLL_S,
        "health_check_interval": 60,
        "ctx": {"process": process, "context": process.context},
    }


async def run_worker(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT; then finish what is under way, hand the lanes back, and return."""
    process = WorkerProcess(settings)
    ctx = {"process": process}
    try:
        await on_startup(ctx)
        while not process.context.stopping.is_set():
            await _work(process)
        if not process.context.accounts.superseded.is_set():  # it was arq's turn to wait: drains may run beside it
            await process.context.finish(FINISH_WITHIN)
    finally:
        await on_shutdown(ctx)


async def _work(process: WorkerProcess) -> None:
    """One arq worker's life: until the stop, or until Redis goes away."""
    context, worker = process.context, Worker(**arq_options(process))
    main = asyncio.create_task(worker.async_run())
    stop = asyncio.create_task(context.stopping.wait())
    try:
        await asyncio.wait({main, stop}, return_when=asyncio.FIRST_COMPLETED)
        if main.done() and not context.stopping.is_set():
            failure = main.exception()
            reason = why_unavailable(failure) if isinstance(failure, StoreError) else type(failure).__name__
            log.warning("worker.interrupted", reason=reason)
            if isinstance(failure, StoreFull):
                await _drain_without_arq(context)
            elif is_cluster(context.redis):
                _drain_other_shards(context)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(context.stopping.wait(), _AGAIN_AFTER_S)
        else:
            worker.allow_pick_jobs = False
            await context.finish(FINISH_WITHIN)
    finally:
        stop.cancel()
        await _end(worker, main)


async def _end(worker: Worker, main: "asyncio.Task[None]") -> None:
    """End one arq worker, in good time whatever its tasks and Redis do.

    A task that does not end at all is left behind: its lane's lease ends without it, and the next worker must not wait.
    """
    ends = time.monotonic() + _END_WITHIN_S
    await end(main, within_s=_END_WITHIN_S)
    closing = asyncio.create_task(worker.close())
    await asyncio.wait({closing}, timeout=max(0.5, ends - time.monotonic()))
    for task in (main, closing):
        if not task.done():
            log.warning("worker.left_behind", task=task.get_name())
            task.cancel()
        elif not task.cancelled():
            task.exception()  # reported already, or of no interest in a worker that ends


async def _drain_without_arq(context: WorkerContext) -> None:
    """Run the lanes that are due. A full Redis lets arq enqueue nothing, and only sending makes room in it."""
    with contextlib.suppress(StoreError):
        shards = await each_shard(context.redis, context.destinations, partial(_due, context))
        lanes = [lane for due in shards for lane in due]
        await asyncio.gather(*(drain({"context": context}, lane.destination, lane.endpoint) for lane in lanes))


async def _due(context: WorkerContext, destinations: Sequence[str]) -> list[Lane]:
    return [lane for lane, _ in await lanes_to_wake(context.redis, context.lanes_of(destinations))]


def _drain_other_shards(context: WorkerContext) -> None:
    """Run the lanes that are due beside arq, which waits for the shard of its queue. Their own shards may be there."""
    task = asyncio.create_task(_drain_without_arq(context))
    context.beside_arq.add(task)
    task.add_done_callback(context.beside_arq.discard)


@contextlib.asynccontextmanager
async def _health_pages(settings: Settings, observed: Observed) -> AsyncIterator[None]:
    """/healthz, /readyz and /metrics on the worker's own port. A port in use is a warning: the work goes on."""
    app = FastAPI(
        title="attentive-gateway worker", version=__version__, telemetry=NO_TELEMETRY, docs_url=None, redoc_url=None
    )
    app.include_router(health_router(observed))
    options: dict[str, Any] = {"log_config": None, "lifespan": "off", "timeout_graceful_shutdown": 1}
    config = uvicorn.Config(app, settings.worker_host, settings.worker_port, **options)
    server = uvicorn.Server(config)
    task = asyncio.create_task(_serve(server, settings))
    try:
        yield
    finally:
        server.should_exit = True
        await task


async def _serve(server: uvicorn.Server, settings: Settings) -> None:
    try:
        await server._serve()
    except SystemExit:
        address = f"{settings.worker_host}:{settings.worker_port}"
        log.warning("worker.no_health_pages", address=address, hint="the port is in use: set GATEWAY_WORKER_PORT")


def main() -> None:
    """Run one worker from the environment."""
    ignore_sighup()
    settings = load_settings()
    set_up_logging(settings.log_level, settings.log_format, component="worker")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run_worker(settings))


def __getattr__(name: str) -> Any:
    """`WorkerSettings`, made when arq's own command asks for it: reading it needs the environment."""
    if name != "WorkerSettings":
        raise AttributeError(name)
    ignore_sighup()
    try:
        process = WorkerProcess(load_settings())
    except BadSettings as mistake:
        raise click.ClickException(str(mistake)) from None
    hooks = {"on_startup": staticmethod(_start_in_arq), "on_shutdown": staticmethod(on_shutdown)}
    return type("WorkerSettings", (), arq_options(process) | hooks)


async def _start_in_arq(ctx: dict[str, Any]) -> None:
    """`on_startup` in arq's own main task, which a signal ends as gracefully as it ends run_worker()."""
    try:
        await on_startup(ctx)
    except BadSettings as mistake:
        log.error("worker.not_started", error=str(mistake))
        raise SystemExit(2) from None
    main_task = asyncio.current_task()
    assert main_task is not None  # noqa: S101 - arq runs start-up inside its main task
    ctx["end"] = asyncio.create_task(_end_arq(ctx["context"], main_task))


async def _end_arq(context: WorkerContext, main_task: "asyncio.Task[Any]") -> None:
    await context.stopping.wait()
    await context.finish(FINISH_WITHIN)
    await _until_no_job_runs()
    await end(main_task, within_s=_END_WITHIN_S)


async def _until_no_job_runs() -> None:
    """Wait for the last cron jobs: arq's command ends with a traceback when a job is cut short."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_END_WITHIN_S):
            while jobs := [task for task in asyncio.all_tasks() if _runs_a_job(task)]:
                await asyncio.wait(jobs)


def _runs_a_job(task: "asyncio.Task[Any]") -> bool:
    return getattr(task.get_coro(), "__qualname__", "") == "Worker.run_job"
