"""A hundred incidents while evaluators are killed and channels fail: is each told of once, and how soon?

Run it from the repository's root: `python -m benchmarks.alerts`. It needs a redis-server, and takes about 4 minutes.
"""

import argparse
import asyncio
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, cast

from redis.asyncio import Redis

from app.alerts.observe import Watched
from app.alerts.plan import AlertPlan
from app.alerts.reports import ProcessReport
from app.alerts.routing import Channel
from app.alerts.rules import RULES
from app.delivery.lane import Lane
from app.delivery.retention import Retention
from app.embedded import embedded_redis
from app.store.connection import open_redis
from app.store.keys import DestinationKeys
from benchmarks.machine import machine
from benchmarks.tables import print_rows
from tests.alerts.receivers import PAGERDUTY_URL, Mood, Receiver, http_receiver, play_slack_and_pagerduty
from workers.alerts import AlertLoop

INCIDENTS: Final = 100
EVALUATORS: Final = 3
_EACH_S: Final = 1.0
_LAST_S: Final = (25.0, 40.0)
_KILL_EVERY_S: Final = (3.0, 6.0)
_FAILS_FOR_S: Final = 120.0
_SETTLE_WITHIN_S: Final = 120.0
_START_WITHIN_S: Final = 120.0
_READY: Final = "benchmark:ready"  # the processes that evaluate
# PagerDuty makes one incident of repeated messages; the others show every message that they take.
CHANNELS: Final[Mapping[str, Mood]] = {
    "pagerduty": "takes",
    "webhook": "takes",
    "answers 500": "refuses",
    "hangs": "hangs",
    "slow": "slow",
}
HEADINGS: Final = (
    *("channel", "incidents", "triggered once", "resolved once", "lost", "repeated"),
    *("trigger p50 s", "p99 s", "recovery p50 s", "p99 s"),
)


@dataclass
class Incident:
    """One destination that is held for a while. Times are epoch s."""

    name: str
    begins: float
    ends: float
    began: float = 0.0
    ended: float = 0.0


@dataclass
class Told:
    """When a channel was told of each incident."""

    triggers: dict[str, list[float]] = field(default_factory=dict)
    recoveries: dict[str, list[float]] = field(default_factory=dict)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the incidents and print what each channel was told. Returns 1 when a message was lost."""
    options = _options(arguments)
    if options.evaluate:
        asyncio.run(_evaluate(options.evaluate, dict(each.split("=", 1) for each in options.channel)))
        return 0
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(embedded_redis(folder))
        receivers = {name: stack.enter_context(http_receiver(mood)) for name, mood in CHANNELS.items()}
        kills, incidents = _run(url, receivers, random.Random(options.seed), options.incidents)
    rows = [_row(name, incidents, _told(receiver)) for name, receiver in receivers.items()]
    title = f"{options.incidents} incidents, {EVALUATORS} workers that evaluate, {kills} of them killed"
    print_rows(title, HEADINGS, rows, words=1, where=machine(), as_markdown=options.markdown)
    return 1 if any(row[4] != "0" for row in rows) else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alerts", description=__doc__)
    parser.add_argument("--markdown", action="store_true", help="print a table for a README")
    parser.add_argument("--seed", type=int, default=1, help="of the incidents and the kills")
    parser.add_argument("--incidents", type=int, default=INCIDENTS, help="how many, about one a second")
    parser.add_argument("--evaluate", metavar="URL", help=argparse.SUPPRESS)  # of the processes that it starts
    parser.add_argument("--channel", action="append", default=[], help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


async def _evaluate(url: str, ports: Mapping[str, str]) -> None:
    """One worker's evaluation, until it is killed."""
    play_slack_and_pagerduty(pagerduty=f"http://127.0.0.1:{ports['pagerduty']}")
    addresses = {name.replace(" ", "-"): f"json://127.0.0.1:{port}/" for name, port in ports.items()}
    addresses["pagerduty"] = PAGERDUTY_URL
    plan = AlertPlan(
        {"held": RULES["held"]},
        [Channel(name, digest=name not in ("pagerduty", "webhook")) for name in addresses],
        addresses,
    )
    watched = Watched(
        [Lane(_name(number), "purchase") for number in range(INCIDENTS)], [], Retention(timedelta(days=1))
    )
    redis = open_redis(url)
    loop = AlertLoop(redis, lambda: plan, lambda: watched, ProcessReport(redis, "worker", lambda: (True, [])))
    async with loop.running():
        await cast(Any, redis.sadd(_READY, os.getpid()))
        await asyncio.Event().wait()


def _name(number: int) -> str:
    return f"shop-{number:03}"


def _run(url: str, receivers: Mapping[str, Receiver], chance: random.Random, count: int) -> tuple[int, list[Incident]]:
    command = [sys.executable, "-m", "benchmarks.alerts", "--evaluate", url]
    command += [f"--channel={name}={receiver.port}" for name, receiver in receivers.items()]
    with _evaluators(command) as evaluators:
        return asyncio.run(_play(url, receivers, count, evaluators, chance))


