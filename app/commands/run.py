"""`attentive-gateway run`: the whole gateway on one machine, with an embedded Redis, and sample events to look at."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import typer

from app.children import start_child, stop_child
from app.commands.common import NOT_TOLD, Operator, fail, out, running_file, with_redis
from app.commands.samples import SAMPLES, show_samples
from app.commands.tokens import say_whose_tokens
from app.delivery.books import read_books
from app.embedded import NoRedis, embedded_redis, not_writable
from app.reload import terminal_is_gone
from app.sandbox.keys import DEFAULT_KEY
from app.settings import SECRET_VARIABLES, load_settings

SANDBOX_PORT: Final = 8090
WRITE_KEY: Final = "dev"
_READY_WITHIN_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    process: "subprocess.Popen[bytes]"
    ready_url: str
    log: Path


def run(
    data: Annotated[Path, typer.Option(help="folder of the embedded Redis and of the logs")] = Path("data"),
    host: Annotated[str, typer.Option(envvar="GATEWAY_HOST", help="address the gateway listens on")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar="GATEWAY_PORT", min=1, max=65535, help="port the gateway listens on")
    ] = 8080,
    samples: Annotated[Path | None, typer.Option(help="NDJSON file of events to post once all is up")] = None,
    no_samples: Annotated[bool, typer.Option("--no-samples", help="post nothing")] = False,
) -> None:
    """Start Redis, gateway, worker and (without ATTENTIVE_API_TOKEN) a sandbox; show sample events on their way."""
    _refuse_taken_port(host, port)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    gateway = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"
    try:
        with ExitStack() as stack:
            if not os.environ.get("GATEWAY_REDIS_URL"):
                os.environ["GATEWAY_REDIS_URL"] = stack.enter_context(_started("Redis", embedded_redis(data)))
            sandbox = _complete_environment()
            topology = load_settings().topology()
            stack.enter_context(_announced(data, sandbox))
            _say_what_waits()
            parts = list(_start_parts(stack, data, sandbox, gateway, ("--host", host, "--port", str(port))))
            _wait_until_ready(parts)
            _pass_hang_ups_on(parts)
            key = next(source.write_keys[0].key.get_secret_value() for source in topology.sources.values())
            if not no_samples and (sandbox or samples):
                show_samples(samples or SAMPLES, gateway, key)
            elif not sandbox:
                out.print("Sample events are not posted to a real Attentive account (give --samples FILE to do so).")
            if not sandbox:
                say_whose_tokens(topology.destinations)
            _say_where(gateway, sandbox, parts)
            _watch(parts)
    except NoRedis as problem:
        fail(str(problem))
    except KeyboardInterrupt:
        out.print("\nStopped. What was not delivered is kept in", str(data), highlight=False)


def _complete_environment() -> str | None:
    """Set what is not set, for us and all parts; the sandbox's address where Attentive is played by it."""
    worker_port = int(os.environ.get("GATEWAY_WORKER_PORT") or 8081)
    os.environ["GATEWAY_WORKER_PORT"] = str(_free_port(worker_port))
    if os.environ.get("GATEWAY_CONFIG"):
        return None
    if not os.environ.get("GATEWAY_WRITE_KEY_FILE"):
        os.environ.setdefault("GATEWAY_WRITE_KEY", WRITE_KEY)
    if os.environ.get("ATTENTIVE_API_TOKEN") or os.environ.get("ATTENTIVE_API_TOKEN_FILE"):
        return None
    sandbox = f"http://127.0.0.1:{_free_port(SANDBOX_PORT)}"
    os.environ |= {"ATTENTIVE_API_TOKEN": DEFAULT_KEY.token, "ATTENTIVE_BASE_URL": sandbox}
    return sandbox


def _start_parts(
    stack: ExitStack, data: Path, sandbox: str | None, gateway: str, listen: tuple[str, ...]
) -> Iterator[_Part]:
    """The processes, in the order they start; they stop in the opposite one."""

    def part(name: str, ready_url: str, *arguments: str) -> _Part:
        log = data / f"{name}.log"
        process = start_child([sys.executable, "-m", "app.cli", *arguments], log=log)
        stack.callback(stop_child, process)
        return _Part(name, process, ready_url, log)

    if sandbox:
        yield part("sandbox", f"{sandbox}/_sandbox/healthz", "sandbox", "--port", sandbox.rpartition(":")[2])
    yield part("worker", f"http://127.0.0.1:{os.environ['GATEWAY_WORKER_PORT']}/readyz", "worker")
    yield part("gateway", f"{gateway}/readyz", "serve", *listen)


