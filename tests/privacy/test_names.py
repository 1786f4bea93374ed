"""Which names are names of secrets."""

import pytest

from app.privacy.names import ALONE, ANYWHERE, SecretNames


@pytest.mark.parametrize("name", [*ANYWHERE, *ALONE])
def test_the_tables_hold_in_every_spelling(name: str) -> None:
    words = name.split("_")
    camel = words[0] + "".join(word.title() for word in words[1:])
    for spelling in (name, name.upper(), name.replace("_", "-"), name.replace("_", " ").title(), camel):
        assert spelling in SecretNames(), spelling


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        pytest.param("new_password", True, id="a password with a word before it"),
        pytest.param("passwordConfirmation", True, id="a password with a word after it"),
        pytest.param("newpassword", True, id="a password in a word"),
        pytest.param("userSsn", True, id="a short name as a word"),
        pytest.param("customer.ssn", True, id="a short name behind a dot"),
        pytest.param("CVV2", True, id="a short name with a digit"),
        pytest.param("billing_credit_card_number", True, id="a card with a word before it"),
        pytest.param("oauth_access_token", True, id="a token with a word before it"),
        pytest.param("pin", True, id="a pin"),
        pytest.param("PIN", True, id="a pin in capitals"),
        pytest.param("pin_code", False, id="a postal code in India"),
        pytest.param("shipping", False, id="a word that holds a pin"),
        pytest.param("opinion", False, id="another one"),
        pytest.param("lesson", False, id="a word that looks like ssn"),
        pytest.param("session_id", False, id="a session"),
        pytest.param("token", False, id="a token: phones have one to be reached by"),
        pytest.param("payment_method", False, id="how it was paid"),
        pytest.param("credit_card_type", False, id="what kind of card"),
        pytest.param("loyalty_card_number", False, id="a card of the shop's own"),
        pytest.param("discard", False, id="a word that holds a card"),
        pytest.param("secretary", False, id="a word that holds a secret"),
        pytest.param("", False, id="no name"),
        pytest.param("日本語", False, id="a name in other letters"),
    ],
)
def test_a_name(name: str, verdict: bool) -> None:
    names = SecretNames()
    assert (name in names) is verdict
    assert (name in names) is verdict  # also when it has been seen before


def test_names_can_be_added_and_taken_out() -> None:
    names = SecretNames(["maiden name"], ["PIN"])
    assert "maidenName" in names
    assert "pin" not in names
    assert "password" in names
