"""A subscription call in doubt, judged by Attentive's answer. A person is texted again only if the state differs."""

from datetime import timedelta
from typing import Any, Final

import orjson
import pytest

from app.attentive.answers import Reply, Unreachable
from app.delivery.consent import ConsentRules, Learned, look_into, question, to_verify
from app.delivery.delivery import Delivery
from app.delivery.outcome import Hold, RetryLater, Unknown
from app.delivery.unknown import WhenUnknown
from tests.builders import EMAIL, NOW, PHONE, delivery

BOTH: Final = {"phone": PHONE, "email": EMAIL}
LATER: Final = NOW + timedelta(hours=1)
RULES: Final = ConsentRules({"t-1": "TRANSACTIONAL", "m-1": "MARKETING"})


def subscribe(**body: Any) -> Delivery:
    content = {"user": BOTH, "signUpSourceId": "m-1"} | body
    return to_verify(delivery(endpoint="subscribe", body=orjson.dumps(content), deadline=LATER))


def unsubscribe(**body: Any) -> Delivery:
    return to_verify(delivery(endpoint="unsubscribe", body=orjson.dumps({"user": BOTH} | body), deadline=LATER))


def answer(*eligible: tuple[str, str], but: tuple[tuple[str, str], ...] = ()) -> Reply:
    """Attentive's answer: subscribed to these, and known not to be subscribed to those."""
    listed = [
        {"subscription": {"type": kind, "channel": channel}, "eligibility": {"isEligible": so}}
        for found, so in ((eligible, True), (but, False))
        for kind, channel in found
    ]
    return Reply(200, orjson.dumps({"subscriptionEligibilities": listed}))


def learned(reply: Reply, call: Delivery) -> Learned:
    found = look_into(reply, call, RULES, now=NOW)
    assert isinstance(found, Learned)
    return found


def left(call: Delivery) -> Any:
    return orjson.loads(call.body)


def test_each_contact_is_asked_about_in_turn() -> None:
    call = subscribe()
    assert (call.unverified, question(call)) == (("phone", "email"), ("phone", PHONE))
    after = learned(answer(), call).left
    assert after is not None
    assert question(after) == ("email", EMAIL)
    assert Delivery.unpacked(after.packed()).unverified == ("email",)


class TestASubscribeCall:
    def test_that_was_acted_on_is_done(self) -> None:
        call = subscribe(user={"phone": PHONE})
        assert learned(answer(("MARKETING", "TEXT")), call) == Learned(True, None)

    def test_that_was_not_acted_on_is_sent_as_it_was(self) -> None:
        call = subscribe(user={"phone": PHONE})
        found = learned(answer(but=(("MARKETING", "TEXT"),)), call)
        assert found.left is not None
        assert (found.is_so, found.left.unverified, left(found.left)) == (False, (), left(call))

    def test_texts_nobody_who_is_subscribed_for_an_email_address_that_is_not(self) -> None:
        first = learned(answer(("MARKETING", "TEXT"), ("MARKETING", "EMAIL")), subscribe()).left
        assert first is not None
        second = learned(answer(("MARKETING", "TEXT")), first).left
        assert second is not None
        assert left(second)["user"] == {"email": EMAIL}

    @pytest.mark.parametrize(
        ("named", "subscribed_to", "is_so"),
        [
            pytest.param({"signUpSourceId": "m-1"}, "MARKETING", True, id="its source's type"),
            pytest.param({"signUpSourceId": "m-1"}, "TRANSACTIONAL", False, id="another type than its source's"),
            pytest.param({"signUpSourceId": "t-1"}, "TRANSACTIONAL", True, id="its source's other type"),
            pytest.param({"signUpSourceId": "gone"}, "MARKETING", True, id="a source that the settings forgot"),
            pytest.param({"subscriptionType": "TRANSACTIONAL"}, "TRANSACTIONAL", True, id="the type it names"),
            pytest.param({"subscriptionType": "TRANSACTIONAL"}, "MARKETING", False, id="another type than it names"),
        ],
    )
    def test_is_compared_by_type(self, named: dict[str, str], subscribed_to: str, is_so: bool) -> None:
        call = subscribe(user={"phone": PHONE}, **named)
        assert learned(answer((subscribed_to, "TEXT")), call).is_so is is_so

    def test_of_somebody_unknown_is_sent(self) -> None:
        assert learned(Reply(404), subscribe()).is_so is False


class TestAnUnsubscribeCall:
    @pytest.mark.parametrize(
        ("body", "subscribed_to", "is_so"),
        [
            pytest.param({}, ("MARKETING", "TEXT"), False, id="all of it, and something is left"),
            pytest.param({}, ("MARKETING", "EMAIL"), True, id="all texts, and e-mails are left"),
            pytest.param(
                {"subscriptions": [{"type": "MARKETING", "channel": "TEXT"}]},
                ("TRANSACTIONAL", "TEXT"),
                True,
                id="one type, and another is left",
            ),
            pytest.param(
                {"subscriptions": [{"type": "MARKETING", "channel": "TEXT"}]},
                ("MARKETING", "TEXT"),
                False,
                id="one type, and it is left",
            ),
        ],
    )
    def test_is_done_when_nothing_it_ends_is_left(
        self, body: dict[str, Any], subscribed_to: tuple[str, str], is_so: bool
    ) -> None:
        assert learned(answer(subscribed_to), unsubscribe(user={"phone": PHONE}, **body)).is_so is is_so

    def test_keeps_the_subscriptions_of_the_contacts_that_are_left(self) -> None:
        both = [{"type": "MARKETING", "channel": channel} for channel in ("TEXT", "EMAIL")]
        found = learned(answer(), unsubscribe(subscriptions=both))
        assert found.left is not None
        assert left(found.left) == {"user": {"email": EMAIL}, "subscriptions": both[1:]}


class TestWhatCannotBeKnown:
    @pytest.mark.parametrize(
        "reply",
        [
            pytest.param(Reply(403), id="without the scope"),
            pytest.param(Reply(400), id="refused"),
            pytest.param(Reply(200, b"<html>"), id="an answer that is no JSON"),
            pytest.param(Reply(200, b"{}"), id="an answer of another form"),
            pytest.param(Reply(200, b'{"subscriptionEligibilities": [{}]}'), id="a list of other things"),
            pytest.param(Reply(302), id="a redirect"),
        ],
    )
    def test_is_held_for_review(self, reply: Reply) -> None:
        found = look_into(reply, subscribe(), RULES, now=NOW)
        assert isinstance(found, Unknown)
        assert found.policy is WhenUnknown.REVIEW

    @pytest.mark.parametrize(
        "reply",
        [
            pytest.param(Reply(429), id="too many questions"),
            pytest.param(Reply(503), id="a server's error"),
            pytest.param(Unreachable("cut", ambiguous=True), id="no answer"),
        ],
    )
    def test_is_asked_again_until_its_deadline_and_then_held(self, reply: Reply | Unreachable) -> None:
        found = look_into(reply, subscribe(), RULES, now=NOW)
        assert isinstance(found, RetryLater)
        assert not found.ambiguous, "a question changes nothing"
        late = look_into(reply, subscribe(), RULES, now=LATER + timedelta(minutes=1))
        assert isinstance(late, Unknown)

    def test_because_of_a_refused_token_waits_with_the_destination(self) -> None:
        found = look_into(Reply(401), subscribe(), RULES, now=NOW)
        assert isinstance(found, Hold)
        assert found.whole_destination
