"""The tracking routes over HTTP: accepted and refused requests, and the responses to them."""

import json
from collections.abc import MutableMapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import httpx
import orjson
import pytest

from app.attentive.endpoints import CUSTOM_EVENT
from app.delivery.delivery import Delivery
from app.identity.extract import IdentityRules
from app.ingest.intake import Limits
from app.ingest.paths import BY_PATH
from app.mapping.catalogue import Catalogue, Rule
from app.mapping.expressions import Evaluation
from app.pipeline import NOTED_FINDINGS, Plan
from app.privacy.guard import Guard
from app.privacy.policy import BY_DEFAULT, Action, Check, Policy
from app.segment.paths import EventPath
from tests import builders
from tests.builders import EMAIL, Raw, deliveries_of, identify
from tests.fakes import ORIGIN, WRITE_KEY, Harness, open_intake

VIEWED: Final = {"product_id": "A", "price": 5}


def track(event: str, properties: Raw | None = None, **fields: Any) -> Raw:
    """A track event that happens as it arrives: here, the clock is real."""
    return builders.track(event, properties, **{"timestamp": None, **fields})


def page(properties: Raw | None = None) -> Raw:
    """The same for a page view."""
    return builders.page(properties, timestamp=None)


def nested(depth: int, *, at: str = "properties") -> Raw:
    """An event whose `at` is this many objects deep."""
    inner: Raw = {"z": 1}
    for _ in range(depth - 1):
        inner = {"a": inner}
    return track("Coupon Entered", **{at: inner})


def sized(body_bytes: int, **fields: Any) -> Raw:
    """An event of exactly this many bytes of JSON."""
    raw = track("Coupon Entered", {"note": ""}, **fields)
    raw["properties"]["note"] = "x" * (body_bytes - len(orjson.dumps(raw)))
    return raw


def batch(*events: Any, **shared: Any) -> Raw:
    return {"batch": list(events), **shared}


def assert_every_tracker_survives(answer: httpx.Response) -> None:
    """The shape without which some trackers send a refused batch again and again."""
    body = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert body["success"] is False
    assert all(isinstance(body[key], str) and body[key] for key in ("code", "message", "error"))
    assert answer.headers["access-control-allow-origin"] == ORIGIN


class TestAnEventThatIsTaken:
    @pytest.mark.parametrize(
        ("path", "raw"),
        [
            pytest.param("/v1/track", track("Product Viewed", VIEWED), id="a track call"),
            pytest.param("/v1/identify", identify({"email": EMAIL, "vip": 1}), id="an identify call"),
            pytest.param("/v1/page", page({"path": "/"}), id="a page call"),
            pytest.param("/v1/batch", batch(track("Product Viewed", VIEWED)), id="a batch"),
            pytest.param("/v1/batch", [track("Product Viewed", VIEWED)], id="a batch that is a bare list"),
        ],
    )
    async def test_is_answered_in_the_one_way_all_trackers_like(self, intake: Harness, path: str, raw: Any) -> None:
        answer = await intake.post(path, raw)
        assert (answer.status_code, answer.json()) == (200, {"success": True})
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert (intake.outbox.message_ids, intake.outbox.endings) == (["message-1"], [""])

    @pytest.mark.parametrize(
        "label",
        [
            pytest.param("application/json; charset=utf-8", id="JSON of a server"),
            pytest.param("text/plain;charset=UTF-8", id="text of a browser"),
            pytest.param("application/x-www-form-urlencoded", id="a form of a client that mislabels"),
            pytest.param("", id="nothing"),
        ],
    )
    async def test_may_be_labelled_as(self, intake: Harness, label: str) -> None:
        answer = await intake.post("/v1/track", track("Coupon Entered"), headers={"content-type": label})
        assert (answer.status_code, len(intake.outbox.arrivals)) == (200, 1)

    async def test_has_the_type_of_its_path(self, intake: Harness) -> None:
        await intake.post("/v1/page", {**page({"path": "/"}), "type": "track"})
        assert intake.outbox.bodies[0]["type"] == "page"

    async def test_never_keeps_the_write_key(self, intake: Harness) -> None:
        await intake.post("/v1/track", track("Coupon Entered", writeKey=WRITE_KEY), key=None)
        inside = track("Coupon Entered", writeKey=WRITE_KEY, messageId="message-2")
        await intake.post("/v1/batch", batch(inside, writeKey=WRITE_KEY), key=None)
        await intake.post("/v1/track", track("Product Viewed", {"price": "free"}, writeKey=WRITE_KEY), key=None)
        assert len(intake.outbox.arrivals) == 3
        assert WRITE_KEY.encode() not in intake.outbox.stored
        assert b"writeKey" not in intake.outbox.stored

    async def test_goes_to_the_destination_of_its_source(self, intake: Harness) -> None:
        await intake.post("/v1/track", track("Coupon Entered"), key="wk_app")
        assert intake.outbox.destinations == ["other"]
        assert [sent.source for each in intake.outbox.arrivals for sent in deliveries_of(each)] == ["app"]


