"""Which rows apply to an event."""

import pytest

from app.mapping.catalogue import CATALOGUE, Catalogue
from tests.builders import Raw, identify, page, parsed, track


@pytest.mark.parametrize(
    ("raw", "other_events", "expected"),
    [
        pytest.param(track("Product Viewed"), None, ["Product Viewed → product-view"], id="a named event"),
        pytest.param(track("product viewed"), None, ["Product Viewed → product-view"], id="its name in other letters"),
        pytest.param(track("Fitting"), None, ["any other track → custom-event"], id="any other event"),
        pytest.param(
            track("Fitting"), frozenset({"Fitting"}), ["any other track → custom-event"], id="one on the list"
        ),
        pytest.param(track("Fitting"), frozenset({"Visit"}), [], id="one that is not on the list"),
        pytest.param(track("Fitting"), frozenset(), [], id="any other event, when none is let through"),
        pytest.param(
            track("Cart Viewed"), frozenset(), ["Cart Viewed → custom-event"], id="a named event all the same"
        ),
        pytest.param(page(), frozenset(), ["page → custom-event"], id="a page all the same"),
        pytest.param(identify(), frozenset(), ["identify → identity", "identify → user-attributes"], id="an identify"),
        pytest.param(track("x", type="screen"), None, [], id="a screen"),
        pytest.param(track("x", type="group"), None, [], id="a group"),
        pytest.param(track("x", type="alias"), None, [], id="an alias"),
    ],
)
def test_rows_apply_to(raw: Raw, other_events: frozenset[str] | None, expected: list[str]) -> None:
    event = parsed({**raw, "userId": "7"})
    assert [rule.name for rule in Catalogue(CATALOGUE, other_events).rules_for(event)] == expected


def test_no_two_rows_make_the_same_call_of_the_same_event() -> None:
    rows = [(rule.type, rule.event, rule.endpoint.name) for rule in CATALOGUE]
    assert len(set(rows)) == len(rows)
