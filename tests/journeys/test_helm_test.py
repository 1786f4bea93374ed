"""What `helm test` runs in the cluster, run here: it finds out whether events are taken in, and nothing is sent."""

import os
import subprocess
import sys
from typing import Final

import pytest

from helm.generate import CHART
from tests.ports import free_port
from tests.stack import Stack
from tests.waiting import patient

SCRIPT: Final = CHART / "files" / "post_event.py"


def run(gateway: Stack, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """As its pod does: the text of the script on the command line, the gateway's own variables."""
    return subprocess.run(
        [sys.executable, "-c", SCRIPT.read_text(encoding="utf-8"), *arguments],
        env=os.environ | gateway.environment | environment,
        capture_output=True,
        text=True,
        timeout=patient(60),
        check=False,
    )


def test_an_event_about_nobody_is_taken_in_and_nothing_is_sent(gateway: Stack) -> None:
    dropped, calls = gateway.ended("dropped", "no_identity"), len(gateway.ledger())
    done = run(gateway, f"http://127.0.0.1:{gateway.gateway_port}", "")
    assert (done.returncode, done.stderr) == (0, "")
    assert 'POST /v1/track as shop: 200 {"success": true}' in done.stdout
    assert gateway.ended("dropped", "no_identity") == dropped + 1
    assert len(gateway.ledger()) == calls


@pytest.mark.parametrize(
    ("source", "environment", "said"),
    [
        pytest.param("warehouse", {}, "there is no source 'warehouse'", id="no such source"),
        pytest.param("", {"GATEWAY_CONFIG": "/nowhere.yaml"}, "/nowhere.yaml cannot be read", id="no config"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(gateway: Stack, source: str, environment: dict[str, str], said: str) -> None:
    done = run(gateway, f"http://127.0.0.1:{gateway.gateway_port}", source, **environment)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_gateway_that_is_not_there_is_a_failure(gateway: Stack) -> None:
    done = run(gateway, f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert "does not answer" in done.stderr
