"""The table of faults, printed at the end of a run: its rows come from whichever processes ran the tests."""

from typing import Final

import pytest
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Column, Table

ROW: Final = "row of the fault table"  # the property of a test that holds its cells
_COLUMNS: Final = ("accepted", "delivered", "dead letters", "lost", "twice", "at most", "429", "resumed after")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the rows in the order of their names; nothing when no fault was tried."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    rows = [value for report in reports for name, value in report.user_properties if name == ROW]
    if rows:
        table = Table("fault", *(Column(heading, justify="right") for heading in _COLUMNS), box=MARKDOWN)
        for cells in sorted(rows):
            table.add_row(*cells)
        Console(width=140).print("\n", table)
