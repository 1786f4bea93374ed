"""The primary dies and Sentinel names another: with acknowledged replicas nothing that was accepted is lost."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from app.embedded import RedisBinary
from app.sandbox import SandboxConfig, running_sandbox
from app.subprocesses import stop_child
from tests.clusters import NO_REPLICAOF
from tests.faults.sentinels import Guarded, start_guarded
from tests.stack import Stack, message_id, wait_until


@pytest.fixture
def stack(tmp_path: Path, redis_binary: RedisBinary) -> Iterator[Stack]:
    with running_sandbox(SandboxConfig(limits_enabled=False)) as sandbox:
        yield Stack(tmp_path, redis_binary, sandbox, limits={"custom-event": 500}, fsync="always")


@pytest.fixture
def guarded(stack: Stack) -> Iterator[Guarded]:
    with ExitStack() as cleanup:
        cleanup.push(stack)
        guarded = start_guarded(stack, lambda process: cleanup.callback(stop_child, process))
        stack.start("gateway", "worker")
        yield guarded


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


@NO_REPLICAOF
@pytest.mark.timeout(180)
def test_after_a_failover_all_goes_on_by_itself_and_nothing_acknowledged_is_lost(
    stack: Stack, guarded: Guarded
) -> None:
    sender = Sender(stack)
    sender.start()
    try:
        wait_until(lambda: len(sender.acknowledged) > 100, "events are taken")
        stack.kill("redis")
        wait_until(lambda: guarded.primary() == guarded.replica_port, "Sentinel names the replica", 60)
        wait_until(lambda: "redis_not_replicated" in sender.refusals, "the new primary has no replica yet", 60)
        stack.start("redis")  # the old primary comes back, and becomes a replica
        wait_until(guarded.is_replicated, "it has caught up", 60)
        taken = len(sender.acknowledged)
        wait_until(lambda: len(sender.acknowledged) > taken + 100, "events are taken again", 30)
    finally:
        sender.finish()
    sent = set(sender.acknowledged)
    wait_until(lambda: sent <= {call["body"]["externalEventId"] for call in stack.ledger()}, "all arrive", 60)

    assert stack.processes["gateway"].poll() is None
    assert stack.processes["worker"].poll() is None
    assert sender.refusals <= {"redis_unreachable", "redis_read_only", "redis_not_replicated"}
