"""Modules that are loaded when something of them is used."""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.deferred import defer


@pytest.fixture
def rare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package that is seldom used."""
    (tmp_path / "rarely_used.py").write_text("VALUE = 7\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "rarely_used"
    sys.modules.pop("rarely_used", None)


def test_a_deferred_module_is_loaded_by_its_first_use(rare: str) -> None:
    defer(rare)
    stand_in = __import__(rare)
    inspect.getmodule(test_a_deferred_module_is_loaded_by_its_first_use)
    assert sys.modules[rare] is stand_in
    assert stand_in.VALUE == 7
    assert sys.modules[rare] is not stand_in
    assert stand_in.VALUE == 7, "whoever imported it early has all of its names"


def test_a_name_that_a_deferred_module_does_not_have_is_an_error(rare: str) -> None:
    defer(rare)
    with pytest.raises(AttributeError, match="nothing"):
        __import__(rare).nothing  # noqa: B018


def test_a_module_that_is_loaded_already_stays(rare: str) -> None:
    loaded = __import__(rare)
    defer(rare)
    assert sys.modules[rare] is loaded
