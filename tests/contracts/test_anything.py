"""Whatever comes in and whatever the settings say: what goes out keeps the contracts, and the mapping is a function."""

import copy
from collections.abc import Iterator
from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.attentive.endpoints import BY_NAME
from app.config.destination import Destination
from app.pipeline import Decision, Forward, Known, Plan, decide, read
from app.wiring.gateway import plan_of
from tests.builders import EMAIL, NOW, Raw, about, decided, identify, track
from tests.contracts.anything import CARD, DESTINATIONS, FLAGGED_EVENTS, KNOWN_ATTRIBUTES, REMEMBERED
from tests.contracts.attentive_contract import Contract, vendor_folder
from tests.generated import examples

FOLDER: Final = vendor_folder()
CONTRACTS: Final = [Contract.ours(), *([Contract.vendor(FOLDER)] if FOLDER else [])]
FORBIDDEN: Final = frozenset("\"'(){}[]\\|,")
IDENTIFIERS: Final = frozenset({"user", "identifiers", "externalIdentifiers"})


def judged(raw: Raw, plan: Plan, attributes: dict[str, str], remembered: dict[str, str], *, apart: bool) -> Decision:
    reading = read(raw, orjson.dumps(raw), plan)
    return decide(reading, plan, source="shop", received_at=NOW, known=Known(attributes, remembered, apart))


def faults(value: Any, path: str = "", *, identifiers: bool = False) -> Iterator[str]:
    """Nulls, blank identifiers, and names that Attentive forbids, at any depth."""
    if value is None or (identifiers and isinstance(value, str) and not value.strip()):
        yield f"{path}: {value!r}"
    elif isinstance(value, list):
        for inner in value:
            yield from faults(inner, f"{path}[]", identifiers=identifiers)
    elif isinstance(value, dict):
        if identifiers and not value:
            yield f"{path}: empty"
        for name, inner in value.items():
            if not name or FORBIDDEN & set(name):
                yield f"{path}: {name!r}"
            yield from faults(inner, f"{path}.{name}", identifiers=identifiers or (not path and name in IDENTIFIERS))


@examples(600)
@given(
    raw=FLAGGED_EVENTS,
    destination=DESTINATIONS,
    attributes=KNOWN_ATTRIBUTES,
    remembered=REMEMBERED,
    apart=st.booleans(),
)
def test_every_call_keeps_the_contracts(
    raw: Raw, destination: dict[str, Any], attributes: dict[str, str], remembered: dict[str, str], apart: bool
) -> None:
    raw["messageId"] = f"message-{raw.get('messageId', '')}"  # without one, or with a placeholder, each gets its own
    plan = plan_of(Destination.model_validate(destination))
    before = copy.deepcopy((raw, attributes, remembered))
    decision = judged(raw, plan, attributes, remembered, apart=apart)
    assert (raw, attributes, remembered) == before, "what comes in is not changed"
    assert judged(raw, plan, attributes, remembered, apart=apart) == decision, "the same event, the same calls"
    for sent in decision.deliveries if isinstance(decision, Forward) else ():
        body, path = orjson.loads(sent.body), BY_NAME[sent.endpoint].path
        assert [error for contract in CONTRACTS for error in contract.errors("POST", path, body)] == []
        assert list(faults(body, identifiers=sent.endpoint == "identity")) == []
        assert CARD.encode() not in sent.body
        assert b"hunter2" not in sent.body


VIEWED: Final = {"product_id": "a", "price": 1}
NASTY_ONES: Final = [
    pytest.param(track("Product Viewed", VIEWED | {"quantity": "9" * 30}), id="a quantity of 30 digits"),
    pytest.param(track("Product Viewed", VIEWED | {"quantity": "9" * 5000}), id="a quantity of 5,000 digits"),
    pytest.param(track("Product Viewed", VIEWED | {"quantity": 1e300}), id="a quantity of 1e300"),
    pytest.param(track("Product Viewed", VIEWED | {"price": "9" * 5000}), id="a price of 5,000 digits"),
    pytest.param(track("Product Viewed", VIEWED | {"price": 1e300}), id="a price of 1e300"),
    pytest.param(identify({"email": EMAIL, "age": 1e300}), id="an age of 1e300"),
    pytest.param(track("x", timestamp="9" * 5000), id="a time of 5,000 digits"),
    pytest.param(
        track("x", timestamp=None, sentAt="0001-01-01", originalTimestamp="9999-12-31"),
        id="a clock that is ten thousand years off",
    ),
    pytest.param(track("x", userId="ada@corp.local"), id="a user id that is an address of a private network"),
    pytest.param(track("x", userId="ada@under_score.com"), id="a user id that is an address no validator likes"),
    pytest.param(track("x", userId="+1234567"), id="a user id that is a short phone number"),
    pytest.param(about(track("x"), phone="+49 123456789012345"), id="a phone number longer than E.164 allows"),
    pytest.param(track("x", {"mediaUrl": 5}), id="a picture's address that is a number"),
    pytest.param(track("x", {"": 1, "\u0000": {"": []}}), id="names that are empty"),
    pytest.param(track("(" * 300), id="an event name of nothing but forbidden characters"),
]


@pytest.mark.parametrize("raw", NASTY_ONES)
def test_what_is_nasty_is_decided_as_well(raw: Raw) -> None:
    decision = decided(raw)
    for sent in decision.deliveries if isinstance(decision, Forward) else ():
        body, path = orjson.loads(sent.body), BY_NAME[sent.endpoint].path
        assert [error for contract in CONTRACTS for error in contract.errors("POST", path, body)] == []


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"user": {"email": ""}}, id="an empty identifier"),
        pytest.param({"user": {}}, id="nobody"),
        pytest.param({"properties": {"a": [{"b": None}]}}, id="null"),
        pytest.param({"properties": {"a": [{"b|": 1}]}}, id="a forbidden character"),
        pytest.param({"properties": {"": 1}}, id="a name that is empty"),
    ],
)
def test_a_fault_would_be_seen(body: Any) -> None:
    assert list(faults(body)) != []
