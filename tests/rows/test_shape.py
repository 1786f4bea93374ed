"""One row as the content of an event: identifiers, fields, types, and values as JSON has them."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.sync import Sync
from app.rows.codes import BadRow, Code
from app.rows.shape import Shaper


def sync(**options: Any) -> Sync:
    return Sync.model_validate(
        {"destination": "acme", "source": {"csv": "t.csv"}, "key": "id", "object": "attributes", **options}
    )


def content(row: dict[str, Any], **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(Shaper(sync(**options)).shape(row).content)
    return found


def test_all_columns_but_the_key_and_the_identifiers_are_attributes() -> None:
    row = {"id": 7, "email": "a@example.com", "tier": "gold", "points": 12, "city": " ", "vip": None}
    assert content(row) == {
        "type": "identify",
        "traits": {"email": "a@example.com", "tier": "gold", "points": 12},
    }


def test_fields_are_written_in_the_mapping_language() -> None:
    fields = {
        "tier": ["level", "tier"],
        "source": {"constant": "loyalty"},
        "city": "address.city",
        "names": {"jmespath": "join(' ', [first, last])"},
    }
    row = {"id": 1, "tier": "gold", "address": {"city": "Oslo"}, "first": "Ada", "last": "Lovelace"}
    assert content(row, fields=fields)["traits"] == {
        "tier": "gold",
        "source": "loyalty",
        "city": "Oslo",
        "names": "Ada Lovelace",
    }


def test_a_row_of_an_event_has_its_type_time_and_properties() -> None:
    row = {"id": "o1", "type": "Points Earned", "timestamp": "2026-01-01T00:00:00Z", "phone": "+14155550132", "p": 3}
    assert content(row, object="events") == {
        "type": "track",
        "event": "Points Earned",
        "timestamp": "2026-01-01T00:00:00Z",
        "context": {"traits": {"phone": "+14155550132"}},
        "properties": {"id": "o1", "p": 3},
    }


@pytest.mark.parametrize(
    ("row", "products"),
    [
        pytest.param({"product_id": "mug", "price": "5"}, [{"product_id": "mug", "price": "5"}], id="columns"),
        pytest.param({"products": '[{"product_id": "mug"}]'}, [{"product_id": "mug"}], id="a list in JSON"),
        pytest.param({"products": [{"product_id": "mug"}]}, [{"product_id": "mug"}], id="a list"),
    ],
)
def test_a_purchase_is_about_its_products(row: dict[str, Any], products: list[dict[str, Any]]) -> None:
    made = content(
        {"id": "o1", "order_id": "o1", "currency": "EUR", "email": "a@example.com", **row}, object="purchases"
    )
    assert made["event"] == "Order Completed"
    assert (made["properties"]["order_id"], made["properties"]["currency"]) == ("o1", "EUR")
    assert [{**each, "currency": "EUR"} for each in made["properties"]["products"]] == [
        {**each, "currency": "EUR"} for each in products
    ]


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        pytest.param(Decimal("12.50"), 12.5, id="a decimal"),
        pytest.param(Decimal(12), 12, id="a whole decimal"),
        pytest.param(Decimal("0.1234567890123456789"), "0.1234567890123456789", id="a decimal beyond a float"),
        pytest.param(float("nan"), None, id="not a number"),
        pytest.param(date(2026, 1, 2), "2026-01-02", id="a date"),
        pytest.param(datetime(2026, 1, 2, 3, 4, tzinfo=UTC), "2026-01-02T03:04:00Z", id="a time"),
        pytest.param(datetime(2026, 1, 2, 3, 4), "2026-01-02T03:04:00Z", id="a time without a zone"),  # noqa: DTZ001
        pytest.param(True, True, id="a truth"),
        pytest.param(["a", None, "b"], ["a", "b"], id="a list"),
    ],
)
def test_values_are_sent_as_json_has_them(value: Any, sent: Any) -> None:
    assert content({"id": 1, "value": value})["traits"].get("value") == sent


@pytest.mark.parametrize(
    ("row", "options", "code"),
    [
        pytest.param({"id": ""}, {}, Code.KEY_MISSING, id="a blank key"),
        pytest.param({"id": None}, {}, Code.KEY_MISSING, id="a null key"),
        pytest.param({"id": True}, {}, Code.KEY_MISSING, id="a truth as key"),
        pytest.param({"id": 1, "points": "many"}, {"types": {"points": "number"}}, Code.VALUE_TYPE, id="another type"),
        pytest.param({"id": 1, "blob": b"x"}, {}, Code.VALUE_UNSUPPORTED, id="bytes"),
        pytest.param({"id": 1, "n": 2**70}, {}, Code.VALUE_UNSUPPORTED, id="a number beyond 64 bits"),
        pytest.param({"id": 1, "text": "\ud800"}, {}, Code.VALUE_UNSUPPORTED, id="half a character"),
        pytest.param({"id": 1}, {"object": "events"}, Code.EVENT_MISSING, id="an event without a type"),
    ],
)
def test_a_row_that_cannot_be_sent_names_the_rule(row: dict[str, Any], options: dict[str, Any], code: Code) -> None:
    with pytest.raises(BadRow) as bad:
        content(row, **options)
    assert bad.value.code is code


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"skip": "photo"}, id="a column to skip"),
        pytest.param({"fields": {"tier": "tier"}}, id="a column that is no field"),
        pytest.param({"object": "identity"}, id="a column that identifies no one"),
    ],
)
def test_what_is_not_sent_may_be_anything(options: dict[str, Any]) -> None:
    row = {"id": 1, "email": "a@example.com", "tier": "gold"}
    assert content({**row, "photo": b"x"}, **options) == content(row, **options)


def test_what_an_expression_may_read_may_not_be_anything() -> None:
    with pytest.raises(BadRow):
        content({"id": 1, "photo": b"x"}, fields={"photo": {"jmespath": "photo"}})


def test_a_key_is_the_same_whatever_type_a_database_gives_it() -> None:
    keys = {Shaper(sync()).shape({"id": value}).key for value in (42, 42.0, Decimal(42), "42", " 42 ")}
    assert len(keys) == 1


def test_only_what_is_mapped_counts_as_a_change() -> None:
    shaper = Shaper(sync(fields={"tier": "tier"}))
    one, two = ({"id": 1, "tier": "gold", "seen": seen} for seen in ("today", "yesterday"))
    assert shaper.shape(one).hash == shaper.shape(two).hash
    assert shaper.shape({**one, "tier": "silver"}).hash != shaper.shape(two).hash


def test_columns_that_are_named_must_be_there() -> None:
    named = sync(key=["shop", "id"], identifiers={"email": "mail"}, fields={"tier": "level", "x": ["a", "b"]})
    assert Shaper(named).needed == {"shop", "id", "mail", "level"}


CONSENT = {"column": "sms", "opt_in": ["yes", True], "opt_out": ["no", 0], "channels": "text", "sign_up_source": "1"}


@pytest.mark.parametrize(
    ("value", "stated"),
    [
        pytest.param("yes", "opt_in", id="a listed text"),
        pytest.param(" yes ", "opt_in", id="blanks around it"),
        pytest.param(True, "opt_in", id="a listed boolean"),
        pytest.param(0, "opt_out", id="a listed number"),
        pytest.param("Yes", None, id="another spelling"),
        pytest.param(1, None, id="a number that equals true"),
        pytest.param(False, None, id="a boolean that equals zero"),
        pytest.param("", None, id="nothing"),
        pytest.param(None, None, id="null"),
    ],
)
def test_consent_is_one_of_the_listed_values_or_the_row_is_rejected(value: Any, stated: str | None) -> None:
    options: dict[str, Any] = {"source": {"ndjson": "t.ndjson"}, "object": "subscribers", "consent": CONSENT}
    row = {"id": 1, "phone": "+14155550132", "sms": value}
    if stated is None:
        with pytest.raises(BadRow, match="column 'sms'") as bad:
            content(row, **options)
        assert bad.value.code is Code.CONSENT_UNCLEAR
    else:
        assert content(row, **options)["traits"] == {"phone": "+14155550132", "consent": stated}


VALUES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(["", " ", "gold", " padded ", "+1 (415) 555-0132", "ADA@example.com", "12", "true", "\ud800"]),
    st.sampled_from(
        [None, True, 7, 2**70, 1.5, float("nan"), Decimal("2.50"), date(2026, 1, 2), b"x", ["a", None], {}]
    ),
)
HEADER = ("id", "email", "phone", "client_user_id", "tier", "points")
OPTIONS: list[dict[str, Any]] = [
    {},
    {"types": {"points": "number"}, "skip": "tier"},
    {"types": {"phone": "number"}},
    {"fields": {"loyalty_tier": "tier", "email": "points"}},
    {"fields": {"loyalty": "missing", "tier": "points"}, "identifiers": {"client_user_id": "id"}},
    {"object": "identity", "identifiers": {"phone": ["phone", "tier"]}},
    {"object": "audience", "mode": "add", "segment": {"external_id": "g", "name": "G"}, "key": ["id", "tier"]},
    {"object": "events", "event": "tier"},
]


@given(rows=st.lists(st.tuples(*[VALUES] * len(HEADER)), max_size=8), options=st.sampled_from(OPTIONS))
def test_values_by_their_place_become_what_the_row_becomes(
    rows: list[tuple[Any, ...]], options: dict[str, Any]
) -> None:
    shaper = Shaper(sync(**options))
    made = shaper.of_header(HEADER)(rows)
    expected = shaper.of_rows([dict(zip(HEADER, values, strict=True)) for values in rows])
    for by_place, by_name in zip(made, expected, strict=True):
        if isinstance(by_name, BadRow):
            assert isinstance(by_place, BadRow)
            assert (by_place.code, by_place.detail, by_place.label) == (by_name.code, by_name.detail, by_name.label)
        else:
            assert by_place == by_name
