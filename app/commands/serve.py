"""`attentive-gateway serve`: the HTTP gateway alone."""

import asyncio
import signal
from typing import Annotated, Any

import structlog
import typer
import uvicorn

from app.logs import set_up_logging
from app.process import UVICORN, ignore_sighup, supervise
from app.settings import load_settings
from app.wiring.durability import check_redis

log = structlog.get_logger()


def serve(
    host: Annotated[str | None, typer.Option(help="The address, instead of GATEWAY_HOST.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="The port, instead of GATEWAY_PORT.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="The number of processes.")] = 1,
) -> None:
    """Run the HTTP gateway alone. All its settings are variables: see `attentive-gateway settings`."""
    ignore_sighup()
    ours = load_settings()
    ours.topology()  # a mistake is reported here once, not by every process
    set_up_logging(ours.log_level, ours.log_format, component="gateway")
    if ours.require_durable_redis:
        asyncio.run(check_redis(ours))
    address = f"{host or ours.host}:{ours.port if port is None else port}"
    log.info("gateway.starting", address=address, processes=workers)
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn stops on it, then raises it again: we leave with 0
    options: dict[str, Any] = {
        "host": host or ours.host,
        "port": ours.port if port is None else port,
        "workers": workers,
        "factory": True,
        **UVICORN,
    }
    if workers == 1:
        uvicorn.run("app.main:app_from_environment", **options)
    else:
        supervise(uvicorn.Config("app.main:app_from_environment", **options))
