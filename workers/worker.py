"""A worker process: arq with our jobs, a health page of its own, and a stop that finishes what it began.

`attentive-gateway worker` and `python -m workers` come back by themselves when Redis was away. `arq
workers.worker.WorkerSettings` works too; there, whoever supervises the process starts it again.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, Final

import orjson
import structlog
import uvicorn
import uvloop
from arq import Worker, cron, func
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from redis.exceptions import OutOfMemoryError, RedisError

from app import __version__
from app.config.topology import Loaded, Topology
from app.delivery.backlog import calls_waiting, lanes_to_wake
from app.delivery.connection import open_redis, why_unavailable
from app.delivery.wake import DRAIN
from app.health import Observed, health_router
from app.logs import set_up_logging
from app.main import calm_garbage_collection, warn_unless_durable
from app.metrics import ConfigMetrics, DeliveryMetrics
from app.reload import Reload, ignore_hang_ups
from app.settings import Settings, load_settings
from app.topology import all_memories, lanes_of, retention_of
from workers.deletions import TIMEOUT, work_off
from workers.desk import Desk
from workers.drain import SLICE, drain
from workers.sweep import sweep
from workers.tokens import TokenCheck

FINISH_WITHIN: Final = timedelta(seconds=7)  # of a stop: what is under way to Attentive by then is settled
_AGAIN_AFTER_S: Final = 1.0
_END_WITHIN_S: Final = 2.0  # with FINISH_WITHIN before it, a stop is over within 10 s
_POLL_S: Final = 0.05  # arq looks for jobs this often: the latency of the first event of a quiet lane
_EACH_SECOND: Final = set(range(60))
_MAX_JOBS: Final = 1000  # one job per lane, and each spends its life waiting: no lane may wait for another's job

log = structlog.get_logger()


def arq_options(settings: Settings, desk: Desk) -> dict[str, Any]:
    """What arq's Worker is given."""
    return {
        "functions": [func(drain, name=DRAIN, keep_result=0, timeout=SLICE + timedelta(seconds=30), max_tries=1)],
        "cron_jobs": [
            cron(sweep, name="sweep", second=_EACH_SECOND, timeout=20, keep_result=0, run_at_startup=True),
            cron(work_off, name="deletions", second=_EACH_SECOND, timeout=TIMEOUT, keep_result=0),
        ],
        "redis_pool": open_redis(settings.redis_url.get_secret_value()),
        "job_serializer": orjson.dumps,
        "job_deserializer": orjson.loads,
        "handle_signals": False,
        "max_jobs": _MAX_JOBS,
        "poll_delay": _POLL_S,
        "health_check_interval": 60,
        "ctx": {"desk": desk},
    }


