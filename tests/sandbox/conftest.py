"""A sandbox with a clock that only the test moves, and a client that holds its default key."""

from collections.abc import AsyncIterator

import httpx
import pytest

from app.sandbox import Sandbox, create_sandbox
from tests.sandbox.calls import NOW


class HandClock:
    """Unix time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = NOW.timestamp()

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Naps:
    """A sleep that only writes down how long it was asked for, in seconds."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture
def sandbox(clock: HandClock, naps: Naps) -> Sandbox:
    return create_sandbox(clock=clock, sleep=naps)


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": "Bearer sandbox-token"}
    transport = httpx.ASGITransport(app=sandbox)
    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox", headers=headers) as client:
        yield client
