"""`make release`, on a copy of this tree: one version everywhere, and a release only from a tree that is ready."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
import yaml

from app import __version__
from tests.waiting import patient

ROOT: Final = Path(__file__).parent.parent
NEXT: Final = "99.1.0"
NOT_COPIED: Final = shutil.ignore_patterns(
    ".*cache", ".venv", ".git", ".hypothesis", "data", "__pycache__", "node_modules"
)


class Copy:
    """This tree in a repository of its own, all committed; `of`: another such copy, which is cloned."""

    def __init__(self, folder: Path, of: "Copy | None" = None) -> None:
        self.root = folder / "copy"
        if of is None:
            shutil.copytree(ROOT, self.root, ignore=NOT_COPIED)
        ready = folder / "ready"  # all is installed, says this file
        self._make = ("make", f"DEV_READY={ready}", f"BIN={Path(sys.executable).parent}", "release")
        person = {f"GIT_{role}_{what}": "tester" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        self._environment = {**os.environ, **person, "PYTHONPATH": str(self.root), "GIT_CONFIG_GLOBAL": "/dev/null"}
        if of is None:
            self.git("init", "--quiet")
            self.git("add", "--all")
            self.git("commit", "--quiet", "--message", "all")
        else:
            of.git("clone", "--quiet", ".", str(self.root))
        ready.touch()  # after what it is made of

    def release(self, version: str, arguments: Sequence[str] = ()) -> "subprocess.CompletedProcess[str]":
        return self._run(*self._make, f"VERSION={version}", f"ARGS={' '.join(arguments)}")

    def git(self, *arguments: str) -> str:
        answer = self._run("git", *arguments)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    def log_of_changes(self, text: str) -> None:
        (self.root / "CHANGELOG.md").write_text(text)
        self.git("commit", "--quiet", "--all", "--message", "log")

    def _run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command,
            cwd=self.root,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=patient(60),
        )


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(tmp_path_factory.mktemp("release"))


@pytest.fixture
def copy(tmp_path: Path, original: Copy) -> Copy:
    return Copy(tmp_path, original)


def versions(root: Path) -> dict[str, str]:
    """Every place that tells the version, read as those read it who use it."""
    told = {
        "program": re.findall(r'__version__ = "(.*)"', (root / "app/__init__.py").read_text()),
        "image": re.findall(r"ARG VERSION=(\S+)", (root / "Dockerfile").read_text()),
        "API": [yaml.safe_load((root / "openapi/gateway.yaml").read_text())["info"]["version"]],
    }
    for chart in root.glob("helm/**/Chart.yaml"):
        content = yaml.safe_load(chart.read_text())
        told |= {"chart": [content["version"]], "chart's image": [content["appVersion"]]}
    return {place: found for place, (found,) in told.items()}


def test_one_version_is_told_everywhere() -> None:
    assert set(versions(ROOT).values()) == {__version__}
    pyproject = (ROOT / "pyproject.toml").read_text()
    assert 'dynamic = ["version"]' in pyproject
    assert 'path = "app/__init__.py"' in pyproject


def test_a_release_moves_what_is_new_writes_the_version_everywhere_commits_and_tags(copy: Copy) -> None:
    copy.log_of_changes(
        "# Changelog\n\nWords.\n\n## Unreleased\n\n### Added\n- A thing.\n\n## 0.0.1 - 2020-01-01\n\n- Old.\n"
    )
    answer = copy.release(NEXT, ["--check", "true"])
    assert answer.returncode == 0, answer.stderr
    assert set(versions(copy.root).values()) == {NEXT}
    log = (copy.root / "CHANGELOG.md").read_text()
    assert re.fullmatch(
        r"# Changelog\n\nWords\.\n\n## Unreleased\n\n## 99\.1\.0 - \d{4}-\d\d-\d\d\n\n### Added\n- A thing\.\n\n"
        r"## 0\.0\.1 - 2020-01-01\n\n- Old\.\n",
        log,
    )
    assert copy.git("status", "--porcelain") == ""
    assert copy.git("log", "-1", "--format=%s") == f"Version {NEXT}\n"
    assert copy.git("tag", "--list", "--format=%(contents)", f"v{NEXT}") == f"Version {NEXT}\n\n### Added\n- A thing.\n"
    assert f"git push origin HEAD v{NEXT}" in answer.stdout


def test_a_dry_run_shows_it_all_and_changes_nothing(copy: Copy) -> None:
    answer = copy.release(NEXT, ["--dry-run"])
    assert answer.returncode == 0, answer.stderr
    for line in (
        f'+__version__ = "{NEXT}"',
        f"+ARG VERSION={NEXT}",
        f"+## {NEXT} - ",
        "First: make test test-helm",
        f"v{NEXT}",
    ):
        assert line in answer.stdout
    assert copy.git("status", "--porcelain") == copy.git("tag", "--list") == ""


@pytest.mark.parametrize(
    ("version", "arguments", "why"),
    [
        pytest.param("2.0", (), "'2.0' is no version such as 0.2.0", id="no version"),
        pytest.param("0.0.1", (), "0.0.1 is older than", id="an older one"),
        pytest.param(NEXT, ("--check", "false"), "`false` fails", id="tests that fail"),
    ],
)
def test_there_is_none(copy: Copy, version: str, arguments: Sequence[str], why: str) -> None:
    refused(copy, copy.release(version, arguments), why)


def test_there_is_none_of_changes_that_are_not_committed(copy: Copy) -> None:
    (copy.root / "new.txt").touch()
    refused(copy, copy.release(NEXT), "not committed:\n?? new.txt", dirty="?? new.txt\n")


def test_there_is_none_of_unchanged(copy: Copy) -> None:
    copy.log_of_changes("# Changelog\n\n## Unreleased\n\n## 0.0.1 - 2020-01-01\n\n- Old.\n")
    refused(copy, copy.release(NEXT), "nothing under Unreleased")


def test_a_version_is_released_once(copy: Copy) -> None:
    copy.git("tag", f"v{NEXT}")
    refused(copy, copy.release(NEXT), f"there is a tag v{NEXT} already", tags=f"v{NEXT}\n")


def refused(
    copy: Copy, answer: "subprocess.CompletedProcess[str]", why: str, *, dirty: str = "", tags: str = ""
) -> None:
    """It said why, and left everything as it was."""
    assert answer.returncode != 0
    assert "no release: " in answer.stderr
    assert why in answer.stderr
    assert (copy.git("status", "--porcelain"), copy.git("tag", "--list")) == (dirty, tags)