class TestNumbersAndNulls:
    async def test_numbers_as_ids_become_text(self, intake: Harness) -> None:
        raw = track("Coupon Entered", messageId=77, userId=1042, anonymousId=5)
        assert (await intake.post("/v1/track", raw)).status_code == 200
        assert intake.outbox.message_ids == ["77"]
        assert intake.outbox.bodies[0]["user"]["externalIdentifiers"] == {"clientUserId": "1042"}

    @pytest.mark.parametrize(
        "field",
        [
            pytest.param(name, id=name)
            for name in (
                *("messageId", "userId", "anonymousId", "properties", "traits", "context", "integrations"),
                *("timestamp", "originalTimestamp", "sentAt", "type"),
            )
        ],
    )
    async def test_null_is_as_good_as_nothing_for(self, intake: Harness, field: str) -> None:
        everybody = track("Coupon Entered", userId="customer-1042", anonymousId="browser-1", traits={"email": EMAIL})
        assert (await intake.post("/v1/track", everybody | {field: None})).status_code == 200
        assert intake.outbox.endings == [""]

    @pytest.mark.parametrize(
        "literal",
        [
            pytest.param(b"NaN", id="NaN"),
            pytest.param(b"Infinity", id="Infinity"),
            pytest.param(b"-Infinity", id="minus infinity"),
            pytest.param(b"1e999", id="a number beyond all numbers"),
        ],
    )
    async def test_numbers_that_json_does_not_know_become_null(self, intake: Harness, literal: bytes) -> None:
        raw = orjson.dumps(track("Coupon Entered", {"a": "HERE", "b": 1})).replace(b'"HERE"', literal)
        assert (await intake.post("/v1/track", raw)).status_code == 200
        assert intake.outbox.bodies[0]["properties"] == {"b": 1}

    @pytest.mark.parametrize(
        ("literal", "kept"),
        [
            pytest.param(str(2**53 + 1), 2**53 + 1, id="2**53 + 1"),
            pytest.param(str(2**63 - 1), 2**63 - 1, id="the largest signed one"),
            pytest.param(str(2**64 - 1), 2**64 - 1, id="the largest unsigned one"),
            pytest.param(str(2**70), float(2**70), id="2**70, as near as a float comes"),
            pytest.param(str(-(2**70)), -float(2**70), id="-2**70, as near as a float comes"),
        ],
    )
    async def test_large_integers_are_kept(self, intake: Harness, literal: str, kept: float) -> None:
        raw = orjson.dumps(track("Coupon Entered", {"a": "HERE"})).replace(b'"HERE"', literal.encode())
        assert (await intake.post("/v1/track", raw)).status_code == 200
        assert intake.outbox.bodies[0]["properties"] == {"a": kept}

    async def test_an_integer_of_400_digits_does_not_cost_us_the_process(self, intake: Harness) -> None:
        raw = orjson.dumps(track("Coupon Entered", {"a": "HERE"})).replace(b'"HERE"', str(10**400).encode())
        answer = await intake.post("/v1/track", raw)
        assert answer.status_code in (200, 400)


UNREADABLE: Final = [
    pytest.param(b"", id="nothing"),
    pytest.param(b"hello", id="text"),
    pytest.param(b"a=1&b=2", id="a form"),
    pytest.param(b'{"type":"track"', id="JSON that ends too early"),
    pytest.param(b'{"batch":[, ,]}', id="the list that an old Android client once sent"),
    pytest.param(b'{"event":"\xff\xfe"}', id="bytes that are no UTF-8"),
    pytest.param(b"{" * 100_000, id="a hundred thousand braces"),
    pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, id="a hundred thousand objects in each other"),
]
NO_OBJECTS: Final = [
    pytest.param(b"[]", id="a list"),
    pytest.param(b"7", id="a number"),
    pytest.param(b'"event"', id="a text"),
    pytest.param(b"null", id="null"),
    pytest.param(b"true", id="a truth"),
]


