"""Opt-ins and opt-outs: only what the settings name becomes a call, with the body that Attentive wants, and no more."""

from datetime import timedelta
from typing import Any, Final

import orjson
import pytest

from app.attentive.endpoints import SUBSCRIBE, UNSUBSCRIBE
from app.config.subscriptions import SubscriptionRules
from app.mapping.subscriptions import Subscriptions
from app.pipeline import Forward, Plan
from tests.builders import EMAIL, NOW, PHONE, USER_ID, about, calls, decided, dropped, forwarded, identify, page, track
from tests.contracts.attentive_contract import Contract

SOURCE: Final = {"sign_up_source": "123456"}
LOCALE: Final = {"locale": {"language": "en", "country": "US"}}
JOINED: Final = about(track("Newsletter Joined"), user_id=USER_ID, email=EMAIL, phone=PHONE)
LEFT: Final = about(track("Newsletter Left"), user_id=USER_ID, email=EMAIL, phone=PHONE)
BOTH: Final = {"phone": PHONE, "email": EMAIL}


def plan(
    *, opt_in: list[dict[str, Any]] | None = None, opt_out: list[dict[str, Any]] | None = None, **more: Any
) -> Plan:
    rules = SubscriptionRules.model_validate({"opt_in": opt_in or [], "opt_out": opt_out or []})
    return Plan(subscriptions=Subscriptions(rules.rules()), **more)


def consents(raw: object, plan: Plan) -> list[tuple[str, Any]]:
    """The subscription calls of an event, each of which keeps the contract."""
    found = [(name, body) for name, body in calls(raw, plan=plan) if name in (SUBSCRIBE.name, UNSUBSCRIBE.name)]
    for name, body in found:
        path = (SUBSCRIBE if name == SUBSCRIBE.name else UNSUBSCRIBE).path
        assert Contract.ours().errors("POST", path, body) == []
        assert "singleOptIn" not in body
    return found


class TestConsent:
    @pytest.mark.parametrize("raw", [JOINED, LEFT, identify({"email": EMAIL, "sms_consent": True})])
    def test_is_never_guessed(self, raw: dict[str, Any]) -> None:
        assert {name for name, _ in calls(raw)} & {SUBSCRIBE.name, UNSUBSCRIBE.name} == set()

    def test_comes_besides_the_normal_call(self) -> None:
        found = calls(JOINED, plan=plan(opt_in=[{"event": "Newsletter Joined", **SOURCE}]))
        assert [name for name, _ in found] == ["custom-event", "subscribe"]

    def test_comes_alone_from_an_event_that_is_not_let_through(self) -> None:
        rules = plan(opt_in=[{"event": "Newsletter Joined", **SOURCE}])
        rules = Plan(catalogue=type(rules.catalogue)(other_events=frozenset()), subscriptions=rules.subscriptions)
        assert [name for name, _ in calls(JOINED, plan=rules)] == ["subscribe"]
        assert dropped(LEFT, plan=rules).reason == "event_not_allowed"

    @pytest.mark.parametrize("spelling", ["Newsletter Joined", "newsletter_joined", "NewsletterJoined"])
    def test_is_found_in_any_spelling(self, spelling: str) -> None:
        found = consents(JOINED | {"event": spelling}, plan(opt_in=[{"event": "Newsletter Joined", **SOURCE}]))
        assert len(found) == 1

    def test_of_a_page_or_another_event_is_none(self) -> None:
        rules = plan(opt_in=[{"event": "Newsletter Joined", **SOURCE}, {"trait": "sms", "is": True, **SOURCE}])
        assert consents(page(), rules) == consents(track("Signed Up"), rules) == []


