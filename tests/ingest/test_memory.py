"""Memory at the door: who is asked for, what that adds to which call, and what the outbox is given to remember."""

import json
from collections.abc import Mapping
from typing import Any, Final

import pytest

from app.delivery.delivery import Delivery, to_ms
from app.delivery.people import Remembered, Step, record_name
from app.identity.memory import MemoryRules
from app.pipeline import Plan
from app.privacy.guard import Guard
from app.privacy.policy import Action, Check, Policy
from tests import builders
from tests.builders import EMAIL, NOW, PHONE, USER_ID, Raw, about, deliveries_of
from tests.fakes import Door, assert_refused, open_door

USER: Final = record_name("shop", "u", USER_ID)
BROWSER: Final = record_name("shop", "a", "browser-1")
EVERYTHING: Final = MemoryRules(anonymous_id=True)
OTHER: Final = "bea@example.com"


def track(**fields: Any) -> Raw:
    """A track event that carries a user id alone."""
    return about(builders.track("Coupon Entered", timestamp=None, **fields), user_id=USER_ID)


def identify(message_id: str = "message-0", **traits: Any) -> Raw:
    return builders.identify(traits, timestamp=None, userId=USER_ID, messageId=message_id)


def person(**facts: str) -> Remembered:
    return Remembered({what: (value, 1) for what, value in facts.items()}, seen_ms=2**60, contacts=("c1",))


def batch(*events: Raw) -> Raw:
    return {"batch": [event | {"messageId": f"message-{number}"} for number, event in enumerate(events)]}


def people_named(door: Door) -> list[dict[str, Any]]:
    return [json.loads(sent.body)["user"] for each in door.outbox.arrivals for sent in deliveries_of(each)]


def steps(door: Door) -> list[Step]:
    return [step for arrival in door.outbox.arrivals for step in arrival.steps]


class TestAnEventWithAnIdAlone:
    async def test_is_sent_about_whom_memory_knows_by_it(self, door: Door) -> None:
        door.recall.known[USER] = person(email=EMAIL, phone=PHONE)
        assert (await door.post("/v1/track", track())).status_code == 200
        assert people_named(door) == [
            {"email": EMAIL, "phone": PHONE, "externalIdentifiers": {"clientUserId": USER_ID}}
        ]
        assert door.outbox.records[0]["notes"] == ["e-mail from memory", "phone from memory"]
        assert door.count("gateway_events_enriched_total", source="shop") == 1

    async def test_is_kept_as_the_tracker_sent_it(self, door: Door) -> None:
        door.recall.known[USER] = person(email=EMAIL)
        await door.post("/v1/track", track())
        ((sent,),) = (deliveries_of(arrival) for arrival in door.outbox.arrivals)
        assert json.loads(sent.event) == track()
        assert EMAIL not in json.dumps(door.outbox.records)

    async def test_is_sent_by_its_id_where_memory_knows_nobody(self, door: Door) -> None:
        await door.post("/v1/track", track())
        assert people_named(door) == [{"externalIdentifiers": {"clientUserId": USER_ID}}]
        assert door.recall.asked == [{USER}]
        assert door.count("gateway_events_enriched_total", source="shop") == 0

    async def test_of_another_source_is_somebody_else(self, door: Door) -> None:
        door.recall.known[USER] = person(email=EMAIL)
        await door.post("/v1/track", track(), key="wk_app")
        assert people_named(door) == [{"externalIdentifiers": {"clientUserId": USER_ID}}]

    async def test_is_taken_in_only_where_memory_can_be_asked(self, door: Door) -> None:
        door.recall.away = "redis_unreachable"
        answer = await door.post("/v1/track", track())
        assert_refused(answer, 503, "redis_unreachable")
        assert answer.headers["retry-after"] == "2"
        assert door.outbox.arrivals == []

    async def test_that_is_a_bare_browser_passes_where_that_is_wanted(self) -> None:
        door = open_door(plan=Plan(memory=EVERYTHING))
        door.recall.known[BROWSER] = person(email=EMAIL)
        event = about(builders.track("Coupon Entered", timestamp=None))
        await door.post("/v1/track", event)
        assert people_named(door) == [{"email": EMAIL}]
        assert door.outbox.records[0]["notes"] == ["nobody named: known by anonymousId", "e-mail from memory"]

    async def test_is_dropped_when_it_is_a_bare_browser_and_memory_does_not_know_it(self) -> None:
        door = open_door(plan=Plan(memory=EVERYTHING))
        await door.post("/v1/track", about(builders.track("Coupon Entered", timestamp=None)))
        assert door.outbox.endings == ["dropped:no_identity"]

    async def test_with_the_same_person_by_memory_and_by_word_makes_the_same_calls(self, door: Door) -> None:
        """So that nothing is said twice to Attentive, wherever the identity comes from."""
        door.recall.known[USER] = person(email=EMAIL)
        await door.post("/v1/identify", identify(email=EMAIL, plan="gold"))
        await door.post("/v1/identify", identify(plan="gold"))
        said, recalled = (deliveries_of(arrival) for arrival in door.outbox.arrivals)
        assert [sent.body for sent in said] == [sent.body for sent in recalled]


