"""Redis clusters on this machine: one node that owns all slots, or several primaries with replicas."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import redis

from app.embedded import RedisBinary
from app.subprocesses import start_child, stop_child
from tests.ports import free_port
from tests.waiting import patient, wait_until

SLOTS: Final = 16384
# A node that does not answer for this long is taken for failed. A healthy one may stand for a second on a busy machine.
NODE_TIMEOUT_MS: Final = 5000
# Whether the tests that need a real server get one in cluster mode, which owns all slots.
IN_CLUSTER_MODE: Final = os.environ.get("GATEWAY_TEST_CLUSTER") == "1"
SCHEME: Final = "redis+cluster" if IN_CLUSTER_MODE else "redis"
# A node of a cluster is made a replica by the cluster alone: tests/faults/test_cluster.py has what happens then.
NO_REPLICAOF: Final = pytest.mark.skipif(IN_CLUSTER_MODE, reason="REPLICAOF and Sentinel are not for clusters")


def cluster_options(folder: Path, node_timeout_ms: int = NODE_TIMEOUT_MS) -> list[str]:
    """The options of a server in cluster mode that keeps its view of the cluster in `folder`."""
    options = ["--cluster-enabled", "yes", "--cluster-config-file", str(folder / "nodes.conf")]
    options += ["--cluster-require-full-coverage", "no"]  # or all slots would wait for a replica of one to take over
    return [*options, "--cluster-node-timeout", str(node_timeout_ms), "--cluster-port", str(free_port())]


def own_all_slots(port: int) -> bool:
    """Give a single node every slot. False until it serves them."""
    with redis.Redis(port=port, socket_timeout=patient(2)) as node:
        try:
            if not node.execute_command("CLUSTER", "SLOTS"):
                node.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)
            return _serves(node)
        except redis.RedisError:
            return False


@contextmanager
def single_node(folder: Path, binary: RedisBinary) -> Iterator[str]:
    """The address of a cluster with one node, which is stopped at the end."""
    cluster = LocalCluster(binary, folder)
    try:
        cluster.start(1)
        yield cluster.url
    finally:
        cluster.stop()


class LocalCluster:
    """The processes of a cluster, by port."""

    def __init__(self, binary: RedisBinary, folder: Path, *, node_timeout_ms: int = NODE_TIMEOUT_MS) -> None:
        """Nothing is started yet. The nodes keep their files in `folder`."""
        self._binary, self._folder, self._node_timeout_ms = binary, folder, node_timeout_ms
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self._commands: dict[int, list[str]] = {}

    @property
    def url(self) -> str:
        """The address for the gateway: all nodes."""
        return f"redis+cluster://{','.join(f'127.0.0.1:{port}' for port in self.processes)}"

    def start(self, primaries: int, replicas: int = 0) -> None:
        """Start primaries, which share the slots, and so many replicas of each. Return once all slots are served."""
        ports = [free_port() for _ in range(primaries * (1 + replicas))]
        for port in ports:
            self.start_node(port)
        owners, followers = ports[:primaries], ports[primaries:]
        for number, port in enumerate(owners):
            first, last = SLOTS * number // primaries, SLOTS * (number + 1) // primaries - 1
            self.ask(port, "CLUSTER", "ADDSLOTSRANGE", first, last)
        for port in ports[1:]:
            bus = self._commands[port][self._commands[port].index("--cluster-port") + 1]
            self.ask(ports[0], "CLUSTER", "MEET", "127.0.0.1", port, bus)
        wait_until(lambda: all(self._known(port) == len(ports) for port in ports), "the nodes know each other", 60)
        for number, port in enumerate(followers):
            primary = self.ask(owners[number % primaries], "CLUSTER", "MYID")
            wait_until(partial(self._follows, port, primary), "a replica has its primary")
        self.wait_for_all()
        for port in owners:
            wait_until(partial(self.has_replicas, port, replicas), "the replicas are up to date", 60)

    def start_node(self, port: int) -> None:
        """Start a node, for the first time or after it was killed."""
        if port not in self._commands:
            folder = self._folder / str(port)
            folder.mkdir()
            command = [str(self._binary.path), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
            command += ["--save", "", "--appendonly", "yes", "--appendfsync", "no"]  # SIGKILL loses nothing of it
            self._commands[port] = command + cluster_options(folder, self._node_timeout_ms)
        self.processes[port] = start_child(self._commands[port], log=self._folder / f"{port}.log")
        wait_until(lambda: self._answers(port), f"a node answers; see {self._folder}/{port}.log")

    def kill(self, port: int) -> None:
        """SIGKILL a node."""
        self.processes[port].kill()
        self.processes[port].wait()

    def stop(self) -> None:
        """Stop all nodes."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            stop_child(process)

    def node(self, port: int) -> "redis.Redis":
        """A client of one node."""
        return redis.Redis(port=port, socket_timeout=patient(2))

    def ask(self, port: int, *command: Any) -> Any:
        """The answer of one node."""
        with self.node(port) as node:
            return node.execute_command(*command)

    def owner(self, key: str, asked: int | None = None) -> int:
        """The port of the node that owns the slot of a key, as that node or a living one knows it."""
        port = asked or self.living()[0]
        slot = self.ask(port, "CLUSTER", "KEYSLOT", key)
        ranges = self.ask(port, "CLUSTER", "SLOTS")
        return next(int(owner[1]) for first, last, owner, *_ in ranges if first <= slot <= last)

    def living(self) -> list[int]:
        """The ports of the nodes that run."""
        return [port for port, process in self.processes.items() if process.poll() is None]

    def serves(self, port: int) -> bool:
        """Whether a node knows an owner of every slot."""
        with self.node(port) as node:
            return _serves(node)

    def has_replicas(self, port: int, number: int) -> bool:
        """Whether this many replicas of a node are up to date."""
        info = self.ask(port, "INFO", "replication")
        return sum(1 for fact in info.values() if isinstance(fact, dict) and fact.get("state") == "online") >= number

    def move_slot(self, key: str, target: int) -> None:
        """Move the slot of a key with its keys to another node, as redis-cli does."""
        with self.moving(key, target):
            pass

    @contextmanager
    def moving(self, key: str, target: int, keys: int = 0) -> Iterator[None]:
        """The slot of a key is on its way to another node, which has `keys` of its keys. At the end, it is there."""
        source = self.owner(key)
        slot = self.ask(source, "CLUSTER", "KEYSLOT", key)
        names = {port: self.ask(port, "CLUSTER", "MYID").decode() for port in (source, target)}
        self.ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", names[source])
        self.ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", names[target])
        self._migrate(source, target, slot, keys)
        yield
        while self._migrate(source, target, slot, 20):
            pass
        for port in (target, source):
            self.ask(port, "CLUSTER", "SETSLOT", slot, "NODE", names[target])
        wait_until(lambda: {self.owner(key, port) for port in self.living()} == {target}, "all nodes know it", 30)

    def _migrate(self, source: int, target: int, slot: int, most: int) -> bool:
        keys = self.ask(source, "CLUSTER", "GETKEYSINSLOT", slot, most) if most else []
        if keys:
            self.ask(source, "MIGRATE", "127.0.0.1", target, "", 0, 30_000, "KEYS", *keys)
        return bool(keys)

    @contextmanager
    def paused(self, port: int) -> Iterator[None]:
        """The node answers nothing, and its connections stay open."""
        self.processes[port].send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.processes[port].send_signal(signal.SIGCONT)

    def wait_for_all(self) -> None:
        """Return once every node that runs knows an owner of each slot."""
        wait_until(lambda: all(map(self.serves, self.living())), "all slots are served", 60)

    def _known(self, port: int) -> int:
        nodes: bytes = self.ask(port, "CLUSTER", "NODES")
        return sum(1 for line in nodes.splitlines() if b"handshake" not in line)

    def _follows(self, port: int, primary: bytes) -> bool:
        try:
            self.ask(port, "CLUSTER", "REPLICATE", primary.decode())
        except redis.ResponseError:  # it does not know the primary yet
            return False
        return True

    def _answers(self, port: int) -> bool:
        try:
            return bool(self.ask(port, "PING"))
        except redis.RedisError:
            return False


def _serves(node: "redis.Redis") -> bool:
    info: bytes = node.execute_command("CLUSTER", "INFO")  # type: ignore[no-untyped-call]
    return b"cluster_state:ok" in info and f"cluster_slots_ok:{SLOTS}".encode() in info
