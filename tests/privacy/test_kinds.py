"""The tables of docs/privacy.md, with fewer values: no kind of identifier is withheld, every notation is found."""

import re
from pathlib import Path
from typing import Final

import pytest

from app.privacy.guard import Guard
from app.privacy.policy import Check
from benchmarks.guard import false_alarms, found
from benchmarks.guard_kinds import HARMLESS, SECRET_NUMBERS, Kind, Make, Notation

KEPT_HERE: Final = 1_000
SOUGHT_HERE: Final = 100
GUARD: Final = Guard()
PAGE: Final = (Path(__file__).parents[2] / "docs/privacy.md").read_text(encoding="utf-8")
WRITTEN: Final = [
    pytest.param(check, make, notation, id=f"{check}, {notation.name}")
    for check, make, notations in SECRET_NUMBERS
    for notation in notations
]


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.name) for kind in HARMLESS])
def test_is_kept(kind: Kind) -> None:
    score = false_alarms(kind, KEPT_HERE, GUARD)
    assert score.withheld == 0, score.example


@pytest.mark.parametrize(("check", "make", "notation"), WRITTEN)
def test_is_found(check: Check, make: Make, notation: Notation) -> None:
    score = found(notation, make, SOUGHT_HERE, GUARD)
    assert score.withheld == SOUGHT_HERE, score.example


def test_the_tables_are_as_large_as_is_promised() -> None:
    assert len(HARMLESS) >= 60
    assert all(len(notations) >= 30 for _, _, notations in SECRET_NUMBERS)


def test_the_page_has_a_row_for_every_kind_and_notation_and_reaches_both_goals() -> None:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if "|" in line]
    kept = {row[0]: row[2] for row in rows if len(row) == 3 and re.fullmatch(r"[\d,]+", row[2])}
    assert kept == dict.fromkeys((kind.name for kind in HARMLESS), "0")
    shares = {row[0]: row[1:] for row in rows if len(row) == 4 and any(cell.endswith("%") for cell in row)}
    assert set(shares) == {notation.name for _, _, notations in SECRET_NUMBERS for notation in notations}
    assert all(float(cell.rstrip("%")) >= 99.9 for cells in shares.values() for cell in cells if cell)