class TestAnEventThatSaysWhomItIsAbout:
    async def test_asks_nobody(self, door: Door) -> None:
        door.recall.away = "nobody may be asked"
        assert (await door.post("/v1/track", builders.track("x", userId=USER_ID, timestamp=None))).status_code == 200
        assert (await door.post("/v1/identify", identify(email=EMAIL))).status_code == 200


class TestABatch:
    async def test_asks_once_for_all_of_its_people(self, door: Door) -> None:
        others = [about(track(), user_id=str(number)) for number in range(5)]
        await door.post("/v1/batch", batch(track(), *others, track()))
        assert [len(names) for names in door.recall.asked] == [6]

    async def test_lends_what_an_identify_tells_to_the_events_behind_it(self, door: Door) -> None:
        await door.post("/v1/batch", batch(track(), identify(email=EMAIL), track()))
        assert [deliveries_of(arrival)[-1].endpoint for arrival in door.outbox.arrivals] == [
            "custom-event",
            "identity",
            "custom-event",
        ]
        before, after = (json.loads(deliveries_of(door.outbox.arrivals[place])[0].body)["user"] for place in (0, 2))
        assert "email" not in before
        assert after["email"] == EMAIL

    async def test_lends_what_was_known_of_an_alias_too(self, door: Door) -> None:
        door.recall.known[record_name("shop", "u", "old")] = person(email=EMAIL)
        await door.post("/v1/batch", batch({"type": "alias", "previousId": "old", "userId": USER_ID}, track()))
        assert [user["email"] for user in people_named(door)] == [EMAIL]

    async def test_follows_the_newest_word_not_the_last(self, door: Door) -> None:
        door.recall.known[USER] = Remembered({"email": (EMAIL, to_ms(NOW))}, seen_ms=2**60)
        old = identify(email=OTHER) | {"timestamp": "2020-01-01T00:00:00Z"}
        await door.post("/v1/batch", batch(old, track()))
        assert people_named_by_events(door) == [EMAIL]


def people_named_by_events(door: Door) -> list[str]:
    sent = [each for arrival in door.outbox.arrivals for each in deliveries_of(arrival)]
    return [json.loads(each.body)["user"]["email"] for each in sent if each.endpoint == "custom-event"]


