"""How much one call may carry: names, addresses, bytes."""

import copy
from typing import Any, Final

import pytest

from app.mapping.size import KEYS, LARGE_BYTES, MOST_BYTES
from tests.builders import EMAIL, about, body_of, calls, failed, forwarded, identify, track

PRODUCT: Final = {"product_id": "A", "price": 1}


def sent(properties: dict[str, Any]) -> Any:
    return body_of(track("Boot Fitting Booked", properties))["properties"]


def names_in(value: Any, path: str = "") -> set[str]:
    """Dotted, the objects of a list as one."""
    if isinstance(value, list):
        return {name for each in value for name in names_in(each, path)}
    if not isinstance(value, dict):
        return set()
    below = (names_in(inner, f"{path}.{key}") | {f"{path}.{key}"} for key, inner in value.items())
    return {name for names in below for name in names}


class TestNames:
    @pytest.mark.parametrize(
        "properties",
        [
            pytest.param({f"name {number}": number for number in range(200)}, id="two hundred"),
            pytest.param(
                {"products": [{f"field {field}": number for field in range(40)} for number in range(50)]},
                id="two thousand, but forty different ones",
            ),
            pytest.param({"note": "x" * 10_000}, id="one, with much text"),
        ],
    )
    def test_are_sent_as_they_are_when_they_are_no_more_than_two_hundred(self, properties: dict[str, Any]) -> None:
        assert sent(properties) == properties
        assert forwarded(track("x", properties)).notes == ()

    @pytest.mark.parametrize(
        "properties",
        [
            pytest.param({f"name {number}": number for number in range(300)}, id="side by side"),
            pytest.param({"a": {"b": {f"name {number}": number for number in range(300)}}}, id="far inside"),
            pytest.param({"a": [{f"name {number}": number} for number in range(300)]}, id="in a list, all different"),
            pytest.param({f"name {number}": {"a": {"b": [1, {"c": 2}]}} for number in range(100)}, id="at all depths"),
        ],
    )
    def test_beyond_two_hundred_are_left_out_with_a_note(self, properties: dict[str, Any]) -> None:
        before = copy.deepcopy(properties)
        assert len(names_in(sent(properties))) == KEYS
        assert [note for note in forwarded(track("x", properties)).notes if "200" in note] != []
        assert properties == before

    def test_that_lie_outside_are_kept_before_those_inside(self) -> None:
        deep = {"deep": {f"name {number}": number for number in range(300)}, "total": 9.5, "coupon": "TRAIL10"}
        kept = sent(deep)
        assert (kept["total"], kept["coupon"], len(kept["deep"])) == (9.5, "TRAIL10", KEYS - 3)

    def test_of_an_order_are_all_sent(self) -> None:
        products = [{**PRODUCT, "product_id": f"A-{number}", "name": "x" * 50} for number in range(300)]
        assert len(body_of(track("Order Completed", {"products": products}))["items"]) == 300


class TestAddresses:
    @pytest.mark.parametrize(
        ("address", "noted"),
        [
            pytest.param("https://shop.example/?q=" + "x" * 1_000, False, id="of 1,024 characters"),
            pytest.param("https://shop.example/?q=" + "x" * 1_001, True, id="of one more"),
            pytest.param("x" * 5_000, False, id="that are none"),
        ],
    )
    @pytest.mark.parametrize("where", ["property", "nested", "item"])
    def test_that_attentive_does_not_shorten_are_noted_and_sent(self, address: str, noted: bool, where: str) -> None:
        raw = {
            "property": track("x", {"url": address}),
            "nested": track("x", {"a": [{"b": address}]}),
            "item": track("Product Viewed", {**PRODUCT, "url": address}),
        }[where]
        forward = forwarded(raw)
        assert ([note for note in forward.notes if "1,024" in note] != []) is noted
        assert address.encode() in forward.deliveries[0].body


class TestBytes:
    def test_of_a_large_call_are_noted_and_counted(self) -> None:
        forward = forwarded(track("x", {"note": "x" * LARGE_BYTES}))
        assert forward.counts == ("large:custom-event",)
        assert [note for note in forward.notes if note.startswith("the custom-event call has 262,")] != []

    def test_of_a_call_that_is_too_large_are_kept_and_not_sent(self) -> None:
        letter = failed(track("x", {"note": "x" * MOST_BYTES}))
        assert letter.reason == "too_large"
        assert letter.detail.startswith("the custom-event call has 1,048,")

    def test_up_to_a_quarter_of_that_are_nothing_to_speak_of(self) -> None:
        forward = forwarded(track("x", {"note": "x" * (LARGE_BYTES - 1_000)}))
        assert (forward.notes, forward.counts) == ((), ())

    def test_count_for_attributes_too(self) -> None:
        raw = about(identify(), email=EMAIL, essay="x" * LARGE_BYTES)
        assert forwarded(raw).counts == ("large:user-attributes",)
        assert calls(raw)[0][1]["attributes"]["custom"]["essay"] == "x" * LARGE_BYTES
