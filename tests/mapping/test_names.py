"""The names of e-commerce events: however a shop spells one, the same rows apply."""

from collections.abc import Callable
from typing import Final

import pytest

from app.mapping.catalogue import CATALOGUE, Catalogue, Rule
from app.mapping.names import ALIASES
from tests.builders import body_of, parsed, track

NAMED: Final = [rule.event for rule in CATALOGUE if rule.event is not None]
WITH_ALIASES: Final = [*((name, name) for name in NAMED), *ALIASES.items()]
SPELLINGS: Final[dict[str, Callable[[str], str]]] = {
    "as it is": lambda name: name,
    "in snake_case": lambda name: name.lower().replace(" ", "_"),
    "in camelCase": lambda name: name[0].lower() + name.title().replace(" ", "")[1:],
    "in PascalCase": lambda name: name.title().replace(" ", ""),
    "in small letters": str.lower,
    "in capitals": str.upper,
    "in kebab-case": lambda name: name.lower().replace(" ", "-"),
    "in CONSTANT_CASE": lambda name: name.upper().replace(" ", "_"),
    "in Title_Snake_Case": lambda name: name.replace(" ", "_"),
    "with double blanks": lambda name: name.replace(" ", "  "),
    "with blanks around it": lambda name: f"  {name}\t",
    "with a blank that does not break": lambda name: name.replace(" ", "\u00a0"),
    "joined by nothing": lambda name: name.lower().replace(" ", ""),
    "joined by nothing, in capitals": lambda name: name.upper().replace(" ", ""),
}

# The spellings that Segment documents, written out: the table of names is measured against them.
ALSO_KNOWN_AS: Final = [
    ("Viewed Product Category", "Product List Viewed"),
    ("Product Category Viewed", "Product List Viewed"),
    ("Viewed Product", "Product Viewed"),
    ("Clicked Product", "Product Clicked"),
    ("Added Product", "Product Added"),
    ("Removed Product", "Product Removed"),
    ("Viewed Promotion", "Promotion Viewed"),
    ("Clicked Promotion", "Promotion Clicked"),
    ("Started Order", "Checkout Started"),
    ("Started Checkout", "Checkout Started"),
    ("Completed Order", "Order Completed"),
    ("Updated Order", "Order Updated"),
    ("Cancelled Order", "Order Cancelled"),
    ("Canceled Order", "Order Cancelled"),
    ("Order Canceled", "Order Cancelled"),
]


def rows(name: str) -> tuple[Rule, ...]:
    """The rows for a track event of this name, when no other track events are let through."""
    return Catalogue(CATALOGUE, other_events=frozenset()).rules_for(parsed(track(name)))


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(("name", "canonical"), WITH_ALIASES)
def test_a_name_is_known(name: str, canonical: str, spelling: str) -> None:
    found = rows(SPELLINGS[spelling](name))
    assert [rule.event for rule in found] == [canonical]


@pytest.mark.parametrize(("name", "canonical"), ALSO_KNOWN_AS)
def test_a_name_that_segment_documents_is_among_them(name: str, canonical: str) -> None:
    assert [rule.event for rule in rows(name)] == [canonical]


def test_every_other_spelling_leads_to_a_row() -> None:
    assert [name for name in ALIASES.values() if name not in NAMED] == []


@pytest.mark.parametrize(
    "name",
    [
        "Product Viewed Again",
        "Products Viewed",
        "Product",
        "ProductViewedd",
        "Product/Viewed",
        "Product.Viewed",
        "My Order Completed",
        "Order Completed 2",
        "Order Complete",
        "Viewed",
        "checkout step viewed",
        "Boot Fitting Booked",
        "boot_fitting-Booked",
    ],
)
def test_a_name_that_is_only_near_is_a_custom_event_and_stays_as_it_is(name: str) -> None:
    assert rows(name) == ()
    (rule,) = Catalogue().rules_for(parsed(track(name)))
    assert (rule.event, rule.endpoint.name) == (None, "custom-event")
    assert body_of(track(name))["type"] == name


@pytest.mark.parametrize("name", ["order_updated", "orderUpdated", "Updated Order", "Order Updated"])
def test_a_known_name_stays_as_the_shop_writes_it_too(name: str) -> None:
    """Whoever builds journeys on these events in Attentive looks for the name that their shop sends."""
    assert body_of(track(name, {"order_id": "1001"}))["type"] == name


@pytest.mark.parametrize("kind", ["page", "identify"])
def test_only_track_events_are_known_by_name(kind: str) -> None:
    found = Catalogue().rules_for(parsed(track("Product Viewed", type=kind)))
    assert {rule.type for rule in found} == {kind}
