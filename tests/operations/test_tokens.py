"""Which scopes a destination's settings make use of: what `destinations test` insists on."""

from typing import Any, Final

import pytest

from app.attentive.token import Held
from app.config.destination import Destination
from app.config.sync import Sync
from app.operations.tokens import Findings, needed_scopes

EVENTS: Final = {"ecommerce:write", "events:write"}
ALWAYS: Final = EVENTS | {"identity:write", "attributes:write", "subscriptions:write"}
OPT_IN: Final = {"opt_in": [{"event": "Joined", "sign_up_source": "1"}]}
OPT_OUT: Final = {"opt_out": [{"event": "Left"}]}
HOLD: Final = {"unknown_outcomes": {"subscribe": "review"}}


@pytest.mark.parametrize(
    ("settings", "scopes"),
    [
        pytest.param({}, ALWAYS, id="by default"),
        pytest.param({"attributes": {"endpoint": "v1"}}, ALWAYS - {"subscriptions:write"}, id="v1 attributes"),
        pytest.param({"attributes": {"endpoint": "off"}}, EVENTS | {"identity:write"}, id="no attributes"),
        pytest.param({"mapping": {"identify": {"send": False}}}, EVENTS, id="no identify calls"),
        pytest.param({"subscriptions": OPT_IN}, ALWAYS | {"subscriptions:read"}, id="opt-ins"),
        pytest.param({"subscriptions": OPT_IN} | HOLD, ALWAYS, id="opt-ins that are never asked about"),
        pytest.param({"subscriptions": OPT_OUT} | HOLD, ALWAYS | {"subscriptions:read"}, id="opt-outs that are"),
        pytest.param({"erasure": {"unsubscribe": True}}, ALWAYS, id="erasures that unsubscribe"),
        pytest.param(
            {"erasure": {"request": True}},
            ALWAYS | {"privacy_requests:write", "privacy_requests:read"},
            id="erasures that Attentive is asked for",
        ),
    ],
)
def test_scopes_are_needed_for_what_is_sent(settings: dict[str, Any], scopes: set[str]) -> None:
    destination = Destination.model_validate({"api_token": "t"} | settings)
    assert set(needed_scopes(destination)) == scopes


@pytest.mark.parametrize(
    ("sync", "scopes"),
    [
        pytest.param({"object": "events"}, set(), id="rows of events, as events of trackers"),
        pytest.param(
            {"object": "audience", "mode": "add", "segment": {"external_id": "g", "name": "G"}},
            {"segments:read", "segments:write"},
            id="an audience",
        ),
        pytest.param(
            {
                "object": "subscribers",
                "consent": {"column": "c", "opt_out": ["no"], "channels": "text"},
                "mode": "remove",
            },
            {"subscriptions:read"},
            id="consent, which is checked first",
        ),
    ],
)
def test_scopes_are_needed_for_the_syncs_of_a_destination_too(sync: dict[str, Any], scopes: set[str]) -> None:
    rows = Sync.model_validate({"destination": "acme", "source": {"csv": "t.csv"}, "key": "id", **sync})
    needs = needed_scopes(Destination.model_validate({"api_token": "t"}), {"gold": rows})
    assert set(needs) == ALWAYS | scopes
    assert all(needs[scope] == ["sync gold"] for scope in scopes)


def test_it_is_told_what_each_is_needed_for() -> None:
    destination = Destination.model_validate({"api_token": "t", "subscriptions": OPT_IN, "erasure": {"request": True}})
    needs = needed_scopes(destination)
    assert needs["ecommerce:write"] == ["product-view", "add-to-cart", "purchase"]
    assert needs["subscriptions:write"] == ["user-attributes", "subscribe"]
    assert needs["privacy_requests:read"] == ["erasure"]


@pytest.mark.parametrize(
    ("found", "good"),
    [
        pytest.param({"identity:write": Held.YES}, True, id="there"),
        pytest.param({"identity:write": Held.UNKNOWN}, True, id="unknown"),
        pytest.param({"identity:write": Held.NO}, False, id="needed and missing"),
        pytest.param({"privacy_requests:write": Held.NO}, True, id="missing and not needed"),
    ],
)
def test_a_token_is_good_unless_it_is_known_to_lack_something(found: dict[str, Held], good: bool) -> None:
    assert Findings(True, "", {"identity:write": ["identity"]}, found).good is good
    assert not Findings(False, "", {}).good
