"""The documents are true: what is generated is fresh, links lead somewhere, and commands that are shown exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.commands.settings import configuration_page
from app.delivery.keys import DestinationKeys, LaneKeys

ROOT: Final = Path(__file__).parent.parent
DOCS: Final = ROOT / "docs"
PAGES: Final = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
OTHERS: Final = [
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "benchmarks/README.md",
    ROOT / "helm/attentive-gateway/README.md",
    ROOT / "examples/README.md",
    ROOT / "helm/attentive-gateway/README.md",
]
LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
SHOWN: Final = re.compile(
    r"^    .*?(?<![-\w])attentive-gateway ([a-z][^#|\n]*)|`attentive-gateway ([a-z][^`]*)`", re.MULTILINE
)


def named(pages: list[Path]) -> list[object]:
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in pages]


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """Where a page's links lead in this repository: file and heading."""
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            file, _, heading = target.partition("#")
            yield (page.parent / file).resolve() if file else page, heading


def headings(page: Path) -> set[str]:
    """As a page's headings are linked to."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def commands(page: Path) -> list[str]:
    """Every attentive-gateway command that is shown, without its first word."""
    return [(block or inline).strip() for block, inline in SHOWN.findall(page.read_text(encoding="utf-8"))]


def test_the_configuration_page_is_up_to_date() -> None:
    assert (DOCS / "configuration.md").read_text() == configuration_page(), "run `make docs`"


@pytest.mark.parametrize("page", named([*PAGES, *OTHERS]))
def test_links_lead_somewhere(page: Path) -> None:
    dead = [str(file) for file, _ in links(page) if not file.exists()]
    assert dead == []
    lost = [f"{file}#{heading}" for file, heading in links(page) if heading and heading not in headings(file)]
    assert lost == []


def test_every_page_is_reached_from_the_readme() -> None:
    assert {file for file, _ in links(PAGES[0])} >= set(PAGES[1:])


@pytest.mark.parametrize("page", named([page for page in PAGES if commands(page)]))
def test_commands_that_are_shown_exist_with_their_options(page: Path) -> None:
    for command in commands(page):
        answer = CliRunner().invoke(cli, [*shlex.split(command), "--help"])
        assert answer.exit_code == 0, f"{command}: {answer.output}"


def test_every_key_in_redis_is_described() -> None:
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    destination = DestinationKeys("acme")
    lane = LaneKeys(destination, "purchase")
    told = set(re.findall(r"`((?:\{acme\})?:[a-z:…N]+)`", page))
    for keys, own in ((destination, DestinationKeys), (lane, LaneKeys)):
        for name in vars(own):
            if not name.startswith("_") and name not in ("destination", "endpoint", "prefix"):
                word = {"streams": "high", "deletions_due": "due", "deletions_lock": "lock"}.get(name, name)
                assert any(key.rstrip("…N:").endswith(f":{word}") for key in told), f"{keys.prefix}: {name}"


def test_every_alert_of_the_chart_is_a_heading_that_says_what_to_do() -> None:
    rules = (ROOT / "helm/attentive-gateway/templates/prometheusrule.yaml").read_text(encoding="utf-8")
    alerts = {name.lower() for name in re.findall(r'"alert" "(\w+)"', rules)}
    assert alerts
    assert {each for each in headings(DOCS / "operations.md") if each.startswith("attentivegateway")} == alerts
