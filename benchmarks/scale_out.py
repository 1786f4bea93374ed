"""Writes the table of docs/scale-out.md from measured figures: `python -m benchmarks.scale_out docs/scale-out.md`."""

import re
import sys
from pathlib import Path
from typing import Final

from app.simulation.scale_out import Demand, arithmetic

DEMANDS: Final = (Demand(1, 500, 100_000), Demand(10, 5_000, 1_000_000), Demand(100, 50_000, 10_000_000))
_PART: Final = re.compile(r"(<!-- arithmetic -->\n).*?(<!-- /arithmetic -->)", re.DOTALL)


def table() -> str:
    """The arithmetic as Markdown."""
    rows = arithmetic(DEMANDS)
    head = f"| | {' | '.join(map(_accounts, rows[0].cells))} | How |"
    lines = [head, f"|---|{'---:|' * len(DEMANDS)}---|"]
    return "\n".join([*lines, *(f"| {row.name} | {' | '.join(row.cells)} | {row.how} |" for row in rows[1:])])


def _accounts(number: str) -> str:
    return f"{number} account" if number == "1" else f"{number} accounts"


def renewed(page: str) -> str:
    """The page with the table as it would be now."""
    return _PART.sub(lambda found: f"{found[1]}{table()}\n{found[2]}", page)


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(renewed(file.read_text(encoding="utf-8")), encoding="utf-8")
