"""Every fault of the matrix, under load: nothing accepted is lost, and little is sent twice. Prints what was found."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from app.delivery.dead_letter import read_dead_letter
from app.embedded import RedisBinary
from app.sandbox import SandboxConfig, running_sandbox
from app.store.keys import DestinationKeys
from app.subprocesses import stop_child
from tests.clusters import NO_REPLICAOF
from tests.faults.matrix import CONCURRENCY, LANE, MATRIX, PATH, Fault, Scene, nothing
from tests.faults.table import ROW
from tests.faults.wire import wire
from tests.local import local_client
from tests.stack import DESTINATION, WRITE_KEY, Stack, message_id, wait_until
from tests.waiting import patient

LIMIT: Final = 400.0  # calls per second that the sandbox allows and the lane knows
EVENTS_PER_S: Final = 60
_BATCH: Final = 5


@dataclass(frozen=True, slots=True)
class Result:
    """What one fault did, with the columns of tests/faults/table.py."""

    fault: str
    accepted: int
    delivered: int
    dead: int
    lost: int
    duplicates: int
    at_most: int  # of those: what was under way at the fault
    throttled: int
    resumed_s: float  # from the mending, or where it strikes repeatedly from the worst strike, to the next call

    def cells(self) -> tuple[str, ...]:
        """For the table."""
        counts = (self.accepted, self.delivered, self.dead, self.lost, self.duplicates, self.at_most, self.throttled)
        return (self.fault, *(f"{count:,}" for count in counts), f"{self.resumed_s:.1f} s")


class Tracker(threading.Thread):
    """Sends small batches at a steady rate, each again until it is acknowledged."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(daemon=True)
        self.accepted: set[str] = set()
        self.answers: Counter[int | str] = Counter()
        self._url = f"http://127.0.0.1:{stack.gateway_port}/v1/batch"
        self._stopping, self._paused = threading.Event(), threading.Event()
        self._sending = threading.Lock()

    def run(self) -> None:
        with local_client(auth=(WRITE_KEY, ""), timeout=patient(10)) as http:
            while not self._stopping.is_set():
                started = time.monotonic()
                with self._sending:
                    if not self._paused.is_set():
                        self._send(http)
                time.sleep(max(0.0, started + _BATCH / EVENTS_PER_S - time.monotonic()))

    def _send(self, http: httpx.Client) -> None:
        ids = [message_id() for _ in range(_BATCH)]
        events = [{"type": "track", "event": "Signed Up", "userId": "u-1", "messageId": one} for one in ids]
        while not self._stopping.is_set():
            try:
                answer = http.post(self._url, json={"batch": events})
            except httpx.TransportError as failure:
                self.answers[type(failure).__name__] += 1
            else:
                self.answers[answer.status_code] += 1
                if answer.status_code == 200:
                    self.accepted |= set(ids)
                    return
                assert answer.status_code in (429, 503), answer.text
            time.sleep(0.05)

    def pause(self) -> None:
        """Send nothing until `resume`: the last batch has been acknowledged."""
        self._paused.set()
        with self._sending:
            pass

    def resume(self) -> None:
        """Go on."""
        self._paused.clear()

    def finish(self) -> None:
        """No more."""
        self._stopping.set()
        self.join()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "fault", [pytest.param(fault, id=fault.name, marks=NO_REPLICAOF if fault.replicates else ()) for fault in MATRIX]
)
def test_nothing_accepted_is_lost(
    fault: Fault, tmp_path: Path, redis_binary: RedisBinary, record_property: Callable[[str, object], None]
) -> None:
    result = run(fault, tmp_path, redis_binary, random.Random(fault.name))
    record_property(ROW, result.cells())

    assert result.accepted > 0
    assert result.lost == 0
    assert result.duplicates <= result.at_most
    assert fault.dead == (result.dead > 0)
    assert fault.may_throttle or result.throttled == 0


