"""The published clients against the real gateway: whatever happens to it, each event reaches Attentive once.

Run by `make test-clients`, which installs the clients first; a plain `pytest` leaves this folder out.
"""

import os
import re
from collections.abc import Iterator
from typing import Final

import pytest

from app.embedded import find_redis
from tests.clients.clients import CHROMIUM, CLIENTS, HERE, PYTHON, Client, Outcome
from tests.clients.situations import EVENTS_PER_SECOND, SITUATIONS, Situation, key_of
from tests.stack import Stack, stack

PAGE: Final = HERE.parent.parent / "docs" / "trackers.md"
TABLE: Final = re.compile(r"(?<=<!-- table -->\n).*?(?=<!-- /table -->)", re.DOTALL)

pytestmark = pytest.mark.timeout(300)


class Rehearsal:
    """All situations, each staged once, when it is first asked for."""

    def __init__(self, gateway: Stack) -> None:
        self._gateway = gateway
        self._staged: dict[Situation, dict[Client, Outcome] | AssertionError] = {}

    def outcome(self, client: Client, situation: Situation) -> Outcome:
        """One cell of the table. Raises AssertionError when the situation did not come about as it should."""
        if situation not in self._staged:
            try:
                self._staged[situation] = situation.outcomes(self._gateway)
            except AssertionError as failure:
                self._staged[situation] = failure
        staged = self._staged[situation]
        if isinstance(staged, AssertionError):
            raise staged
        return staged[client]


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    installed = PYTHON.exists() and (HERE / "node_modules").exists() and CHROMIUM
    assert installed, "the clients are not installed: run make test-clients"
    sources = {
        f"{kind}-{place}": {
            "write_key": key_of(client, slow=kind == "slow"),
            "trust": "public" if client.page else "server",
            **limit,
        }
        for place, client in enumerate(CLIENTS)
        for kind, limit in (("usual", {}), ("slow", {"events_per_second": EVENTS_PER_SECOND}))
    }
    with stack(tmp_path_factory.mktemp("clients"), find_redis(), sources=sources) as running:
        yield Rehearsal(running)


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.title)
@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
def test_every_event_arrives_once(rehearsal: Rehearsal, client: Client, situation: Situation) -> None:
    refused = situation.trouble in (429, 503)
    expected = "once" if client.resends or not refused else "gives up"
    outcome = rehearsal.outcome(client, situation)
    assert outcome.word == expected, str(outcome)


@pytest.mark.timeout(900)
def test_the_documented_table_is_what_was_seen(rehearsal: Rehearsal, capsys: pytest.CaptureFixture[str]) -> None:
    cells = {client: [rehearsal.outcome(client, situation) for situation in SITUATIONS] for client in CLIENTS}
    with capsys.disabled():
        print(f"\n\n{table({client: [str(cell) for cell in row] for client, row in cells.items()})}")  # noqa: T201
    seen = table({client: [cell.word for cell in row] for client, row in cells.items()})
    if os.environ.get("UPDATE_DOCS") == "1":
        PAGE.write_text(TABLE.sub(lambda _: seen, PAGE.read_text()))
    assert TABLE.findall(PAGE.read_text()) == [seen], "run it with UPDATE_DOCS=1"


def table(rows: dict[Client, list[str]]) -> str:
    """As Markdown that reads well as text too."""
    head = ["Client", *(situation.name for situation in SITUATIONS)]
    lines = [head, *([client.title, *cells] for client, cells in rows.items())]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * width for width in widths]
    lines.insert(1, rule)
    padded = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in padded)