class TestWhatIsHandedToTheOutbox:
    async def test_of_an_identify_is_what_it_tells(self, door: Door) -> None:
        await door.post("/v1/identify", identify(email=" Ada@Example.com ", phone="(415) 555-0132", plan="gold"))
        (step,) = steps(door)
        assert (step.do, step.names, dict(step.facts)) == ("learn", (USER,), {"email": EMAIL, "phone": PHONE})
        assert (step.life_s, step.joins) == (30 * 86_400, "send")

    async def test_of_an_identify_with_both_ids_is_kept_under_both_where_that_is_wanted(self) -> None:
        door = open_door(plan=Plan(memory=EVERYTHING))
        await door.post("/v1/identify", identify(email=EMAIL) | {"anonymousId": "browser-1"})
        assert [step.names for step in steps(door)] == [(USER, BROWSER)]

    async def test_of_an_anonymous_identify_is_kept_though_it_makes_no_call(self) -> None:
        door = open_door(plan=Plan(memory=EVERYTHING))
        event = builders.identify({"email": EMAIL}, timestamp=None, anonymousId="browser-1")
        await door.post("/v1/identify", event)
        assert door.outbox.endings == ["dropped:nothing_to_say"]
        assert [(step.names, step.joins) for step in steps(door)] == [((BROWSER,), None)]

    async def test_of_an_alias_is_who_became_whom(self, door: Door) -> None:
        await door.post("/v1/alias", {"previousId": "old", "userId": USER_ID, "messageId": "message-1"})
        (step,) = steps(door)
        assert (step.do, step.previous, step.names) == ("alias", (record_name("shop", "u", "old"),), (USER,))
        assert door.outbox.endings == ["dropped:not_forwarded"]
        assert door.outbox.records[0]["notes"] == ["previousId and userId are one person from now on"]

    @pytest.mark.parametrize(
        "plan",
        [
            pytest.param({}, id="the sender excluded us"),
            pytest.param({"guard": Guard(Policy(dict.fromkeys(Check, Action.DROP_EVENT)))}, id="the guard dropped it"),
        ],
    )
    async def test_is_nothing_of_an_identify_that_is_kept_out(self, plan: dict[str, Any]) -> None:
        door = open_door(plan=Plan(**plan))
        secret = {"integrations": {"Attentive": False}} if not plan else {}
        await door.post("/v1/identify", identify(email=EMAIL, password="hunter2") | secret)
        assert steps(door) == []
        assert door.outbox.endings in (["dropped:integrations"], ["dropped:privacy"])

    async def test_is_nothing_where_memory_is_off(self) -> None:
        door = open_door(plan=Plan(memory=MemoryRules(user_id=False)))
        await door.post("/v1/identify", identify(email=EMAIL))
        await door.post("/v1/alias", {"previousId": "old", "userId": USER_ID, "messageId": "message-1"})
        await door.post("/v1/track", track())
        assert (steps(door), door.recall.asked) == ([], [])

    async def test_of_an_event_is_that_memory_was_of_use_once_a_thirtieth_of_its_life(self, door: Door) -> None:
        door.recall.known[USER] = person(email=EMAIL)
        await door.post("/v1/track", track())
        assert steps(door) == []
        door.recall.known[USER] = Remembered({"email": (EMAIL, 1)}, seen_ms=0, contacts=("c1",))
        await door.post("/v1/batch", batch(track(), track()))
        assert steps(door) == [Step("see", (USER,), 30 * 86_400, contacts=("c1",))]


class TestJoins:
    """Whether it would join two people, only the script knows; what is sent then is decided here."""

    async def test_that_are_held_leave_the_attributes_to_the_address_alone(self) -> None:
        door = open_door(plan=Plan(joins="hold"))
        await door.post("/v1/identify", identify(email=EMAIL, phone=PHONE, plan="gold"))
        (arrival,) = door.outbox.arrivals
        assert [sent.endpoint for sent in deliveries_of(arrival)] == ["identity", "user-attributes"]
        (apart,) = (Delivery.unpacked(call.stored) for call in arrival.instead)
        assert (apart.endpoint, apart.calls) == ("user-attributes", 1)
        assert json.loads(apart.body)["identifiers"] == {"email": EMAIL}
        assert [step.joins for step in arrival.steps] == ["hold"]

    async def test_that_are_held_leave_nothing_of_an_identify_without_attributes(self) -> None:
        door = open_door(plan=Plan(joins="hold"))
        await door.post("/v1/identify", identify(email=EMAIL))
        assert [arrival.instead for arrival in door.outbox.arrivals] == [()]

    async def test_that_are_sent_need_no_second_decision(self, door: Door) -> None:
        await door.post("/v1/identify", identify(email=EMAIL, plan="gold"))
        assert [arrival.instead for arrival in door.outbox.arrivals] == [()]

    @pytest.mark.parametrize(
        ("known", "email"),
        [
            pytest.param({"email": EMAIL}, EMAIL, id="an address that may be held is not lent to the events behind"),
            pytest.param({"email": OTHER}, OTHER, id="an address that cannot be held is"),
            pytest.param({}, OTHER, id="nor can the address of somebody new"),
        ],
    )
    async def test_in_a_batch(self, known: Mapping[str, str], email: str) -> None:
        door = open_door(plan=Plan(joins="hold"))
        door.recall.known[USER] = person(**known)
        await door.post("/v1/batch", batch(identify(email=OTHER), track()))
        assert people_named_by_events(door) == [email]
