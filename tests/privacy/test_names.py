"""Which names are names of secrets."""

from typing import Any

import orjson
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
        pytest.param("token", True, id="a token"),
        pytest.param("cart_token", False, id="the id of a cart"),
        pytest.param("push_token", False, id="what a phone is reached by"),
        pytest.param("Passwort", True, id="a password in German"),
        pytest.param("mot de passe", True, id="a password in French"),
        pytest.param("contraseña", True, id="a password in Spanish"),
        pytest.param("пароль", True, id="a password in Russian"),
        pytest.param("apikey", True, id="a key in one word"),
        pytest.param("account_number", True, id="an account"),
        pytest.param("account_id", False, id="the id of an account"),
        pytest.param("patient_diagnosis", True, id="a diagnosis with a word before it"),
        pytest.param("passenger", False, id="a word that begins like a password"),
        pytest.param("x" * 500 + "_password", True, id="a long name that ends in a password"),
        pytest.param("password_" + "x" * 500, True, id="a long name that begins with a password"),
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


def test_what_is_remembered_is_bounded_and_what_is_in_use_stays() -> None:
    names = SecretNames(most_remembered=10)
    for number in range(1_000):
        assert "price" not in names
        assert f"name_{number}" not in names
    assert names.remembered <= 20
    assert names.any_key({"price": 1}, b"{}") is False


@pytest.mark.parametrize("name", ["jane@example.com", "+14155550132", "customer 4155550132", "Zoë"])
def test_a_name_that_may_state_who_somebody_is_is_not_remembered(name: str) -> None:
    names = SecretNames()
    assert name not in names
    assert names.remembered == 0


@pytest.mark.parametrize(
    "event",
    [
        pytest.param({"password": "x"}, id="of the event"),
        pytest.param({"properties": {"password": "x"}}, id="of its properties"),
        pytest.param({"properties": {"products": [{"password": "x"}]}}, id="of a product"),
        pytest.param({"properties": {"a": [[{"b": {"password": "x"}}]]}}, id="in a list of lists"),
        pytest.param({"context": {"page": {"password": "x"}}}, id="in the context"),
        pytest.param({"context": {"traits": {"address": {"password": "x"}}}}, id="deep in the context"),
        pytest.param({"integrations": {"a": {"password": "x"}}}, id="deep in the integrations"),
        pytest.param({"other": {"password": "x"}}, id="in a place of the sender's own"),
        pytest.param({"other": {"name": "password", "value": "x"}}, id="of a pair"),
    ],
)
def test_the_name_of_a_secret_is_found_wherever_it_is(event: dict[str, Any]) -> None:
    beside: dict[str, Any] = {"type": "track", "properties": {"price": 1}, "context": {"page": {"title": "{ {"}}}
    names = SecretNames()
    for whole in (event, beside | event, {"traits": {"a": {}}} | event):
        assert names.any_key(whole, orjson.dumps(whole))
    assert not names.any_key(beside, orjson.dumps(beside))
