"""An intake for each test, and what it logs."""

from collections.abc import AsyncIterator, Iterator, MutableMapping
from typing import Any

import pytest
import structlog

from tests.fakes import Harness, open_intake


@pytest.fixture
async def intake() -> AsyncIterator[Harness]:
    intake = open_intake()
    async with intake.http:
        yield intake


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """What was logged, instead of a long traceback between the dots."""
    with structlog.testing.capture_logs() as entries:
        yield entries