async def run_worker(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT; then finish what is under way, hand the lanes back, and return."""
    loaded = settings.loaded()
    redis = open_redis(settings.redis_url.get_secret_value())
    registry = CollectorRegistry()
    desk = Desk.open(redis, settings, loaded.topology, DeliveryMetrics(registry))
    tokens = TokenCheck(lambda: desk.clients)
    reload = _reload(settings, loaded, desk, tokens, registry)
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, desk.stopping.set)
    observed = Observed(
        redis,
        lambda: desk.paces,
        registry,
        settings.worker_calls_per_second,
        retention_of(settings),
        lambda: all_memories(reload.running.topology),
    )
    async with _health_pages(settings, observed):
        await warn_unless_durable(redis, required=settings.require_durable_redis)
        calm_garbage_collection()
        pages = f"{settings.worker_host}:{settings.worker_port}"
        started = {"version": __version__, "lanes": len(desk.lanes), "config": loaded.sha256[:12], "pages": pages}
        log.info("worker.started", **started)
        tokens.begin()
        async with reload.watching():
            while not desk.stopping.is_set():
                await _work(settings, desk)
    await tokens.end()
    await desk.close()
    await redis.aclose(close_connection_pool=True)
    log.info("worker.stopped")


def _reload(settings: Settings, loaded: Loaded, desk: Desk, tokens: TokenCheck, registry: CollectorRegistry) -> Reload:
    def use(topology: Topology) -> None:
        desk.renew(topology)
        tokens.begin()

    return Reload(
        loaded,
        load=settings.loaded_again,
        use=use,
        waiting=lambda names: calls_waiting(desk.redis, lanes_of(names)),
        metrics=ConfigMetrics(registry),
    )


async def _work(settings: Settings, desk: Desk) -> None:
    """One arq worker's life: until the stop, or until Redis goes away."""
    worker = Worker(**arq_options(settings, desk))
    main = asyncio.create_task(worker.async_run())
    stop = asyncio.create_task(desk.stopping.wait())
    try:
        await asyncio.wait({main, stop}, return_when=asyncio.FIRST_COMPLETED)
        if main.done() and not desk.stopping.is_set():
            failure = main.exception()
            reason = why_unavailable(failure) if isinstance(failure, RedisError) else type(failure).__name__
            log.warning("worker.interrupted", reason=reason, error=str(failure)[:200])
            if isinstance(failure, OutOfMemoryError):
                await _drain_without_arq(desk)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(desk.stopping.wait(), _AGAIN_AFTER_S)
        else:
            worker.allow_pick_jobs = False
            await desk.finish(FINISH_WITHIN)
    finally:
        stop.cancel()
        await _end(worker, main)


async def _end(worker: Worker, main: "asyncio.Task[None]") -> None:
    """End one arq worker, in good time whatever its tasks do, and Redis.

    A task whose connection is cut at the very moment of its cancellation may lose the cancellation: it is asked again.
    One that does not end at all is left behind: its lane's lease ends without it, and the next worker must not wait.
    """
    ends = time.monotonic() + _END_WITHIN_S
    while not main.done() and time.monotonic() < ends:
        main.cancel()
        await asyncio.wait({main}, timeout=0.5)
    closing = asyncio.create_task(worker.close())
    await asyncio.wait({closing}, timeout=max(0.5, ends - time.monotonic()))
    for task in (main, closing):
        if not task.done():
            log.warning("worker.left_behind", task=task.get_name())
            task.cancel()
        elif not task.cancelled():
            task.exception()  # said already, or of no interest in a worker that ends


async def _drain_without_arq(desk: Desk) -> None:
    """Run the lanes that are due. A full Redis lets arq enqueue nothing, and only sending makes room in it."""
    with contextlib.suppress(RedisError):
        due = await lanes_to_wake(desk.redis, desk.lanes)
        await asyncio.gather(*(drain({"desk": desk}, lane.destination, lane.endpoint) for lane, _ in due))


@contextlib.asynccontextmanager
async def _health_pages(settings: Settings, observed: Observed) -> AsyncIterator[None]:
    """/healthz, /readyz and /metrics on the worker's own port. A port in use is a warning: the work goes on."""
    app = FastAPI(title="attentive-gateway worker", version=__version__, docs_url=None, redoc_url=None)
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


async def _until_no_job_runs() -> None:
    """arq's command ends with a traceback when a job, be it a look of some milliseconds, is cut short."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_END_WITHIN_S):
            while jobs := [task for task in asyncio.all_tasks() if _runs_a_job(task)]:
                await asyncio.wait(jobs)


def _runs_a_job(task: "asyncio.Task[Any]") -> bool:
    return getattr(task.get_coro(), "__qualname__", "") == "Worker.run_job"


def main() -> None:
    """Run one worker from the environment."""
    ignore_hang_ups()
    settings = load_settings()
    set_up_logging(settings.log_level, settings.log_format, component="worker")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run_worker(settings))


def __getattr__(name: str) -> Any:
    """`WorkerSettings`, made when arq's own command asks for it: reading it needs the environment."""
    if name != "WorkerSettings":
        raise AttributeError(name)
    settings = load_settings()
    set_up_logging(settings.log_level, settings.log_format, component="worker")
    loaded, registry = settings.loaded(), CollectorRegistry()
    redis = open_redis(settings.redis_url.get_secret_value())
    desk = Desk.open(redis, settings, loaded.topology, DeliveryMetrics(registry))
    tokens, watching = TokenCheck(lambda: desk.clients), contextlib.AsyncExitStack()
    reload = _reload(settings, loaded, desk, tokens, registry)

    async def take_over(_ctx: dict[str, Any]) -> None:
        """The log, which arq's command sets up in its own way after this was read, and the signals."""
        set_up_logging(settings.log_level, settings.log_format, component="worker")
        main_task = asyncio.current_task()
        assert main_task is not None  # noqa: S101 - arq runs start-up inside its main task

        async def stop() -> None:
            desk.stopping.set()
            await watching.aclose()
            await tokens.end()
            await desk.finish(FINISH_WITHIN)
            await _until_no_job_runs()
            main_task.cancel()

        for signum in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signum, lambda: asyncio.ensure_future(stop()))
        await watching.enter_async_context(reload.watching())
        tokens.begin()

    return type("WorkerSettings", (), arq_options(settings, desk) | {"on_startup": staticmethod(take_over)})
