"""A door for each test, and what it logs."""

from collections.abc import AsyncIterator, Iterator, MutableMapping
from typing import Any

import pytest
import structlog

from tests.fakes import Door, open_door


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    door = open_door()
    async with door.http:
        yield door


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """What was logged, instead of a long traceback between the dots."""
    with structlog.testing.capture_logs() as entries:
        yield entries
