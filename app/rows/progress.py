"""The progress of a run, for display. Pure."""

from collections.abc import Callable
from typing import Protocol


class Progress(Protocol):
    """What a run reports while it goes on."""

    def phase(self, name: str, total: int | None) -> None:
        """A new part begins: "Reading", "Sending". `total` is the number of its rows, where it is known."""

    def advance(self, rows: int) -> None:
        """So many more rows of this part are done."""


class Silent:
    """A run that is watched by no person."""

    def phase(self, name: str, total: int | None) -> None:
        """Nothing."""

    def advance(self, rows: int) -> None:
        """Nothing."""


SILENT = Silent()


def advancing(progress: Progress) -> Callable[[int], None]:
    """Takes how many rows are done by now, where `advance` takes how many more."""
    done = 0

    def reached(rows: int) -> None:
        nonlocal done
        progress.advance(rows - done)
        done = rows

    return reached
