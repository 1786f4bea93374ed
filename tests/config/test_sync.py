"""`syncs` in the YAML file: each mistake with its place and the rule."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from app.config.applied import from_json, to_json
from app.config.topology import Loaded, Topology
from app.config.values import is_placeholder

SYNC: dict[str, Any] = {"destination": "acme", "source": {"csv": "t.csv"}, "key": "id", "object": "attributes"}

CONSENT: dict[str, Any] = {"column": "sms", "opt_in": ["yes"], "channels": "text", "sign_up_source": "1"}


def document(sync: dict[str, Any], **account: Any) -> dict[str, Any]:
    return {
        "destinations": {"acme": {"api_token": "x", **account}},
        "sources": {"shop": {"write_key": "wk", "destination": "acme"}},
        "syncs": {"loyalty": {**SYNC, **sync}},
    }


@pytest.mark.parametrize(
    ("sync", "place", "rule"),
    [
        pytest.param({"destination": "acmee"}, "destination", "did you mean acme?", id="an unknown destination"),
        pytest.param({"object": "attribute"}, "object", "attributes", id="an unknown object"),
        pytest.param({"key": []}, "key", "at least 1", id="no key"),
        pytest.param({"source": {}}, "source", "give exactly one of csv", id="no source"),
        pytest.param({"source": {"csv": "a", "sql": "b"}}, "source", "give exactly one of csv", id="two sources"),
        pytest.param({"source": {"sql": "SELECT 1"}}, "source.sql", "needs `connection`", id="no connection"),
        pytest.param(
            {"source": {"csv": "a", "sheet": "b"}}, "source.sheet", "is for xlsx, and this source is csv", id="a sheet"
        ),
        pytest.param({"source": {"csv": "a", "encoding": "x"}}, "source.encoding", "is not an encoding", id="encoding"),
        pytest.param({"object": "events", "mode": "upsert"}, "mode", "must be insert for object events", id="a mode"),
        pytest.param({"event": "type"}, "event", "is for object events, and this one is attributes", id="an event"),
        pytest.param({"fields": {"a": "b"}, "skip": "c"}, "skip", "is of use without `fields` only", id="skip"),
        pytest.param({"fields": {"a": "$.b"}}, "fields.a", "must be a column of the row", id="a path of the event"),
        pytest.param({"types": {"a": "int"}}, "types.a", "number", id="a type"),
        pytest.param({"schedule": "* * *"}, "schedule", "cron expression of five fields", id="a schedule"),
        pytest.param(
            {"object": "subscribers"}, "consent", "is required for object subscribers", id="consent that is not stated"
        ),
        pytest.param(
            {"object": "subscribers", "consent": {**CONSENT, "opt_in": [True]}},
            "consent.opt_in",
            "CSV contains only text",
            id="a value that CSV cannot have",
        ),
        pytest.param(
            {"object": "subscribers", "consent": {**CONSENT, "opt_out": ["yes"]}},
            "consent.opt_out",
            "which opt_in has too",
            id="a value that states both",
        ),
        pytest.param(
            {"object": "subscribers", "mode": "remove", "consent": CONSENT},
            "consent.opt_out",
            "is required for mode remove",
            id="no value that opts out",
        ),
        pytest.param(
            {"object": "subscribers", "consent": {**CONSENT, "locale": {"language": "en", "country": "US"}}},
            "consent",
            "exactly one of sign_up_source and locale",
            id="two sign-up units",
        ),
        pytest.param({"colour": 1}, "colour", "is unknown here", id="a misspelt key"),
    ],
)
def test_a_mistake_has_its_place_and_rule(sync: dict[str, Any], place: str, rule: str) -> None:
    with pytest.raises(ValidationError) as invalid:
        Topology.model_validate(document(sync))
    (error,) = invalid.value.errors()
    assert ".".join(map(str, error["loc"])).startswith(f"syncs.loyalty.{place}")
    assert rule in error["msg"]


def test_attributes_need_an_endpoint() -> None:
    with pytest.raises(ValidationError, match="which is off"):
        Topology.model_validate(document({}, attributes={"endpoint": "off"}))


def test_the_connection_of_a_database_is_not_stored_in_redis() -> None:
    source = {"sql": "SELECT 1", "connection": "postgresql://me:hunter2@db/shop"}
    given = document({"source": source})
    stored = to_json(Loaded(Topology.model_validate(given), document=given), {}, at=datetime.now(UTC), release="0.1")
    assert b"hunter2" not in stored
    connection = from_json(stored).topology.syncs["loyalty"].source.connection
    assert connection is not None
    assert is_placeholder(connection)
