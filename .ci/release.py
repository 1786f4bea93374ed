"""Make a release from CHANGELOG.md:  make release VERSION=0.2.0  (ARGS=--dry-run shows what it would do).

What stands under "Unreleased" becomes the version's section, the version is written wherever it is told, the generated
files are made anew, and all of it is committed and tagged. Nothing is pushed.
"""

import argparse
import difflib
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

ROOT: Final = Path.cwd()
# Where the version is told, as a pattern whose group it replaces. What is generated follows from the first.
PLACES: Final = {
    "app/__init__.py": r'^__version__ = "(.+)"$',
    "Dockerfile": r"^ARG VERSION=(.+)$",
    "helm/**/Chart.yaml": r'^(?:version|appVersion): "?([^"\s]+)"?$',
}
GENERATED: Final = ("docs", "openapi")  # targets of make
UNRELEASED: Final = re.compile(r"^## Unreleased\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


class NotNow(Exception):  # noqa: N818 - it tells why
    """Why there can be no release, for the one who wants it."""


def main() -> int:
    """0 when the release is made, or shown; 1 when there can be none."""
    parser = argparse.ArgumentParser(
        prog="make release", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("version", help="such as 0.2.0")
    parser.add_argument("--dry-run", action="store_true", help="change nothing: print what would change")
    parser.add_argument(
        "--check", default="make test test-helm", metavar="COMMAND", help="must succeed first (%(default)s)"
    )
    options = parser.parse_args()
    try:
        release(options.version, check=options.check, dry_run=options.dry_run)
    except NotNow as reason:
        print(f"no release: {reason}", file=sys.stderr)
        return 1
    return 0


def release(version: str, *, check: str, dry_run: bool) -> None:
    """Raises NotNow; then the tree is as it was."""
    notes = ready(version)
    changes = edits(version, notes)
    title, tag = f"Version {version}", f"v{version}"
    if dry_run:
        for path, text in changes.items():
            before = path.read_text(encoding="utf-8").splitlines(keepends=True)
            name = str(path.relative_to(ROOT))
            sys.stdout.writelines(difflib.unified_diff(before, text.splitlines(keepends=True), name, name, n=1))
        print(f"\nFirst: {check}\nThen: make {' '.join(GENERATED)}; a commit {title!r}; a tag {tag}")
        return
    if subprocess.run(check, shell=True, cwd=ROOT, check=False).returncode:
        raise NotNow(f"`{check}` fails")
    try:
        for path, text in changes.items():
            path.write_text(text, encoding="utf-8")
        subprocess.run(["make", "--silent", *GENERATED], cwd=ROOT, check=True)
        git("commit", "--quiet", "--all", "--message", title)
    except subprocess.CalledProcessError as failure:
        git("restore", ".")
        raise NotNow(f"`{' '.join(failure.cmd)}` fails; nothing is changed") from None
    git("tag", "--annotate", "--cleanup=verbatim", "--message", f"{title}\n\n{notes}", tag)
    print(f"{title} is committed and tagged {tag}. To publish it: git push origin HEAD {tag}")


def ready(version: str) -> str:
    """What is new, from the change log. Raises NotNow when this version cannot be released from this tree."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise NotNow(f"{version!r} is no version such as 0.2.0")
    now = re.search(PLACES["app/__init__.py"], (ROOT / "app/__init__.py").read_text(encoding="utf-8"), re.MULTILINE)
    if now is None or _order(version) < _order(now[1]):
        raise NotNow(f"{version} is older than what app/__init__.py says")
    if git("tag", "--list", f"v{version}"):
        raise NotNow(f"there is a tag v{version} already")
    if changed := git("status", "--porcelain"):
        raise NotNow(f"these changes are not committed:\n{changed}")
    found = UNRELEASED.search((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    if found is None or not found[1].strip():
        raise NotNow("CHANGELOG.md has nothing under Unreleased")
    return found[1].strip()


def edits(version: str, notes: str) -> dict[Path, str]:
    """The new text of each file that tells the version."""
    log = ROOT / "CHANGELOG.md"
    section = f"## Unreleased\n\n## {version} - {datetime.now(UTC):%Y-%m-%d}\n\n{notes}\n\n"
    new = {log: UNRELEASED.sub(lambda _: section, log.read_text(encoding="utf-8"), count=1).rstrip() + "\n"}
    for place, pattern in PLACES.items():
        for path in sorted(ROOT.glob(place)):
            text = path.read_text(encoding="utf-8")
            new[path] = re.sub(pattern, lambda at: at[0].replace(at[1], version), text, flags=re.MULTILINE)
    return {path: text for path, text in new.items() if text != path.read_text(encoding="utf-8")}


def git(*arguments: str) -> str:
    """What git says."""
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def _order(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


if __name__ == "__main__":
    sys.exit(main())
