"""The global identifier filter: who passes, with which identifiers, and the notes about the others."""

from typing import Any, Final

import pytest

from app.identity.extract import Extraction, IdentityRules, extract_identity
from app.identity.identity import Identity
from app.segment.events import parse_event
from app.segment.paths import EventPath
from app.segment.placeholders import placeholder_word
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
        pytest.param(None, {"email": {"home": EMAIL}, "phone": [PHONE]}, id="containers"),
        pytest.param(None, {"email": True, "phone": False}, id="truths"),
    ],
)
def test_nobody_is_named_by(user_id: Any, traits: dict[str, Any]) -> None:
    assert found(user_id, **traits) == Extraction(None, named=False)


@pytest.mark.parametrize(
    ("user_id", "traits", "notes"),
    [
        pytest.param(None, {"phone": "n/a"}, ["traits.phone: a placeholder"], id="a phone number that is n/a"),
        pytest.param(None, {"phone": "12345"}, ["traits.phone: not a phone number"], id="a phone number that is none"),
        pytest.param("undefined", {}, ["userId: a placeholder"], id="a user id that is a placeholder"),
        pytest.param(1e20, {}, ["userId: a number that has lost digits"], id="a user id that is no longer exact"),
        pytest.param(None, {"email": "null@null.com"}, ["traits.email: not"], id="an address that nobody has"),
        pytest.param(None, {"phone": "555-555-5555"}, ["traits.phone: not"], id="a number that nobody has"),
        pytest.param(None, {"username": "guest"}, ["traits.username: a placeholder"], id="a user name of all guests"),
        pytest.param(None, {"email": "ada"}, ["traits.email: not an e-mail address"], id="an address that is none"),
        pytest.param("x" * 101, {}, ["userId: longer than 100"], id="a user id of 101 characters"),
        pytest.param(PHONE, {}, ["userId: an e-mail address or phone number"], id="a user id that is a number"),
        pytest.param(
            PHONE,
            {"phone": "0", "email": "ada@"},
            ["traits.email: not", "traits.phone: a placeholder", "userId: an e-mail"],
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
    extraction = found(EMAIL, email=EMAIL, phone="12345", username="x" * 101)
    assert extraction.identity == Identity(email=EMAIL)
    assert len(extraction.notes) == 3


@pytest.mark.parametrize("name", ["email", "phone"])
@pytest.mark.parametrize("value", [[EMAIL, "bob@example.com"], {"home": PHONE}, True])
def test_what_is_no_text_is_left_out_of_what_can_be_used(name: str, value: Any) -> None:
    extraction = found("u-7", **{name: value})
    assert extraction == Extraction(Identity(client_user_id="u-7"), True, (f"traits.{name}: not text, left out",))


OTHERS: Final = "an e-mail address or phone number that may be another person's, left out"


@pytest.mark.parametrize(
    ("user_id", "traits", "custom"),
    [
        pytest.param("u-7", {"username": "bob@example.com"}, (), id="beside a user ID"),
        pytest.param(None, {"email": EMAIL, "username": "bob@example.com"}, (), id="beside an address"),
        pytest.param(None, {"phone": PHONE, "username": "+1 415 555 0199"}, (), id="beside a number"),
        pytest.param(None, {"email": EMAIL, "username": EMAIL.upper()}, (EMAIL.upper(),), id="that is the event's own"),
        pytest.param(None, {"phone": PHONE, "username": "415 555-0132"}, ("415 555-0132",), id="in another form"),
        pytest.param(None, {"username": "bob@example.com"}, ("bob@example.com",), id="alone, which links nobody"),
        pytest.param("u-7", {"username": "4155550199"}, ("4155550199",), id="of bare digits, which are an ID"),
    ],
)
def test_a_user_name_that_is_an_address_or_number(
    user_id: Any, traits: dict[str, Any], custom: tuple[str, ...]
) -> None:
    extraction = found(user_id, **traits)
    assert extraction.identity is not None
    assert extraction.identity.custom == tuple(("username", each) for each in custom)
    assert extraction.notes == (() if custom else (f"username: {OTHERS}",))


@pytest.mark.parametrize("name", ["shopify_id", "klaviyo_id"])
def test_an_id_of_another_system_is_no_address(name: str) -> None:
    traits: dict[str, Any] = {"email": EMAIL, name: "bob@example.com"}
    extraction = found(**traits)
    assert extraction.identity == Identity(email=EMAIL)
    assert extraction.notes == (f"traits.{name}: an e-mail address or phone number, left out",)


@pytest.mark.parametrize(
    ("text", "expected"), [("12345.0", "12345"), ("12345.00", "12345"), ("12345.5", "12345.5"), ("v2.0", "v2.0")]
)
def test_an_id_has_no_fraction(text: str, expected: str) -> None:
    extraction = found(text, username=text, shopify_id=f"5{text}")
    assert extraction.identity is not None
    assert (extraction.identity.client_user_id, extraction.identity.custom) == (expected, (("username", expected),))
    assert extraction.identity.shopify_id == f"5{expected}"
    assert parsed(identify(userId=text, anonymousId=text)).anonymous_id == expected


def test_an_address_that_an_export_has_masked_is_nobodys() -> None:
    assert found(None, email="a***@example.com").identity is None


def test_notes_name_nobody() -> None:
    notes = " ".join(found(EMAIL, email="ada@example", phone="+1 415 555 013", username="ada" * 50).notes)
    assert "ada" not in notes
    assert "415" not in notes


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


@pytest.mark.parametrize(
    ("traits", "identity"),
    [
        pytest.param({"shopify_id": "5551001"}, Identity(shopify_id="5551001"), id="Shopify's"),
        pytest.param({"klaviyo_id": "01HX"}, Identity(klaviyo_id="01HX"), id="Klaviyo's"),
        pytest.param({"username": "ada"}, Identity(custom=(("username", "ada"),)), id="one of the shop's own"),
    ],
)
def test_an_id_of_another_system_alone_names_a_person(traits: dict[str, Any], identity: Identity) -> None:
    assert found(None, **traits) == Extraction(identity, named=True)
    raw = identify(traits)
    assert extract_identity(parse_event(raw, US.names_person), US).identity == identity


@pytest.mark.parametrize(
    "listed",
    [
        pytest.param([{"type": "shopifyId", "id": 5551001}, {"type": "klaviyoId", "id": "01HX"}], id="a list of them"),
        pytest.param(
            [
                *(
                    {"type": "shopifyId", "id": "5551001"},
                    7,
                    {"type": 1},
                    {"id": "2"},
                    {"type": "shopifyId", "id": "3"},
                ),
                {"type": "klaviyoId", "id": "01HX"},
            ],
            id="a list with nonsense, where the first counts",
        ),
    ],
)
def test_the_external_ids_of_rudderstack_are_read(listed: list[Any]) -> None:
    raw = track("x", userId=USER_ID, context={"externalId": listed})
    identity = extract_identity(parsed(raw), US).identity
    assert identity == Identity(client_user_id=USER_ID, shopify_id="5551001", klaviyo_id="01HX")


@pytest.mark.parametrize("listed", [None, {}, [], "7", [{"type": "crmId", "id": "7"}]])
def test_external_ids_that_say_nothing_cost_nothing(listed: Any) -> None:
    raw = track("x", userId=USER_ID, context={"externalId": listed})
    assert extract_identity(parsed(raw), US) == Extraction(Identity(client_user_id=USER_ID), named=True)


@pytest.mark.parametrize("name", ["shopify_id", "klaviyo_id", "username"])
def test_a_placeholder_is_no_id_of_another_system(name: str) -> None:
    traits: dict[str, Any] = {name: "(null)"}
    extraction = found(USER_ID, **traits)
    assert extraction.identity == Identity(client_user_id=USER_ID)
    assert [note for note in extraction.notes if note.startswith(f"traits.{name}: a placeholder")] != []


def test_placeholders_of_the_destination_are_no_identifiers() -> None:
    rules = IdentityRules(placeholders=frozenset({placeholder_word("kiosk@shop.example"), placeholder_word("till-7")}))
    raw = track("x", userId="Till 7", context={"traits": {"email": "KIOSK@shop.example", "username": "till7"}})
    extraction = extract_identity(parse_event(raw, usable=rules.usable_id), rules)
    assert (extraction.identity, extraction.named, len(extraction.notes)) == (None, True, 3)


def test_an_address_as_user_id_is_sent_as_the_address() -> None:
    assert found("Ada@Example.com").identity == Identity(email=EMAIL)
    assert found("bob@example.com", email=EMAIL).identity == Identity(email=EMAIL)


@pytest.mark.parametrize("user_id", ["4155550132", "14155550132", "+14155550132", "04155550132"])
def test_a_user_id_that_is_the_phone_number_in_any_form_is_not_sent(user_id: str) -> None:
    assert found(user_id, phone=PHONE).identity == Identity(phone=PHONE)


def test_an_account_may_be_limited_to_the_numbers_of_some_countries() -> None:
    rules = IdentityRules(phone_regions=frozenset({"US", "CA"}))
    assert found(USER_ID, rules, phone=PHONE).identity == Identity(phone=PHONE, client_user_id=USER_ID)
    extraction = found(USER_ID, rules, phone="+33 7 64 01 94 08")
    assert extraction.identity == Identity(client_user_id=USER_ID)
    assert [note for note in extraction.notes if "country" in note] != []


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


class TestAnAddressAsUserId:
    @pytest.mark.parametrize(
        ("traits", "email"),
        [
            pytest.param({}, EMAIL, id="where there is no other"),
            pytest.param({"email": "n/a"}, EMAIL, id="where the other one is none"),
            pytest.param({"email": "other@example.com"}, "other@example.com", id="but not in place of another"),
        ],
    )
    def test_is_the_persons_address(self, traits: dict[str, Any], email: str) -> None:
        extraction = found(f" {EMAIL.upper()} ", **traits)
        assert extraction.identity == Identity(email=email)
        assert ("userId: an e-mail address, sent as email" in extraction.notes) is (email == EMAIL)

    def test_is_not_sent_where_addresses_never_are(self) -> None:
        rules = IdentityRules(email=())
        assert extract_identity(parsed(track("x", context={}, userId=EMAIL)), rules).identity is None

    def test_of_a_number_is_left_out(self) -> None:
        assert found(PHONE).identity is None


def test_traits_of_whoever_was_signed_in_before_are_left_out() -> None:
    kept = {"email": "bob@example.com", "phone": PHONE, "plan": "gold"}
    event = parse_event(identify({"email": EMAIL}, userId="u-7", context={"traits": kept}))
    extraction = extract_identity(event, IdentityRules())
    assert extraction.identity == Identity(email=EMAIL, client_user_id="u-7")
    assert event.traits == {"email": EMAIL}
    assert extraction.notes == ("context.traits: of another person than the traits of the call, left out",)


@pytest.mark.parametrize("kept", [f" {EMAIL.upper()} ", "", "guest", None])
def test_traits_that_contradict_nothing_are_read_beside_those_of_the_call(kept: Any) -> None:
    event = parse_event(identify({"email": EMAIL}, context={"traits": {"email": kept, "phone": PHONE}}))
    assert extract_identity(event, IdentityRules()).identity == Identity(email=EMAIL, phone=PHONE)


@pytest.mark.parametrize(
    ("own", "kept"),
    [
        pytest.param({"phone": "+14155550199"}, {"email": EMAIL, "phone": "+14155550132"}, id="and an address"),
        pytest.param({"phone": "(415) 555-0199"}, {"email": EMAIL, "phone": 14155550132.0}, id="in another form"),
        pytest.param({"phone": "+14155550199", "email": "bob@example.com"}, {"phone": "+14155550132"}, id="alone"),
    ],
)
def test_traits_with_the_number_of_whoever_was_signed_in_before_are_left_out(
    own: dict[str, Any], kept: dict[str, Any]
) -> None:
    event = parse_event(identify(own, userId="u-7", context={"traits": kept}))
    found = extract_identity(event, US).identity
    assert found == Identity(email=own.get("email"), phone="+14155550199", client_user_id="u-7")


@pytest.mark.parametrize("kept", ["(415) 555-0132", 14155550132.0, "14155550132.0", "0014155550132", "none", None])
def test_traits_with_the_same_number_in_another_form_are_read(kept: Any) -> None:
    event = parse_event(identify({"phone": "+14155550132"}, context={"traits": {"email": EMAIL, "phone": kept}}))
    assert extract_identity(event, US).identity == Identity(email=EMAIL, phone="+14155550132")
