"""Memory at the intake: who is asked for, what that adds to which call, and what the outbox is given to remember."""

import json
from collections.abc import Mapping
from typing import Any, Final

import pytest

from app.delivery.delivery import Delivery, to_ms
from app.identity.enrichment import ProfileRules
from app.identity.extract import IdentityRules
from app.identity.recent import forget_recent
from app.mapping.catalogue import Catalogue
from app.pipeline import Plan
from app.privacy.guard import Guard
from app.privacy.policy import Action, Check, Policy
from app.profiles.profile import Profile, ProfileUpdate, record_name
from tests import builders
from tests.builders import EMAIL, NOW, PHONE, USER_ID, Raw, about, deliveries_of
from tests.fakes import Harness, assert_refused, open_intake

USER: Final = record_name("shop", "u", USER_ID)
BROWSER: Final = record_name("shop", "a", "browser-1")
EVERYTHING: Final = ProfileRules(anonymous_id=True)
OTHER: Final = "bea@example.com"


def track(**fields: Any) -> Raw:
    """A track event that carries a user id alone."""
    return about(builders.track("Coupon Entered", timestamp=None, **fields), user_id=USER_ID)


def identify(message_id: str = "message-0", **traits: Any) -> Raw:
    return builders.identify(traits, timestamp=None, userId=USER_ID, messageId=message_id)


def person(**facts: str) -> Profile:
    return Profile({what: (value, 1) for what, value in facts.items()}, seen_ms=2**60, contacts=("c1",))


def batch(*events: Raw) -> Raw:
    return {"batch": [event | {"messageId": f"message-{number}"} for number, event in enumerate(events)]}


def people_named(intake: Harness) -> list[dict[str, Any]]:
    return [json.loads(sent.body)["user"] for each in intake.outbox.arrivals for sent in deliveries_of(each)]


def updates(intake: Harness) -> list[ProfileUpdate]:
    return [step for arrival in intake.outbox.arrivals for step in arrival.updates]


class TestAnEventWithAnIdAlone:
    async def test_is_sent_about_whom_memory_knows_by_it(self, intake: Harness) -> None:
        intake.profiles.known[USER] = person(email=EMAIL, phone=PHONE)
        assert (await intake.post("/v1/track", track())).status_code == 200
        assert people_named(intake) == [
            {"email": EMAIL, "phone": PHONE, "externalIdentifiers": {"clientUserId": USER_ID}}
        ]
        assert intake.outbox.records[0]["notes"] == ["e-mail from the profile", "phone from the profile"]
        assert intake.count("gateway_events_enriched_total", source="shop") == 1

    async def test_is_kept_as_the_tracker_sent_it(self, intake: Harness) -> None:
        intake.profiles.known[USER] = person(email=EMAIL)
        await intake.post("/v1/track", track())
        ((sent,),) = (deliveries_of(arrival) for arrival in intake.outbox.arrivals)
        assert json.loads(sent.event) == track()
        assert EMAIL not in json.dumps(intake.outbox.records)

    async def test_is_sent_by_its_id_where_memory_knows_nobody(self, intake: Harness) -> None:
        await intake.post("/v1/track", track())
        assert people_named(intake) == [{"externalIdentifiers": {"clientUserId": USER_ID}}]
        assert intake.profiles.asked == [{USER}]
        assert intake.count("gateway_events_enriched_total", source="shop") == 0

    async def test_of_another_source_is_somebody_else(self, intake: Harness) -> None:
        intake.profiles.known[USER] = person(email=EMAIL)
        await intake.post("/v1/track", track(), key="wk_app")
        assert people_named(intake) == [{"externalIdentifiers": {"clientUserId": USER_ID}}]

    async def test_is_taken_in_only_where_memory_can_be_asked(self, intake: Harness) -> None:
        intake.profiles.away = "redis_unreachable"
        answer = await intake.post("/v1/track", track())
        assert_refused(answer, 503, "redis_unreachable")
        assert answer.headers["retry-after"] == "2"
        assert intake.outbox.arrivals == []

    async def test_that_is_a_bare_browser_passes_where_that_is_wanted(self) -> None:
        intake = open_intake(plan=Plan(profiles=EVERYTHING))
        intake.profiles.known[BROWSER] = person(email=EMAIL)
        event = about(builders.track("Coupon Entered", timestamp=None))
        await intake.post("/v1/track", event)
        assert people_named(intake) == [{"email": EMAIL}]
        assert intake.outbox.records[0]["notes"] == ["no identifier, known by anonymousId", "e-mail from the profile"]

    async def test_is_dropped_when_it_is_a_bare_browser_and_memory_does_not_know_it(self) -> None:
        intake = open_intake(plan=Plan(profiles=EVERYTHING))
        await intake.post("/v1/track", about(builders.track("Coupon Entered", timestamp=None)))
        assert intake.outbox.endings == ["dropped:no_identity"]

    async def test_with_the_same_person_by_memory_and_by_word_makes_the_same_calls(self, intake: Harness) -> None:
        """So that nothing is said twice to Attentive, wherever the identity comes from."""
        intake.profiles.known[USER] = person(email=EMAIL)
        await intake.post("/v1/identify", identify(email=EMAIL, plan="gold"))
        await intake.post("/v1/identify", identify(plan="gold"))
        said, enriched = (deliveries_of(arrival) for arrival in intake.outbox.arrivals)
        assert [sent.body for sent in said] == [sent.body for sent in enriched]