def run(fault: Fault, folder: Path, redis: RedisBinary, chance: random.Random) -> Result:
    """One fault under load, to the end of everything that was accepted."""
    usual = {"limits": {PATH: LIMIT}, "latency": {"*": {"kind": "fixed", "ms": 10}}}
    config = SandboxConfig.model_validate({**usual, **fault.sandbox})
    with ExitStack() as cleanup:
        sandbox = cleanup.enter_context(running_sandbox(config))
        wires = {}
        if "attentive" in fault.wires:
            wires["attentive"] = cleanup.enter_context(wire(int(sandbox.url.rpartition(":")[2])))
        url = f"http://127.0.0.1:{wires['attentive'].port}" if "attentive" in wires else None
        environment = {"GATEWAY_CONCURRENCY": str(CONCURRENCY), **fault.environment}
        limits = {"custom-event": LIMIT}
        stack = Stack(
            folder, redis, sandbox, limits=limits, environment=environment, fsync=fault.fsync, attentive_url=url
        )
        cleanup.push(stack)
        if "redis" in fault.wires:
            wires["redis"] = cleanup.enter_context(wire(stack.redis_port))
            stack.environment["GATEWAY_REDIS_URL"] = f"redis://127.0.0.1:{wires['redis'].port}/0"
        scene = Scene(stack, wires, chance)
        cleanup.callback(lambda: [stop_child(process) for process in scene.others])
        if fault.before is not nothing:
            fault.before(scene)
        else:
            stack.start("redis")
            stack.start("gateway", "worker")
        return _under_load(fault, scene)


def _under_load(fault: Fault, scene: Scene) -> Result:
    tracker = Tracker(scene.stack)
    tracker.start()
    try:
        wait_until(lambda: scene.arrived() > 50, "calls arrive before the fault", 30)
        if fault.quiet:
            tracker.pause()
            wait_until(lambda: scene.stack.waiting() == 0, "nothing waits", 30)
        fault.strike(scene)
        time.sleep(fault.lasts_s)
        fault.heal(scene)
        healed, seen = time.monotonic(), scene.arrived()
        tracker.resume()
        wait_until(lambda: scene.arrived() > seen, "calls arrive again", fault.resumes_within_s)
        resumed_s = time.monotonic() - healed
        time.sleep(0.5)  # some more load behind the fault
    finally:
        tracker.finish()
    wait_until(lambda: _ended(scene, tracker.accepted), "everything ends", 120)
    arrived, buried = _arrived(scene), _buried(scene)
    return Result(
        fault.name,
        accepted=len(tracker.accepted),
        delivered=len(tracker.accepted & set(arrived)),
        dead=buried.total(),
        lost=len(tracker.accepted - set(arrived) - set(buried)),
        duplicates=arrived.total() - len(arrived),
        at_most=fault.duplicates if scene.under_way is None else scene.under_way,
        throttled=scene.stack.summary()["rate_limited"],
        resumed_s=max([resumed_s, *scene.resumed_s]),
    )


def _arrived(scene: Scene) -> Counter[str]:
    return Counter(call["body"]["externalEventId"] for call in scene.stack.ledger(path=PATH))


def _buried(scene: Scene) -> Counter[str]:
    with scene.redis() as client:
        stored: list[Any] = client.xrange(DestinationKeys(DESTINATION).dead)
    return Counter(read_dead_letter(DESTINATION, id_, fields[b"d"]).message_id for id_, fields in stored)


def _ended(scene: Scene, accepted: set[str]) -> bool:
    return not _left(scene, accepted) and _waiting(scene) == 0


def _left(scene: Scene, accepted: set[str]) -> int:
    return len(accepted - set(_arrived(scene)) - set(_buried(scene)))


def _waiting(scene: Scene) -> int:
    with scene.redis() as client:
        return int(sum(client.xlen(stream) for stream in LANE.streams) + client.zcard(LANE.retry))
