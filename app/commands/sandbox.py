"""`attentive-gateway sandbox`: the model of Attentive alone."""

from typing import Annotated

import typer

from app.sandbox.__main__ import main
from app.sandbox.keys import DEFAULT_KEY


def sandbox(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on. 0 means any free port.")] = 8090,
    token: Annotated[str, typer.Option(help="The API key that has all scopes.")] = DEFAULT_KEY.token,
    unlimited: Annotated[bool, typer.Option("--unlimited", help="Apply no rate limits.")] = False,
    latency_ms: Annotated[
        str | None, typer.Option(metavar="MIN:MAX", help="Wait MIN to MAX ms before each answer.")
    ] = None,
    summary_only: Annotated[bool, typer.Option("--summary-only", help="Count calls without keeping them.")] = False,
) -> None:
    """Run a model of Attentive's API. It contacts no other system. Its control panel is at /_sandbox/."""
    arguments = ["--host", host, "--port", str(port), "--token", token]
    arguments += ["--unlimited"] if unlimited else []
    arguments += ["--latency-ms", latency_ms] if latency_ms else []
    arguments += ["--summary-only"] if summary_only else []
    raise typer.Exit(main(arguments))
