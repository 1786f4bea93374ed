"""Paths into an event, as people write them."""

from typing import Any

import pytest

from app.segment.paths import EventPath
from tests.builders import parsed, track

EVENT = track(
    "x",
    {"customer": {"email": "p"}, "list": [{"a": 1}]},
    userId="7",
    traits={"card": {"number": 12}, "email": "t", "zero": 0, "nothing": None},
    context={"traits": {"email": "c", "phone": "c"}},
)
GOOD = ["userId", "context.ip", "traits.email", "properties.customer.email", "traits.first name", "traits.a-b.c_d"]
BAD = [
    "",
    "email",
    "traits",
    "properties",
    "traits.",
    ".traits",
    "traits..email",
    "context",
    "anonymousId",
    "userId.x",
    "Traits.email",
]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param("userId", "7", id="the user id"),
        pytest.param("traits.email", "t", id="a trait of the call itself"),
        pytest.param("traits.phone", "c", id="a trait of its context"),
        pytest.param("traits.card.number", 12, id="a part of a trait"),
        pytest.param("traits.zero", 0, id="a zero"),
        pytest.param("traits.nothing", None, id="null"),
        pytest.param("traits.missing", None, id="a trait that is not there"),
        pytest.param("traits.missing.number", None, id="a part of one that is not there"),
        pytest.param("traits.email.domain", None, id="a part of text"),
        pytest.param("properties.customer.email", "p", id="a part of a property"),
        pytest.param("context.traits.phone", "c", id="a part of the context"),
        pytest.param("context.device.id", None, id="a part of the context that is not there"),
        pytest.param("properties.list.a", [1], id="a part of every element of a list"),
    ],
)
def test_a_path_leads_to(path: str, value: Any) -> None:
    assert EventPath(path).read(parsed(EVENT)) == value


@pytest.mark.parametrize("text", GOOD)
def test_a_path_reads_as_it_is_written(text: str) -> None:
    assert str(EventPath(text)) == text


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="path into an event"):
        EventPath(text)


def test_two_paths_are_the_same_when_they_are_written_the_same() -> None:
    assert EventPath("traits.email") == EventPath("traits.email") != EventPath("traits.phone")
