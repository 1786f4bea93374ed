"""What operators see of a dead letter: all of it, with personal data only on request."""

from dataclasses import replace
from typing import Any, Final

import orjson
import pytest

from app.config.destination import Destination
from app.delivery.dead_letter import DeadLetter
from app.operations.dead_letters import details
from app.wiring.gateway import plan_of
from tests.builders import EMAIL, NOW, PHONE, USER_ID, Raw, forwarded, identify, track

PERSON: Final = {
    "email": EMAIL,
    "phone": PHONE,
    "username": "countess",
    "shopify_id": "77801",
    "klaviyo_id": "01HXKLAV",
    "firstName": "Augusta",
    "address": {"street": "12 St James's Square", "city": "Londinium"},
    "shoe": "size 37",
}
TRACES: Final = (EMAIL, PHONE, USER_ID, "countess", "77801", "01HXKLAV", "Augusta", "St James", "Londinium", "size 37")
OPT_IN: Final = {"opt_in": [{"event": "Newsletter Joined", "sign_up_source": "1"}]}
LETTERS: Final = [
    pytest.param(identify(PERSON), {}, "identity", id="an identity link"),
    pytest.param(identify(PERSON), {}, "user-attributes", id="user attributes, v2"),
    pytest.param(identify(PERSON), {"attributes": {"endpoint": "v1"}}, "custom-attributes", id="attributes, v1"),
    pytest.param(track("Newsletter Joined"), {"subscriptions": OPT_IN}, "subscribe", id="an opt-in"),
    pytest.param(track("Newsletter Joined", {"list": "news"}), {}, "custom-event", id="a custom event"),
    pytest.param(track("Product Viewed", {"sku": "A", "price": 1}), {}, "product-view", id="an e-commerce event"),
]


def dead_letter_of(raw: Raw, settings: dict[str, Any], endpoint: str) -> DeadLetter:
    who = {"userId": USER_ID, "anonymousId": "browser-1", "context": {"traits": PERSON, "ip": "10.0.0.7"}}
    forward = forwarded(raw | who, plan=plan_of(Destination.model_validate({"api_token": "t"} | settings)))
    (call,) = [sent for sent in forward.deliveries if sent.endpoint == endpoint]
    return replace(DeadLetter.of(call, "http_400", "", {}), id="1772366400000-0")


@pytest.mark.parametrize(("raw", "settings", "endpoint"), LETTERS)
def test_nobody_is_seen_in_a_dead_letter_unless_asked(raw: Raw, settings: dict[str, Any], endpoint: str) -> None:
    dead_letter = dead_letter_of(raw, settings, endpoint)
    masked, shown = (orjson.dumps(details(dead_letter, reveal=reveal)).decode() for reveal in (False, True))
    assert [trace for trace in TRACES if trace in masked] == []
    assert [trace for trace in (EMAIL, PHONE, USER_ID) if trace not in shown] == []


def test_what_is_no_persons_is_seen() -> None:
    shown = details(dead_letter_of(track("Newsletter Joined", {"list": "news"}), {}, "custom-event"), reveal=False)
    assert shown["call"]["properties"] == {"list": "news"}
    assert shown["call"]["type"] == "Newsletter Joined"


def test_an_event_that_never_became_a_call_is_shown_masked() -> None:
    event = orjson.dumps(identify(PERSON, userId=USER_ID))
    letter = DeadLetter("m-1", "shop", "unmappable", "", event, NOW, id="1772366400000-0")
    masked = details(letter, reveal=False)
    assert masked["call"] is None
    assert [trace for trace in TRACES if trace in orjson.dumps(masked).decode()] == []
