"""How kept dead letters are listed for people."""

from collections import Counter
from dataclasses import replace
from io import StringIO

from rich.console import Console

from app.commands.dead_letter_queue import table_of
from app.delivery.dead_letter import DeadLetter
from app.operations.dead_letters import Listing
from tests.builders import NOW

MESSAGE_ID = "0d6e2f5c-6f2c-4d4b-9c8f-2f6c4f0e7a11"
LETTER = DeadLetter(MESSAGE_ID, "shop", "unmappable", "items.0.price: is missing", b'{"event": "Product Viewed"}', NOW)


def test_on_a_narrow_terminal_nothing_is_cut_off() -> None:
    dead_letter = replace(LETTER, id="1795895148184-0", destination="attentive")
    screen = Console(width=80, record=True, file=StringIO())
    screen.print(table_of(Listing([dead_letter], Counter({dead_letter.reason: 1}))))
    lines = screen.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    columns = zip(*(line.split("│")[1:-1] for line in lines if line.startswith("│")), strict=True)
    text = ["".join(cell.strip() for cell in column) for column in columns]
    for shown in (dead_letter.id, "attentive", MESSAGE_ID, "unmappable"):
        assert any(shown in cell for cell in text), text
    assert "…" not in "".join(lines)