class TestAnEventThatSaysWhomItIsAbout:
    async def test_asks_nobody(self, intake: Harness) -> None:
        intake.profiles.away = "nobody may be asked"
        event = about(builders.track("x", timestamp=None), email=EMAIL)
        assert (await intake.post("/v1/track", event)).status_code == 200
        assert (await intake.post("/v1/identify", identify(email=EMAIL))).status_code == 200


class TestAnEventThatLinks:
    """A contact beside another identifier: Attentive links them for ever, as it does those of an identify call."""

    @pytest.mark.parametrize(
        "event", [builders.track("x"), builders.page({"url": "https://shop.example/"})], ids=["track", "page"]
    )
    async def test_is_verified_by_the_profile(self, event: Raw) -> None:
        intake = open_intake(plan=Plan(merges="block"))
        linking = about(event, user_id=USER_ID, email=EMAIL, phone=PHONE) | {"timestamp": None}
        await intake.post("/v1/batch", batch(linking))
        (arrival,) = intake.outbox.arrivals
        (step,) = arrival.updates
        assert (step.action, step.names, step.merges, step.most_links) == ("upsert", (USER,), "block", 5)
        assert dict(step.facts) == {"email": EMAIL, "phone": PHONE}
        (apart,) = (Delivery.unpacked(call.stored) for call in arrival.instead)
        assert json.loads(apart.body)["user"] == {"email": EMAIL}

    async def test_without_a_user_id_is_verified_by_that_of_its_address(self, intake: Harness) -> None:
        event = about(builders.track("x", timestamp=None), email=EMAIL, phone=PHONE)
        await intake.post("/v1/track", event)
        known = builders.identify({"email": EMAIL, "phone": PHONE, "plan": "gold"}, timestamp=None)
        await intake.post("/v1/identify", known)
        name = record_name("shop", "u", EMAIL)
        assert [(step.names, step.merges) for step in updates(intake)] == [((name,), "send")] * 2

    async def test_what_its_profile_contains_is_looked_up_once(self, intake: Harness) -> None:
        intake.profiles.known[USER] = person(email=EMAIL)
        event = about(builders.track("x", timestamp=None), user_id=USER_ID, email=EMAIL)
        for number in range(5):
            assert (await intake.post("/v1/track", event | {"messageId": f"message-{number}"})).is_success
        assert (intake.profiles.asked, updates(intake)) == ([{USER}], [])
        await intake.post("/v1/track", event | {"context": {"traits": {"email": OTHER}}})
        assert [dict(step.facts) for step in updates(intake)] == [{"email": OTHER}]
        forget_recent()
        await intake.post("/v1/track", event)
        assert intake.profiles.asked == [{USER}] * 3

    async def test_of_a_user_name_is_verified_too(self, intake: Harness) -> None:
        event = about(builders.track("x", timestamp=None), user_id=USER_ID, username="ada")
        await intake.post("/v1/track", event)
        (arrival,) = intake.outbox.arrivals
        assert [dict(step.facts) for step in arrival.updates] == [{"custom.username": "ada"}]
        (apart,) = (Delivery.unpacked(call.stored) for call in arrival.instead)
        assert json.loads(apart.body)["user"] == {"externalIdentifiers": {"clientUserId": USER_ID}}

    async def test_is_left_out_beside_what_a_profile_adds(self) -> None:
        """The destination needs a number, which the profile knows; the address of the event is verified."""
        intake = open_intake(plan=Plan(identity=IdentityRules(primary="phone"), merges="block"))
        intake.profiles.known[USER] = person(phone=PHONE)
        await intake.post("/v1/track", about(builders.track("x", timestamp=None), user_id=USER_ID, email=OTHER))
        (arrival,) = intake.outbox.arrivals
        assert [dict(step.facts) for step in arrival.updates] == [{"email": OTHER}]
        (apart,) = (Delivery.unpacked(call.stored) for call in arrival.instead)
        assert json.loads(apart.body)["user"] == {"phone": PHONE}

    async def test_extends_the_profile_that_it_uses(self, intake: Harness) -> None:
        intake.profiles.known[USER] = Profile({"email": (EMAIL, 1)}, seen_ms=0, contacts=("c1",))
        event = about(builders.track("x", timestamp=None), user_id=USER_ID, email=EMAIL)
        await intake.post("/v1/batch", batch(event, event))
        assert updates(intake) == [ProfileUpdate("touch", (USER,), 30 * 86_400, contacts=("c1",))]

    @pytest.mark.parametrize(
        "plan",
        [
            pytest.param(Plan(one_identifier=True), id="of a public source: it names one of them alone"),
            pytest.param(Plan(profiles=ProfileRules(user_id=False)), id="where profiles are off"),
            pytest.param(Plan(catalogue=Catalogue(other_events=frozenset())), id="that is not sent"),
        ],
    )
    async def test_is_not_stored(self, plan: Plan) -> None:
        intake = open_intake(plan=plan)
        await intake.post("/v1/track", about(builders.track("x", timestamp=None), user_id=USER_ID, email=EMAIL))
        assert updates(intake) == []

    async def test_by_what_an_identify_call_of_its_batch_says_is_verified_too(self, intake: Harness) -> None:
        """The identify call may be blocked, for many people share its address: then so is what it lends."""
        await intake.post("/v1/batch", batch(identify(email=EMAIL), track()))
        _, arrival = intake.outbox.arrivals
        assert [(step.names, dict(step.facts)) for step in arrival.updates] == [((USER,), {"email": EMAIL})]
        (apart,) = (Delivery.unpacked(call.stored) for call in arrival.instead)
        assert json.loads(apart.body)["user"] == {"externalIdentifiers": {"clientUserId": USER_ID}}


