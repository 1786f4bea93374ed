"""What Redis and Valkey refuse, provoked for real in each server found here: one code each, whatever the wording."""

import asyncio
import contextlib
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from app.embedded import RedisBinary
from app.store.connection import Dedicated, open_redis, why_unavailable
from app.subprocesses import start_child
from tests.ports import free_port
from tests.stack import wait_until


@dataclass(frozen=True)
class Server:
    """One that was started for a test, and its clients."""

    binary: RedisBinary
    folder: Path

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/redis.sock"

    @contextlib.contextmanager
    def running(self, options: Sequence[str] = ()) -> Iterator[None]:
        address = self.folder / "redis.sock"
        address.unlink(missing_ok=True)
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        command = [str(self.binary.path), "--port", "0", "--unixsocket", str(address), "--dir", str(data), *options]
        process = start_child(command, log=self.folder / "redis.log")
        try:
            wait_until(lambda: _listens(address), "the server listens")  # it exists before that
            yield
        finally:  # asked to stop, one that cannot write its disk would go on
            process.kill()
            process.wait()

    @contextlib.asynccontextmanager
    async def client(self, login: str = "") -> AsyncIterator[Redis]:
        client = open_redis(self.url.replace("unix://", f"unix://{login}"))
        try:
            yield client
        finally:
            await client.aclose(close_connection_pool=True)


def _listens(address: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(address)) == 0


@pytest.fixture
def server(redis_binary: RedisBinary) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:  # a socket's path must be short
        yield Server(redis_binary, Path(folder))


async def be_full(server: Server, redis: Redis) -> None:
    await redis.config_set("maxmemory", 1)


async def want_a_replica(server: Server, redis: Redis) -> None:
    await redis.config_set("min-replicas-to-write", 1)


async def be_a_replica(server: Server, redis: Redis) -> None:
    await redis.replicaof("127.0.0.1", "1")


async def be_a_replica_without_its_primary(server: Server, redis: Redis) -> None:
    await redis.config_set("replica-serve-stale-data", "no")
    await be_a_replica(server, redis)


async def lose_the_disk(server: Server, redis: Redis) -> None:
    await redis.config_set("save", "900 1")
    shutil.rmtree(server.folder / "data")
    with contextlib.suppress(ResponseError):
        await redis.bgsave()
    await until(lambda: failed_to_save(redis))


async def failed_to_save(redis: Redis) -> bool:
    return bool((await redis.info())["rdb_last_bgsave_status"] == "err")


async def allow_little(server: Server, redis: Redis) -> None:
    await redis.acl_setuser("weak", enabled=True, passwords=["+pass"], keys=["*"], commands=["+eval", "+get", "+multi"])


async def allow_other_keys(server: Server, redis: Redis) -> None:
    await redis.acl_setuser("weak", enabled=True, passwords=["+pass"], keys=["other:*"], categories=["+@all"])


async def want_a_password(server: Server, redis: Redis) -> None:
    await redis.config_set("requirepass", "right")


@dataclass(frozen=True)
class Refusal:
    """How a server is brought to refuse, who then asks it, and the code that is due."""

    reason: str
    provoke: Callable[[Server, Redis], Awaitable[None]]
    login: str = ""
    options: Sequence[str] = field(default=())


REFUSALS: Final = {
    "out of memory": Refusal("redis_full", be_full),
    "not enough replicas": Refusal("redis_not_replicated", want_a_replica),
    "read-only": Refusal("redis_read_only", be_a_replica),
    "a replica without its primary": Refusal("redis_read_only", be_a_replica_without_its_primary),
    "a disk that cannot be written": Refusal("redis_read_only", lose_the_disk),
    "no right to a command": Refusal("redis_denied", allow_little, "weak:pass@"),
    "no right to a key": Refusal("redis_denied", allow_other_keys, "weak:pass@"),
    "no password": Refusal("redis_denied", want_a_password),
    "a wrong password": Refusal("redis_denied", want_a_password, ":wrong@"),
}
ASK: Final[dict[str, Callable[[Redis], Awaitable[object]]]] = {
    "a command": lambda redis: redis.set("key", "value"),
    "a script": lambda redis: evaluate(redis, "return redis.call('SET', KEYS[1], ARGV[1])"),
    "a script that has read": lambda redis: evaluate(
        redis, "redis.call('GET', KEYS[1])\nlocal set = redis.call('SET', KEYS[1], ARGV[1])\nreturn set"
    ),
    "a script that looks at the error": lambda redis: evaluate(
        redis, "local set = redis.pcall('SET', KEYS[1], ARGV[1]) return set"
    ),
    "a pipeline": lambda redis: ask_in_pipeline(redis),
    "a connection of its own": lambda redis: ask_dedicated(redis),
}