class TestAnOptIn:
    def test_names_a_sign_up_source_and_all_that_is_known_of_the_person(self) -> None:
        assert consents(JOINED, plan(opt_in=[{"event": "Newsletter Joined", **SOURCE}])) == [
            (
                "subscribe",
                {"user": BOTH, "signUpSourceId": "123456", "externalIdentifiers": {"clientUserId": USER_ID}},
            )
        ]

    def test_or_a_locale_and_a_type(self) -> None:
        ((_, body),) = consents(
            JOINED, plan(opt_in=[{"event": "Newsletter Joined", **LOCALE, "type": "TRANSACTIONAL"}])
        )
        assert body["locale"] == {"language": "en", "country": "US"}
        assert body["subscriptionType"] == "TRANSACTIONAL"
        assert "signUpSourceId" not in body

    @pytest.mark.parametrize(("channels", "contacts"), [("text", {"phone"}), (["email"], {"email"})])
    def test_may_be_for_one_channel_alone(self, channels: Any, contacts: set[str]) -> None:
        ((_, body),) = consents(JOINED, plan(opt_in=[{"event": "Newsletter Joined", "channels": channels, **SOURCE}]))
        assert set(body["user"]) == contacts

    def test_of_somebody_without_the_contact_is_not_sent_and_said_so(self) -> None:
        rules = plan(opt_in=[{"event": "Newsletter Joined", "channels": "text", **SOURCE}])
        decision = forwarded(about(JOINED, email=EMAIL), plan=rules)
        assert [each.endpoint for each in decision.deliveries] == ["custom-event"]
        assert "opt-in: no phone is known, not sent" in decision.notes

    @pytest.mark.parametrize(
        ("wanted", "given", "fits"),
        [
            pytest.param(True, True, True, id="true"),
            pytest.param(True, 1, False, id="one is not true"),
            pytest.param(True, "true", False, id="text is not true"),
            pytest.param(True, [True], False, id="a list is not true"),
            pytest.param(True, None, False, id="nothing is not true"),
            pytest.param("yes", "yes", True, id="a word"),
            pytest.param(2, 2.0, True, id="a number in another form"),
            pytest.param(False, 0, False, id="zero is not false"),
        ],
    )
    def test_by_a_value_wants_just_that(self, wanted: Any, given: Any, fits: bool) -> None:
        rules = plan(opt_in=[{"event": "Checkout Started", "property": "sms.opt_in", "is": wanted, **SOURCE}])
        raw = about(track("Checkout Started", {"sms": {"opt_in": given}}), phone=PHONE)
        assert len(consents(raw, rules)) == fits
        rules = plan(opt_in=[{"trait": "sms.opt_in", "is": wanted, **SOURCE}])
        assert len(consents(identify({"phone": PHONE, "name": "Ada", "sms": {"opt_in": given}}), rules)) == fits

    def test_by_a_trait_is_of_identify_calls_alone(self) -> None:
        rules = plan(opt_in=[{"trait": "sms_consent", "is": True, **SOURCE}])
        assert consents(about(track("Signed Up"), phone=PHONE, sms_consent=True), rules) == []

    def test_by_a_trait_is_asked_about_first_and_remembered_for_a_year(self) -> None:
        rules = plan(opt_in=[{"trait": "sms_consent", "is": True, **SOURCE}])
        raw = identify({"email": EMAIL, "phone": PHONE, "sms_consent": True})
        (sent,) = [each for each in forwarded(raw, plan=rules).deliveries if each.endpoint == "subscribe"]
        assert (sent.unverified, sent.dedupe_window_s) == (("phone", "email"), 366 * 86_400)

    def test_by_an_event_is_sent_at_once_and_remembered_for_an_hour(self) -> None:
        decision = forwarded(JOINED, plan=plan(opt_in=[{"event": "Newsletter Joined", **SOURCE}]))
        assert (decision.deliveries[1].unverified, decision.deliveries[1].dedupe_window_s) == ((), 3600)

    def test_of_long_ago_is_a_dead_letter(self) -> None:
        rules = plan(opt_in=[{"event": "Newsletter Joined", **SOURCE}])
        decision = decided(JOINED, plan=rules, received_at=NOW + timedelta(days=2))
        assert not isinstance(decision, Forward)