class TestABatch:
    async def test_asks_once_for_all_of_its_people(self, intake: Harness) -> None:
        others = [about(track(), user_id=str(number)) for number in range(1, 6)]
        await intake.post("/v1/batch", batch(track(), *others, track()))
        assert [len(names) for names in intake.profiles.asked] == [6]

    async def test_lends_what_an_identify_tells_to_the_events_behind_it(self, intake: Harness) -> None:
        await intake.post("/v1/batch", batch(track(), identify(email=EMAIL), track()))
        assert [deliveries_of(arrival)[-1].endpoint for arrival in intake.outbox.arrivals] == [
            "custom-event",
            "identity",
            "custom-event",
        ]
        before, after = (json.loads(deliveries_of(intake.outbox.arrivals[place])[0].body)["user"] for place in (0, 2))
        assert "email" not in before
        assert after["email"] == EMAIL

    async def test_lends_what_was_known_of_an_alias_too(self, intake: Harness) -> None:
        intake.profiles.known[record_name("shop", "u", "old")] = person(email=EMAIL)
        await intake.post("/v1/batch", batch({"type": "alias", "previousId": "old", "userId": USER_ID}, track()))
        assert [user["email"] for user in people_named(intake)] == [EMAIL]

    async def test_follows_the_newest_word_not_the_last(self, intake: Harness) -> None:
        intake.profiles.known[USER] = Profile({"email": (EMAIL, to_ms(NOW))}, seen_ms=2**60)
        old = identify(email=OTHER) | {"timestamp": "2020-01-01T00:00:00Z"}
        await intake.post("/v1/batch", batch(old, track()))
        assert people_named_by_events(intake) == [EMAIL]


def people_named_by_events(intake: Harness) -> list[str]:
    sent = [each for arrival in intake.outbox.arrivals for each in deliveries_of(arrival)]
    return [json.loads(each.body)["user"]["email"] for each in sent if each.endpoint == "custom-event"]


