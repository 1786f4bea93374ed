"""A configuration that changes while a process runs: a valid one is applied, an invalid one is only reported."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client import CollectorRegistry
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs

from app.config.topology import Loaded, Topology, load_file
from app.metrics import ConfigMetrics
from app.reload import Reload
from tests.waiting import patient

GOOD: Final = """\
destinations:
  acme: {api_token: very-secret}
  beta: {api_token_file: FOLDER/token}
sources:
  web: {write_key: wk-1, destination: acme}
"""
LOOK_S: Final = 0.005


class Running:
    """One process's configuration in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "gateway.yaml"
        (folder / "token").write_text("token-1")
        self.write(GOOD)
        self.registry = CollectorRegistry()
        self.used: list[Topology] = []
        self.waiting: dict[str, int] = {}
        self.use: Callable[[Topology], None] = self.used.append
        self.reload = Reload(
            load_file(self.file),
            load=lambda: load_file(self.file),
            use=lambda topology: self.use(topology),
            waiting=self.ask_waiting,
            metrics=ConfigMetrics(self.registry),
            look_every_s=LOOK_S,
            again_after_s=10 * LOOK_S,
        )

    def write(self, content: str) -> None:
        """As a careful program does it: whole, in one step."""
        new = self.folder / "new"
        new.write_text(content.replace("FOLDER", str(self.folder)))
        new.rename(self.file)

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"gateway_config_{name}", labels)

    def reloads(self) -> tuple[float | None, float | None]:
        return self.metric("reloads_total", result="ok"), self.metric("reloads_total", result="failed")

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(patient(20)):
            while not true():  # noqa: ASYNC110 - nothing tells us
                await asyncio.sleep(LOOK_S)

    async def looks(self, times: int = 5) -> None:
        """Return when it has surely looked this often."""
        await asyncio.sleep(LOOK_S * times * 4)

    async def ask_waiting(self, names: Collection[str]) -> Mapping[str, int]:
        return {name: self.waiting.get(name, 0) for name in names}


@pytest.fixture
def running(tmp_path: Path) -> Running:
    return Running(tmp_path)


@pytest.fixture
async def watched(running: Running) -> AsyncIterator[Running]:
    async with running.reload.watching():
        yield running


def change_key(running: Running) -> None:
    running.write(GOOD.replace("wk-1", "wk-2"))


def rotate_token(running: Running) -> None:
    """By one of another length: some kernels note the time of a change to 10 ms only."""
    (running.folder / "token").write_text("token-22")


def swap_folder(running: Running) -> None:
    """As Kubernetes does with a ConfigMap: the file is a link through a link to a folder that is replaced whole."""
    for version, key in (("v1", "wk-1"), ("v2", "wk-2")):
        (running.folder / version).mkdir()
        content = GOOD.replace("wk-1", key).replace("FOLDER", str(running.folder))
        (running.folder / version / "gateway.yaml").write_text(content)
    (running.folder / "..data").symlink_to("v2")
    running.file.unlink()
    running.file.symlink_to(Path("..data/gateway.yaml"))


@pytest.mark.parametrize("change", [change_key, rotate_token, swap_folder])
async def test_a_change_of_its_files_is_used(change: Callable[[Running], None], watched: Running) -> None:
    change(watched)
    await watched.until(lambda: bool(watched.used))
    (topology,) = watched.used
    tokens = [each.api_token.get_secret_value() for each in topology.destinations.values()]
    key = topology.sources["web"].write_keys[0].key.get_secret_value()
    assert (tokens[1], key) in {("token-1", "wk-2"), ("token-22", "wk-1")}
    assert watched.reloads() == (1, 0)
    assert watched.metric("info", sha256=watched.reload.running.sha256) == 1
    await watched.looks()
    assert len(watched.used) == 1


async def test_a_file_that_is_only_touched_is_used_once_more_and_not_again(watched: Running) -> None:
    touched_ns = watched.file.stat().st_mtime_ns + 10**9
    os.utime(watched.file, ns=(touched_ns, touched_ns))
    await watched.until(lambda: bool(watched.used))
    await watched.looks()
    assert len(watched.used) == 1


async def test_what_runs_is_shared_once_and_again_after_a_change_or_a_failure(running: Running) -> None:
    shared: list[Loaded] = []
    failures = [RedisConnectionError("away")]

    async def share(loaded: Loaded) -> None:
        if failures:
            raise failures.pop()
        shared.append(loaded)

    reload = Reload(
        load_file(running.file),
        load=lambda: load_file(running.file),
        use=running.used.append,
        waiting=running.ask_waiting,
        metrics=ConfigMetrics(CollectorRegistry()),
        share=share,
        look_every_s=LOOK_S,
    )
    async with reload.watching():
        await running.until(lambda: len(shared) == 1)
        await running.looks()
        change_key(running)
        await running.until(lambda: len(shared) == 2)
        await running.looks()
    assert shared == [shared[0], reload.running]