class TestAnOptOut:
    def test_ends_everything_unless_told_otherwise(self) -> None:
        rules = plan(opt_out=[{"event": "Newsletter Left"}])
        assert consents(LEFT, rules) == [("unsubscribe", {"user": BOTH})]

    def test_may_end_some_types_for_the_contacts_that_are_known(self) -> None:
        rules = plan(opt_out=[{"event": "Newsletter Left", "types": "MARKETING", "notify": False}])
        ((_, body),) = consents(about(LEFT, email=EMAIL), rules)
        assert body == {
            "user": {"email": EMAIL},
            "subscriptions": [{"type": "MARKETING", "channel": "EMAIL"}],
            "notification": {"disabled": True},
        }

    @pytest.mark.parametrize(
        ("raw", "age", "why"),
        [
            pytest.param(LEFT, timedelta(days=400), "too_old", id="from long ago"),
            pytest.param(
                about(track("Product Viewed", {"price": "free"}), email=EMAIL),
                timedelta(),
                "unmappable",
                id="unmappable",
            ),
        ],
    )
    def test_is_heard_whatever_becomes_of_the_rest(self, raw: dict[str, Any], age: timedelta, why: str) -> None:
        rules = plan(opt_out=[{"event": raw["event"]}], opt_in=[{"event": "Other", **SOURCE}])
        decision = decided(raw, plan=rules, received_at=NOW + age)
        assert isinstance(decision, Forward)
        (sent,) = decision.deliveries
        assert (sent.endpoint, sent.calls) == ("unsubscribe", 1)
        assert sent.deadline > NOW + age
        assert any(note.startswith(why) for note in decision.notes)

    def test_wins_where_an_event_says_both(self) -> None:
        rules = plan(opt_in=[{"event": "Newsletter Left", **SOURCE}], opt_out=[{"event": "newsletter left"}])
        decision = forwarded(LEFT, plan=rules)
        assert [each.endpoint for each in decision.deliveries] == ["custom-event", "unsubscribe"]
        assert "opt-in: not sent, because the event opts out too" in decision.notes


class TestTheSource:
    """Consent is irreversible, and a public write key is in everybody's hands."""

    @pytest.mark.parametrize(
        ("sources", "source", "consent", "sent", "noted"),
        [
            pytest.param(None, "shop", "any", True, False, id="a trusted source triggers any rule"),
            pytest.param(("crm",), "shop", "any", False, False, id="but those for other sources"),
            pytest.param(("crm", "shop"), "shop", "any", True, False, id="a rule may be for several"),
            pytest.param(None, "shop", "named", False, True, id="a public source triggers no general rule"),
            pytest.param(("shop",), "shop", "named", True, False, id="but one that lists it"),
            pytest.param(("shop",), "shop", "none", False, True, id="unless it has no right to at all"),
        ],
    )
    @pytest.mark.parametrize("direction", ["opt_in", "opt_out"])
    def test_decides_whether_a_rule_applies(
        self, direction: str, sources: Any, source: str, consent: Any, sent: bool, noted: bool
    ) -> None:
        rule = {"event": "Newsletter Joined", "sources": sources, **(SOURCE if direction == "opt_in" else {})}
        general = plan(**{direction: [rule]})
        own = Plan(subscriptions=general.subscriptions.for_source(source, consent))
        assert bool(consents(JOINED, own)) is sent
        notes = [note for note in forwarded(JOINED, plan=own).notes if "does not list this source" in note]
        assert len(notes) == noted

    def test_that_may_not_opt_out_does_not_cancel_an_opt_in(self) -> None:
        joined = {"event": "Newsletter Joined"}
        rules = plan(opt_in=[joined | SOURCE | {"sources": ["shop"]}], opt_out=[joined])
        own = Plan(subscriptions=rules.subscriptions.for_source("shop", "named"))
        assert [name for name, _ in consents(JOINED, own)] == ["subscribe"]


def test_the_mapping_is_pure() -> None:
    rules = plan(opt_in=[{"event": "Newsletter Joined", **SOURCE}])
    assert forwarded(JOINED, plan=rules) == forwarded(JOINED, plan=rules)
    assert orjson.loads(forwarded(JOINED, plan=rules).deliveries[1].body)["user"] == BOTH
