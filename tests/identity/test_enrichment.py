"""What a profile adds to an identity, what an identify call adds to a profile, and which events concern profiles."""

from typing import Any

import pytest

from app.identity.enrichment import (
    Aliased,
    Identified,
    PersonId,
    ProfileRules,
    concerns_profile,
    contact_alone,
    facts_of,
    profile_asked_for,
    profile_news,
    with_profile,
)
from app.identity.extract import Extraction, IdentityRules, extract_identity
from app.identity.identity import Identity, Primary
from app.segment.paths import EventPath
from app.value import changed
from tests.builders import EMAIL, NOW, PHONE, USER_ID, about, identify, page, parsed, track

ALL = ProfileRules(anonymous_id=True)
OFF = ProfileRules(user_id=False)
KNOWN = {"email": EMAIL, "phone": PHONE, "custom.username": "ada", "shopify_id": "s-1"}


def added(raw: dict[str, Any], remembered: dict[str, str], rules: IdentityRules | None = None) -> Extraction:
    rules = rules or IdentityRules()
    return with_profile(extract_identity(parsed(raw), rules), remembered, rules)


class TestWhatMemoryAdds:
    def test_is_all_it_knows_to_an_event_with_an_id_alone(self) -> None:
        found = added(about(track("x"), user_id=USER_ID), KNOWN)
        assert found.identity == Identity(EMAIL, PHONE, USER_ID, (("username", "ada"),), shopify_id="s-1")
        assert found.notes == (
            "e-mail from the profile",
            "phone from the profile",
            "shopifyId from the profile",
            "username from the profile",
        )

    @pytest.mark.parametrize(
        ("traits", "identity"),
        [
            pytest.param({"email": "Bea@Example.com"}, {"email": "bea@example.com", "phone": PHONE}, id="an address"),
            pytest.param({"phone": "+14155550199"}, {"email": EMAIL, "phone": "+14155550199"}, id="a number"),
            pytest.param({"email": "n/a"}, {"email": EMAIL, "phone": PHONE}, id="no address that could be sent"),
        ],
    )
    def test_yields_to_what_the_event_says(self, traits: dict[str, str], identity: dict[str, str]) -> None:
        found = added(about(track("x"), user_id=USER_ID, **traits), {"email": EMAIL, "phone": PHONE})
        assert found.identity == changed(Identity(client_user_id=USER_ID), **identity)

    def test_yields_to_a_custom_identifier_of_the_event(self) -> None:
        found = added(about(track("x"), user_id=USER_ID, username="bea"), KNOWN)
        assert found.identity is not None
        assert found.identity.custom == (("username", "bea"),)

    def test_is_nothing_that_the_destination_reads_no_more(self) -> None:
        rules = IdentityRules(custom=(("card", (EventPath("traits.card"),)),))
        found = added(about(track("x"), user_id=USER_ID), {"custom.username": "ada", "custom.card": "c-1"}, rules)
        assert found.identity == Identity(client_user_id=USER_ID, custom=(("card", "c-1"),))

    def test_lets_an_anonymous_event_pass_and_says_why(self) -> None:
        found = added(about(track("x")), {"email": EMAIL})
        assert found.identity == Identity(email=EMAIL)
        assert (found.named, found.notes) == (True, ("no identifier, known by anonymousId", "e-mail from the profile"))

    def test_is_nothing_where_it_knows_nothing(self) -> None:
        event = about(track("x"), user_id=USER_ID)
        assert added(event, {}) == extract_identity(parsed(event), IdentityRules())

    def test_notes_name_nobody(self) -> None:
        notes = " ".join(added(about(track("x"), user_id=USER_ID), KNOWN).notes)
        assert not any(value in notes for value in KNOWN.values())


class TestWhatIsRemembered:
    def test_is_every_identifier_but_the_id_it_is_kept_under(self) -> None:
        identity = Identity(EMAIL, PHONE, USER_ID, (("username", "ada"),), "s-1", "k-1")
        assert facts_of(identity, USER_ID) == KNOWN | {"klaviyo_id": "k-1"}

    def test_is_the_shops_id_too_where_that_is_another(self) -> None:
        assert facts_of(Identity(client_user_id="crm-7"), USER_ID) == {"client_user_id": "crm-7"}

    def test_comes_back_as_it_was(self) -> None:
        identity = Identity(EMAIL, PHONE, "crm-7", (("username", "ada"),), "s-1", "k-1")
        rules = IdentityRules(client_user_id=(EventPath("traits.crm"),))
        assert added(about(track("x"), user_id=USER_ID), facts_of(identity, USER_ID), rules).identity == identity


