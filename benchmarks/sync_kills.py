"""A sync whose process is killed again and again: is every row sent, and how many are sent twice?

Run it from the repository's root: `python -m benchmarks.sync_kills`. It needs a redis-server, and 15 minutes.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import redis
import yaml

from app.embedded import find_redis
from app.sandbox import SandboxConfig
from app.store.keys import DestinationKeys
from benchmarks.machine import machine
from benchmarks.tables import print_rows
from tests.forking import ForkedProcess, start_forked
from tests.local import HTTP
from tests.stack import COMMAND, DESTINATION, Stack, stack

HEADINGS: Final = ("rows", "kills", "seconds", "sent", "lost", "twice", "unknown", "accepted")
_SYNC: Final = "killed"
_AT_LEAST_S, _AT_MOST_S = 0.05, 0.6  # until a process is killed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, kill and print. Returns 1 when a row was lost, or sent twice without being counted as unknown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory() as folder,
        stack(
            Path(folder),
            find_redis(),
            sandbox=SandboxConfig(limits_enabled=False),
            limits={"custom-event": 100_000},
            fsync="everysec",
        ) as running,
    ):
        environment = _prepare(running, Path(folder), options.rows)
        began = time.monotonic()
        kills = _kill(running, environment, options.kills, random.Random(options.seed))
        running.environment |= environment
        for _ in range(2):  # what was interrupted, then what it had rejected
            _release(running)
            _start(running, environment).wait()
        seconds = time.monotonic() - began
        facts = json.loads(running.run("sync", "status", _SYNC, "--json").stdout)
        sent = _sent(running)
    report = facts["runs"][0]["report"]
    twice = sum(number - 1 for number in sent.values())
    lost = options.rows - len(sent)
    found = (options.rows, kills, seconds, len(sent), lost, twice, report["unknown"], facts["accepted"])
    print_rows(
        "A sync under SIGKILL",
        HEADINGS,
        [tuple(f"{each:,.0f}" for each in found)],
        where=machine(),
        words=0,
        as_markdown=False,
    )
    return int(lost > report["unknown"] or twice > report["unknown"])


def _prepare(running: Stack, folder: Path, rows: int) -> dict[str, str]:
    """The table, the sync, and the environment of its command."""
    table = folder / "points.ndjson"
    with table.open("w") as lines:
        for number in range(rows):
            lines.write(json.dumps({"id": f"e{number}", "email": f"e{number}@kill.example.com"}) + "\n")
    content: dict[str, Any] = yaml.safe_load(running.config.read_text())
    sync = {
        "destination": DESTINATION,
        "source": {"ndjson": str(table)},
        "key": "id",
        "object": "events",
        "event": {"constant": "Points Earned"},
    }
    config = folder / "syncs.yaml"
    config.write_text(yaml.safe_dump({**content, "syncs": {_SYNC: sync}}))
    return {"GATEWAY_CONFIG": str(config), "GATEWAY_SYNC_STATE": str(folder / "state")}


def _kill(running: Stack, environment: dict[str, str], most: int, chance: random.Random) -> int:
    """Start the sync and kill it, so many times or until it has ended by itself; how often it was killed."""
    kills = 0
    while kills < most:
        _release(running)
        process = _start(running, environment)
        ends = time.monotonic() + chance.uniform(_AT_LEAST_S, _AT_MOST_S)
        while time.monotonic() < ends and process.poll() is None:
            time.sleep(0.005)
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        kills += 1
    return kills


def _start(running: Stack, environment: dict[str, str]) -> ForkedProcess:
    return start_forked(COMMAND, ("sync", "run", _SYNC), environment={**running.environment, **environment})


def _release(running: Stack) -> None:
    """Let the lease of a killed process end, as its time would."""
    with redis.Redis(port=running.redis_port) as client:
        client.delete(DestinationKeys(DESTINATION).sync_lease(_SYNC))


def _sent(running: Stack) -> Counter[str]:
    """How often the sandbox accepted a call for each person."""
    answer = HTTP.get(f"{running.sandbox.url}/_sandbox/ledger", params={"limit": 200_000, "path": "/v1/events/custom"})
    return Counter(call["body"]["user"]["email"] for call in answer.json()["calls"])


if __name__ == "__main__":
    sys.exit(main())
