"""Keeps this folder out of a plain `pytest`: its servers are Debian's packages, which have to be downloaded."""

from pathlib import Path
from typing import Final

import pytest

from tests.apart import left_out

HERE: Final = Path(__file__).parent


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Collect only what was asked for by a path in this folder."""
    return left_out(HERE, config)
