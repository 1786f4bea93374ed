"""The global identifier filter: who passes, as whom, and what is said about those who do not."""

from typing import Any, Final

import pytest

from app.identity.extract import Extraction, IdentityRules, extract_identity
from app.identity.identity import Identity
from app.segment.paths import EventPath
from tests.builders import EMAIL, PHONE, USER_ID, identify, page, parsed, track

US: Final = IdentityRules()


def at(*paths: str) -> tuple[EventPath, ...]:
    return tuple(EventPath(path) for path in paths)


def found(user_id: Any = None, rules: IdentityRules = US, **traits: Any) -> Extraction:
    raw = track("x", userId=user_id, anonymousId="browser-1", context={"traits": traits})
    return extract_identity(parsed(raw), rules)


@pytest.mark.parametrize(
    ("user_id", "traits", "identity"),
    [
        pytest.param(None, {"email": " Ada@Example.com"}, Identity(email=EMAIL), id="by an e-mail address alone"),
        pytest.param(None, {"phone": "(415) 555-0132"}, Identity(phone=PHONE), id="by a phone number alone"),
        pytest.param(USER_ID, {}, Identity(client_user_id=USER_ID), id="by a user id alone"),
        pytest.param(1042, {}, Identity(client_user_id="1042"), id="by a user id that is a number"),
        pytest.param(None, {"phone": 14155550132}, Identity(phone=PHONE), id="by a phone number that is a number"),
        pytest.param(
            USER_ID,
            {"email": EMAIL, "phone": PHONE, "username": " ada "},
            Identity(EMAIL, PHONE, USER_ID, (("username", "ada"),)),
            id="by everything",
        ),
        pytest.param(
            USER_ID, {"email": None, "phone": ""}, Identity(client_user_id=USER_ID), id="null and empty aside"
        ),
    ],
)
def test_a_person_is_known(user_id: Any, traits: dict[str, Any], identity: Identity) -> None:
    assert found(user_id, **traits) == Extraction(identity, named=True)


@pytest.mark.parametrize(
    ("user_id", "traits"),
    [
        pytest.param(None, {}, id="an anonymous id alone"),
        pytest.param("", {"email": "", "phone": None}, id="empty text and null"),
        pytest.param(" ", {"email": "\t", "phone": " "}, id="blanks"),
        pytest.param(None, {"username": "ada"}, id="a user name alone"),
        pytest.param(None, {"email": {"home": EMAIL}, "phone": [PHONE]}, id="containers"),
        pytest.param(None, {"email": True, "phone": False}, id="truths"),
    ],
)
def test_nobody_is_named_by(user_id: Any, traits: dict[str, Any]) -> None:
    assert found(user_id, **traits) == Extraction(None, named=False)


@pytest.mark.parametrize(
    ("user_id", "traits", "notes"),
    [
        pytest.param(None, {"phone": "n/a"}, ["traits.phone: not a phone number"], id="a phone number that is none"),
        pytest.param(None, {"email": "ada"}, ["traits.email: not an e-mail address"], id="an address that is none"),
        pytest.param("x" * 101, {}, ["userId: longer than 100"], id="a user id of 101 characters"),
        pytest.param(EMAIL, {}, ["userId: an e-mail address or phone number"], id="a user id that is an address"),
        pytest.param(PHONE, {}, ["userId: an e-mail address or phone number"], id="a user id that is a number"),
        pytest.param(
            PHONE,
            {"phone": "0", "email": "@"},
            ["traits.email: not", "traits.phone: not", "userId: an e-mail"],
            id="three of them",
        ),
    ],
)
def test_what_cannot_be_used_names_somebody_but_nobody_we_could_know(
    user_id: Any, traits: dict[str, Any], notes: list[str]
) -> None:
    extraction = found(user_id, **traits)
    assert (extraction.identity, extraction.named) == (None, True)
    assert [note[: len(start)] for note, start in zip(extraction.notes, notes, strict=True)] == notes


def test_what_cannot_be_used_is_left_out_of_what_can() -> None:
    extraction = found(EMAIL, email=EMAIL, phone="n/a", username="x" * 101)
    assert extraction.identity == Identity(email=EMAIL)
    assert len(extraction.notes) == 3


def test_notes_name_nobody() -> None:
    notes = " ".join(found(EMAIL, email="ada@example", phone="+1 415 555 013", username="ada" * 50).notes)
    assert "ada" not in notes
    assert "415" not in notes


def test_a_user_id_that_is_the_phone_number_without_its_plus_is_not_sent() -> None:
    assert found("14155550132", phone=PHONE).identity == Identity(phone=PHONE)


