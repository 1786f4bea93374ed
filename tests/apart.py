"""Folders with tests that need more than the project's own packages. A plain `pytest` skips them."""

from pathlib import Path

import pytest


def left_out(folder: Path, config: pytest.Config) -> bool | None:
    """For `pytest_ignore_collect` of a folder's conftest: true unless the folder, or something in it, was asked for."""
    asked = (config.invocation_params.dir / argument.partition("::")[0] for argument in config.args)
    return None if any(path.resolve().is_relative_to(folder) for path in asked) else True
