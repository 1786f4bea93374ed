"""Texts that stand for a missing value are no values, however they are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.segment.placeholders import PLACEHOLDERS, is_placeholder, placeholder_word
from tests.generated import examples


@pytest.mark.parametrize(
    "text",
    [
        *(
            "undefined",
            "null",
            "NULL",
            "None",
            "NaN",
            "0",
            "-1",
            "0.0",
            "false",
            "nil",
            "(null)",
            "<nil>",
            "N/A",
            "n.a.",
        ),
        *("guest", "Guest User", "anonymous", "[object Object]", "unknown", "not_set", "(not set)", "--", "?", "test"),
        *("00000000-0000-0000-0000-000000000000", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "0" * 32),
        *("{{ user.id }}", "${userId}", "<%= user.id %>", "*|UNIQID|*", "%%id%%", "{{ a1 }}"),
        *("#{user.id}", "<?= $id1 ?>", "%7B%7Buser.id1%7D%7D", "%user_id%", "%s", "$user_id"),
        *("\\N", "#N/A", "#REF!", "[object Null]", "[object Promise]", "-1.00"),
        *("undefined\u200b", "null\x00", "\u200b", "\ufeff", "\u2014", "\u2026", "\uff55\uff4edefined"),
        *("Gast", "invitado", "invit\u00e9", "\u30b2\u30b9\u30c8"),
        *("1.23457E+11", "1.2345e+18", "1.23457E11", "1E+11"),
    ],
)
@pytest.mark.parametrize("around", ["{}", " {}\n", '"{}"', "'{}'"])
def test_a_placeholder(text: str, around: str) -> None:
    assert is_placeholder(around.format(text))


@pytest.mark.parametrize(
    "text",
    [
        *(
            "1",
            "42",
            "-12",
            "10",
            "jane",
            "admin",
            "abc",
            "u-7",
            "customer-1042",
            "guest-7f",
            "nullarbor",
            "O'Null Ltd",
        ),
        *("8f14e45f-ceea-467f-9a36-dedd4bea2543", "auth0|507f1f77bcf86cd799439011", "Ü", "null" * 30),
        *(
            "n",
            "N",
            "\u0928\u092e\u0938\u094d\u0924\u0947",
            "\U0001f525",
            "1.5",
            "1.2.3",
            "1e5",
            "3e8f",
            "1.23457E5x",
            "4.5e1",
        ),
    ],
)
def test_a_value(text: str) -> None:
    assert not is_placeholder(text)


def test_words_of_ones_own_are_added() -> None:
    more = frozenset({placeholder_word("Kiosk #7")})
    assert is_placeholder("kiosk 7", more)
    assert is_placeholder("null", more)
    assert not is_placeholder("kiosk 8", more)


@examples(100)
@given(st.sampled_from(sorted(PLACEHOLDERS)), st.text(" _-./()[]'\"", max_size=3))
def test_case_blanks_and_punctuation_change_nothing(word: str, mark: str) -> None:
    assert is_placeholder(mark + word.upper() + mark)


@examples(100)
@given(st.text(max_size=120))
def test_any_text_has_an_answer(text: str) -> None:
    assert is_placeholder(text) in (True, False)
