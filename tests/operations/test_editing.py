"""Changing a dead letter: what is set and removed, what is refused, and which paths are told."""

from typing import Any, Final

import orjson
import pytest

from app.delivery.dead_letter import DeadLetter
from app.identity.extract import IdentityRules
from app.operations.editing import Rejected, changed_paths, content_of, read_json, with_changes, with_content
from tests.builders import NOW, track

ORDER: Final = {
    "user": {"email": "ada@example.com"},
    "occurredAt": "2026-03-01T11:59:58.250Z",
    "items": [{"productId": "p", "productVariantId": "v", "price": [{"value": -1, "currency": "USD"}]}],
}
LETTER: Final = DeadLetter("m", "shop", "http_400", "", b"{}", NOW, "purchase", orjson.dumps(ORDER))
EVENT: Final = DeadLetter("m", "shop", "unmappable", "", orjson.dumps(track("Product Viewed")), NOW)


@pytest.mark.parametrize(
    ("settings", "removals", "expected"),
    [
        pytest.param(["a=1"], [], {"a": 1, "b": {"c": [1, 2]}}, id="a number"),
        pytest.param(["a=text"], [], {"a": "text", "b": {"c": [1, 2]}}, id="text"),
        pytest.param(['a="1"'], [], {"a": "1", "b": {"c": [1, 2]}}, id="a number as text"),
        pytest.param(["a=x=y"], [], {"a": "x=y", "b": {"c": [1, 2]}}, id="text with an equals sign"),
        pytest.param(["b.d=true"], [], {"a": 0, "b": {"c": [1, 2], "d": True}}, id="a new field"),
        pytest.param(["b.c.1=9"], [], {"a": 0, "b": {"c": [1, 9]}}, id="an element of a list"),
        pytest.param(["b.c.2=3"], [], {"a": 0, "b": {"c": [1, 2, 3]}}, id="one more element"),
        pytest.param(["x.y.z=1"], [], {"a": 0, "b": {"c": [1, 2]}, "x": {"y": {"z": 1}}}, id="objects on the way"),
        pytest.param(['b={"e": null}'], [], {"a": 0, "b": {"e": None}}, id="an object"),
        pytest.param([], ["b.c.0", "a"], {"b": {"c": [2]}}, id="things taken out"),
    ],
)
def test_changes_are_made_by_path(settings: list[str], removals: list[str], expected: Any) -> None:
    before = {"a": 0, "b": {"c": [1, 2]}}
    assert with_changes(before, settings, removals) == expected
    assert before == {"a": 0, "b": {"c": [1, 2]}}, "what was given stays as it was"


@pytest.mark.parametrize(
    ("settings", "removals", "said"),
    [
        pytest.param(["a"], [], "Write it as path=value", id="no value"),
        pytest.param(["a.b.c=1"], [], "a holds no fields", id="a path through a number and further"),
        pytest.param(["b.c.5.d=1"], [], "b.c.5: does not exist", id="a path through a place behind the end of a list"),
        pytest.param([], ["x.y"], "x: does not exist", id="a removal through nothing"),
        pytest.param(["b.c.7=1"], [], "b.c.7: does not exist", id="a place far behind the end of a list"),
        pytest.param(["b.c.first=1"], [], "holds no fields", id="a name in a list"),
        pytest.param(["a.b=1"], [], "a holds no fields", id="a path through a number"),
        pytest.param([], ["z"], "z: does not exist", id="nothing to remove"),
        pytest.param([], ["b.c.2"], "b.c.2: does not exist", id="nothing to remove from a list"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(settings: list[str], removals: list[str], said: str) -> None:
    with pytest.raises(Rejected, match=said):
        with_changes({"a": 0, "b": {"c": [1, 2]}}, settings, removals)


def test_a_call_that_attentive_would_take_is_kept() -> None:
    after = with_changes(content_of(LETTER), ["items.0.price.0.value=19.99"], [])
    edited = with_content(LETTER, after, IdentityRules())
    assert edited.body is not None
    assert orjson.loads(edited.body)["items"][0]["price"][0]["value"] == 19.99
    assert edited.event == LETTER.event


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param("items.0.price.0.value=free", "items.0.price.0.value", id="a price in words"),
        pytest.param("items=[]", "items", id="no items"),
        pytest.param("user={}", "user", id="nobody"),
        pytest.param("user.phone=555-0132", "user.phone", id="a phone number that is none"),
        pytest.param("itms=[]", "itms", id="a key that Attentive does not know"),
    ],
)
def test_a_call_that_attentive_would_refuse_is_refused_with_its_field(change: str, said: str) -> None:
    with pytest.raises(Rejected) as rejected:
        with_content(LETTER, with_changes(content_of(LETTER), ["items.0.price.0.value=5", change], []), IdentityRules())
    assert str(rejected.value).startswith(said)


def test_an_event_has_to_be_one_still() -> None:
    edited = with_content(EVENT, with_changes(content_of(EVENT), ["properties.price=5"], []), IdentityRules())
    assert orjson.loads(edited.event)["properties"] == {"price": 5}
    with pytest.raises(Rejected, match="event: must be a non-empty string"):
        with_content(EVENT, with_changes(content_of(EVENT), [], ["event"]), IdentityRules())


def test_what_is_no_json_is_told_with_its_place() -> None:
    with pytest.raises(Rejected, match=r"not JSON: .* in line 2, column"):
        read_json('{"a":\n oops}')


def test_the_paths_that_changed_are_told_and_nothing_of_what_they_hold() -> None:
    before = {"a": 1, "b": [{"c": "ada@example.com"}, 2], "gone": 0}
    after = {"a": 1, "b": [{"c": "eve@example.com"}, 2], "new": {"d": 1}}
    assert list(changed_paths(before, after)) == ["b.0.c", "gone", "new"]
    assert list(changed_paths(before, before)) == []