MISTAKES: Final = [
    pytest.param(GOOD.replace("wk-1, dest", "wk-1, context"), "line 5: sources.web.context", id="a misspelt key"),
    pytest.param(GOOD.replace("{write_key", "[write_key"), "line 5: not YAML", id="no YAML"),
    pytest.param("", "line 1", id="nothing"),
    pytest.param(GOOD.replace("/token", "/no-token"), "line 3: destinations.beta", id="a secret that is not there"),
]


@pytest.mark.parametrize(("content", "told"), MISTAKES)
async def test_a_mistake_changes_nothing_and_is_told_once(content: str, told: str, watched: Running) -> None:
    before = watched.reload.running
    with capture_logs() as logs:
        watched.write(content)
        await watched.until(lambda: watched.reloads() == (0, 1))
        await watched.looks(30)
    assert (watched.used, watched.reload.running) == ([], before)
    assert watched.metric("last_reload_successful") == 0
    assert watched.metric("info", sha256=before.sha256) == 1
    (line,) = [log for log in logs if log["event"] == "config.reload_failed"]
    assert (line["log_level"], line["running"]) == ("error", before.sha256[:12])
    assert told in line["mistake"]
    assert "very-secret" not in str(logs)


async def test_a_mistake_that_is_mended_is_forgotten(watched: Running) -> None:
    watched.write("")
    await watched.until(lambda: watched.reloads() == (0, 1))
    change_key(watched)
    await watched.until(lambda: watched.reloads() == (1, 1))
    assert watched.metric("last_reload_successful") == 1


async def test_a_secret_that_comes_late_is_found(watched: Running) -> None:
    watched.write(GOOD.replace("/token", "/late"))
    await watched.until(lambda: watched.reloads() == (0, 1))
    (watched.folder / "late").write_text("token-3")
    await watched.until(lambda: bool(watched.used))
    assert watched.used[0].destinations["beta"].api_token.get_secret_value() == "token-3"


async def test_what_cannot_be_put_to_use_changes_nothing(watched: Running) -> None:
    def refuse(_: Topology) -> None:
        raise RuntimeError("very-secret")

    watched.use = refuse
    before = watched.reload.running
    with capture_logs() as logs:
        assert not await watched.reload.reload("test")
    assert watched.reload.running is before
    assert [log["event"] for log in logs] == ["config.reload_crashed", "config.reload_failed"]
    assert "very-secret" not in str(logs[1])


async def test_a_file_is_not_read_while_it_is_written(watched: Running) -> None:
    """Half of a file may be valid, and lack the sources of the other half."""
    with watched.file.open("w") as half:
        for _ in range(10):
            half.write("# a comment\n")
            half.flush()
            await asyncio.sleep(LOOK_S / 2)
        assert watched.used == []
        half.write(GOOD.replace("FOLDER", str(watched.folder)))
    await watched.until(lambda: bool(watched.used))
    assert watched.reloads() == (1, 0)


async def test_reading_again_by_hand_uses_what_is_there(running: Running) -> None:
    change_key(running)
    assert await running.reload.reload("SIGHUP")
    assert running.reload.running.topology is running.used[0]


class TestADestinationThatIsRemoved:
    WITHOUT: Final = "\n".join(line for line in GOOD.splitlines() if "beta" not in line)

    async def test_is_told_of_loudly_while_something_waits_for_it(self, running: Running) -> None:
        running.waiting = {"beta": 7}
        running.write(self.WITHOUT)
        with capture_logs() as logs:
            assert await running.reload.reload("test")
        (line,) = [log for log in logs if log["event"] == "config.destination_removed"]
        assert (line["log_level"], line["destination"], line["calls_waiting"]) == ("error", "beta", 7)
        assert running.metric("removed_destination_deliveries", destination="beta") == 7

    async def test_is_remembered_until_it_is_back(self, running: Running) -> None:
        running.waiting = {"beta": 7}
        for content, known in ((self.WITHOUT, 7), (self.WITHOUT.replace("wk-1", "wk-2"), 7), (GOOD, None)):
            running.write(content)
            assert await running.reload.reload("test")
            assert running.metric("removed_destination_deliveries", destination="beta") == known

    async def test_is_no_news_when_nothing_waits(self, running: Running) -> None:
        running.write(self.WITHOUT)
        with capture_logs() as logs:
            assert await running.reload.reload("test")
        assert [log["event"] for log in logs] == ["config.reloaded"]

    async def test_does_not_stop_a_reload_when_redis_is_away(self, tmp_path: Path) -> None:
        async def away(_: Collection[str]) -> Mapping[str, int]:
            raise RedisConnectionError("away")

        running = Running(tmp_path)
        used: list[Any] = []
        reload = Reload(
            running.reload.running,
            load=lambda: load_file(running.file),
            use=used.append,
            waiting=away,
            metrics=ConfigMetrics(CollectorRegistry()),
        )
        running.write(self.WITHOUT)
        assert await reload.reload("test")
        assert len(used) == 1