class TestABodyThatIsRefused:
    @pytest.mark.parametrize("body", UNREADABLE)
    @pytest.mark.parametrize("path", [path for path, form in BY_PATH.items() if not form.discard])
    async def test_is_no_json(self, intake: Harness, path: str, body: bytes) -> None:
        answer = await intake.post(path, body)
        assert answer.status_code == 400
        assert answer.json()["code"] == "bad_request"
        assert_every_tracker_survives(answer)
        assert intake.outbox.arrivals == []

    @pytest.mark.parametrize("body", NO_OBJECTS)
    async def test_is_json_but_no_object(self, intake: Harness, body: bytes) -> None:
        answer = await intake.post("/v1/track", body)
        assert (answer.status_code, answer.json()["field"]) == (400, "event")
        assert_every_tracker_survives(answer)

    async def test_may_begin_with_a_byte_order_mark_though(self, intake: Harness) -> None:
        answer = await intake.post("/v1/track", b"\xef\xbb\xbf" + orjson.dumps(track("Coupon Entered")))
        assert (answer.status_code, len(intake.outbox.arrivals)) == (200, 1)

    @pytest.mark.parametrize("around", [pytest.param(name, id=name) for name in ("context", "integrations", "sentAt")])
    async def test_spoils_a_batch_where_it_is_about_all_its_events(self, intake: Harness, around: str) -> None:
        body = orjson.dumps(batch(track("Coupon Entered"), **{around: "HERE"})).replace(b"HERE", b"\xff")
        answer = await intake.post("/v1/batch", body)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
        assert answer.json()["message"].startswith(f"the {around} is not valid JSON")

    @pytest.mark.parametrize(
        "number",
        [pytest.param(b"1e999", id="one too large for a machine"), pytest.param(b"NaN", id="one that is none")],
    )
    async def test_may_hold_a_number_that_is_none_though(self, intake: Harness, number: bytes) -> None:
        events = batch(track("Coupon Entered"), track("Coupon Entered", {"value": "HERE", "code": "ten"}))
        answer = await intake.post("/v1/batch", orjson.dumps(events).replace(b'"HERE"', number))
        assert (answer.status_code, len(intake.outbox.arrivals)) == (200, 2)
        assert intake.outbox.bodies[1]["properties"] == {"code": "ten"}

    async def test_may_hold_half_a_character_though(self, intake: Harness) -> None:
        raw = orjson.dumps(track("Coupon Entered", {"note": "HERE"}, messageId="HERE")).replace(b"HERE", b"a\\ud800b")
        assert (await intake.post("/v1/track", raw)).status_code == 200
        assert intake.outbox.message_ids == ["a?b"]
        assert intake.outbox.bodies[0]["properties"] == {"note": "a?b"}


class TestTheKeyIsJudgedFirst:
    """A body that comes with an unknown key costs nothing but its bytes."""

    @pytest.mark.parametrize(
        ("body", "headers"),
        [
            pytest.param(b"this is no gzip", {"content-encoding": "gzip"}, id="before anything is inflated"),
            pytest.param(b"{", {}, id="before anything is parsed"),
            pytest.param(b"x", {"content-encoding": "br"}, id="before the encoding is looked at"),
        ],
    )
    async def test_in_a_header_or_the_query(self, intake: Harness, body: bytes, headers: dict[str, str]) -> None:
        answers = [
            await intake.post("/v1/track", body, key="nobody", headers=headers),
            await intake.post("/v1/track", body, key=None, headers={**headers, "x-write-key": "nobody"}),
            await intake.post("/v1/track?writeKey=nobody", body, key=None, headers=headers),
        ]
        assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(401, "unknown_source")] * 3

    @pytest.mark.parametrize(
        ("key", "status"),
        [pytest.param(WRITE_KEY, 200, id="a known key"), pytest.param("nobody", 400, id="an unknown key")],
    )
    @pytest.mark.parametrize("path", ["/v1/track", "/v1/batch"])
    async def test_in_the_body_where_only_a_slow_parser_could_read_it(
        self, intake: Harness, path: str, key: str, status: int
    ) -> None:
        raw = orjson.dumps(track("Coupon Entered", {"a": "HERE"}, writeKey=key)).replace(b'"HERE"', b"NaN")
        assert (await intake.post(path, raw, key=None)).status_code == status


class TestAnEmptyMapThatPhpWrites:
    @pytest.mark.parametrize(
        "raw",
        [
            pytest.param(track("Coupon Entered") | {"properties": []}, id="properties"),
            pytest.param(track("Coupon Entered", context={"traits": []}, traits={"email": EMAIL}), id="context.traits"),
            pytest.param(track("Coupon Entered", context=[], userId="u-1"), id="context"),
            pytest.param(identify({"a": 1}) | {"traits": [], "userId": "u-1"}, id="traits"),
            pytest.param(track("Coupon Entered", integrations=[]), id="integrations"),
        ],
    )
    async def test_is_an_empty_map(self, intake: Harness, raw: Raw) -> None:
        answer = await intake.post("/v1/batch", raw)
        assert (answer.status_code, len(intake.outbox.arrivals)) == (200, 1), answer.text

    async def test_lets_the_context_of_the_batch_through(self, intake: Harness) -> None:
        event = track("Coupon Entered", context=[], traits=None)
        await intake.post("/v1/batch", batch(event, context={"traits": {"email": EMAIL}}))
        assert intake.outbox.endings == [""]


REFUSED: Final = [
    pytest.param({"type": "purchase"}, "type", "bad_request", id="an unknown type"),
    pytest.param({"type": "Track"}, "type", "bad_request", id="a type in other dead letters"),
    pytest.param({"type": ["track"]}, "type", "bad_request", id="a type that is a list"),
    pytest.param({"type": None, "action": ["track"]}, "type", "bad_request", id="an old type that is a list"),
    pytest.param({"type": None, "action": {}}, "type", "bad_request", id="an old type that is an object"),
    pytest.param({"event": None}, "event", "event_not_defined", id="a track call without a name"),
    pytest.param({"event": " "}, "event", "event_not_defined", id="a track call with a blank name"),
    pytest.param({"event": {"a": 1}}, "event", "event_not_string", id="a name that is an object"),
    pytest.param({"properties": "none"}, "properties", "properties_not_object", id="properties that are text"),
    pytest.param({"properties": [1]}, "properties", "properties_not_object", id="properties that are a list"),
    pytest.param({"traits": "none"}, "traits", "traits_not_object", id="traits that are text"),
    pytest.param({"context": 7}, "context", "context_not_object", id="a context that is a number"),
    pytest.param({"context": {"traits": [1]}}, "context.traits", "traits_not_object", id="context traits in a list"),
    pytest.param({"userId": {"id": 7}}, "userId", "id_not_string", id="a user id that is an object"),
    pytest.param({"userId": True}, "userId", "id_not_string", id="a user id that is a truth"),
    pytest.param({"messageId": []}, "messageId", "id_not_string", id="a message id that is a list"),
    pytest.param({"context": None, "userId": ""}, "userId", "id_required", id="nobody"),
    pytest.param({"context": None, "userId": " ", "anonymousId": "\t"}, "userId", "id_required", id="blank ids"),
]


