"""Keeps the matrix of faults out of a plain `pytest`, for it takes minutes: `make test-faults` runs it."""

from pathlib import Path

import pytest

from tests.apart import left_out

MATRIX = Path(__file__).with_name("test_matrix.py")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """True for the matrix, unless it was asked for by name."""
    return left_out(MATRIX, config) if collection_path == MATRIX else None
