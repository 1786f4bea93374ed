"""An own redis-server: which one is taken, and what is said when there is none."""

from pathlib import Path

import pytest
import redis

from app.embedded import NoRedis, RedisBinary, embedded_redis, find_redis


def fake_server(folder: Path, said: str) -> Path:
    """A redis-server that can only say its version."""
    folder.mkdir()
    path = folder / "redis-server"
    path.write_text(f"#!/bin/sh\necho '{said}'\n")
    return path


OLD = "Redis server v=5.0.14 sha=00000000:0 malloc=libc bits=64 build=0"
NEW = "Redis server v=7.2.1 sha=00000000:0 malloc=libc bits=64 build=0"


def test_the_first_that_is_new_enough_is_taken(tmp_path: Path) -> None:
    old, new = fake_server(tmp_path / "old", OLD), fake_server(tmp_path / "new", NEW)
    assert find_redis([old, new]) == RedisBinary(new, (7, 2, 1))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        pytest.param(OLD, "5.0.14, which is too old", id="an old one"),
        pytest.param("hello", "no redis-server", id="something else"),
        pytest.param(None, "no redis-server", id="none at all"),
    ],
)
def test_without_a_usable_one_it_says_what_to_do(tmp_path: Path, said: str | None, told: str) -> None:
    candidates = [tmp_path / "nothing"] if said is None else [fake_server(tmp_path / "some", said)]
    with pytest.raises(NoRedis) as problem:
        find_redis(candidates)
    text = str(problem.value)
    assert told in text
    assert "apt-get install redis-server" in text
    assert "\n" not in text


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