@pytest.mark.parametrize(
    ("email", "status"),
    [
        pytest.param("ada@example.com", 200, id="named where the settings look"),
        pytest.param("not an address", 200, id="named in vain there, which is for the filter to say"),
        pytest.param(" ", 400, id="blank there"),
        pytest.param(None, 400, id="named nowhere"),
    ],
)
async def test_who_has_no_id_of_a_tracker_may_be_named_where_the_settings_look(email: str | None, status: int) -> None:
    """As a webhook may: its events come from no browser and no account."""
    identity = IdentityRules(email=(EventPath("traits.email"), EventPath("properties.buyer.email")))
    intake = open_intake(plan=Plan(identity))
    async with intake.http:
        answer = await intake.post("/v1/track", track("Sale Closed", {"buyer": {"email": email}}, context={}))
    assert answer.status_code == status
    if email == "ada@example.com":
        assert intake.outbox.bodies[0]["user"] == {"email": email}


class TestAnEventThatIsRefused:
    @pytest.mark.parametrize(("changes", "field", "code"), REFUSED)
    async def test_is_named_alone(self, intake: Harness, changes: Raw, field: str, code: str) -> None:
        """Posted as a batch of one: there, the type comes from the event."""
        answer = await intake.post("/v1/batch", batch(track("Coupon Entered") | changes))
        assert answer.status_code == 400
        assert (answer.json()["field"], answer.json()["code"]) == (f"batch.0.{field}", code)
        assert field in answer.json()["message"]
        assert_every_tracker_survives(answer)
        assert intake.outbox.arrivals == []

    @pytest.mark.parametrize(("changes", "field", "code"), REFUSED)
    async def test_costs_its_neighbours_nothing(self, intake: Harness, changes: Raw, field: str, code: str) -> None:
        good = track("Coupon Entered", messageId="good")
        answer = await intake.post("/v1/batch", batch(good, track("Coupon Entered") | changes, good))
        assert answer.status_code == 200
        told = answer.json()
        assert (told["success"], told["accepted"]) == (True, 2)
        assert [(each["index"], each["field"], each["code"]) for each in told["refused"]] == [(1, field, code)]
        assert intake.outbox.message_ids == ["good", "good"]

    @pytest.mark.parametrize("element", [None, 7, "event", [], [[track("Coupon Entered")]]])
    async def test_is_no_object(self, intake: Harness, element: Any) -> None:
        answer = await intake.post("/v1/batch", batch(element, track("Coupon Entered")))
        assert (answer.status_code, [each["index"] for each in answer.json()["refused"]]) == (200, [0])

    async def test_is_no_text(self, intake: Harness) -> None:
        spoilt = orjson.dumps(batch(track("Coupon Entered"), track("HERE"))).replace(b"HERE", b"\xff")
        answer = await intake.post("/v1/batch", spoilt)
        assert (answer.status_code, len(intake.outbox.arrivals)) == (200, 1)
        (refused,) = answer.json()["refused"]
        assert (refused["index"], refused["code"]) == (1, "bad_request")
        assert refused["message"].startswith("the event is not valid JSON")

    async def test_is_refused_on_a_path_of_its_own_too(self, intake: Harness) -> None:
        answer = await intake.post("/v1/track", track(" "))
        assert (answer.status_code, answer.json()["field"]) == (400, "event")
        assert_every_tracker_survives(answer)

    async def test_is_counted_by_its_code(self, intake: Harness) -> None:
        await intake.post("/v1/batch", batch(track(" "), track("Coupon Entered")))
        assert intake.count("gateway_refused_total", code="event_not_defined") == 1


