"""The image: what is shipped, and that its steps need nothing but the lock."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from app import __version__
from tests.image.dockerfile import ROOT, Dockerfile

DOCKERFILE: Final = Dockerfile.read()
BUILD, FINAL = DOCKERFILE.build, DOCKERFILE.final
LOCK: Final = (ROOT / "requirements.lock").read_text(encoding="utf-8")
WHEELS, HOME = "/wheels", "/usr/local/gateway"


def test_hadolint_has_nothing_to_say() -> None:
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


def test_no_compiler_and_no_cache_is_left() -> None:
    (run,) = FINAL.all("RUN")
    installed = re.search(r"apt-get install --yes --no-install-recommends ([^&]*)&&", run.text)
    assert installed is not None
    assert installed[1].split() == ["redis-server"]
    assert "rm -rf /var/lib/apt/lists/* " in run.text
    assert "pip uninstall" in run.text
    assert FINAL.one("COPY").text == f"--from=build {HOME} {HOME}"


def test_what_is_copied_is_not_ignored() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_through = {line.removeprefix("!") for line in lines if line.startswith("!")}
    sources = {source for each in BUILD.all("COPY") for source in each.words[:-1]}
    assert "*" in lines
    assert sources == let_through
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_the_health_check_is_a_module_of_ours() -> None:
    assert FINAL.one("HEALTHCHECK").text.endswith('CMD ["python", "-m", "app.alive"]')
    assert (ROOT / "app" / "alive.py").exists()


@pytest.fixture
def interpreter() -> Path:
    """A Python of the image's version: pyenv's, or on the PATH."""
    wanted = BUILD.base.removeprefix("python:").removesuffix("-slim")
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    on_path = shutil.which(f"python{wanted}")
    for found in (
        *sorted(versions.glob(f"{wanted}.*/bin/python"), reverse=True),
        *([Path(on_path)] if on_path else []),
    ):
        if subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0:
            return found
    pytest.skip(f"no Python {wanted} on this machine (python{wanted}, or pyenv's): the image's steps were not tried")


@pytest.mark.timeout(300)
def test_the_steps_of_the_build_need_nothing_but_the_lock(interpreter: Path, tmp_path: Path) -> None:
    """The build stage's own RUN lines, in its context, with the image's Python. Only the first may use the network."""
    context, wheels, home = tmp_path / "context", tmp_path / "wheels", tmp_path / "gateway"
    subprocess.run([interpreter, "-m", "venv", tmp_path / "python"], check=True)
    for each in BUILD.all("COPY"):
        *sources, target = each.words
        for source in sources:
            _copy(ROOT / source, context / target)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environment["PATH"] = f"{tmp_path / 'python' / 'bin'}:{environment['PATH']}"
    no_network = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": ""}

    for number, run in enumerate(BUILD.all("RUN")):
        line = run.text.replace(WHEELS, str(wheels)).replace(HOME, str(home))
        step = subprocess.run(
            ["sh", "-ec", line],
            cwd=context,
            env=environment | (no_network if number else {}),
            capture_output=True,
            text=True,
        )
        if step.returncode and "Retrying (" in step.stderr:
            pytest.skip("the package index is out of reach: the image's steps were not tried")
        assert step.returncode == 0, step.stderr

    packages = {each.name.partition("-")[0].lower().replace("_", "-") for each in home.rglob("*.dist-info")}
    assert packages - {"attentive-gateway"} <= set(re.findall(r"^([a-z0-9.-]+)==", LOCK, re.MULTILINE))
    assert packages & {"pip", "hatchling", "editables", "setuptools"} == set()
    said = subprocess.run(
        [home / "bin" / FINAL.one("ENTRYPOINT").words[0], "--version"], capture_output=True, text=True
    )
    assert said.stdout == f"attentive-gateway {__version__}\n"
    alone = "from app.commands.samples import SAMPLES; print(SAMPLES.exists())"
    found = subprocess.run([home / "bin" / "python", "-c", alone], cwd=tmp_path, capture_output=True, text=True)
    assert found.stdout == "True\n", found.stderr


def _copy(source: Path, target: Path) -> None:
    """As COPY does: a folder's content into the folder `target`, a file beneath it."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
