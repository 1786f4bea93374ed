"""`python -m app.sandbox`: the sandbox alone, on a port."""

import argparse
import sys

from app.sandbox.config import ANY_PATH, SandboxConfig
from app.sandbox.keys import DEFAULT_KEY
from app.sandbox.latency import Uniform
from app.sandbox.server import PortInUse, serve_sandbox


def main(arguments: list[str] | None = None) -> int:
    """Serve until stopped. Returns 0 after a stop, 1 if the port is in use."""
    parser = argparse.ArgumentParser(
        prog="python -m app.sandbox",
        description="A model of Attentive's API. It contacts no other system. Its control panel is at /_sandbox/.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8090, help="port to listen on, 0 for any (default: %(default)s)")
    parser.add_argument("--token", default=DEFAULT_KEY.token, help="API key with all scopes (default: %(default)s)")
    parser.add_argument("--unlimited", action="store_true", help="Apply no rate limits.")
    parser.add_argument("--latency-ms", type=_latency, metavar="MIN:MAX", help="answer after MIN to MAX milliseconds")
    parser.add_argument("--summary-only", action="store_true", help="count calls and keep none, for benchmarks")
    options = parser.parse_args(arguments)

    config = SandboxConfig(
        keys=(DEFAULT_KEY.model_copy(update={"token": options.token}),),
        limits_enabled=not options.unlimited,
        latency={ANY_PATH: options.latency_ms} if options.latency_ms else {},
        summary_only=options.summary_only,
    )
    try:
        serve_sandbox(options.host, options.port, config, on_listening=_announce)
    except PortInUse as problem:
        print(f"attentive sandbox: {problem}; choose another with --port", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _latency(text: str) -> Uniform:
    low, _, high = text.partition(":")
    try:
        return Uniform(min_ms=float(low), max_ms=float(high or low))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not MIN:MAX in milliseconds, such as 50:150") from error


def _announce(url: str) -> None:
    print(f"attentive sandbox: listening on {url}, control panel at {url}/_sandbox/", flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
