"""Mistakes in the syntax of YAML: each is explained with its line and what was probably meant."""

from pathlib import Path

import pytest

from app.config.document import BadFile, Document

CASES = [
    pytest.param(
        "a:\n  b:\n    c: 1\n   d: 2\n",
        4,
        "it is indented by 3 spaces, which fits no line above it. Indent it by 4, as line 3 or 2, as line 2",
        id="a key between two levels",
    ),
    pytest.param(
        "a:\n  b:\n    c: 1\n\n      # why\n      d: 2\n",
        6,
        "it is indented by 6 spaces, below line 3, which already has a value. Indent it by 4, as that line",
        id="a key below a key that has a value",
    ),
    pytest.param(
        "a:\n  b:\n      - c: 1\n    - c: 2\n",
        4,
        "it is indented by 4 spaces, which fits no line above it. Indent it by 6, as line 3 or 2, as line 2",
        id="an element of a list beside the others",
    ),
    pytest.param("a:\n    b: 1\n  c: 2\n", 3, "Indent it by 4, as line 2 or 0, as line 1", id="a key too far left"),
    pytest.param("a:\n\tb: 1\n", 2, "it is indented with a tab. Indent with spaces", id="a tab"),
    pytest.param(
        "a:\n  b 1\n  c: 2\n",
        3,
        "line 2, which this line seems to continue, has no colon after",
        id="a key without a colon",
    ),
    pytest.param("a: b: c\n", 1, "it has two colons. Put a value that contains a colon", id="two colons"),
    pytest.param("a: {b: 1\nc: 2\n", 2, "a brace or bracket is not closed with }, or two entries", id="an open brace"),
    pytest.param("a: [1, 2\nb: 1\n", 2, "a brace or bracket is not closed with ], or two entries", id="an open list"),
    pytest.param("a: [", 1, "a value is missing, or a bracket is not closed", id="a list that the file ends in"),
    pytest.param('a: "x\nb: 1\n', 3, "a quotation mark is not closed", id="an open quotation mark"),
    pytest.param("a: @x\n", 1, "a value that starts with '@' must be in quotes", id="a reserved character"),
    pytest.param("a: *x\n", 1, "a value that starts with '*' must be in quotes", id="an asterisk"),
    pytest.param("a: !x y\n", 1, "a value that starts with '!' must be in quotes", id="an exclamation mark"),
    pytest.param("a: \x07\n", 1, "it contains characters that YAML forbids", id="a control character"),
]


@pytest.mark.parametrize(("text", "line", "meant"), CASES)
def test_a_mistake_is_explained(text: str, line: int, meant: str) -> None:
    with pytest.raises(BadFile) as found:
        Document(Path("gateway.yaml"), text.encode())
    (mistake,) = found.value.mistakes
    assert mistake.line == line
    assert mistake.expected.startswith("not YAML: ")
    assert meant in mistake.expected
