"""Whom calls may be about: a call that could reach anybody else is not sent."""

from typing import Any, Final

import pytest

from app.delivery.recipients import EVERYBODY, Deliver, Recipients

TESTERS: Final = Recipients(Deliver.TEST_PEOPLE, frozenset({"tess@shop-a.example", "+14155550132"}))


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        pytest.param({"user": {"email": "tess@shop-a.example"}}, True, id="an event of a tester"),
        pytest.param({"user": {"email": "ada@shop-a.example"}}, False, id="an event of another person"),
        pytest.param({"email": "tess@shop-a.example", "phone": "+14155550132"}, True, id="a link of a tester"),
        pytest.param({"email": "tess@shop-a.example", "phone": "+14155550199"}, False, id="a link to a stranger"),
        pytest.param({"identifiers": {"phone": "+14155550132"}, "attributes": {}}, True, id="attributes of a tester"),
        pytest.param({"identifiers": {"clientUserId": "u-1"}}, False, id="a person known by an ID alone"),
        pytest.param({}, False, id="nobody"),
    ],
)
def test_only_calls_about_testers_alone_are_sent(body: dict[str, Any], sent: bool) -> None:
    assert TESTERS.include(body) is sent
    assert EVERYBODY.include(body)
    assert not Recipients(Deliver.NONE, TESTERS.people).include(body)


def test_the_repr_names_nobody() -> None:
    assert "tess" not in repr(TESTERS)