class TestSizes:
    async def test_an_event_of_32_kilobytes_is_taken(self, intake: Harness) -> None:
        assert (await intake.post("/v1/track", sized(32_768))).status_code == 200
        assert (await intake.post("/v1/batch", batch(sized(32_768)))).status_code == 200

    async def test_an_event_of_33_kilobytes_is_refused(self, intake: Harness) -> None:
        answer = await intake.post("/v1/track", sized(33_000))
        assert (answer.status_code, answer.json()["code"]) == (400, "event_too_large")
        assert_every_tracker_survives(answer)
        assert intake.outbox.arrivals == []

    async def test_an_event_of_33_kilobytes_costs_its_neighbours_nothing(self, intake: Harness) -> None:
        good = track("Coupon Entered", messageId="good")
        answer = await intake.post("/v1/batch", batch(good, sized(33_000), good))
        assert answer.status_code == 200
        assert [(each["index"], each["code"]) for each in answer.json()["refused"]] == [(1, "event_too_large")]
        assert intake.outbox.message_ids == ["good", "good"]

    async def test_a_batch_of_2500_events_is_taken(self, intake: Harness) -> None:
        assert (await intake.post("/v1/batch", batch(*[track("Coupon Entered")] * 2500))).status_code == 200
        assert len(intake.outbox.arrivals) == 2500

    async def test_a_batch_of_3000_events_is_refused_by_name(self, intake: Harness) -> None:
        answer = await intake.post("/v1/batch", batch(*[{}] * 3000))
        assert (answer.status_code, answer.json()["field"]) == (400, "batch")
        assert "2,500" in answer.json()["message"]
        assert_every_tracker_survives(answer)

    async def test_a_body_over_the_limit_is_refused_with_400_and_not_413(self, intake: Harness) -> None:
        """Some trackers send anything but a 400 again for ever."""
        answer = await intake.post("/v1/batch", batch(*[sized(30_000)] * 40))
        assert (answer.status_code, answer.json()["code"]) == (400, "payload_too_large")
        assert_every_tracker_survives(answer)

    async def test_the_limits_are_settings(self) -> None:
        intake = open_intake(limits=Limits(body_bytes=5000, event_bytes=1000, batch_events=2))
        async with intake.http:
            assert (await intake.post("/v1/track", sized(1000))).status_code == 200
            assert (await intake.post("/v1/track", sized(1001))).json()["code"] == "event_too_large"
            assert (await intake.post("/v1/batch", batch({}, {}, {}))).json()["code"] == "batch_too_long"
            assert (await intake.post("/v1/batch", b" " * 5001)).json()["code"] == "payload_too_large"

    @pytest.mark.parametrize("depth", [pytest.param(depth, id=f"{depth} deep") for depth in (50, 150, 195, 210, 250)])
    async def test_nested_properties_are_kept_or_refused_but_never_stored_unreadable(
        self, intake: Harness, depth: int
    ) -> None:
        answer = await intake.post("/v1/track", nested(depth))
        if depth > 200 and answer.status_code == 400:
            return
        assert answer.status_code == 200
        ((sent,),) = (deliveries_of(each) for each in intake.outbox.arrivals)
        assert sent.body.count(b'"a":{') == min(depth - 1, 200)  # the names that Attentive makes use of
        assert Delivery.unpacked(sent.packed()).body == sent.body

    @pytest.mark.parametrize("path", ["/v1/track", "/v1/batch"])
    @pytest.mark.parametrize("at", ["properties", "context", "integrations"])
    @pytest.mark.parametrize("depth", [400, 700, 900, 1000, 1015, 3000])
    async def test_what_is_nested_too_deeply_is_refused(self, intake: Harness, depth: int, at: str, path: str) -> None:
        deep = b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)
        raw = orjson.dumps(track("Coupon Entered", userId="7") | {at: "HERE"}).replace(b'"HERE"', deep)
        answer = await intake.post(path, raw if path == "/v1/track" else b'{"batch":[' + raw + b"]}")
        assert answer.status_code == 400
        assert_every_tracker_survives(answer)
        assert intake.outbox.arrivals == []

    async def test_a_context_nested_too_deeply_on_both_levels_of_a_batch_is_refused(self, intake: Harness) -> None:
        deep = b'{"a":' * 1000 + b"{}" + b"}" * 1000
        event = orjson.dumps(track("Coupon Entered", context="HERE"))
        body = orjson.dumps({"batch": ["EVENT"], "context": "HERE"}).replace(b'"EVENT"', event)
        answer = await intake.post("/v1/batch", body.replace(b'"HERE"', deep))
        assert answer.status_code == 400
        assert_every_tracker_survives(answer)

    async def test_a_message_id_of_ten_kilobytes_is_kept_under_its_digest(self, intake: Harness) -> None:
        await intake.post("/v1/track", track("Coupon Entered", messageId="m" * 10_000))
        ((name,), (body,)) = intake.outbox.message_ids, intake.outbox.bodies
        assert name.startswith("sha256:")
        assert body["externalEventId"] == name


