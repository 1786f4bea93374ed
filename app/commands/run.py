"""`attentive-gateway run`: the whole gateway on one machine, with an embedded Redis, and sample events to look at."""

import errno
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Self

import httpx
import typer

from app.commands.common import WITHHELD, fail, out, running_file, table_with, with_redis
from app.commands.samples import SAMPLES, show_samples
from app.config.topology import Topology, load_file
from app.config.values import is_placeholder
from app.delivery.counters import read_counters
from app.embedded import NoRedis, embedded_redis, not_writable, only_user_of
from app.operations.operator import Operator
from app.process import terminal_is_gone
from app.sandbox.keys import DEFAULT_KEY
from app.settings import SECRET_VARIABLES, load_settings
from app.subprocesses import start_child, stop_child

SANDBOX_PORT: Final = 8090
WRITE_KEY: Final = "dev"
_READY_WITHIN_S: Final = 60.0
_PORTS_TRIED: Final = 100


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    process: "subprocess.Popen[bytes]"
    ready_url: str
    log: Path


def run(
    data: Annotated[
        Path, typer.Option(envvar="GATEWAY_DATA", help="Folder of the embedded Redis and of the logs.")
    ] = Path("data"),
    config: Annotated[
        Path | None,
        typer.Option(envvar="GATEWAY_CONFIG", help="YAML file with sources and destinations."),
    ] = None,
    sandbox: Annotated[
        bool,
        typer.Option(
            "--sandbox",
            help="Send every call to a sandbox and none to Attentive, whatever tokens are set. This is the default "
            "where no token is set.",
        ),
    ] = False,
    host: Annotated[str, typer.Option(envvar="GATEWAY_HOST", help="Address the gateway listens on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar="GATEWAY_PORT", min=1, max=65535, help="Port the gateway listens on.")
    ] = 8080,
    redis: Annotated[
        Path | None,
        typer.Option(
            envvar="GATEWAY_REDIS_SERVER",
            help="The redis-server or valkey-server to start. Without it, the first on the PATH, or the Valkey that "
            "comes with the gateway.",
        ),
    ] = None,
    samples: Annotated[Path | None, typer.Option(help="NDJSON file of events to post once all is up.")] = None,
    no_samples: Annotated[bool, typer.Option("--no-samples", help="Do not post sample events.")] = False,
    no_console: Annotated[bool, typer.Option("--no-console", help="Do not start the console.")] = False,
) -> None:
    """Start Redis, gateway, worker, console and, if no API token is set, a sandbox; show sample events on their way.

    A run with a sandbox stores its data apart, in DATA/sandbox: none of it reaches Attentive when a token is set later.
    """
    os.umask(0o077)  # what is stored and logged is for its owner alone
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if samples is not None and not samples.exists():
        fail(f"There is no file {samples}.")
    if config is not None:
        os.environ["GATEWAY_CONFIG"] = str(config)
    try:
        with ExitStack() as stack:
            ports = stack.enter_context(Ports())
            port = ports.choose("gateway", port, host)
            gateway = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"
            sandbox_url = _complete_environment(ports, sandbox=sandbox, console=not no_console)
            folder = data / "sandbox" if sandbox_url else data
            _start_redis(stack, data, folder, redis)
            topology = load_settings().topology()
            ports.announce()
            os.environ.setdefault("GATEWAY_SYNC_STATE", str(folder / "syncs"))
            stack.enter_context(_announced(data, sandbox_url))
            _say_what_waits(sandbox_url)
            parts = list(_start_parts(stack, data, sandbox_url, gateway, ("--host", host, "--port", str(port))))
            parts += _start_schedule(stack, data, topology)
            _wait_until_ready(parts)
            _forward_sighup(parts)
            key = next(source.write_keys[0].key.get_secret_value() for source in topology.sources.values())
            if not no_samples:
                _show_samples(samples, folder if sandbox_url else None, gateway, key)
            if not sandbox_url:
                _say_whose_tokens(topology)
            _say_where(gateway, sandbox_url, parts, ports)
            _watch(parts)
    except NoRedis as problem:
        fail(str(problem))
    except KeyboardInterrupt:
        out.print("\nStopped. What was not delivered is kept in", str(data), highlight=False)


def _start_schedule(stack: ExitStack, data: Path, topology: Topology) -> list[_Part]:
    """The process that runs scheduled syncs, if there are any."""
    if not any(sync.schedule for sync in topology.syncs.values()):
        return []
    log_file = data / "sync.log"
    schedule = start_child([sys.executable, "-m", "app.cli", "sync", "schedule"], log=log_file)
    stack.callback(stop_child, schedule)
    return [_Part("sync schedule", schedule, "", log_file)]


def _say_whose_tokens(topology: Topology) -> None:
    from app.commands.tokens import say_whose_tokens  # with what speaks to Attentive: a sandbox needs none

    say_whose_tokens(topology.destinations)


def _complete_environment(ports: "Ports", *, sandbox: bool, console: bool) -> str | None:
    """Set what is not set, for us and all parts; the sandbox's address where Attentive is played by it."""
    worker_port = int(os.environ.get("GATEWAY_WORKER_PORT") or 8081)
    os.environ["GATEWAY_WORKER_PORT"] = str(ports.choose("worker", worker_port, "127.0.0.1"))
    admin_port = int(os.environ.get("GATEWAY_ADMIN_PORT") or 8082)
    os.environ["GATEWAY_ADMIN_PORT"] = str(ports.choose("operators' pages", admin_port, "127.0.0.1"))
    _choose_console(ports, wanted=console)
    config = os.environ.get("GATEWAY_CONFIG")
    if not config and not os.environ.get("GATEWAY_WRITE_KEY_FILE"):
        os.environ.setdefault("GATEWAY_WRITE_KEY", WRITE_KEY)
    if not sandbox and not (_lacks_tokens(Path(config)) if config else _lacks_token()):
        return None
    url = f"http://127.0.0.1:{ports.choose('sandbox', SANDBOX_PORT, '127.0.0.1')}"
    os.environ.pop("ATTENTIVE_API_TOKEN_FILE", None)
    os.environ |= {
        "ATTENTIVE_API_TOKEN": DEFAULT_KEY.token,
        "ATTENTIVE_BASE_URL": url,
        "GATEWAY_SANDBOX_URL": url,  # the same for the destinations of a file
    }
    os.environ.setdefault("GATEWAY_TRUST", "server")  # the key of a trial is in no web page
    return url


def _choose_console(ports: "Ports", *, wanted: bool) -> None:
    """The console's port, and the token of its sign-in link. Only a person at this terminal can read the link."""
    if not wanted:
        os.environ.pop("GATEWAY_CONSOLE_PORT", None)
        return
    host = os.environ.get("GATEWAY_CONSOLE_HOST") or "127.0.0.1"
    port = int(os.environ.get("GATEWAY_CONSOLE_PORT") or 8083)
    os.environ["GATEWAY_CONSOLE_PORT"] = str(ports.choose("console", port, host))
    if not os.environ.get("GATEWAY_CONSOLE_TOKEN_FILE"):
        os.environ.setdefault("GATEWAY_CONSOLE_TOKEN", secrets.token_urlsafe(24))


def _lacks_token() -> bool:
    return not (os.environ.get("ATTENTIVE_API_TOKEN") or os.environ.get("ATTENTIVE_API_TOKEN_FILE"))


def _lacks_tokens(config: Path) -> bool:
    """Whether no destination of a file has its token. Ends the command where only some have theirs."""
    destinations = load_file(config, secrets_needed=False).topology.destinations
    lacking = [name for name, destination in destinations.items() if is_placeholder(destination.api_token)]
    if 0 < len(lacking) < len(destinations):
        fail(
            f"The API tokens of these destinations are not set: {', '.join(lacking)}. Set them, or add --sandbox, "
            "which sends the calls of all destinations to a sandbox and none to Attentive.",
            2,
        )
    return bool(lacking)


def _start_redis(stack: ExitStack, data: Path, folder: Path, server: Path | None) -> None:
    """The embedded one, which keeps its data in `folder`, unless GATEWAY_REDIS_URL names another."""
    elsewhere = os.environ.get("GATEWAY_REDIS_URL")
    if elsewhere or folder != data:
        stack.enter_context(only_user_of(data))
    if not elsewhere:
        embedded = embedded_redis(folder, server=server)
        os.environ["GATEWAY_REDIS_URL"] = stack.enter_context(_started("Redis", embedded))


def _show_samples(samples: Path | None, folder: Path | None, gateway: str, key: str) -> None:
    """Post those of a file, or once to each folder of a sandbox our own. `folder`: None with a real account."""
    posted = None if folder is None else folder / "samples-posted"
    if samples is not None:
        show_samples(samples, gateway, key)
    elif posted is None:
        out.print("Sample events are not posted to a real Attentive account (give --samples FILE to do so).")
    elif posted.exists():
        out.print("The sample events were posted by an earlier run, and are not posted again.")
    else:
        show_samples(SAMPLES, gateway, key)
        posted.parent.mkdir(exist_ok=True)
        posted.touch()


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
    if port := os.environ.get("GATEWAY_CONSOLE_PORT"):
        yield part("console", f"http://127.0.0.1:{port}/healthz", "console")


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
    names = (
        *("GATEWAY_REDIS_URL", "GATEWAY_CONFIG", "GATEWAY_WRITE_KEY", "GATEWAY_TRUST"),
        *("ATTENTIVE_API_TOKEN", "ATTENTIVE_BASE_URL", "GATEWAY_SANDBOX_URL", "GATEWAY_SYNC_STATE"),
    )
    shared = {name: os.environ[name] for name in names if os.environ.get(name)}
    for name in {"GATEWAY_CONFIG", "GATEWAY_SYNC_STATE"} & shared.keys():  # a command may be in another folder
        if "://" not in shared[name]:
            shared[name] = str(Path(shared[name]).absolute())
    kept_back = {*SECRET_VARIABLES} - {"GATEWAY_REDIS_URL"} - ({"ATTENTIVE_API_TOKEN"} if sandbox else set())
    shared |= {name: WITHHELD for name in shared if name in kept_back}
    file = running_file(data)
    try:
        data.mkdir(parents=True, exist_ok=True)
        new = file.with_suffix(".new")  # a command of another terminal reads the file whole or not at all
        new.write_text(json.dumps(shared), encoding="utf-8")
        new.replace(file)
    except OSError as failure:
        fail(not_writable(data, failure))
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _wait_until_ready(parts: list[_Part]) -> None:
    ends = time.monotonic() + _READY_WITHIN_S
    for part in parts:
        with out.status(f"Starting the {part.name}"), httpx.Client(timeout=2, trust_env=False) as http:
            while part.ready_url and not _answers(http, part.ready_url):
                if part.process.poll() is not None or time.monotonic() > ends:
                    lines = part.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                    fail(f"The {part.name} did not start. Its log {part.log} ends: {lines[-1] if lines else '(empty)'}")
                time.sleep(0.05)


def _answers(http: httpx.Client, url: str) -> bool:
    try:
        return http.get(url).status_code == 200
    except httpx.HTTPError:
        return False


def _say_what_waits(sandbox: str | None) -> None:
    if sandbox:
        out.print("Every call goes to a sandbox, which stands in for Attentive. Nothing leaves this machine.")

    async def work(operator: Operator) -> int:
        return sum(counters.waiting for counters in await read_counters(operator.redis, operator.destinations))

    if waiting := with_redis(work):
        out.print(f"{waiting:,} events of earlier runs were still waiting, and are being delivered now.")


def _say_where(gateway: str, sandbox: str | None, parts: list[_Part], ports: "Ports") -> None:
    key = WRITE_KEY if os.environ.get("GATEWAY_WRITE_KEY") == WRITE_KEY else "YOUR_WRITE_KEY"
    out.print(f"\nThe gateway listens on {gateway}. Post to it:\n", highlight=False)
    out.out(
        f"  curl -u {key}: {gateway}/v1/track -d "
        """'{"userId":"u-1","event":"Signed Up","context":{"traits":{"email":"jane@example.com"}}}'\n""",
        highlight=False,
    )
    local = "http://127.0.0.1"
    pages = [
        ("gateway", gateway),
        ("operators' pages", f"{local}:{os.environ['GATEWAY_ADMIN_PORT']}/docs, /metrics"),
        ("worker", f"{local}:{os.environ['GATEWAY_WORKER_PORT']}/metrics"),
        ("sandbox", f"{sandbox}/_sandbox/ledger"),
    ]
    if port := os.environ.get("GATEWAY_CONSOLE_PORT"):
        pages.insert(1, ("console", f"{local}:{port}"))
    logs = {part.name: str(part.log) for part in parts}
    table = table_with("Part", "Address", "Log")
    for name, address in pages if sandbox else pages[:-1]:
        moved = f" (port {ports.moved[name]} is in use)" if name in ports.moved else ""
        table.add_row(name, address + moved, logs.get(name, ""))
    out.print(table, highlight=False)
    if port and (token := os.environ.get("GATEWAY_CONSOLE_TOKEN")):
        out.print("See all of it in a browser. This link signs you in, so keep it to yourself:\n", highlight=False)
        out.out(f"  {local}:{port}/sign-in?token={token}\n", highlight=False)
    out.print("Ctrl-C stops everything.", highlight=False)


def _forward_sighup(parts: list[_Part]) -> None:
    """A SIGHUP makes all parts read their configuration again; the one of a terminal that is closed ends them."""

    def hung_up(*_: object) -> None:
        if terminal_is_gone():
            sys.exit(0)
        for part in parts:
            if part.name in ("gateway", "worker", "console"):
                part.process.send_signal(signal.SIGHUP)

    signal.signal(signal.SIGHUP, hung_up)


def _watch(parts: list[_Part]) -> None:
    """Until Ctrl-C, or until a part ends by itself."""
    while True:
        for part in parts:
            if (status := part.process.poll()) is not None:
                fail(f"The {part.name} ended with status {status}. See {part.log}.")
        time.sleep(0.5)


class Ports:
    """The ports of the parts: each can be listened on, no two are equal, and no other run on this machine has one."""

    def __init__(self) -> None:
        """None is chosen yet."""
        self.chosen: dict[str, int] = {}
        self.moved: dict[str, int] = {}  # the ports that were in use, by the part that was to have them
        self._claims = ExitStack()

    def __enter__(self) -> Self:
        """Other runs may have the ports after the end."""
        return self

    def __exit__(self, *_: object) -> None:
        self._claims.close()

    def announce(self) -> None:
        """Print which parts have another port than the preferred one."""
        for part, preferred in self.moved.items():
            out.print(f"Port {preferred} is in use: port {self.chosen[part]} is for the {part}.", highlight=False)

    def choose(self, part: str, preferred: int, host: str) -> int:
        """The first free port from `preferred` on. Ends the command without one."""
        for port in range(preferred, min(preferred + _PORTS_TRIED, 65_536)):
            failure = _cannot_listen(host, port) or self._cannot_claim(port)
            if failure is None:
                self.chosen[part] = port
                if port != preferred:
                    self.moved[part] = preferred
                return port
            if failure.errno != errno.EADDRINUSE:
                fail(f"Cannot listen on {host}:{port}: {failure.strerror}. Choose another with --host and --port.")
        return fail(f"No port from {preferred} on is free on {host}. Choose another with --port or GATEWAY_PORT.")

    def _cannot_claim(self, port: int) -> OSError | None:
        """Seconds go by until a part listens. A name that ends with this process tells other runs whose port it is.

        Linux alone has such names. Elsewhere, two runs that start at the same moment may choose the same port.
        """
        if sys.platform != "linux":
            return OSError(errno.EADDRINUSE, "in use") if port in self.chosen.values() else None
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0attentive-gateway port {port}")
        except OSError as failure:
            claim.close()
            return failure
        self._claims.enter_context(claim)
        return None


def _cannot_listen(host: str, port: int) -> OSError | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as failure:
            return failure
    return None