async def evaluate(redis: Redis, script: str) -> object:
    return await redis.execute_command("EVAL", script, 1, "key", "value")  # type: ignore[no-untyped-call]


async def ask_in_pipeline(redis: Redis) -> None:
    pipeline = redis.pipeline(transaction=False)
    pipeline.get("key")
    pipeline.set("key", "value")
    await pipeline.execute()


async def ask_dedicated(redis: Redis) -> None:
    answers = await Dedicated(redis).ask([("SET", "key", "value")], lambda: None)
    raise answers[0]


async def until(reached: Callable[[], Awaitable[bool]]) -> None:
    """The time limit of the test ends what never comes."""
    while True:
        if await reached():
            return
        await asyncio.sleep(0.01)


async def refuses(redis: Redis) -> bool:
    try:
        await redis.ping()
    except RedisError:
        return True
    return False


async def refusal_of(ask: Callable[[Redis], Awaitable[object]], redis: Redis) -> RedisError:
    with pytest.raises(RedisError) as refused:
        await ask(redis)
    return refused.value


@pytest.mark.parametrize("case", REFUSALS)
async def test_each_refusal_has_its_code_however_it_was_asked(server: Server, case: str) -> None:
    refusal = REFUSALS[case]
    with server.running(["--save", "", *refusal.options]):
        async with server.client() as operator:
            await refusal.provoke(server, operator)
            async with server.client(refusal.login) as redis:
                found = {way: await refusal_of(ask, redis) for way, ask in ASK.items()}
    assert {way: why_unavailable(failure) for way, failure in found.items()} == dict.fromkeys(ASK, refusal.reason), (
        found
    )


async def test_a_server_that_is_busy_with_a_script_has_its_code(server: Server) -> None:
    with server.running(["--save", "", "--lua-time-limit", "1"]):
        async with server.client() as operator, server.client() as redis, server.client() as rescuer:
            await rescuer.ping()  # who is not connected yet cannot end the script
            endless = asyncio.create_task(evaluate(operator, "while true do end"))
            try:
                await until(lambda: refuses(redis))
                found = {why_unavailable(await refusal_of(ask, redis)) for ask in ASK.values()}
            finally:
                await rescuer.script_kill()
                await asyncio.wait([endless])
    assert found == {"redis_busy"}
    assert isinstance(endless.exception(), ResponseError)  # it was ended by force


async def test_a_server_that_still_reads_its_data_has_its_code(server: Server) -> None:
    """It reads for 8 s, and answers after each 2 MB."""
    with server.running(["--save", "900 1", "--rdbcompression", "no"]):
        async with server.client() as operator:
            for number in range(160):
                await operator.set(f"key:{number}", "x" * 500_000)
            await operator.save()
    slowly = ["--save", "", "--key-load-delay", "50000"]
    with server.running(slowly):
        async with server.client() as redis:
            found = {why_unavailable(await refusal_of(ask, redis)) for ask in ASK.values()}
    assert found == {"redis_loading"}


async def test_a_cluster_that_is_down_has_its_code(server: Server) -> None:
    with server.running(["--save", "", "--cluster-enabled", "yes", "--port", str(free_port())]):
        async with server.client() as redis:
            found = {why_unavailable(await refusal_of(ask, redis)) for ask in ASK.values()}
    assert found == {"redis_cluster_down"}