class TestABatch:
    async def test_without_events_is_refused(self, intake: Harness) -> None:
        nothing: tuple[Any, ...] = (batch(), [])
        for body in nothing:
            answer = await intake.post("/v1/batch", body)
            assert (answer.status_code, answer.json()["code"]) == (400, "empty_batch")
            assert_every_tracker_survives(answer)

    @pytest.mark.parametrize(
        "body", [{}, {"batch": None}, {"batch": {}}, {"batch": "x"}, {"batch": track("Coupon Entered")}]
    )
    async def test_that_is_no_list_is_refused(self, intake: Harness, body: Any) -> None:
        answer = await intake.post("/v1/batch", body)
        assert (answer.status_code, answer.json()["field"]) == (400, "batch")
        assert_every_tracker_survives(answer)

    async def test_with_no_good_event_is_refused(self, intake: Harness) -> None:
        answer = await intake.post("/v1/batch", batch({"type": "track"}, 7))
        assert answer.status_code == 400
        assert answer.json()["field"].startswith("batch.0.")
        assert_every_tracker_survives(answer)
        assert intake.outbox.arrivals == []

    async def test_keeps_the_order_of_its_events(self, intake: Harness) -> None:
        await intake.post("/v1/batch", batch(*(track("Coupon Entered", messageId=str(n)) for n in range(5))))
        assert intake.outbox.message_ids == ["0", "1", "2", "3", "4"]

    async def test_lends_its_context_and_integrations_to_each_event(self, intake: Harness) -> None:
        without = {"type": "track", "event": "Coupon Entered", "anonymousId": "browser-1"}
        own = without | {"context": {"traits": {"email": "own@example.com"}, "ip": "192.0.2.1"}}
        shared = {"traits": {"email": EMAIL, "username": "ada"}, "library": {"name": "go"}}
        await intake.post("/v1/batch", batch(without, own, context=shared))
        await intake.post("/v1/batch", batch(own, integrations={"Attentive": False}))
        first, second = intake.outbox.bodies
        assert first["user"]["email"] == EMAIL
        assert second["user"]["email"] == "own@example.com"
        assert second["user"]["externalIdentifiers"] == {"customIdentifiers": [{"name": "username", "value": "ada"}]}
        assert intake.outbox.endings == ["", "", "dropped:integrations"]

    async def test_lends_its_time_of_sending_but_neither_its_id_nor_its_own_time(self, intake: Harness) -> None:
        """Some trackers put the flush's own `timestamp` and `messageId` beside the list."""
        event = track("Coupon Entered", messageId=None)
        both = batch(event, event, timestamp="2020-01-01T00:00:00Z", messageId="flush", sentAt="2026-03-01T00:00:00Z")
        assert (await intake.post("/v1/batch", both)).status_code == 200
        assert len({*intake.outbox.message_ids, "flush"}) == 3
        assert "2020" not in json.dumps([body["occurredAt"] for body in intake.outbox.bodies])

    async def test_is_corrected_for_the_trackers_clock_by_its_time_of_sending(self, intake: Harness) -> None:
        event = track("Coupon Entered", originalTimestamp="2020-01-01T00:00:00Z")
        own = event | {"sentAt": "2020-01-01T00:00:00Z"}
        await intake.post("/v1/batch", batch(event, own, sentAt="2020-01-01T01:00:00Z"))
        shared_time, own_time = (datetime.fromisoformat(body["occurredAt"]) for body in intake.outbox.bodies)
        assert own_time - shared_time == timedelta(hours=1)


class TestTheWriteKey:
    @pytest.mark.parametrize("key", ["nobody", WRITE_KEY.upper(), WRITE_KEY + "x"])
    async def test_that_belongs_to_nobody_is_refused(self, intake: Harness, key: str) -> None:
        answer = await intake.post("/v1/track", track("Coupon Entered"), key=key)
        assert (answer.status_code, answer.json()["code"]) == (401, "unknown_source")
        assert key not in answer.text
        assert_every_tracker_survives(answer)
        assert intake.outbox.arrivals == []

    async def test_is_asked_for_when_it_is_missing(self, intake: Harness) -> None:
        answer = await intake.post("/v1/track", track("Coupon Entered"), key=None)
        assert (answer.status_code, answer.json()["field"]) == (401, "writeKey")
        assert_every_tracker_survives(answer)

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(batch(track("Coupon Entered", writeKey=WRITE_KEY)), id="in the first event of a batch"),
            pytest.param(batch(track("Coupon Entered"), writeKey=WRITE_KEY), id="beside the list, at the very end"),
            pytest.param([track("Coupon Entered", writeKey=WRITE_KEY)], id="in the first event of a bare list"),
        ],
    )
    async def test_may_stand_in_the_body_of_a_batch(self, intake: Harness, body: Any) -> None:
        assert (await intake.post("/v1/batch", body, key=None)).status_code == 200
        assert intake.outbox.destinations == ["acme"]


class TestOtherMethods:
    @pytest.mark.parametrize("path", list(BY_PATH))
    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD"])
    async def test_are_refused(self, intake: Harness, method: str, path: str) -> None:
        answer = await intake.http.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST, OPTIONS")
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        if method != "HEAD":
            assert_every_tracker_survives(answer)

    @pytest.mark.parametrize("path", list(BY_PATH))
    async def test_options_lets_browsers_in_without_a_key(self, intake: Harness, path: str) -> None:
        asked = {"origin": "https://shop.example", "access-control-request-headers": "authorization,content-type"}
        answer = await intake.http.options(path, headers=asked)
        assert answer.status_code == 204
        headers = answer.headers
        assert headers["access-control-allow-origin"] == ORIGIN
        assert "POST" in headers["access-control-allow-methods"]
        named = headers["access-control-allow-headers"].lower()
        assert all(name in named for name in ("authorization", "content-type", "x-write-key", "x-retry-count"))
        assert 600 <= int(headers["access-control-max-age"]) <= 7200

    async def test_another_path_is_a_404(self, intake: Harness) -> None:
        answer = await intake.post("/v1/else", {})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


