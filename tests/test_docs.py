"""The documents are true: what is generated is fresh, links lead somewhere, and commands that are shown exist."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner

from app.alerts.rules import RULES
from app.cli import COMMANDS, cli
from app.commands.alerts import renewed
from app.commands.on_demand import loaded
from app.commands.settings import configuration_page
from app.config.source import PUBLIC_EVENTS_PER_SECOND
from app.ingest.admission import MOST_OF_FREE
from app.ingest.connection import BODY_WITHIN_S, HEAD_BYTES, HEAD_WITHIN_S, IDLE_S, MOST_HEADERS, URL_BYTES
from app.ingest.intake import LONGEST_QUEUED_S
from app.ingest.limits import LIMIT_CODES
from app.settings import Settings
from app.store.keys import DestinationKeys, LaneKeys

ROOT: Final = Path(__file__).parent.parent
DOCS: Final = ROOT / "docs"
PAGES: Final = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
OTHERS: Final = [
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
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


def test_every_variable_of_an_option_of_run_is_on_that_page() -> None:
    variables = [option.envvar for option in loaded("run", COMMANDS["run"]).params if option.envvar]
    assert "GATEWAY_REDIS_SERVER" in variables
    assert [name for name in variables if f"| `{name}` |" not in configuration_page()] == []


@pytest.mark.parametrize("page", named([*PAGES, *OTHERS]))
def test_links_lead_somewhere(page: Path) -> None:
    dead = [str(file) for file, _ in links(page) if not file.exists()]
    assert dead == []
    lost = [f"{file}#{heading}" for file, heading in links(page) if heading and heading not in headings(file)]
    assert lost == []


def test_every_page_is_reached_from_the_readme() -> None:
    assert {file for file, _ in links(PAGES[0])} >= set(PAGES[1:])


def test_the_readme_has_at_most_900_words_and_pictures_are_small() -> None:
    assert len(PAGES[0].read_text(encoding="utf-8").split()) <= 900
    assert [each.name for each in DOCS.iterdir() if each.suffix != ".md" and each.stat().st_size > 50_000] == []


@pytest.mark.parametrize("page", named([page for page in PAGES if commands(page)]))
def test_commands_that_are_shown_exist_with_their_options(page: Path) -> None:
    for command in commands(page):
        answer = CliRunner().invoke(cli, [*shlex.split(command), "--help"])
        assert answer.exit_code == 0, f"{command}: {answer.output}"


def test_every_key_in_redis_is_described() -> None:
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    destination = DestinationKeys("acme")
    lane = LaneKeys(destination, "purchase")
    told = set(re.findall(r"`((?:\{acme\})?:[a-z_:…N]+)`", page))
    for keys, own in ((destination, DestinationKeys), (lane, LaneKeys)):
        for name in vars(own):
            if not name.startswith("_") and name not in ("destination", "endpoint", "prefix"):
                word = {"streams": "high"}.get(name, name).replace("_", ":")
                ends = (f":{word}", f":{word.replace(':', '_')}")
                assert any(key.rstrip("…N:").endswith(ends) for key in told), f"{keys.prefix}: {name}"


def test_every_alert_is_a_heading_that_says_what_to_do() -> None:
    alerts = {rule.alert.lower() for rule in RULES.values()}
    assert {each for each in headings(DOCS / "alerts.md") if each.startswith("attentivegateway")} == alerts


def test_the_rules_of_alerts_are_up_to_date() -> None:
    page = (DOCS / "alerts.md").read_text(encoding="utf-8")
    assert page == renewed(page), "run `make docs`"


SECURITY: Final = DOCS / "security.md"
NODE: Final = re.compile(r"`(tests/[\w/]+\.py)::([\w:]+)`")
UNPROVEN: Final = {"Security", "What is not protected", "Tests of each claim"}  # headings of security.md without claims


def rows(page: Path, heading: str) -> list[list[str]]:
    """The cells of each row of the tables below a heading, without those of their heads."""
    section = page.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    heads = {at - 1 for at, row in enumerate(cells) if row[0].strip().startswith("---")}
    return [[cell.strip() for cell in row] for at, row in enumerate(cells) if at not in heads and at - 1 not in heads]


def names_of_tests(file: Path) -> Iterator[str]:
    """The tests of a file, as pytest names them."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        if isinstance(node, ast.ClassDef):
            yield from (f"{node.name}::{each.name}" for each in node.body if hasattr(each, "name"))


@pytest.mark.parametrize("page", named([page for page in PAGES if NODE.search(page.read_text(encoding="utf-8"))]))
def test_tests_that_are_named_exist(page: Path) -> None:
    for file, name in NODE.findall(page.read_text(encoding="utf-8")):
        assert name in names_of_tests(ROOT / file), f"{file}::{name}"


def test_each_of_the_fifteen_attacks_and_each_section_about_security_has_a_test() -> None:
    proofs = rows(SECURITY, "Tests of each claim")
    assert all(NODE.search(row[-1]) for row in proofs)
    numbers = [int(row[0].split()[0]) for row in proofs if row[0][0].isdigit()]
    assert numbers == list(range(1, 16))
    sections = set(re.findall(r"^##? (.+)$", SECURITY.read_text(encoding="utf-8"), re.MULTILINE)) - UNPROVEN
    assert {row[0] for row in proofs if not row[0][0].isdigit()} == sections


def test_the_limits_are_those_of_the_program() -> None:
    told = {row[-1].strip("`"): row for row in rows(SECURITY, "Limits of a request and a connection") if len(row) == 5}
    of_connections = {"url_bytes", "head_bytes", "headers", "head_time", "body_time", "idle_time", "connections"}
    assert set(told) == LIMIT_CODES | of_connections
    for limit, default in {
        "url_bytes": URL_BYTES,
        "head_bytes": HEAD_BYTES,
        "headers": MOST_HEADERS,
        "head_time": HEAD_WITHIN_S,
        "body_time": BODY_WITHIN_S,
        "idle_time": IDLE_S,
        "rate_limited": PUBLIC_EVENTS_PER_SECOND,
        "overloaded": LONGEST_QUEUED_S,
    }.items():
        assert f"{default:,g}" in told[limit][1].split(), limit
    assert MOST_OF_FREE == 3, told["source_backlog_full"]


def test_settings_of_limits_have_the_defaults_that_are_told() -> None:
    settings = [row for row in rows(SECURITY, "Limits of a request and a connection") if "`GATEWAY_" in row[2]]
    assert len(settings) == 12
    for row in settings:
        field = Settings.model_fields[row[2].strip("`").removeprefix("GATEWAY_").lower()]
        assert float(row[1].split()[0].replace(",", "")) == field.default, row
