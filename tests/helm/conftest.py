"""Keeps this folder out of a plain `pytest`, for its engine has to be installed; renders every case once."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.apart import left_out
from tests.helm.cases import CASES, KUBERNETES
from tests.helm.release import Release

HERE: Final = Path(__file__).parent
ENGINE: Final = HERE / ".venv" / "bin" / "python"
CHART: Final = HERE.parent.parent / "helm" / "attentive-gateway"

Render = Callable[..., Release]


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Collect only what was asked for by a path in this folder."""
    return left_out(HERE, config)


def ask(cases: dict[str, Any]) -> dict[str, Any]:
    """The engine's answer."""
    assert ENGINE.exists(), "the Helm engine is not installed: run make test-helm"
    question = {"chart": str(CHART), "kubernetes": KUBERNETES, "cases": cases}
    run = subprocess.run(
        [ENGINE, HERE / "engine.py"],
        input=json.dumps(question),
        env=os.environ | {"HELM_DRIVER": "memory"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    answer: dict[str, Any] = json.loads(run.stdout)
    return answer


@pytest.fixture(scope="session")
def answer() -> dict[str, Any]:
    """What the engine says of the chart and of every case."""
    return ask(CASES)


@pytest.fixture(scope="session")
def release(answer: dict[str, Any]) -> Render:
    """`release("default")`: one case, rendered."""
    return lambda name: Release(answer["cases"][name])


@pytest.fixture(scope="session")
def render() -> Render:
    """`render({…}, release=…, apis=[…])`: these values, rendered now."""
    return lambda values, **more: Release(ask({"now": {"values": values, **more}})["cases"]["now"])