class TestTheQueue:
    @pytest.mark.parametrize("reason", ["redis_unreachable", "redis_full", "redis_read_only", "redis_error"])
    @pytest.mark.parametrize("path", ["/v1/track", "/v1/batch"])
    async def test_being_away_makes_the_tracker_send_again(self, intake: Harness, path: str, reason: str) -> None:
        intake.outbox.away = reason
        event = track("Coupon Entered")
        answer = await intake.post(path, event if path == "/v1/track" else batch(event, 7))
        assert (answer.status_code, answer.json()["code"]) == (503, reason)
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.headers["retry-after"].isdecimal()
        assert "Retry-After" in answer.headers["access-control-expose-headers"]
        assert_every_tracker_survives(answer)


@dataclass(frozen=True)
class Broken:
    """A word of the catalogue with a bug in it."""

    bug: type[Exception]

    def read(self, scope: Evaluation) -> Any:
        raise self.bug(f"a bug that speaks of {scope.identity.email}")


BUGS: Final = [
    pytest.param(bug, id=bug.__name__)
    for bug in (LookupError, TypeError, ValueError, AttributeError, RecursionError, OverflowError)
]


class TestABugOfOurs:
    """It is kept as a dead letter: neither a 500, after which some trackers come back ten times, nor a 400."""

    @staticmethod
    def intake(bug: type[Exception]) -> Harness:
        rule = Rule("track", "Coupon Entered", CUSTOM_EVENT, {"type": Broken(bug)})
        return open_intake(plan=Plan(catalogue=Catalogue((rule,))))

    @pytest.mark.parametrize("bug", BUGS)
    async def test_costs_no_event(self, bug: type[Exception]) -> None:
        intake, raw = self.intake(bug), track("Coupon Entered", {"code": "TRAIL10"})
        async with intake.http:
            answer = await intake.post("/v1/track", raw)
        assert (answer.status_code, answer.json()) == (200, {"success": True})
        assert intake.outbox.endings == ["dead:internal_error"]
        (dead_letter,) = intake.outbox.dead_letters
        assert (dead_letter["reason"], dead_letter["event"]) == ("internal_error", raw)
        assert bug.__name__ in dead_letter["detail"]
        assert EMAIL not in dead_letter["detail"]

    @pytest.mark.parametrize("bug", BUGS)
    async def test_costs_no_neighbour_either(self, bug: type[Exception]) -> None:
        intake = self.intake(bug)
        async with intake.http:
            answer = await intake.post("/v1/batch", batch(track("Coupon Entered"), page(), track("Coupon Entered")))
        assert (answer.status_code, answer.json()) == (200, {"success": True})
        assert intake.outbox.endings == ["dead:internal_error", "dropped:not_forwarded", "dead:internal_error"]

    async def test_is_logged(self, logged: list[MutableMapping[str, Any]]) -> None:
        intake = self.intake(LookupError)
        async with intake.http:
            await intake.post("/v1/track", track("Coupon Entered"))
        (entry,) = [entry for entry in logged if entry["event"] != "intake.accelerator"]
        assert (entry["event"], entry["source"], entry["log_level"]) == ("event.undecided", "shop", "error")


class TestWhatHappensToAnEventIsWrittenDown:
    @pytest.mark.parametrize(
        ("raw", "ending"),
        [
            pytest.param(track("Product Viewed", VIEWED), "", id="forwarded"),
            pytest.param(track("Product Viewed", VIEWED | {"price": "free"}), "dead:unmappable", id="no usable price"),
            pytest.param(
                track("Order Completed", {"products": "A"}), "dead:unmappable", id="products that are no list"
            ),
            pytest.param(track("x", timestamp="2020-01-01T00:00:00Z"), "dead:too_old", id="years old"),
            pytest.param(track("x", context={}, anonymousId="b"), "dropped:no_identity", id="nobody we could know"),
            pytest.param(track("x", context={"traits": {"phone": "n/a"}}), "dropped:unusable_identity", id="no number"),
            pytest.param(
                track("x", context={"traits": {"email": "ada"}}), "dropped:unusable_identity", id="no address"
            ),
            pytest.param(track("x", integrations={"All": False}), "dropped:integrations", id="not meant for us"),
            pytest.param(track("x", type="screen"), "dropped:not_forwarded", id="a screen"),
            pytest.param(identify({"email": EMAIL}), "dropped:no_content", id="an identify that says nothing"),
        ],
    )
    async def test_as(self, intake: Harness, raw: Raw, ending: str) -> None:
        assert (await intake.post("/v1/batch", batch(raw))).status_code == 200
        assert intake.outbox.endings == [ending]
        (record,) = intake.outbox.records
        assert record["decision"] in ("forward", "drop", "dead letter")
        assert EMAIL.encode() not in intake.outbox.arrivals[0].record


