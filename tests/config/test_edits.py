"""A key of a YAML file is set, and all the rest stays as it was written."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.document import BadFile, Document
from app.config.edits import NotEditable, block_at, dumped, first_line_at, with_block, with_value, without
from tests.generated import examples

MAPPING = ("destinations", "acme", "mapping")
ROW = {"to": "purchase", "orderId": "properties.id"}
FILE = """\
# Who sends, and where to.
destinations:
  acme:            # the shop
    api_token: "t1"   # from the vault
    mapping:
      # Ours has scores.
      events:
        Quiz Finished: {keep: all}   # of the app
        "Order Completed":
          orderId: properties.number
      other:
        send: false

  # The second one.
  uk: {api_token: t2, mapping: {page: {send: false}}}
  bare:
    api_token: t3
sources:
  shop: {write_key: k, destination: acme}
"""


def content(text: str) -> Any:
    return Document(Path("file"), text.encode()).content


def changed(before: str, after: str) -> tuple[list[str], list[str]]:
    """The lines that went, and those that came."""
    old, new = before.splitlines(), after.splitlines()
    return [line for line in old if line not in new], [line for line in new if line not in old]


def test_a_row_is_changed_in_place_and_nothing_else_is() -> None:
    after = with_value(FILE, (*MAPPING, "events", "Order Completed"), ROW)
    assert content(after)["destinations"]["acme"]["mapping"]["events"]["Order Completed"] == ROW
    assert changed(FILE, after) == (
        ["          orderId: properties.number"],
        ["          to: purchase", "          orderId: properties.id"],
    )


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param((*MAPPING, "events", "Survey Sent"), id="a new row"),
        pytest.param((*MAPPING, "events", "Quiz Finished"), id="a row in braces"),
        pytest.param((*MAPPING, "page"), id="a new kind of call"),
        pytest.param((*MAPPING, "other"), id="the last one of its block"),
        pytest.param(("destinations", "uk", "mapping", "events", "Survey: Sent"), id="in a mapping in braces"),
        pytest.param(("destinations", "bare", "mapping", "events", "no"), id="in a destination without a mapping"),
    ],
)
def test_a_row_is_added_wherever_it_belongs(steps: tuple[str, ...]) -> None:
    after = with_value(FILE, steps, ROW)
    expected = content(FILE)
    inner = expected
    for step in steps[:-1]:
        inner = inner.setdefault(step, {})
    inner[steps[-1]] = ROW
    assert content(after) == expected
    for comment in (
        "# Who sends, and where to.",
        "# the shop",
        "# from the vault",
        "# Ours has scores.",
        "# The second",
    ):
        assert comment in after


@pytest.mark.parametrize(
    ("steps", "left"),
    [
        pytest.param((*MAPPING, "events", "Order Completed"), "Quiz Finished", id="one of two"),
        pytest.param((*MAPPING, "other"), "Quiz Finished", id="the last of the block"),
        pytest.param((*MAPPING, "nothing"), "Quiz Finished", id="what is not there"),
    ],
)
def test_a_row_is_removed(steps: tuple[str, ...], left: str) -> None:
    after = without(FILE, steps)
    expected = content(FILE)
    inner = expected
    for step in steps[:-1]:
        inner = inner[step]
    inner.pop(steps[-1], None)
    assert content(after) == expected
    assert left in after


def test_the_last_row_leaves_an_empty_mapping() -> None:
    assert content(without("a:\n  b:\n    c: 1\nd: 2\n", ("a", "b", "c"))) == {"a": {"b": {}}, "d": 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "events:\n  A:\n    to: purchase\n", id="an empty text"),
        pytest.param("{}\n", "events:\n  A:\n    to: purchase\n", id="empty braces"),
        pytest.param("# note\n", "# note\nevents:\n  A:\n    to: purchase\n", id="a comment alone"),
        pytest.param("events: {}\n", "events:\n  A:\n    to: purchase\n", id="empty braces below a key"),
        pytest.param("events:\n", "events:\n  A:\n    to: purchase\n", id="a key without a value"),
        pytest.param("{page: {send: false}}\n", "{page: {send: false}, events: {A: {to: purchase}}}\n", id="braces"),
        pytest.param("{events: {}}\n", "{events: {A: {to: purchase}}}\n", id="empty braces in braces"),
    ],
)
def test_a_row_is_the_first_of_its_file(text: str, expected: str) -> None:
    assert with_value(text, ("events", "A"), {"to": "purchase"}) == expected


def test_a_block_is_read_and_written_with_its_comments() -> None:
    block = block_at(FILE, MAPPING)
    assert block.startswith("# Ours has scores.\nevents:\n  Quiz Finished: {keep: all}   # of the app\n")
    assert with_block(FILE, MAPPING, block) == FILE
    assert FILE.splitlines()[first_line_at(FILE, MAPPING) - 1].strip() == "# Ours has scores."
    assert block_at(FILE, ("destinations", "uk", "mapping")) == "{page: {send: false}}\n"
    assert block_at(FILE, ("destinations", "bare", "mapping")) == ""


@pytest.mark.parametrize("block", ["", "\n", "# nothing\n", "{}"])
def test_an_empty_block_is_an_empty_mapping(block: str) -> None:
    after = with_block(FILE, MAPPING, block)
    assert not content(after)["destinations"]["acme"]["mapping"]
    assert "# The second one." in after


def test_what_is_an_alias_is_left_to_the_author() -> None:
    text = "one: &shared\n  events: {}\ntwo: *shared\n"
    with pytest.raises(NotEditable, match="alias"):
        with_value(text, ("two", "events"), {"a": 1})


def test_a_block_that_is_not_yaml_is_refused_with_its_line() -> None:
    with pytest.raises(BadFile) as bad:
        with_block(FILE, MAPPING, "events:\n  a: [1\n")
    assert bad.value.mistakes[0].line >= 2


names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12)
values = st.recursive(
    st.text(max_size=10) | st.integers(-9, 9) | st.booleans(),
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(names, inner, min_size=1, max_size=3),
    max_leaves=8,
)


@examples(100)
@given(st.dictionaries(names, values, min_size=1, max_size=4), names, values)
def test_whatever_is_set_is_what_is_read_or_it_is_refused(before: dict[str, object], name: str, value: object) -> None:
    try:
        after = with_value(dumped(before), (name,), {"row": value})
    except (NotEditable, BadFile):
        return
    assert content(after)[name] == {"row": value}
