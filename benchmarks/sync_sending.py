"""How fast a sync sends its rows to a sandbox: one call a row at the limit of the endpoint, and by bulk calls.

Redis, gateway, worker and the command are processes of their own; the sandbox is a thread of this one.
"""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import yaml

from app.attentive.endpoints import USER_ATTRIBUTES
from app.embedded import find_redis
from app.sandbox import SandboxConfig, running_sandbox
from benchmarks.failure import BenchmarkFailed
from tests.forking import run_forked
from tests.local import HTTP
from tests.stack import API_TOKEN, COMMAND, DESTINATION, Stack, stack

_SYNC: Final = "loyalty"
_LONGEST_S: Final = 600
_BODY: Final = """
{"identifiers": {"email": "{{ row.email }}", "clientUserId": "{{ row.id }}"},
 "attributes": {"custom": {"tier": "gold", "points": "{{ row.points }}", "city": "Oslo"}}}
"""


@dataclass(frozen=True, slots=True)
class Singly:
    """Rows that were sent one by one."""

    rows_per_s: float
    share: float  # of the limit
    refused: int  # calls beyond the limit


def send_singly(rows: int) -> Singly:
    """Send rows one by one; their rate from the first call to the last, as the sandbox has received them."""
    with _sandboxed(rows, SandboxConfig(), bulk_from=None) as (running, environment):
        _run(running, environment, rows)
        return _received(running.sandbox.url, rows)


def send_by_drt(drt: Path, rows: int) -> Singly:
    """Have drt send the same rows from DuckDB, each in the same call and at the same limit."""
    import duckdb

    with tempfile.TemporaryDirectory() as name, running_sandbox(SandboxConfig()) as sandbox:
        folder = Path(name)
        with duckdb.connect(folder / "warehouse.duckdb") as database:
            query = "'c' || i AS id, 'user' || i || '@shop.example' AS email, i % 5000 AS points"
            database.execute(f"CREATE TABLE people AS SELECT {query} FROM range({rows}) AS t(i)")
        profile = {"default": {"type": "duckdb", "database": str(folder / "warehouse.duckdb")}}
        sync = {
            "name": _SYNC,
            "model": "ref('people')",
            "destination": {
                "type": "rest_api",
                "url": sandbox.url + USER_ATTRIBUTES.path,
                "method": "POST",
                "headers": {"Content-Type": "application/json", "Authorization": f"Bearer {API_TOKEN}"},
                "body_template": _BODY,
            },
            "sync": {
                "mode": "full",
                "batch_size": 100,
                "rate_limit": {"requests_per_second": int(USER_ATTRIBUTES.calls_per_second)},
                "on_error": "fail",
            },
        }
        for path, content in (
            (".drt/profiles.yml", profile),
            ("drt_project.yml", {"name": "benchmark", "profile": "default"}),
            (f"syncs/{_SYNC}.yml", sync),
        ):
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(yaml.safe_dump(content))
        environment = {**os.environ, "HOME": name}
        subprocess.run([drt, "run"], cwd=folder, env=environment, check=True, capture_output=True, timeout=_LONGEST_S)
        return _received(sandbox.url, rows)


def send_by_bulk(rows: int) -> float:
    """Send rows by bulk calls at Attentive's limits; rows/s from the start of the command to its report."""
    with _sandboxed(rows, SandboxConfig(), bulk_from=1_000) as (running, environment):
        began = time.monotonic()
        _run(running, environment, rows)
        return rows / (time.monotonic() - began)


def _received(url: str, rows: int) -> Singly:
    """What the sandbox has received, from the first call to the last."""
    found = HTTP.get(f"{url}/_sandbox/ledger", params={"path": USER_ATTRIBUTES.path, "limit": rows}).json()["calls"]
    if len(found) != rows:
        raise BenchmarkFailed(f"{len(found):,} of {rows:,} rows were received")
    times = sorted(datetime.fromisoformat(call["received_at"]) for call in found)
    rate = (rows - 1) / (times[-1] - times[0]).total_seconds()
    refused = HTTP.get(f"{url}/_sandbox/summary").json()["rate_limited"]
    return Singly(rate, rate / USER_ATTRIBUTES.calls_per_second, refused)


@contextmanager
def _sandboxed(rows: int, sandbox: SandboxConfig, *, bulk_from: int | None) -> Iterator[tuple[Stack, dict[str, str]]]:
    """A running gateway with a sync of so many rows, and the environment of its command."""
    with tempfile.TemporaryDirectory() as name, stack(Path(name), find_redis(), sandbox=sandbox) as running:
        folder = Path(name)
        with (folder / "table.csv").open("w") as lines:
            lines.write("customer_id,email,tier,points,city\n")
            lines.writelines(
                f"c{number},user{number}@shop.example,gold,{number % 5_000},Oslo\n" for number in range(rows)
            )
        content: dict[str, Any] = yaml.safe_load(running.config.read_text())
        sync = {
            "destination": DESTINATION,
            "source": {"csv": str(folder / "table.csv")},
            "key": "customer_id",
            "object": "attributes",
            "identifiers": {"client_user_id": "customer_id"},
            "bulk_from": bulk_from,
        }
        (folder / "syncs.yaml").write_text(yaml.safe_dump({**content, "syncs": {_SYNC: sync}}))
        own = {"GATEWAY_CONFIG": str(folder / "syncs.yaml"), "GATEWAY_SYNC_STATE": str(folder / "state")}
        yield running, {**running.environment, **own}


def _run(running: Stack, environment: dict[str, str], rows: int) -> None:
    done = run_forked(COMMAND, ("sync", "run", _SYNC, "--json"), environment=environment, timeout=_LONGEST_S)
    if done.returncode or json.loads(done.stdout)["delivered"] != rows:
        raise BenchmarkFailed(
            f"not all rows were delivered: {done.stdout} {done.stderr} {running.log('worker')[-500:]}"
        )
