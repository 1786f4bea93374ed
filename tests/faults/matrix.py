"""The fault matrix: what is broken, how it is mended, and what may be sent twice for it. One row, one fault."""

import os
import random
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import psutil
import redis

from app.store.keys import GROUP, DestinationKeys, LaneKeys
from tests.faults.sentinels import Guarded, start_guarded
from tests.faults.wire import Wire
from tests.forking import start_forked
from tests.ports import free_port
from tests.stack import COMMAND, DESTINATION, Stack, wait_until

PATH: Final = "/v1/events/custom"
LANE: Final = LaneKeys(DestinationKeys(DESTINATION), "custom-event")
CONCURRENCY: Final = 8  # calls under way at once: what one crash may repeat
_ROUNDS: Final = 10
STRIKES: Final = int(os.environ.get("GATEWAY_TEST_STRIKES", "3"))  # of a fault that strikes at random moments


@dataclass(slots=True)
class Scene:
    """What a fault may touch."""

    stack: Stack
    wires: Mapping[str, Wire]  # to "redis" and to "attentive", where the fault asks for them
    chance: random.Random
    others: "list[subprocess.Popen[bytes]]" = field(default_factory=list)  # processes that the fault has started
    guarded: Guarded | None = None  # where Sentinels watch over Redis
    under_way: int | None = (
        None  # calls claimed and not settled when it struck, all strikes together; None: not counted
    )
    resumed_s: list[float] = field(default_factory=list)  # from each strike to the next call, where there are several

    def redis(self) -> redis.Redis:
        """A client of the server itself, past any wire."""
        return redis.Redis(port=self.guarded.primary() if self.guarded else self.stack.redis_port)

    def arrived(self) -> int:
        """Calls that Attentive has processed so far."""
        return len(self.stack.sandbox.sandbox.world.ledger)

    def count_under_way(self) -> None:
        """What a process that has just been killed or stopped had in its hands: this may be sent twice, and no more."""
        with self.redis() as client:
            for _ in range(_ROUNDS):  # of Redis's loop, in which it still does what it was asked last
                client.ping()
            pending = sum(client.xpending(stream, GROUP)["pending"] for stream in LANE.streams)
        self.under_way = (self.under_way or 0) + pending

    def pause(self, longest_s: float = 0.4) -> None:
        """A random moment: what is hit by the fault should be another step of the road each time."""
        time.sleep(self.chance.uniform(0.02, longest_s))

    def another(self, *arguments: str, skew_s: float | None = None) -> "subprocess.Popen[bytes]":
        """One more process of ours, its clock off by `skew_s`."""
        entry = COMMAND if skew_s is None else "tests.faults.skewed:main"
        given = arguments if skew_s is None else (str(skew_s), *arguments)
        environment = {**self.stack.environment, "GATEWAY_WORKER_PORT": str(free_port())}
        log = self.stack.folder / f"another-{len(self.others)}.log"
        self.others.append(start_forked(entry, given, log=log, environment=environment))
        return self.others[-1]


Act = Callable[[Scene], None]


def nothing(_scene: Scene) -> None:
    """Time mends it, or the fault has done so itself."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One row."""

    name: str
    strike: Act
    heal: Act = nothing
    lasts_s: float = 1.5  # from the strike to the mending
    duplicates: int = 0  # calls that may be processed twice, where the scene does not count those under way
    dead: bool = False  # whether events end as dead letters
    resumes_within_s: float = 20  # after the mending
    may_throttle: bool = False  # whether calls may meet a 429
    before: Act = nothing  # instead of starting all processes in the usual way
    wires: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    sandbox: Mapping[str, Any] = field(default_factory=dict)  # how Attentive is set up, but for the usual
    fsync: str = "always"
    replicates: bool = False  # whether it makes a server the replica of another
    quiet: bool = False  # whether nothing may wait when it strikes: a Redis without a file loses what waits in it


# Processes


def kill(name: str, scene: Scene) -> None:
    """SIGKILL at STRIKES random moments, each time with deliveries under way."""
    for number in range(STRIKES):
        calls_arrive(scene)
        scene.pause()
        scene.stack.kill(name)
        killed = time.monotonic()
        if name == "worker":
            scene.count_under_way()
            if number:  # once the lease ends by its own time; then time is made to pass
                with scene.redis() as client:
                    client.delete(LANE.lease)
        scene.stack.start(name)
        calls_arrive(scene)
        scene.resumed_s.append(time.monotonic() - killed)


