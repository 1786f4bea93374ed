"""The primary dies and Sentinel names another: with acknowledged replicas nothing that was accepted is lost."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import redis

from app.children import start_child, stop_child
from app.embedded import find_redis
from app.sandbox import SandboxConfig, running_sandbox
from tests.stack import Stack, free_port, message_id, wait_until

SERVICE = "main"
_SENTINEL = """port {port}
bind 127.0.0.1
dir {folder}
sentinel monitor main 127.0.0.1 {primary} 2
sentinel down-after-milliseconds main 1000
sentinel failover-timeout main 5000
sentinel parallel-syncs main 1
"""


class Guarded:
    """A running gateway whose Redis has a replica and three Sentinels."""

    def __init__(self, stack: Stack, folder: Path, replica_port: int, sentinel_ports: list[int]) -> None:
        self.stack, self.folder = stack, folder
        self.replica_port, self.sentinel_ports = replica_port, sentinel_ports

    def primary(self) -> int:
        """Its port, as the first Sentinel knows it."""
        with redis.Redis(port=self.sentinel_ports[0]) as sentinel:
            _, port = sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
            return int(port)

    def replicas(self, port: int) -> int:
        """How many replicas of this server are up to date."""
        with redis.Redis(port=port) as server:
            info = server.info("replication")
            return sum(1 for name, facts in info.items() if name.startswith("slave") and facts["state"] == "online")


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    binary = find_redis()
    replica, sentinels = free_port(), [free_port() for _ in range(3)]
    hosts = ",".join(f"127.0.0.1:{port}" for port in sentinels)
    environment = {
        "GATEWAY_REDIS_URL": f"redis+sentinel://{hosts}/{SERVICE}/0",
        "GATEWAY_WAIT_FOR_REPLICAS": "1",
    }
    with ExitStack() as cleanup:
        sandbox = cleanup.enter_context(running_sandbox(SandboxConfig(limits_enabled=False)))
        stack = Stack(tmp_path, binary, sandbox, limits={"custom-event": 500}, environment=environment)
        cleanup.push(stack)
        stack.start("redis")
        folder = tmp_path / "replica"
        folder.mkdir()
        command = [str(binary.path), "--port", str(replica), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
        command += ["--appendonly", "yes", "--replicaof", f"127.0.0.1 {stack.redis_port}"]
        cleanup.callback(stop_child, start_child(command, log=tmp_path / "replica.log"))
        guarded = Guarded(stack, tmp_path, replica, sentinels)
        wait_until(lambda: guarded.replicas(stack.redis_port) == 1, "the replica is up to date")
        for port in sentinels:
            config = tmp_path / f"sentinel-{port}.conf"
            config.write_text(_SENTINEL.format(port=port, folder=tmp_path, primary=stack.redis_port))
            sentinel = start_child([str(binary.path), str(config), "--sentinel"], log=tmp_path / "sentinel.log")
            cleanup.callback(stop_child, sentinel)
        wait_until(lambda: all(map(_knows_all, sentinels)), "the Sentinels know the replica and each other")
        stack.start("gateway")
        stack.start("worker")
        yield guarded


def _knows_all(port: int) -> bool:
    try:
        with redis.Redis(port=port) as sentinel:
            facts = sentinel.sentinel_master(SERVICE)
    except redis.RedisError:
        return False
    return bool(facts["num-slaves"] == 1 and facts["num-other-sentinels"] == 2)


class Sender(threading.Thread):
    """Posts one event after the other, and remembers what was acknowledged and what was said else."""

    def __init__(self, stack: Stack) -> None:
        super().__init__()
        self.acknowledged: list[str] = []
        self.refusals: set[str] = set()
        self._stack = stack
        self._stopping = threading.Event()

    def run(self) -> None:
        while not self._stopping.is_set():
            name = message_id()
            try:
                answer = self._stack.post("/v1/track", {"event": "Signed Up", "userId": "u-1", "messageId": name})
            except httpx.HTTPError:
                continue
            if answer.status_code == 200:
                self.acknowledged.append(name)
            else:
                self.refusals.add(answer.json()["code"])

    def finish(self) -> None:
        self._stopping.set()
        self.join()


@pytest.mark.timeout(180)
def test_after_a_failover_all_goes_on_by_itself_and_nothing_acknowledged_is_lost(guarded: Guarded) -> None:
    stack = guarded.stack
    sender = Sender(stack)
    sender.start()
    try:
        wait_until(lambda: len(sender.acknowledged) > 100, "events are taken")
        stack.kill("redis")
        wait_until(lambda: guarded.primary() == guarded.replica_port, "Sentinel names the replica", 60)
        wait_until(lambda: "redis_not_replicated" in sender.refusals, "the new primary has no replica yet", 60)
        stack.start("redis")  # the old primary comes back, and becomes a replica
        wait_until(lambda: guarded.replicas(guarded.replica_port) == 1, "it has caught up", 60)
        taken = len(sender.acknowledged)
        wait_until(lambda: len(sender.acknowledged) > taken + 100, "events are taken again", 30)
    finally:
        sender.finish()
    sent = set(sender.acknowledged)
    wait_until(lambda: sent <= {call["body"]["externalEventId"] for call in stack.ledger()}, "all arrive", 60)

    assert stack.processes["gateway"].poll() is None
    assert stack.processes["worker"].poll() is None
    assert sender.refusals <= {"redis_unreachable", "redis_read_only", "redis_not_replicated"}
