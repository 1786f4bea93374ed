"""Write keys: all the places in which trackers put them, and which place wins."""

import base64
from typing import Any, Final
from urllib.parse import quote

import pytest

from app.ingest.auth import Sender, WriteKeys
from app.ingest.refusal import Refused
from app.pipeline import Plan

KEYS: Final = {name: Sender(name, "acme", Plan()) for name in ("basic", "header", "query", "body", "event", "kü+y/=")}


def basic(text: str, scheme: str = "Basic") -> dict[bytes, bytes]:
    return {b"authorization": f"{scheme} ".encode() + base64.b64encode(text.encode())}


def source(headers: dict[bytes, bytes] | None = None, query: bytes = b"", content: Any = None) -> str:
    keys = WriteKeys(KEYS)
    return (keys.sender_outside(headers or {}, query) or keys.sender_inside(content)).source


BASIC: Final = basic("basic:")
HEADER: Final = {b"x-write-key": b"header"}
QUERY: Final = b"writeKey=query"
BODY: Final = {"batch": [{"writeKey": "event"}], "writeKey": "body"}
EVENT: Final = {"batch": [{"writeKey": "event"}]}


@pytest.mark.parametrize(
    ("headers", "query", "content", "expected"),
    [
        pytest.param(BASIC | HEADER, QUERY, BODY, "basic", id="the Basic user name wins over all"),
        pytest.param(HEADER, QUERY, BODY, "header", id="then comes X-Write-Key"),
        pytest.param({}, QUERY, BODY, "query", id="then the query"),
        pytest.param({}, b"", BODY, "body", id="then the body"),
        pytest.param({}, b"", EVENT, "event", id="and last the first event of the batch"),
        pytest.param(basic(" : "), b"", BODY, "body", id="a blank user name is none"),
        pytest.param({b"x-write-key": b" "}, b"", BODY, "body", id="a blank header is none"),
        pytest.param({}, b"writeKey=", BODY, "body", id="an empty query is none"),
        pytest.param({}, b"", EVENT | {"writeKey": " "}, "event", id="a blank key in the body is none"),
        pytest.param({}, b"", EVENT | {"writeKey": 7}, "event", id="a number in the body is none"),
        pytest.param({b"authorization": b"Bearer basic"}, b"", BODY, "body", id="a token of another kind is none"),
        pytest.param({b"authorization": b"Basic %%%"}, b"", BODY, "body", id="Basic that cannot be decoded is none"),
        pytest.param({b"authorization": b"Basic /w=="}, b"", BODY, "body", id="Basic that is no text is none"),
        pytest.param({b"authorization": b"Basic"}, b"", BODY, "body", id="Basic without anything is none"),
    ],
)
def test_headers_win_over_the_body(headers: dict[bytes, bytes], query: bytes, content: Any, expected: str) -> None:
    assert source(headers, query, content) == expected


@pytest.mark.parametrize(
    ("headers", "query", "content", "expected"),
    [
        pytest.param(basic("basic:"), b"", None, "basic", id="with an empty password"),
        pytest.param(basic("basic"), b"", None, "basic", id="without the colon"),
        pytest.param(basic("basic:secret"), b"", None, "basic", id="with a password, which is ignored"),
        pytest.param(basic(" basic : "), b"", None, "basic", id="with blanks around it"),
        pytest.param(basic("basic:", "basic"), b"", None, "basic", id="with the scheme in small letters"),
        pytest.param(basic("kü+y/=:"), b"", None, "kü+y/=", id="with signs in it"),
        pytest.param({b"authorization": b"Basic YmFzaWM6"}, b"", None, "basic", id="in base64 that needs no padding"),
        pytest.param({b"authorization": b"Basic YmFzaWM"}, b"", None, "basic", id="in base64 without its padding"),
        pytest.param({b"x-write-key": b" header: "}, b"", None, "header", id="in a header, with a colon and blanks"),
        pytest.param({}, b"a=1&writeKey=query%3A", None, "query", id="in a query, with an escaped colon"),
        pytest.param({}, b"writeKey=" + quote("kü+y/=").encode(), None, "kü+y/=", id="in a query, escaped"),
        pytest.param({}, b"", {"writeKey": "body:"}, "body", id="in the body, with a colon"),
        pytest.param({}, b"", {"batch": [], "writeKey": "body"}, "body", id="in the body, beside an empty batch"),
    ],
)
def test_a_key_is_read(headers: dict[bytes, bytes], query: bytes, content: Any, expected: str) -> None:
    assert source(headers, query, content) == expected


@pytest.mark.parametrize(
    ("headers", "query", "content"),
    [
        pytest.param({}, b"", None, id="nowhere"),
        pytest.param({}, b"", {"batch": [7]}, id="nowhere, in a batch of numbers"),
        pytest.param({}, b"", {"batch": {"writeKey": "event"}}, id="in a batch that is no list"),
        pytest.param({}, b"", {"batch": [{}, {"writeKey": "event"}]}, id="in the second event alone"),
        pytest.param(basic("nobody:"), b"", BODY, id="that is unknown, where the body has a good one"),
    ],
)
def test_a_request_is_refused_when_its_key_is(headers: dict[bytes, bytes], query: bytes, content: Any) -> None:
    with pytest.raises(Refused) as refusal:
        source(headers, query, content)
    assert (refusal.value.status, refusal.value.code, refusal.value.field) == (401, "unknown_source", "writeKey")
    assert "nobody" not in refusal.value.message
