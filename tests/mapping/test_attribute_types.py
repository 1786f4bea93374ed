"""The types of custom attributes: what a first value makes of an attribute, and what it takes from then on."""

from typing import Final

import pytest

from app.mapping.attribute_types import AttributeType, Scalar, accepts, as_text, type_of
from app.sandbox.attributes import FITS, _looks_like

VALUES: Final = [
    pytest.param(24, "number", id="a whole number"),
    pytest.param(-0.5, "number", id="a broken number"),
    pytest.param("24", "number", id="digits, as Attentive's own example reads them"),
    pytest.param("-24.50", "number", id="digits with a sign and a point"),
    pytest.param("02134", "number", id="a postal code of digits"),
    pytest.param(True, "boolean", id="true"),
    pytest.param(False, "boolean", id="false"),
    pytest.param("true", "string", id="true in quotes"),
    pytest.param("2026-03-30", "date", id="a day"),
    pytest.param("2026-03-30T14:38:29.000Z", "date", id="a moment"),
    pytest.param("2026-03-30 14:38:29+02:00", "date", id="a moment with a blank"),
    pytest.param("2026-02-30", "string", id="a day that never is"),
    pytest.param("2026-W14-1", "string", id="a day of a week"),
    pytest.param("20260330", "number", id="a day of digits alone"),
    pytest.param("gold", "string", id="a word"),
    pytest.param("1e5", "string", id="a number with an exponent"),
    pytest.param("24 years", "string", id="a number and a word"),
    pytest.param("٢٤", "string", id="digits of another script"),
    pytest.param("24\n", "string", id="digits and a line feed"),
]


@pytest.mark.parametrize(("value", "kind"), VALUES)
def test_a_first_value_sets_the_type(value: Scalar, kind: AttributeType) -> None:
    assert type_of(value) == kind


@pytest.mark.parametrize(("value", "kind"), VALUES)
def test_an_attribute_takes_the_value_that_set_its_type(value: Scalar, kind: AttributeType) -> None:
    assert accepts(value, kind)


@pytest.mark.parametrize(
    ("value", "kind", "taken"),
    [
        pytest.param("24", "string", True, id="digits for a string"),
        pytest.param("2026-03-30", "string", True, id="a day for a string"),
        pytest.param(24, "string", False, id="a number for a string"),
        pytest.param(True, "string", False, id="true for a string"),
        pytest.param("24", "number", True, id="digits for a number"),
        pytest.param("gold", "number", False, id="a word for a number"),
        pytest.param(True, "number", False, id="true for a number"),
        pytest.param(1, "boolean", False, id="a one for a boolean"),
        pytest.param("true", "boolean", False, id="true in quotes for a boolean"),
        pytest.param("next week", "date", False, id="words for a date"),
        pytest.param(1772366400, "date", False, id="seconds for a date"),
    ],
)
def test_an_attribute_takes_what_is_of_its_type(value: Scalar, kind: AttributeType, taken: bool) -> None:
    assert accepts(value, kind) is taken


@pytest.mark.parametrize(("value", "_"), VALUES)
@pytest.mark.parametrize("kind", ["number", "boolean", "date", "string"])
def test_the_sandbox_takes_what_we_think_attentive_takes(value: Scalar, _: AttributeType, kind: AttributeType) -> None:
    assert not accepts(value, kind) or _looks_like(value) in FITS[kind]


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (False, "false"), (24, "24"), (0.5, "0.5"), ("x", "x")])
def test_text_is_as_json_writes_it(value: Scalar, text: str) -> None:
    assert as_text(value) == text
