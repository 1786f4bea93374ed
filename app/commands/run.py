"""`attentive-gateway run`: the whole gateway on one machine, with an embedded Redis, and sample events to look at."""

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import orjson
import typer
from rich import box
from rich.progress import track
from rich.table import Table

from app.children import start_child, stop_child
from app.commands.common import Operator, fail, out, with_redis
from app.delivery.books import read_books
from app.delivery.journal import Step, steps_of
from app.embedded import NoRedis, embedded_redis
from app.sandbox.keys import DEFAULT_KEY
from app.settings import load_settings
from app.topology import load_topology

SAMPLES: Final = Path(__file__).parent.parent.parent / "examples" / "shop.ndjson"
SANDBOX_PORT: Final = 8090
WRITE_KEY: Final = "dev"
_READY_WITHIN_S: Final = 60.0
_DELIVERED_WITHIN_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    process: "subprocess.Popen[bytes]"
    ready_url: str
    log: Path


def run(
    data: Annotated[Path, typer.Option(help="folder of the embedded Redis and of the logs")] = Path("data"),
    host: Annotated[str, typer.Option(help="address the gateway listens on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="port the gateway listens on")] = 8080,
    samples: Annotated[Path | None, typer.Option(help="NDJSON file of events to post once all is up")] = None,
    no_samples: Annotated[bool, typer.Option("--no-samples", help="post nothing")] = False,
) -> None:
    """Start Redis, gateway, worker and (without ATTENTIVE_API_TOKEN) a sandbox; show sample events on their way."""
    _refuse_taken_port(host, port)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with ExitStack() as stack:
            environment = dict(os.environ)
            if not environment.get("GATEWAY_REDIS_URL"):
                environment["GATEWAY_REDIS_URL"] = stack.enter_context(_started("Redis", embedded_redis(data)))
            data.mkdir(parents=True, exist_ok=True)
            parts = list(_start_parts(stack, environment, data, host, port))
            os.environ.update(environment)  # for the commands that look into Redis below
            load_topology(load_settings())
            _wait_until_ready(parts)
            in_sandbox = any(part.name == "sandbox" for part in parts)
            _say_what_waits()
            if not no_samples and (in_sandbox or samples):
                _show_samples(samples or SAMPLES, f"http://{host}:{port}", environment)
            elif not in_sandbox:
                out.print("Sample events are not posted to a real Attentive account (give --samples FILE to do so).")
            _say_where(f"http://{host}:{port}", environment, parts)
            _watch(parts)
    except NoRedis as problem:
        fail(str(problem))
    except KeyboardInterrupt:
        out.print("\nStopped. What was not delivered is kept in", str(data), highlight=False)


def _start_parts(stack: ExitStack, environment: dict[str, str], data: Path, host: str, port: int) -> Iterator[_Part]:
    """The processes, in the order they start; they stop in the opposite one. Completes `environment`."""

    def part(name: str, ready_url: str, *arguments: str) -> _Part:
        log = data / f"{name}.log"
        process = start_child([sys.executable, "-m", "app.cli", *arguments], log=log, environment=environment)
        stack.callback(stop_child, process)
        return _Part(name, process, ready_url, log)

    if not environment.get("GATEWAY_CONFIG"):
        environment.setdefault("GATEWAY_WRITE_KEY", WRITE_KEY)
        if not (environment.get("ATTENTIVE_API_TOKEN") or environment.get("ATTENTIVE_API_TOKEN_FILE")):
            sandbox = f"http://127.0.0.1:{_free_port(SANDBOX_PORT)}"
            environment |= {"ATTENTIVE_API_TOKEN": DEFAULT_KEY.token, "ATTENTIVE_BASE_URL": sandbox}
            yield part("sandbox", f"{sandbox}/_sandbox/healthz", "sandbox", "--port", sandbox.rpartition(":")[2])
    environment["GATEWAY_WORKER_PORT"] = str(_free_port(int(environment.get("GATEWAY_WORKER_PORT") or 8081)))
    worker = f"http://127.0.0.1:{environment['GATEWAY_WORKER_PORT']}"
    yield part("worker", f"{worker}/readyz", "worker")
    yield part("gateway", f"http://{host}:{port}/readyz", "serve", "--host", host, "--port", str(port))


@contextmanager
def _started(name: str, context: Any) -> Iterator[Any]:
    with out.status(f"Starting {name}"):
        value = context.__enter__()
    try:
        yield value
    finally:
        context.__exit__(None, None, None)


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


@dataclass(slots=True)
class _Story:
    """One posted sample and what the journal says of it."""

    title: str
    status: int
    steps: list[Step] = field(default_factory=list)

    @property
    def received(self) -> Mapping[str, Any]:
        return next((step.facts for step in self.steps if step.step == "received"), {})

    @property
    def ended(self) -> bool:
        calls = self.received.get("calls")
        if calls is None:
            return bool(self.received) or self.status != 200
        ends = [step for step in self.steps if step.facts.get("outcome") in ("delivered", "dead letter")]
        return len(ends) >= len(calls)


def _show_samples(samples: Path, gateway: str, environment: Mapping[str, str]) -> None:
    """Post each sample as a tracker would, wait until it has ended, and print how."""
    if not samples.exists():
        fail(f"there is no file {samples}")
    events = [orjson.loads(line) for line in samples.read_bytes().splitlines() if line.strip()]
    key = environment.get("GATEWAY_WRITE_KEY") or next(
        source.write_key.get_secret_value() for source in load_topology(load_settings()).sources.values()
    )
    stories: dict[str, _Story] = {}
    with httpx.Client(base_url=gateway, auth=(key, ""), timeout=10, trust_env=False) as http:
        for event in track(events, "Posting sample events", console=out, transient=True):
            event["messageId"] = f"sample-{uuid.uuid4()}"
            event["timestamp"] = datetime.now(UTC).isoformat(timespec="milliseconds")
            answer = http.post(f"/v1/{event['type']}", content=orjson.dumps(event))
            stories[event["messageId"]] = _Story(event.get("event") or event["type"], answer.status_code)
    with out.status("Waiting for Attentive's answers"):
        ends = time.monotonic() + _DELIVERED_WITHIN_S
        while time.monotonic() < ends and not all(story.ended for story in stories.values()):
            time.sleep(0.1)
            _read_steps(stories)
    out.print(_table(list(stories.values())))


def _read_steps(stories: dict[str, _Story]) -> None:
    async def work(operator: Operator) -> list[Step]:
        return await steps_of(operator.redis, operator.destinations, set(stories))

    for story in stories.values():
        story.steps.clear()
    for step in with_redis(work):
        stories[step.message_id].steps.append(step)


def _table(stories: list[_Story]) -> Table:
    table = Table(title="Sample events", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("Event", "Decision", "Attentive endpoint", "Answer"):
        table.add_column(column, overflow="fold")
    for story in stories:
        facts = story.received
        decision = {"forward": "forward", "drop": "drop", "dead letter": "dead letter"}.get(
            str(facts.get("decision")), f"refused with {story.status}"
        )
        if reason := facts.get("detail") or facts.get("reason"):
            decision += f": {reason}"
        if not (calls := facts.get("calls")):
            table.add_row(story.title, decision, "-", "-", style="yellow")
        for number, endpoint in enumerate(calls or ()):
            answer, good = _answer_of(story, endpoint)
            title, verdict = (story.title, decision) if number == 0 else ("", "")
            table.add_row(title, verdict, endpoint, answer, style=None if good else "red")
    return table


def _answer_of(story: _Story, endpoint: str) -> tuple[str, bool]:
    attempts = [step.facts for step in story.steps if step.facts.get("endpoint") == endpoint]
    if not attempts:
        return "waiting", False
    last = attempts[-1]
    status = last.get("status") or last.get("unreachable")
    return f"{status} {last['outcome']} {last['took_ms']:.0f} ms", last["outcome"] == "delivered"


def _say_what_waits() -> None:
    async def work(operator: Operator) -> int:
        return sum(books.waiting for books in await read_books(operator.redis, operator.destinations))

    if waiting := with_redis(work):
        out.print(f"{waiting:,} events of earlier runs were still waiting, and are being delivered now.")


def _say_where(gateway: str, environment: Mapping[str, str], parts: list[_Part]) -> None:
    key = environment.get("GATEWAY_WRITE_KEY", "YOUR_WRITE_KEY")
    out.print(f"\nThe gateway listens on {gateway}. Post to it:\n", highlight=False)
    out.out(
        f"  curl -u {key}: {gateway}/v1/track -d "
        """'{"userId":"u-1","event":"Signed Up","context":{"traits":{"email":"jane@example.com"}}}'\n""",
        highlight=False,
    )
    for part in parts:
        if part.name == "sandbox":
            ledger = part.ready_url.replace("healthz", "ledger")
            out.print(f"What the sandbox got: {ledger}", highlight=False, soft_wrap=True)
    logs = ", ".join(str(part.log) for part in parts)
    out.print(f"API: {gateway}/docs   metrics: {gateway}/metrics   logs: {logs}", highlight=False, soft_wrap=True)
    out.print("Ctrl-C stops everything.", highlight=False)


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