def _incidents(start: float, count: int, chance: random.Random) -> list[Incident]:
    begins = [start + chance.uniform(0, count * _EACH_S) for _ in range(count)]
    return [Incident(_name(number), at, at + chance.uniform(*_LAST_S)) for number, at in enumerate(begins)]


class _Evaluators:
    """Processes that evaluate. One that is killed is started again."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self.running = [self._started() for _ in range(EVALUATORS)]

    def _started(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    async def are_ready(self, redis: Redis) -> bool:
        """Whether all of them evaluate: one that was killed may still be starting."""
        ready = {int(each) for each in await cast(Any, redis.smembers(_READY))}
        return all(process.pid in ready for process in self.running)

    def kill(self, number: int) -> None:
        """Kill one, and start another in its place."""
        self.running[number].kill()
        self.running[number].wait()
        self.running[number] = self._started()


@contextlib.contextmanager
def _evaluators(command: Sequence[str]) -> Iterator[_Evaluators]:
    evaluators = _Evaluators(command)
    try:
        yield evaluators
    finally:
        for process in evaluators.running:
            process.kill()
            process.wait()


async def _play(
    url: str,
    receivers: Mapping[str, Receiver],
    count: int,
    evaluators: _Evaluators,
    chance: random.Random,
) -> tuple[int, list[Incident]]:
    """Begin and end the incidents, kill evaluators, and heal the channels. How many were killed, and the incidents.

    One is killed only while the others evaluate: how long a process takes to start is not what is measured.
    """
    redis = open_redis(url)
    try:
        async with asyncio.timeout(_START_WITHIN_S):
            while not await evaluators.are_ready(redis):  # noqa: ASYNC110 - it is in Redis
                await asyncio.sleep(0.1)
        began, kills, healed = time.time(), 0, False
        incidents = _incidents(began, count, chance)
        next_kill = began + 5
        last = max(incident.ends for incident in incidents)
        while time.time() < last + _SETTLE_WITHIN_S and not _is_done(receivers, incidents):
            now = time.time()
            for incident in incidents:
                if not incident.began and now >= incident.begins:
                    await redis.set(DestinationKeys(incident.name).hold, b"HTTP 401")
                    incident.began = time.time()
                if not incident.ended and now >= incident.ends:
                    await redis.delete(DestinationKeys(incident.name).hold)
                    incident.ended = time.time()
            if next_kill <= now < last and await evaluators.are_ready(redis):
                await asyncio.to_thread(evaluators.kill, chance.randrange(EVALUATORS))
                kills, next_kill = kills + 1, time.time() + chance.uniform(*_KILL_EVERY_S)
            if now - began > _FAILS_FOR_S and not healed:
                healed = True
                for name in ("answers 500", "hangs"):
                    receivers[name].heal()
            await asyncio.sleep(0.05)
    finally:
        await redis.aclose(close_connection_pool=True)
    return kills, incidents


def _is_done(receivers: Mapping[str, Receiver], incidents: Sequence[Incident]) -> bool:
    if not all(incident.ended for incident in incidents):
        return False
    return all(len(_told(receiver).recoveries) == len(incidents) for receiver in receivers.values())


def _told(receiver: Receiver) -> Told:
    told = Told()
    for message in list(receiver.messages):
        if "dedup_key" in message:
            name = message["dedup_key"].rpartition(":")[2]
            where = told.recoveries if message["event_action"] == "resolve" else told.triggers
            where.setdefault(name, []).append(message["at"])
            continue
        for line in f"{message['title']}\n{message['message']}".splitlines():
            for name in [word.rstrip(":") for word in line.split() if word.startswith("shop-")]:
                where = told.recoveries if "resolved:" in line else told.triggers
                where.setdefault(name, []).append(message["at"])
    return told


def _row(name: str, incidents: Sequence[Incident], told: Told) -> tuple[str, ...]:
    triggers = Counter({each: len(times) for each, times in told.triggers.items()})
    recoveries = Counter({each: len(times) for each, times in told.recoveries.items()})
    names = [incident.name for incident in incidents]
    delays = [min(told.triggers[each.name]) - each.began for each in incidents if each.name in triggers]
    ends = [min(told.recoveries[each.name]) - each.ended for each in incidents if each.name in recoveries]
    lost = sum((triggers[each] == 0) + (recoveries[each] == 0) for each in names)
    repeated = sum(max(0, triggers[each] - 1) + max(0, recoveries[each] - 1) for each in names)
    return (
        name,
        str(len(names)),
        str(sum(triggers[each] == 1 for each in names)),
        str(sum(recoveries[each] == 1 for each in names)),
        str(lost),
        str(repeated),
        *(f"{_percentile(values, share):.1f}" for values in (delays, ends) for share in (0.5, 0.99)),
    )


def _percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


if __name__ == "__main__":
    sys.exit(main())