def calls_arrive(scene: Scene, calls: int = 1) -> None:
    """Wait for so many more."""
    seen = scene.arrived()
    wait_until(lambda: scene.arrived() >= seen + calls, "calls arrive")


def stop_beyond_lease(scene: Scene) -> None:
    """SIGSTOP a worker until another has taken its lane, then let it go on."""
    calls_arrive(scene)
    scene.pause()
    process = scene.stack.processes["worker"]
    process.send_signal(signal.SIGSTOP)
    wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, "it has stopped")
    scene.count_under_way()
    stopped = time.monotonic()
    scene.another("worker")
    calls_arrive(scene, CONCURRENCY + 1)  # more than may have been on their way
    scene.resumed_s.append(time.monotonic() - stopped)
    process.send_signal(signal.SIGCONT)


# Redis


def configure(scene: Scene, **settings: Any) -> None:
    """CONFIG SET."""
    with scene.redis() as client:
        for name, value in settings.items():
            client.config_set(name.replace("_", "-"), value)


def replicate(of: tuple[str, ...], scene: Scene) -> None:
    """REPLICAOF: a replica is read-only."""
    with scene.redis() as client:
        client.execute_command("REPLICAOF", *of)


def cut_redis(scene: Scene) -> None:
    """Every connection, at STRIKES random moments."""
    for _ in range(STRIKES):
        scene.pause()
        scene.wires["redis"].cut()