class TestWhatIsHandedToTheOutbox:
    async def test_of_an_identify_is_what_it_tells(self, intake: Harness) -> None:
        await intake.post("/v1/identify", identify(email=" Ada@Example.com ", phone="(415) 555-0132", plan="gold"))
        (step,) = updates(intake)
        assert (step.action, step.names, dict(step.facts)) == ("upsert", (USER,), {"email": EMAIL, "phone": PHONE})
        assert (step.life_s, step.merges) == (30 * 86_400, "send")

    async def test_of_an_identify_with_both_ids_is_kept_under_both_where_that_is_wanted(self) -> None:
        intake = open_intake(plan=Plan(profiles=EVERYTHING))
        await intake.post("/v1/identify", identify(email=EMAIL) | {"anonymousId": "browser-1"})
        assert [step.names for step in updates(intake)] == [(USER, BROWSER)]

    async def test_of_an_anonymous_identify_is_kept_though_it_makes_no_call(self) -> None:
        intake = open_intake(plan=Plan(profiles=EVERYTHING))
        event = builders.identify({"email": EMAIL}, timestamp=None, anonymousId="browser-1")
        await intake.post("/v1/identify", event)
        assert intake.outbox.endings == ["dropped:no_content"]
        assert [(step.names, step.merges) for step in updates(intake)] == [((BROWSER,), None)]

    async def test_of_an_alias_is_who_became_whom(self, intake: Harness) -> None:
        await intake.post("/v1/alias", {"previousId": "old", "userId": USER_ID, "messageId": "message-1"})
        (step,) = updates(intake)
        assert (step.action, step.previous, step.names) == ("alias", (record_name("shop", "u", "old"),), (USER,))
        assert intake.outbox.endings == ["dropped:not_forwarded"]
        assert intake.outbox.records[0]["notes"] == ["previousId and userId are one person from now on"]

    @pytest.mark.parametrize(
        "plan",
        [
            pytest.param({}, id="the sender excluded us"),
            pytest.param({"guard": Guard(Policy(dict.fromkeys(Check, Action.DROP_EVENT)))}, id="the guard dropped it"),
        ],
    )
    async def test_is_nothing_of_an_identify_that_is_kept_out(self, plan: dict[str, Any]) -> None:
        intake = open_intake(plan=Plan(**plan))
        secret = {"integrations": {"Attentive": False}} if not plan else {}
        await intake.post("/v1/identify", identify(email=EMAIL, password="hunter2") | secret)
        assert updates(intake) == []
        assert intake.outbox.endings in (["dropped:integrations"], ["dropped:privacy"])

    async def test_is_nothing_where_memory_is_off(self) -> None:
        intake = open_intake(plan=Plan(profiles=ProfileRules(user_id=False)))
        await intake.post("/v1/identify", identify(email=EMAIL))
        await intake.post("/v1/alias", {"previousId": "old", "userId": USER_ID, "messageId": "message-1"})
        await intake.post("/v1/track", track())
        assert (updates(intake), intake.profiles.asked) == ([], [])

    async def test_of_an_event_is_that_memory_was_of_use_once_a_thirtieth_of_its_life(self, intake: Harness) -> None:
        intake.profiles.known[USER] = person(email=EMAIL)
        await intake.post("/v1/track", track())
        assert updates(intake) == []
        intake.profiles.known[USER] = Profile({"email": (EMAIL, 1)}, seen_ms=0, contacts=("c1",))
        await intake.post("/v1/batch", batch(track(), track()))
        assert updates(intake) == [ProfileUpdate("touch", (USER,), 30 * 86_400, contacts=("c1",))]


class TestMerges:
    """Whether it would join two people, only the script knows; what is sent then is decided here."""

    async def test_that_are_held_leave_the_attributes_to_the_address_alone(self) -> None:
        intake = open_intake(plan=Plan(merges="block"))
        await intake.post("/v1/identify", identify(email=EMAIL, phone=PHONE, plan="gold"))
        (arrival,) = intake.outbox.arrivals
        assert [sent.endpoint for sent in deliveries_of(arrival)] == ["identity", "user-attributes"]
        (apart,) = (Delivery.unpacked(call.stored) for call in arrival.instead)
        assert (apart.endpoint, apart.calls) == ("user-attributes", 1)
        assert json.loads(apart.body)["identifiers"] == {"email": EMAIL}
        assert [step.merges for step in arrival.updates] == ["block"]

    async def test_that_are_held_leave_nothing_of_an_identify_without_attributes(self) -> None:
        intake = open_intake(plan=Plan(merges="block"))
        await intake.post("/v1/identify", identify(email=EMAIL))
        assert [arrival.instead for arrival in intake.outbox.arrivals] == [()]

    async def test_that_are_sent_whatever_is_known_need_no_second_decision(self) -> None:
        intake = open_intake(plan=Plan(profiles=ProfileRules(most_links=0)))
        await intake.post("/v1/identify", identify(email=EMAIL, plan="gold"))
        assert [arrival.instead for arrival in intake.outbox.arrivals] == [()]

    @pytest.mark.parametrize(
        ("known", "email"),
        [
            pytest.param({"email": EMAIL}, EMAIL, id="an address that may be held is not lent to the events behind"),
            pytest.param({"email": OTHER}, OTHER, id="an address that cannot be held is"),
            pytest.param({}, OTHER, id="nor can the address of somebody new"),
        ],
    )
    async def test_in_a_batch(self, known: Mapping[str, str], email: str) -> None:
        intake = open_intake(plan=Plan(merges="block"))
        intake.profiles.known[USER] = person(**known)
        await intake.post("/v1/batch", batch(identify(email=OTHER), track()))
        assert people_named_by_events(intake) == [email]
