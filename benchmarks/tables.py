"""Tables, for the terminal and for a README."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table


def table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 1) -> Table:
    """For the terminal. The first `words` columns are words, the others figures, which stand to the right."""
    drawn = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for index, heading in enumerate(headings):
        drawn.add_column(heading, justify="left" if index < words else "right", no_wrap=index >= words)
    for row in rows:
        drawn.add_row(*row)
    return drawn


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 1) -> str:
    """The same for a README."""
    lines = [headings, ["---" if index < words else "---:" for index in range(len(headings))], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def print_rows(
    title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], *, words: int, where: str, as_markdown: bool
) -> None:
    """Print one of the two, and below it the machine."""
    if as_markdown:
        print(markdown(headings, rows, words=words))
        print(f"\n{where}")
        return
    out = Console(highlight=False)
    out.print(table(title, headings, rows, words=words))
    out.print(f" {where}", soft_wrap=True)
