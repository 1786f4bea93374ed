"""Pages that are generated are what the code would generate now."""

from pathlib import Path

from app.commands.settings import configuration_page

DOCS = Path(__file__).parent.parent / "docs"


def test_the_configuration_page_is_up_to_date() -> None:
    assert (DOCS / "configuration.md").read_text() == configuration_page(), "run `make docs`"
