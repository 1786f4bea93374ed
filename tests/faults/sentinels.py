"""A Redis with a replica and three Sentinels, for what happens when the primary dies."""

import re
import subprocess
from collections.abc import Callable
from typing import Any

import redis

from app.subprocesses import start_child
from tests.ports import free_port
from tests.stack import Stack, wait_until

SERVICE = "main"
# A server that answers nothing for this long is taken for dead. On a busy machine a healthy one stands for a second,
# and the Sentinels would make a failover of their own.
DOWN_AFTER_MS = 5000
# The name of a replica in INFO. A server that is itself a replica states slave_priority and others beside them.
_REPLICA = re.compile(r"slave\d+")
_SENTINEL = """port {port}
bind 127.0.0.1
dir {folder}
sentinel monitor main 127.0.0.1 {primary} 2
sentinel down-after-milliseconds main {down_after_ms}
sentinel failover-timeout main 5000
sentinel parallel-syncs main 1
"""


class Guarded:
    """A Redis of a stack, its replica, and the Sentinels that watch both."""

    def __init__(self, replica_port: int, sentinel_ports: list[int]) -> None:
        self.replica_port, self.sentinel_ports = replica_port, sentinel_ports

    @property
    def url(self) -> str:
        """What the gateway is told."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinel_ports)
        return f"redis+sentinel://{hosts}/{SERVICE}/0"

    def primary(self) -> int:
        """Its port, as the first Sentinel knows it."""
        with redis.Redis(port=self.sentinel_ports[0]) as sentinel:
            _, port = sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
            return int(port)

    def is_replicated(self) -> bool:
        """Whether whichever server is the primary now has its replica, up to date."""
        return _replicas(self.primary()) == 1


def start_guarded(stack: Stack, keep: "Callable[[subprocess.Popen[bytes]], Any]") -> Guarded:
    """Start the stack's Redis, its replica and Sentinels, and tell the stack; `keep` gets what must be stopped."""
    binary, folder = stack.redis, stack.folder
    guarded = Guarded(free_port(), [free_port() for _ in range(3)])
    stack.start("redis")
    replica = folder / "replica"
    replica.mkdir()
    command = [str(binary.path), "--port", str(guarded.replica_port), "--bind", "127.0.0.1", "--dir", str(replica)]
    command += ["--save", "", "--appendonly", "yes", "--replicaof", "127.0.0.1", str(stack.redis_port)]
    keep(start_child(command, log=folder / "replica.log"))
    wait_until(lambda: _replicas(stack.redis_port) == 1, "the replica is up to date")
    for port in guarded.sentinel_ports:
        config = folder / f"sentinel-{port}.conf"
        config.write_text(
            _SENTINEL.format(port=port, folder=folder, primary=stack.redis_port, down_after_ms=DOWN_AFTER_MS)
        )
        keep(start_child([str(binary.path), str(config), "--sentinel"], log=folder / "sentinel.log"))
    wait_until(lambda: all(map(_knows_all, guarded.sentinel_ports)), "the Sentinels know the replica and each other")
    stack.environment |= {"GATEWAY_REDIS_URL": guarded.url, "GATEWAY_WAIT_FOR_REPLICAS": "1"}
    return guarded


def _replicas(port: int) -> int:
    """How many replicas of this server are up to date: none of one that does not answer."""
    try:
        with redis.Redis(port=port) as server:
            info = server.info("replication")
    except redis.RedisError:
        return 0
    return sum(1 for name, facts in info.items() if _REPLICA.fullmatch(name) and facts["state"] == "online")


def _knows_all(port: int) -> bool:
    try:
        with redis.Redis(port=port) as sentinel:
            facts = sentinel.sentinel_master(SERVICE)
    except redis.RedisError:
        return False
    return bool(facts["num-slaves"] == 1 and facts["num-other-sentinels"] == 2)
