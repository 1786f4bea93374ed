"""Fingerprints of calls: equal people and equal facts give equal fingerprints, in any order."""

from typing import Any, Final

import orjson
import pytest

from app.delivery.last_sent import Fingerprint, fingerprint_of

V2: Final = {
    "identifiers": {"email": "ada@example.com"},
    "attributes": {"firstName": "Ada", "custom": {"a": 1, "b": 2}},
}
V1: Final = {"user": {"email": "ada@example.com"}, "properties": {"a": 1, "b": 2}}
LINK: Final = {"email": "ada@example.com", "clientUserId": "7"}


def about(endpoint: str, body: dict[str, Any]) -> Fingerprint:
    found = fingerprint_of(endpoint, orjson.dumps(body))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("endpoint", "body", "changed", "person", "facts"),
    [
        pytest.param("user-attributes", V2, V2, True, True, id="the same attributes"),
        pytest.param(
            "user-attributes",
            V2,
            {"attributes": {"custom": {"b": 2, "a": 1}, "firstName": "Ada"}, "identifiers": V2["identifiers"]},
            True,
            True,
            id="the same attributes in another order",
        ),
        pytest.param("user-attributes", V2, V2 | {"attributes": {"firstName": "A."}}, True, False, id="other ones"),
        pytest.param("user-attributes", V2, V2 | {"identifiers": {"email": "b@c.co"}}, False, True, id="of another"),
        pytest.param("custom-attributes", V1, V1 | {"properties": {"b": 2, "a": 1}}, True, True, id="the same, v1"),
        pytest.param("custom-attributes", V1, V1 | {"properties": {"a": 1}}, True, False, id="other ones, v1"),
        pytest.param("custom-attributes", V1, V1 | {"user": {"email": "b@c.co"}}, False, True, id="of another, v1"),
        pytest.param("identity", LINK, LINK, True, True, id="the same link"),
        pytest.param("identity", LINK, LINK | {"clientUserId": "8"}, False, False, id="another link"),
    ],
)
def test_two_calls_say(endpoint: str, body: dict[str, Any], changed: dict[str, Any], person: bool, facts: bool) -> None:
    before, after = about(endpoint, body), about(endpoint, changed)
    assert (before[0] == after[0], before[1] == after[1]) == (person, facts)


@pytest.mark.parametrize("endpoint", ["custom-event", "purchase", "product-view", "add-to-cart"])
def test_an_event_is_something_new_each_time(endpoint: str) -> None:
    assert fingerprint_of(endpoint, b"{}") is None


def test_the_two_versions_of_attributes_are_two_things_to_be_told() -> None:
    assert about("user-attributes", {"identifiers": {"email": "a"}})[0] != about("custom-attributes", {"user": {}})[0]