class TestWhoIsAskedAbout:
    @pytest.mark.parametrize(
        ("raw", "rules", "asked"),
        [
            pytest.param(about(track("x"), user_id="7"), ALL, PersonId("u", "7"), id="a user id alone"),
            pytest.param(about(track("x")), ALL, PersonId("a", "browser-1"), id="an anonymous id alone"),
            pytest.param(
                about(track("x"), user_id="7") | {"anonymousId": "b"}, ALL, PersonId("u", "7"), id="of two, the user's"
            ),
            pytest.param(about(page(), user_id="7"), ALL, PersonId("u", "7"), id="a page view"),
            pytest.param(
                about(identify(), user_id="7", plan="gold"), ALL, PersonId("u", "7"), id="an identify with no contact"
            ),
            pytest.param(
                about(track("x"), user_id="7", email="n/a"), ALL, PersonId("u", "7"), id="an address that is none"
            ),
            pytest.param(about(track("x"), user_id="7", email=EMAIL), ALL, None, id="nobody for an address"),
            pytest.param(about(track("x"), user_id="7", phone=PHONE), ALL, None, id="nobody for a number"),
            pytest.param(about(track("x")), ProfileRules(), None, id="nobody for an anonymous id, by default"),
            pytest.param(about(track("x"), user_id="7"), OFF, None, id="nobody if profiles are off"),
            pytest.param(
                about(track("x"), user_id="7") | {"anonymousId": "b"},
                ProfileRules(user_id=False, anonymous_id=True),
                None,
                id="no browser for an event with a user id",
            ),
            pytest.param({"type": "group", "groupId": "g", "userId": "7"}, ALL, None, id="nobody for what is not sent"),
        ],
    )
    def test_is(self, raw: dict[str, Any], rules: ProfileRules, asked: PersonId | None) -> None:
        assert profile_asked_for(parsed(raw), IdentityRules(), rules) == asked

    @pytest.mark.parametrize(
        ("traits", "asks"),
        [pytest.param({"phone": PHONE}, True, id="lacking"), pytest.param({"email": EMAIL}, False, id="there")],
    )
    def test_is_somebody_whose_primary_identifier_is_not_said(self, traits: dict[str, str], asks: bool) -> None:
        event = parsed(about(track("x"), user_id="7", **traits))
        assert (profile_asked_for(event, IdentityRules(primary="email"), ALL) is not None) is asks

    @pytest.mark.parametrize(
        ("raw", "verdict"),
        [
            pytest.param(track("x", userId="7"), False, id="an event that says whom it is about does not"),
            pytest.param(about(track("x"), user_id="7"), True, id="an event that does not, does"),
            pytest.param(identify({"email": EMAIL}, userId="7"), True, id="an identify does"),
            pytest.param({"type": "alias", "userId": "7", "previousId": "b"}, True, id="an alias does"),
        ],
    )
    def test_concerns_events_that(self, raw: dict[str, Any], verdict: bool) -> None:
        event, rules = parsed(raw), IdentityRules()
        assert concerns_profile(event, extract_identity(event, rules), rules) is verdict


class TestWhatIsTold:
    @pytest.mark.parametrize(
        ("rules", "ids"),
        [
            pytest.param(ALL, [("u", "7"), ("a", "b")], id="under both ids"),
            pytest.param(ProfileRules(), [("u", "7")], id="under the user id alone, by default"),
            pytest.param(ProfileRules(user_id=False, anonymous_id=True), [("a", "b")], id="under the browser's alone"),
            pytest.param(OFF, None, id="not at all"),
        ],
    )
    def test_by_an_identify_is_kept(self, rules: ProfileRules, ids: list[tuple[str, str]] | None) -> None:
        raw = identify({"email": EMAIL, "plan": "gold"}, userId="7", anonymousId="b", timestamp=NOW.isoformat())
        told = profile_news(parsed(raw), IdentityRules(), rules, NOW)
        names = tuple(PersonId(*each) for each in ids or ())  # type: ignore[arg-type]
        assert told == (None if ids is None else Identified(names, {"email": EMAIL}, NOW))

    @pytest.mark.parametrize(
        "raw",
        [
            pytest.param(track("x", userId="7"), id="a track call"),
            pytest.param(identify({"plan": "gold"}, userId="7"), id="an identify that says nothing of who it is"),
            pytest.param(identify({"email": "n/a"}, userId="7"), id="an identify with nothing that could be sent"),
            pytest.param({"type": "alias", "userId": "7"}, id="an alias of nobody"),
            pytest.param({"type": "alias", "userId": "7", "previousId": {"id": 1}}, id="an alias of no id"),
        ],
    )
    def test_is_nothing_by(self, raw: dict[str, Any]) -> None:
        assert profile_news(parsed(raw), IdentityRules(), ProfileRules(), NOW) is None

    @pytest.mark.parametrize(
        ("rules", "previous"),
        [
            pytest.param(ProfileRules(), [("u", "8")], id="a user's"),
            pytest.param(ALL, [("u", "8"), ("a", "8")], id="a user's or a browser's"),
        ],
    )
    def test_by_an_alias_is_that_the_id_before_was(self, rules: ProfileRules, previous: list[tuple[str, str]]) -> None:
        event = parsed({"type": "alias", "userId": "7", "previousId": 8})
        renamed = Aliased(tuple(PersonId(*each) for each in previous), PersonId("u", "7"))  # type: ignore[arg-type]
        assert profile_news(event, IdentityRules(), rules, NOW) == renamed


@pytest.mark.parametrize(
    ("identity", "primary", "alone"),
    [
        pytest.param(
            Identity(EMAIL, PHONE, "7", (("username", "ada"),), "s"), "any", Identity(email=EMAIL), id="the address"
        ),
        pytest.param(Identity(None, PHONE, "7"), "any", Identity(phone=PHONE), id="else the number"),
        pytest.param(Identity(EMAIL, PHONE, "7"), "phone", Identity(phone=PHONE), id="the one that the account wants"),
        pytest.param(Identity(EMAIL, None, "7"), "phone", None, id="none where that one is not known"),
        pytest.param(Identity(None, None, "7"), "any", None, id="none where no contact is known"),
    ],
)
def test_who_is_kept_apart_goes_by_one_contact(identity: Identity, primary: Primary, alone: Identity | None) -> None:
    assert contact_alone(identity, primary) == alone