def limit_file_size(limit: int, scene: Scene) -> None:
    """The append-only file can grow no more, as on a full disk."""
    resource.prlimit(scene.stack.processes["redis"].pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


def fill_disk(scene: Scene) -> None:
    """No more than it holds now."""
    files = [file for file in scene.stack.folder.rglob("*.aof*") if file.is_file()]
    limit_file_size(max(file.stat().st_size for file in files) + 20_000, scene)


def start_with_sigxfsz_ignored(scene: Scene) -> None:
    """As on a full disk, a write that is refused is an error; by default it would be a signal, and the end."""
    scene.stack.redis_prefix = ["sh", "-c", 'trap "" XFSZ; exec "$0" "$@"']
    scene.stack.start("redis")
    scene.stack.start("gateway", "worker")


def restart_empty(scene: Scene) -> None:
    """A restart without persistence."""
    scene.stack.kill("redis")
    for file in (*scene.stack.folder.glob("appendonly*"), *scene.stack.folder.glob("*.rdb")):
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    scene.stack.start("redis")


def start_behind_sentinels(scene: Scene) -> None:
    """With a replica that must have each event before it is acknowledged."""
    scene.guarded = start_guarded(scene.stack, scene.others.append)
    scene.stack.start("gateway", "worker")


def fail_over(scene: Scene) -> None:
    """The primary dies, Sentinel names the replica, and the old primary comes back as its replica."""
    guarded = scene.guarded
    assert guarded is not None
    scene.stack.kill("redis")
    killed = time.monotonic()
    wait_until(lambda: guarded.primary() == guarded.replica_port, "Sentinel names the replica", 30)
    scene.stack.start("redis")
    wait_until(guarded.is_replicated, "the old primary has caught up", 30)
    calls_arrive(scene)
    scene.resumed_s.append(time.monotonic() - killed)


def add_garbage(scene: Scene) -> None:
    """Entries that are no deliveries, and one that lacks its field."""
    with scene.redis() as client:
        for stored in (b"", b"\xff\x00", b"[]", b'{"v":99}', b'{"v":1}'):
            client.xadd(LANE.streams[1], {"d": stored})


# Attentive


def misbehave(scene: Scene, **rule: Any) -> None:
    """A fault of the sandbox."""
    scene.stack.fault(path=PATH, **rule)


def heal_attentive(scene: Scene) -> None:
    """All faults of the sandbox end."""
    scene.stack.heal()


def forbid(scene: Scene) -> None:
    """403 on one endpoint."""
    misbehave(scene, kind="status", status=403)


def allow(scene: Scene) -> None:
    """The scope is there, and the operator says so."""
    scene.stack.heal()
    scene.stack.run("destinations", "resume", DESTINATION)


def revoke(revoked: bool, scene: Scene) -> None:
    """The API token stops working, or works again."""
    url = f"{scene.stack.sandbox.url}/_sandbox/keys/sandbox"
    assert scene.stack.http.patch(url, json={"revoked": revoked}).status_code == 200


# Clocks


def start_skewed(gateway_s: float, worker_s: float, scene: Scene) -> None:
    """Gateway and worker on machines whose clocks are off."""
    scene.stack.start("redis")
    scene.another("serve", "--port", str(scene.stack.gateway_port), skew_s=gateway_s)
    scene.another("worker", skew_s=worker_s)
    wait_until(scene.stack.gateway_ready, "the gateway is ready", 30)


def stop_worker(scene: Scene) -> None:
    """Everything waits."""
    scene.stack.stop("worker")


def a_day_later(scene: Scene) -> None:
    """Gateway and worker come back when more than a day has passed since all that waits."""
    scene.stack.stop("gateway")
    scene.another("serve", "--port", str(scene.stack.gateway_port), skew_s=25 * 3600)
    scene.another("worker", skew_s=25 * 3600)
    wait_until(scene.stack.gateway_ready, "the gateway is ready", 30)


status = partial(partial, misbehave, kind="status")
MATRIX: Final = (
    Fault(f"gateway killed {STRIKES} times", partial(kill, "gateway"), lasts_s=0),
    Fault(f"worker killed {STRIKES} times", partial(kill, "worker"), lasts_s=0),
    Fault(f"Redis killed {STRIKES} times", partial(kill, "redis"), lasts_s=0, duplicates=STRIKES * CONCURRENCY),
    Fault("worker stopped beyond its lease", stop_beyond_lease, lasts_s=1),
    Fault("Redis out of memory", partial(configure, maxmemory=1), partial(configure, maxmemory=0)),
    Fault(
        "Redis read-only",
        partial(replicate, ("127.0.0.1", "1")),
        partial(replicate, ("NO", "ONE")),
        duplicates=CONCURRENCY,
        replicates=True,
    ),
    Fault(
        "Redis 200 ms away",
        lambda scene: setattr(scene.wires["redis"], "delay_s", 0.2),
        lambda scene: setattr(scene.wires["redis"], "delay_s", 0.0),
        lasts_s=3,
        wires=("redis",),
    ),
    Fault(
        f"Redis connections cut {STRIKES} times",
        cut_redis,
        lasts_s=0,
        wires=("redis",),
        duplicates=STRIKES * CONCURRENCY,
    ),
    Fault(
        "Redis fails over to its replica",
        fail_over,
        before=start_behind_sentinels,
        replicates=True,
        duplicates=CONCURRENCY,
        resumes_within_s=60,  # Sentinel takes its time to make a replica of the old primary
    ),
    Fault("Redis back without its data", restart_empty, lasts_s=0, quiet=True),
    Fault(
        "disk full for the append-only file",
        fill_disk,
        partial(limit_file_size, resource.RLIM_INFINITY),
        lasts_s=2,
        fsync="everysec",
        before=start_with_sigxfsz_ignored,
        duplicates=4 * CONCURRENCY,
    ),
    Fault("rubbish in a lane", add_garbage, dead=True, lasts_s=0),
    Fault(
        "Attentive refuses connections",
        lambda scene: scene.wires["attentive"].refuse(),
        lambda scene: scene.wires["attentive"].accept(),
        wires=("attentive",),
        duplicates=CONCURRENCY,
    ),
    Fault("Attentive hangs", partial(misbehave, kind="hang"), heal_attentive, lasts_s=12),
    Fault("Attentive cuts after processing", partial(misbehave, kind="cut", count=9), lasts_s=1, duplicates=9),
    Fault("Attentive answers 500", status(status=500), heal_attentive),
    Fault("Attentive answers 429", status(status=429), heal_attentive, may_throttle=True),
    Fault(
        "Attentive answers 429 without any header",
        status(status=429),
        heal_attentive,
        may_throttle=True,
        sandbox={"rate_headers": False},
    ),
    Fault(
        "Attentive answers 429, asks for 2 s", status(status=429, retry_after="2"), heal_attentive, may_throttle=True
    ),
    Fault("the token is revoked, then works again", partial(revoke, True), partial(revoke, False), lasts_s=2),
    Fault("403 on one endpoint, then resumed", forbid, allow),
    Fault("Attentive answers an HTML error page", partial(misbehave, kind="html"), heal_attentive),
    Fault("Attentive answers slowly, byte by byte", partial(misbehave, kind="slow_body", seconds=1.5), heal_attentive),
    Fault("Attentive redirects", partial(misbehave, kind="redirect"), heal_attentive, lasts_s=0.5, dead=True),
    Fault("clocks 3 minutes apart", nothing, before=partial(start_skewed, 180, 0), lasts_s=2),
    Fault("clocks 3 minutes apart, the other way", nothing, before=partial(start_skewed, 0, 180), lasts_s=2),
    Fault("an outage longer than a day", stop_worker, a_day_later, dead=True),
)
