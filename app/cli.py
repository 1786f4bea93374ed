"""The `attentive-gateway` command."""

import asyncio
import signal
import sys
from typing import Annotated, Any, Final

import structlog
import typer
import uvicorn

from app import __version__
from app.commands import (
    attributes,
    dead_letters,
    destinations,
    forget,
    mapping,
    openapi,
    run,
    settings,
    trace,
    unknown_outcomes,
)
from app.commands.common import fail
from app.config.values import BadSettings
from app.logs import set_up_logging
from app.main import check_redis
from app.reload import ignore_hang_ups
from app.sandbox.keys import DEFAULT_KEY
from app.server import UVICORN, supervise
from app.settings import load_settings

log = structlog.get_logger()

RUN: Final = "Run it"
CARE: Final = "Look after it"

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # they could hold personal data
    help="Segment-style events in, Attentive calls out.",
)
cli.command(rich_help_panel=RUN)(run.run)
cli.command(rich_help_panel=CARE)(trace.trace)
cli.command(rich_help_panel=CARE)(forget.forget)
cli.command(rich_help_panel=CARE)(settings.settings)
cli.command(hidden=True)(openapi.openapi)
cli.add_typer(dead_letters.commands, name="dead-letters", rich_help_panel=CARE)
cli.add_typer(unknown_outcomes.commands, name="unknown-outcomes", rich_help_panel=CARE)
cli.add_typer(attributes.commands, name="attributes", rich_help_panel=CARE)
cli.add_typer(forget.receipts, name="receipts", rich_help_panel=CARE)
cli.add_typer(destinations.commands, name="destinations", rich_help_panel=CARE)
cli.add_typer(mapping.commands, name="mapping", rich_help_panel=CARE)


@cli.callback(invoke_without_command=True)
def top(version: Annotated[bool, typer.Option("--version", help="print the version and stop")] = False) -> None:
    """Segment-style events in, Attentive calls out."""
    if version:
        typer.echo(f"attentive-gateway {__version__}")
        raise typer.Exit


@cli.command(rich_help_panel=RUN)
def serve(
    host: Annotated[str | None, typer.Option(help="address to listen on [GATEWAY_HOST]")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="port to listen on [GATEWAY_PORT]")] = None,
    workers: Annotated[int, typer.Option(min=1, help="processes")] = 1,
) -> None:
    """Run the HTTP gateway alone. All its settings are variables: see `attentive-gateway settings`."""
    ignore_hang_ups()
    ours = load_settings()
    ours.topology()  # a mistake is said here once, not by every process
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


@cli.command(rich_help_panel=RUN)
def worker() -> None:
    """Run one worker alone: it sends what waits to Attentive.

    All its settings are variables: see `attentive-gateway settings`. Its health and metrics are pages of
    GATEWAY_WORKER_HOST and GATEWAY_WORKER_PORT.
    """
    from workers.worker import main as run_worker  # its imports are not needed by the other commands

    run_worker()


@cli.command(rich_help_panel=RUN)
def sandbox(
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="port to listen on; 0: any")] = 8090,
    token: Annotated[str, typer.Option(help="API key with all scopes")] = DEFAULT_KEY.token,
    unlimited: Annotated[bool, typer.Option("--unlimited", help="no rate limits")] = False,
    latency_ms: Annotated[str | None, typer.Option(metavar="MIN:MAX", help="answer after MIN to MAX ms")] = None,
    summary_only: Annotated[bool, typer.Option("--summary-only", help="count calls and keep none")] = False,
) -> None:
    """Run a model of Attentive's API. It sends nothing anywhere; its control panel is at /_sandbox/."""
    from app.sandbox.__main__ import main as run_sandbox

    arguments = ["--host", host, "--port", str(port), "--token", token]
    arguments += ["--unlimited"] if unlimited else []
    arguments += ["--latency-ms", latency_ms] if latency_ms else []
    arguments += ["--summary-only"] if summary_only else []
    raise typer.Exit(run_sandbox(arguments))


def main() -> None:
    """Run the command line; a bad setting ends it with one line."""
    try:
        cli()
    except BadSettings as problem:
        try:
            fail(str(problem))
        except typer.Exit:
            sys.exit(2)


if __name__ == "__main__":
    main()