class TestThePrivacyGuard:
    CARD: Final = "4111 1111 1111 1111"
    PART: Final = b"1111 1111"  # no time in ms has this

    async def test_withholds_what_is_kept_and_what_is_sent(self, intake: Harness) -> None:
        await intake.post("/v1/track", track("Coupon Entered", {"note": f"paid {self.CARD}", "code": "A"}))
        (body,) = intake.outbox.bodies
        assert body["properties"] == {"note": "paid REDACTED", "code": "A"}
        assert self.PART not in intake.outbox.stored
        assert intake.outbox.records[0]["notes"] == ["properties.note: a card number, redacted"]

    async def test_withholds_what_a_batch_says_for_all_its_events(self, intake: Harness) -> None:
        content = {"batch": [track("a", messageId="1"), track("b", messageId="2")], "context": {"note": self.CARD}}
        await intake.post("/v1/batch", content)
        assert self.PART not in intake.outbox.stored
        assert intake.count("gateway_privacy_withheld_total", source="shop", check="card_number", action="redact") == 2

    async def test_drops_an_event_where_that_is_wanted(self) -> None:
        policy = Policy(actions={**BY_DEFAULT, Check.CARD_NUMBER: Action.DROP_EVENT})
        intake = open_intake(plan=Plan(guard=Guard(policy)))
        async with intake.http:
            answer = await intake.post("/v1/batch", batch(track(f"Paid {self.CARD}"), track("Coupon Entered")))
        assert answer.json() == {"success": True}
        assert intake.outbox.endings == ["dropped:privacy", ""]
        assert self.PART not in intake.outbox.stored
        record = intake.outbox.records[0]
        assert (record["event"], record["reason"]) == ("Paid REDACTED", "privacy")
        assert record["notes"] == ["event: a card number, the event is dropped"]

    async def test_notes_a_few_findings_and_counts_them_all(self, intake: Harness) -> None:
        await intake.post("/v1/track", track("Coupon Entered", {f"note {n}": self.CARD for n in range(50)}))
        assert len(intake.outbox.records[0]["notes"]) == NOTED_FINDINGS
        assert intake.count("gateway_privacy_withheld_total", source="shop", check="card_number", action="redact") == 50

    async def test_leaves_a_dead_letter_without_what_it_withheld(self, intake: Harness) -> None:
        await intake.post("/v1/track", track("Product Viewed", VIEWED | {"price": self.CARD}))
        assert intake.outbox.endings == ["dead:unmappable"]
        assert intake.outbox.dead_letters[0]["event"]["properties"]["price"] == "REDACTED"
        assert self.PART not in intake.outbox.stored


class TestAnErasure:
    """An event that asks to forget a person."""

    DELETE: Final[Raw] = {"type": "delete", "userId": "customer-1042", "messageId": "d-1"}

    @staticmethod
    def subject(intake: Harness) -> dict[str, Any]:
        (arrival,) = intake.outbox.arrivals
        assert arrival.erasure is not None
        asked: dict[str, Any] = orjson.loads(arrival.erasure)
        return asked

    @pytest.mark.parametrize(
        ("fields", "who"),
        [
            pytest.param({}, {"user_ids": ["customer-1042"]}, id="as Segment's webhook says it"),
            pytest.param(
                {"traits": {"email": " Ada@Example.com", "phone": "415-555-0132"}, "anonymousId": "b-1"},
                {
                    "emails": [EMAIL],
                    "phones": ["+14155550132"],
                    "user_ids": ["customer-1042"],
                    "anonymous_ids": ["b-1"],
                },
                id="with all that can be said",
            ),
            pytest.param({"userId": EMAIL}, {"emails": [EMAIL], "user_ids": [EMAIL]}, id="by an address as user id"),
            pytest.param(
                {"integrations": {"All": False}}, {"user_ids": ["customer-1042"]}, id="whatever integrations says"
            ),
        ],
    )
    async def test_is_taken_on(self, fields: Raw, who: Raw) -> None:
        intake = open_intake(plan=Plan(erasures=True))
        async with intake.http:
            answer = await intake.post("/v1/batch", batch({**self.DELETE, **fields}))
        assert answer.json() == {"success": True}
        asked = self.subject(intake)
        assert (asked["who"], asked["by"], asked["reference"]) == (who, "event of shop", "d-1")
        assert intake.outbox.endings == ["dropped:erasure"]
        assert intake.outbox.records[0]["erasure"] == asked["id"]
        assert intake.outbox.arrivals[0].updates == ()

    async def test_has_an_id_that_a_repeat_has_too(self) -> None:
        intake = open_intake(plan=Plan(erasures=True))
        async with intake.http:
            for _ in range(2):
                await intake.post("/v1/delete", self.DELETE)
        ids = [orjson.loads(arrival.erasure or b"{}")["id"] for arrival in intake.outbox.arrivals]
        assert len(set(ids)) == 1

    @pytest.mark.parametrize("path", ["/v1/delete", "/v1/batch"])
    async def test_is_dropped_where_the_source_may_not_ask_for_it(self, intake: Harness, path: str) -> None:
        """A web page's write key is known to everybody."""
        raw = {**self.DELETE, "traits": {"email": EMAIL}}
        assert (await intake.post(path, raw)).json() == {"success": True}
        assert intake.outbox.endings == ["dropped:erasure_not_allowed"]
        assert (intake.outbox.arrivals[0].erasure, intake.outbox.arrivals[0].updates) == (None, ())
