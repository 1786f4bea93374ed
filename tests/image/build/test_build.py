"""The steps of the image's build, run as they stand: `make test-image`."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from app import __version__
from tests.image.dockerfile import ROOT, Dockerfile

DOCKERFILE: Final = Dockerfile.read()
BUILD, FINAL = DOCKERFILE.build, DOCKERFILE.final
LOCK: Final = (ROOT / "requirements.lock").read_text(encoding="utf-8")
# What the first step has downloaded for this lock on this machine. Its hashes are checked again each time.
DOWNLOADED: Final = ROOT / ".cache" / "image-wheels" / hashlib.sha256(LOCK.encode()).hexdigest()[:16]
WHEELS, HOME = "/wheels", "/usr/local/gateway"


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
    environment["PIP_NO_COMPILE"] = "1"  # bytecode takes longer than all the rest, and nothing here depends on it
    no_network = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": ""}
    known = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(DOWNLOADED)} if DOWNLOADED.exists() else {}

    for number, run in enumerate(BUILD.all("RUN")):
        line = run.text.replace(WHEELS, str(wheels)).replace(HOME, str(home))
        step = subprocess.run(
            ["sh", "-ec", line],
            cwd=context,
            env=environment | (no_network if number else known),
            capture_output=True,
            text=True,
        )
        if step.returncode and "Retrying (" in step.stderr:
            pytest.skip("the package index is out of reach: the image's steps were not tried")
        assert step.returncode == 0, step.stderr
        if number == 0 and not DOWNLOADED.exists():
            shutil.copytree(wheels, DOWNLOADED)

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
    drivers = "import duckdb, psycopg, pymysql, python_calamine, sqlalchemy"  # that docs/rows.md promises
    subprocess.run([home / "bin" / "python", "-c", drivers], cwd=tmp_path, check=True)
    # docs/rows.md adds further packages by this pip.
    subprocess.run([home / "bin" / "python", "-m", "ensurepip"], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)


def _copy(source: Path, target: Path) -> None:
    """As COPY does: a folder's content into the folder `target`, a file beneath it."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
