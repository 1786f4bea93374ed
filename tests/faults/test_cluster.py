"""A primary of a cluster dies, or a slot moves: nothing accepted is lost, and the other shards never stop."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import httpx
import pytest

from app.embedded import RedisBinary
from app.sandbox import SandboxConfig, running_sandbox
from app.store.cluster import slot
from tests.clusters import SLOTS, LocalCluster
from tests.faults.matrix import STRIKES
from tests.faults.table import ROW
from tests.local import local_client
from tests.stack import API_TOKEN, Stack, message_id, wait_until
from tests.waiting import patient

EVENTS_PER_S: Final = 20  # of each destination
SLOW: Final = {"redis_not_replicated"}  # on a busy machine, a replica may take longer than a tracker waits
USUAL_STRIKES: Final = 3
# A node takes its time to be taken for failed. So `make test` kills one primary: the one that also has arq's queue.
KILLS: Final = 1 if STRIKES <= USUAL_STRIKES else STRIKES
PRIMARIES: Final = 3


def _on_shard(number: int) -> str:
    """The name of a destination whose slot belongs to this primary at first."""
    names = (f"shop-{at}" for at in range(100))
    return next(name for name in names if slot(name) * PRIMARIES // SLOTS == number)


DESTINATIONS: Final = [_on_shard(number) for number in range(PRIMARIES)]  # arq's queue is on the second shard


class Tracker(threading.Thread):
    """Sends events of one destination at a steady rate, each again until it is acknowledged."""

    def __init__(self, stack: Stack, destination: str) -> None:
        super().__init__(daemon=True)
        self.accepted: list[str] = []
        self.answers: Counter[str] = Counter()  # those that accepted nothing, by code
        self._url = f"http://127.0.0.1:{stack.gateway_port}/v1/track"
        self._key = f"key-{destination}"
        self._stopping = threading.Event()

    def run(self) -> None:
        with local_client(auth=(self._key, ""), timeout=patient(10)) as http:
            while not self._stopping.is_set():
                started, name = time.monotonic(), message_id()
                while not self._send(http, name) and not self._stopping.is_set():
                    time.sleep(0.02)
                time.sleep(max(0.0, started + 1 / EVENTS_PER_S - time.monotonic()))

    def _send(self, http: httpx.Client, name: str) -> bool:
        try:
            answer = http.post(self._url, json={"event": "Signed Up", "userId": "u-1", "messageId": name})
        except httpx.TransportError as failure:
            self.answers[type(failure).__name__] += 1
            return False
        if answer.status_code == 200:
            self.accepted.append(name)
        else:
            self.answers[answer.json()["code"]] += 1
        return answer.status_code == 200

    def finish(self) -> None:
        """Stop after the event that is being sent."""
        self._stopping.set()
        self.join()


@dataclass(slots=True)
class Scene:
    """A gateway and a worker on three primaries with a replica each, and a tracker for a destination of each shard."""

    stack: Stack
    cluster: LocalCluster
    trackers: dict[str, Tracker]
    arrived: Counter[str] = field(default_factory=Counter)  # how often, by message ID
    _read: int = 0  # of the ledger

    def look(self) -> None:
        """Read what arrived since the last time."""
        for call in self.stack.ledger(since=self._read):
            self._read = max(self._read, call["sequence"])
            self.arrived[call["body"]["externalEventId"]] += 1

    def flows(self, *destinations: str, events: int = 10) -> None:
        """Wait until events of these destinations are accepted from now on, and have arrived."""
        before = {name: len(self.trackers[name].accepted) for name in destinations}

        def arrive() -> bool:
            self.look()
            new = [self.trackers[name].accepted[before[name] :] for name in destinations]
            return all(sum(1 for one in ids if one in self.arrived) >= events for ids in new)

        wait_until(arrive, f"events of {destinations} flow: {self.trackers[destinations[0]].answers}", 60)

    def is_taken_over(self, destination: str, primary: int) -> bool:
        """Whether another node than this owns the slot of a destination."""
        return self.cluster.owner(f"{{{destination}}}") != primary

    def is_replicated(self) -> bool:
        """Whether the replica of each primary is up to date."""
        owners = (self.cluster.owner(f"{{{name}}}") for name in DESTINATIONS)
        return all(self.cluster.has_replicas(port, 1) for port in owners)

    def finish(self) -> None:
        """Stop the trackers, and wait until everything that was accepted has arrived."""
        for tracker in self.trackers.values():
            tracker.finish()
        accepted = {one for tracker in self.trackers.values() for one in tracker.accepted}

        def all_arrived() -> bool:
            self.look()
            return accepted <= self.arrived.keys()

        wait_until(all_arrived, "everything that was accepted arrives", 60)

    def row(self, fault: str, resumed_s: float) -> tuple[str, ...]:
        """The row of the table of faults."""
        accepted = sum(len(tracker.accepted) for tracker in self.trackers.values())
        twice = sum(number - 1 for number in self.arrived.values())
        return (fault, f"{accepted:,}", f"{len(self.arrived):,}", "0", "0", f"{twice:,}", "", "0", f"{resumed_s:.1f} s")


@pytest.fixture
def scene(tmp_path: Path, redis_binary: RedisBinary) -> Iterator[Scene]:
    if redis_binary.version < (7,):
        pytest.skip("its cluster cannot be told which port to use between nodes")
    nodes = tmp_path / "nodes"
    nodes.mkdir()
    cluster = LocalCluster(redis_binary, nodes)
    with running_sandbox(SandboxConfig(limits_enabled=False)) as sandbox:
        stack = Stack(tmp_path, redis_binary, sandbox)
        account = {"api_token": API_TOKEN, "base_url": sandbox.url, "limits": {"custom-event": 500}}
        sources = {name: {"write_key": f"key-{name}", "trust": "server", "destination": name} for name in DESTINATIONS}
        stack.configure({"destinations": dict.fromkeys(DESTINATIONS, account), "sources": sources})
        try:
            cluster.start(PRIMARIES, replicas=1)
            stack.environment |= {"GATEWAY_REDIS_URL": cluster.url, "GATEWAY_WAIT_FOR_REPLICAS": "1"}
            stack.start("gateway", "worker")
            running = Scene(stack, cluster, {name: Tracker(stack, name) for name in DESTINATIONS})
            for tracker in running.trackers.values():
                tracker.start()
            running.flows(*DESTINATIONS)
            yield running
        finally:
            stack.__exit__()
            cluster.stop()


@pytest.mark.timeout(300)
def test_primaries_die_one_after_the_other(scene: Scene, record_property: Callable[[str, object], None]) -> None:
    resumed_s = 0.0
    for number in range(1, KILLS + 1):
        struck = DESTINATIONS[number % PRIMARIES]
        others = [name for name in DESTINATIONS if name != struck]
        primary = scene.cluster.owner(f"{{{struck}}}")
        answers = {name: scene.trackers[name].answers.copy() for name in others}
        scene.cluster.kill(primary)
        killed = time.monotonic()
        scene.flows(*others)  # while the shard is away, for its replica waits for the node time-out
        wait_until(partial(scene.is_taken_over, struck, primary), "the replica takes over", 60)
        scene.cluster.start_node(primary)
        scene.flows(struck)  # once the new primary has a replica again, for each event waits for one
        resumed_s = max(resumed_s, time.monotonic() - killed)
        for name in others:
            assert set(scene.trackers[name].answers - answers[name]) <= SLOW, "another shard stopped"
        scene.cluster.wait_for_all()
        wait_until(scene.is_replicated, "all primaries have replicas", 60)
    scene.finish()
    record_property(ROW, scene.row(f"a cluster's primary killed {KILLS} times", resumed_s))


@pytest.mark.timeout(300)
def test_a_slot_moves_under_load(scene: Scene, record_property: Callable[[str, object], None]) -> None:
    moved = DESTINATIONS[0]
    owners = [scene.cluster.owner(f"{{{name}}}") for name in DESTINATIONS]
    began = time.monotonic()
    for target in (*owners[1:], owners[0]):
        scene.cluster.move_slot(f"{{{moved}}}", target)
        scene.flows(moved)
    resumed_s = (time.monotonic() - began) / len(owners)
    scene.finish()
    for name, tracker in scene.trackers.items():
        assert set(tracker.answers) <= (SLOW | {"redis_slot_moving"} if name == moved else SLOW)
    record_property(ROW, scene.row(f"a cluster's slot moved {len(owners)} times", resumed_s))
