"""Keeps this folder out of a plain `pytest`: it downloads and installs what the image holds."""

from pathlib import Path

import pytest

from tests.apart import left_out


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Collect only what was asked for by a path in this folder."""
    return left_out(Path(__file__).parent, config)
