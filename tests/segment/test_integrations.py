"""Whom a sender keeps its events from, in the words of each vendor."""

from typing import Any

import pytest

from app.segment.integrations import asks_to_unsubscribe, excluded_by


@pytest.mark.parametrize(
    ("integrations", "excluded"),
    [
        pytest.param({"All": False}, "All", id="for all"),
        pytest.param({"all": False}, "all", id="for all, in small letters"),
        pytest.param({"ALL": "false"}, "ALL", id="for all, as text"),
        pytest.param({"All": 0}, "All", id="for all, as a number"),
        pytest.param({"All": False, "Attentive": None}, "All", id="for all, with a null for us"),
        pytest.param({"Attentive": False}, "Attentive", id="by our name"),
        pytest.param({"All": True, "attentive": "False"}, "attentive", id="by our name, in other letters"),
        pytest.param({"Attentive Tag": False}, "Attentive Tag", id="by RudderStack's name"),
        pytest.param({"ATTENTIVE_TAG": False}, "ATTENTIVE_TAG", id="by RudderStack's code"),
        pytest.param({"Actions Attentive": False}, "Actions Attentive", id="by Segment's name of its action"),
        pytest.param({"Attentive (Actions)": False}, "Attentive (Actions)", id="by Segment's other name"),
        pytest.param({"Attentive": True, "Attentive Tag": False}, "Attentive Tag", id="by one of two names"),
        pytest.param({"Attentive - EU": False}, "Attentive - EU", id="by a name that begins with ours"),
        pytest.param({"attentive_prod": "false"}, "attentive_prod", id="by such a name as text"),
        pytest.param({"Attentive": {"enabled": False}}, "Attentive", id="by its options"),
    ],
)
def test_an_event_is_kept_back(integrations: Any, excluded: str) -> None:
    assert excluded_by(integrations) == f"integrations.{excluded}"


@pytest.mark.parametrize(
    "integrations",
    [
        *(None, {}, [], "all", 7, True, {"All": True}, {"All": None}, {"Attentive": {}}, {"Segment.io": False}),
        *({"All": False, "Attentive": True}, {"all": False, "ATTENTIVE_TAG": {"region": "us"}}, {"Attentively": False}),
        *({"Attentive": {"enabled": True}}, {"Braze": "false"}, {"Attentive": {"enabled": {"enabled": False}}}),
    ],
)
def test_an_event_is_sent(integrations: Any) -> None:
    assert excluded_by(integrations) is None


@pytest.mark.parametrize("integrations", [False, "false"])
def test_an_event_for_no_destination_at_all_is_kept_back(integrations: Any) -> None:
    assert excluded_by(integrations) == "integrations"


@pytest.mark.parametrize(
    ("integrations", "place"),
    [
        pytest.param(
            {"Attentive Tag": {"identifyOperation": "Unsubscribe"}},
            "integrations.Attentive Tag.identifyOperation",
            id="in RudderStack's options",
        ),
        pytest.param({"Attentive Tag": {"identifyOperation": "identify"}}, None, id="not with another operation"),
        pytest.param({"Braze": {"identifyOperation": "unsubscribe"}}, None, id="not of another vendor"),
        pytest.param({"Attentive Tag": True}, None, id="not without options"),
        pytest.param(None, None, id="not without integrations"),
    ],
)
def test_a_person_asks_to_be_unsubscribed(integrations: Any, place: str | None) -> None:
    assert asks_to_unsubscribe(integrations) == place