@contextmanager
def _started(name: str, context: Any) -> Iterator[Any]:
    with out.status(f"Starting {name}"):
        value = context.__enter__()
    try:
        yield value
    finally:
        context.__exit__(None, None, None)


@contextmanager
def _announced(data: Path, sandbox: str | None) -> Iterator[None]:
    """Tell operator commands in other terminals where this run is. They need no secret, so none is written.

    The sandbox's token is none.
    """
    names = ("GATEWAY_REDIS_URL", "GATEWAY_CONFIG", "GATEWAY_WRITE_KEY", "ATTENTIVE_API_TOKEN", "ATTENTIVE_BASE_URL")
    told = {name: os.environ[name] for name in names if os.environ.get(name)}
    kept_back = {*SECRET_VARIABLES} - {"GATEWAY_REDIS_URL"} - ({"ATTENTIVE_API_TOKEN"} if sandbox else set())
    told |= {name: NOT_TOLD for name in told if name in kept_back}
    file = running_file(data)
    try:
        data.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(json.dumps(told), encoding="utf-8")
    except OSError as failure:
        fail(not_writable(data, failure))
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _wait_until_ready(parts: list[_Part]) -> None:
    ends = time.monotonic() + _READY_WITHIN_S
    for part in parts:
        with out.status(f"Starting the {part.name}"):
            while not _answers(part.ready_url):
                if part.process.poll() is not None or time.monotonic() > ends:
                    lines = part.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                    fail(f"the {part.name} did not start; its log {part.log} ends: {lines[-1] if lines else '(empty)'}")
                time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _say_what_waits() -> None:
    async def work(operator: Operator) -> int:
        return sum(books.waiting for books in await read_books(operator.redis, operator.destinations))

    if waiting := with_redis(work):
        out.print(f"{waiting:,} events of earlier runs were still waiting, and are being delivered now.")


def _say_where(gateway: str, sandbox: str | None, parts: list[_Part]) -> None:
    key = WRITE_KEY if os.environ.get("GATEWAY_WRITE_KEY") == WRITE_KEY else "YOUR_WRITE_KEY"
    out.print(f"\nThe gateway listens on {gateway}. Post to it:\n", highlight=False)
    out.out(
        f"  curl -u {key}: {gateway}/v1/track -d "
        """'{"userId":"u-1","event":"Signed Up","context":{"traits":{"email":"jane@example.com"}}}'\n""",
        highlight=False,
    )
    if sandbox:
        out.print(f"What the sandbox got: {sandbox}/_sandbox/ledger", highlight=False, soft_wrap=True)
    logs = ", ".join(str(part.log) for part in parts)
    out.print(f"API: {gateway}/docs   metrics: {gateway}/metrics   logs: {logs}", highlight=False, soft_wrap=True)
    out.print("Ctrl-C stops everything.", highlight=False)


def _pass_hang_ups_on(parts: list[_Part]) -> None:
    """A SIGHUP makes all parts read their configuration again; the one of a terminal that is closed ends them."""

    def hung_up(*_: object) -> None:
        if terminal_is_gone():
            sys.exit(0)
        for part in parts:
            if part.name in ("gateway", "worker"):
                part.process.send_signal(signal.SIGHUP)

    signal.signal(signal.SIGHUP, hung_up)


def _watch(parts: list[_Part]) -> None:
    """Until Ctrl-C, or until a part ends by itself."""
    while True:
        for part in parts:
            if (status := part.process.poll()) is not None:
                fail(f"the {part.name} ended with status {status}; see {part.log}")
        time.sleep(0.5)


def _refuse_taken_port(host: str, port: int) -> None:
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as failure:
        fail(f"cannot listen on {host}:{port}: {failure.strerror}; choose another with --port")


def _free_port(preferred: int) -> int:
    """`preferred` if nobody has it, else any."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