def test_phone_numbers_are_read_as_the_destination_says() -> None:
    british = IdentityRules(default_region="GB")
    assert found(phone="020 7183 8750", rules=british).identity == Identity(phone="+442071838750")


def test_custom_identifiers_are_those_that_the_destination_names() -> None:
    rules = IdentityRules(custom=(("card", at("traits.loyalty.card")), ("nick", at("traits.username"))))
    identity = found(USER_ID, rules, username="ada", loyalty={"card": 77}).identity
    assert identity == Identity(client_user_id=USER_ID, custom=(("card", "77"), ("nick", "ada")))
    bare = IdentityRules(custom=())
    assert found(USER_ID, bare, username="ada").identity == Identity(client_user_id=USER_ID)


def test_the_ids_of_shopify_and_klaviyo_are_read_beside_the_others() -> None:
    identity = found(None, email=EMAIL, shopify_id=5551001, klaviyo_id=" 01HX ").identity
    assert identity == Identity(email=EMAIL, shopify_id="5551001", klaviyo_id="01HX")
    elsewhere = IdentityRules(shopify_id=at("traits.shop.id"), klaviyo_id=())
    identity = found(None, elsewhere, email=EMAIL, shopify_id="1", klaviyo_id="2", shop={"id": "3"}).identity
    assert identity == Identity(email=EMAIL, shopify_id="3")


def test_the_ids_of_shopify_and_klaviyo_alone_let_nobody_pass() -> None:
    assert found(None, shopify_id="5551001", klaviyo_id="01HX") == Extraction(None, named=False)


def test_the_ids_of_shopify_and_klaviyo_count_where_the_address_cannot_be_used() -> None:
    assert found(None, email="n/a", shopify_id="5551001").identity == Identity(shopify_id="5551001")


@pytest.mark.parametrize("name", ["shopify_id", "klaviyo_id"])
def test_an_id_of_shopify_or_klaviyo_is_not_sent_as_the_shops_own(name: str) -> None:
    shops: dict[str, Any] = {name: "5551001"}
    extraction = found("5551001", email=EMAIL, **shops)
    assert extraction.identity == Identity(email=EMAIL, **shops)
    assert [note for note in extraction.notes if note.startswith("clientUserId")] != []


@pytest.mark.parametrize(
    ("traits", "properties", "email", "notes"),
    [
        pytest.param({}, {"email": EMAIL}, EMAIL, 0, id="where the first has none"),
        pytest.param({"email": "bob@example.com"}, {"email": EMAIL}, "bob@example.com", 0, id="not where it has one"),
        pytest.param({"email": "n/a"}, {"email": EMAIL}, EMAIL, 1, id="where the first one's cannot be used"),
        pytest.param({"email": "n/a"}, {"email": "none"}, None, 2, id="in vain"),
    ],
)
def test_further_paths_are_looked_at(
    traits: dict[str, Any], properties: dict[str, Any], email: str | None, notes: int
) -> None:
    rules = IdentityRules(email=at("traits.email", "properties.email"))
    extraction = extract_identity(parsed(track("x", properties, anonymousId="b", context={"traits": traits})), rules)
    assert (extraction.identity and extraction.identity.email, len(extraction.notes)) == (email, notes)
    assert extraction.named


def test_the_shops_own_id_can_be_read_elsewhere() -> None:
    rules = IdentityRules(client_user_id=at("traits.customer.number", "userId"))
    assert found(USER_ID, rules, customer={"number": 7}).identity == Identity(client_user_id="7")
    assert found(USER_ID, rules).identity == Identity(client_user_id=USER_ID)


def test_traits_that_say_who_it_is_are_known_by_their_paths() -> None:
    rules = IdentityRules(email=at("traits.email", "properties.email"), custom=(("c", at("traits.card.number")),))
    assert rules.traits == {"email", "phone", "shopify_id", "klaviyo_id", "card.number"}


def test_every_kind_of_call_is_read_alike() -> None:
    who = {"email": EMAIL}
    calls = [track("x", context={"traits": who}), page(context={"traits": who}), identify(who)]
    assert {extract_identity(parsed(raw), US).identity for raw in calls} == {Identity(email=EMAIL)}


def test_an_identity_shows_nobody_when_printed() -> None:
    shops: dict[str, Any] = {"shopify_id": "5551001", "klaviyo_id": "01HX"}
    printed = repr(found(USER_ID, email=EMAIL, phone=PHONE, username="ada-1815", **shops).identity)
    assert not [secret for secret in (EMAIL, PHONE, USER_ID, "ada-1815", *shops.values()) if secret in printed]
