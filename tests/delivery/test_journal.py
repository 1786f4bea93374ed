"""The record of an attempt: everything that an operator needs, without personal data."""

from datetime import timedelta
from typing import Any, Final

import orjson
import pytest

from app.attentive.answers import Reply, Unreachable
from app.delivery.journal.journal import ANSWER_CHARS, attempt_record
from app.delivery.journal.search_hashes import Kind, search_hash
from app.delivery.outcome import Delivered, Hold, Outcome, RetryLater, Undeliverable, Unknown
from app.delivery.unknown import WhenUnknown
from tests.builders import EMAIL, PHONE, delivery

QUICK: Final = timedelta(milliseconds=12.34)


def record(reply: Reply | Unreachable, outcome: Outcome) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(attempt_record(delivery(attempt=3), "Signed Up", reply, outcome))
    return found


@pytest.mark.parametrize(
    ("reply", "outcome", "expected"),
    [
        pytest.param(
            Reply(200, took=QUICK), Delivered(200), {"status": 200, "outcome": "delivered"}, id="a delivered call"
        ),
        pytest.param(
            Reply(429, b"slow down", took=QUICK),
            RetryLater(timedelta(seconds=4.04), "HTTP 429"),
            {"status": 429, "answer": "slow down", "outcome": "retry", "wait_s": 4.0, "reason": "HTTP 429"},
            id="a retry",
        ),
        pytest.param(
            Unreachable("connection cut", ambiguous=True, took=QUICK),
            RetryLater(timedelta(seconds=4), "connection cut", ambiguous=True),
            {
                "unreachable": "connection cut",
                "outcome": "retry",
                "wait_s": 4.0,
                "reason": "connection cut",
                "ambiguous": True,
            },
            id="an ambiguous retry",
        ),
        pytest.param(
            Unreachable("connection cut", ambiguous=True, took=QUICK),
            Unknown(WhenUnknown.REVIEW, "connection cut"),
            {"unreachable": "connection cut", "outcome": "unknown", "then": "review", "reason": "connection cut"},
            id="an unknown outcome",
        ),
        pytest.param(
            Reply(401, took=QUICK),
            Hold(whole_destination=True, reason="the key is refused"),
            {"status": 401, "outcome": "held", "wait_s": 30.0, "reason": "the key is refused"},
            id="a hold",
        ),
        pytest.param(
            Reply(400, b'{"error":"bad"}', took=QUICK),
            Undeliverable("http_400", "would fail again"),
            {
                "status": 400,
                "answer": '{"error":"bad"}',
                "outcome": "dead letter",
                "reason": "http_400",
                "detail": "would fail again",
            },
            id="a dead letter",
        ),
    ],
)
def test_the_record_tells_of(reply: Reply | Unreachable, outcome: Outcome, expected: dict[str, Any]) -> None:
    named = {"source": "shop", "event": "Signed Up", "endpoint": "custom-event", "attempt": 3}
    assert record(reply, outcome) == named | {"took_ms": 12.3} | expected


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(f'{{"message":"{EMAIL} is not a user"}}', id="in JSON"),
        pytest.param(f"phone {PHONE} is invalid, so is (415) 555-0132", id="in text"),
        pytest.param(f'{{"user":{{"phone":"{PHONE}","email":"{EMAIL}"}}}}', id="as the body was"),
        pytest.param("x" * 480 + f" {EMAIL} " + PHONE, id="where the excerpt is cut"),
        pytest.param("x" * (ANSWER_CHARS * 4 - 8) + EMAIL, id="where the answer is cut"),
        pytest.param(f"<p>{EMAIL}</p><a href='mailto:{EMAIL}'>{PHONE}</a>", id="in HTML"),
        pytest.param(f"email={EMAIL}&phone={PHONE}", id="in a form"),
    ],
)
def test_the_record_names_nobody_although_attentive_does(answer: str) -> None:
    stored = orjson.dumps(record(Reply(400, answer.encode()), Undeliverable("http_400", ""))).decode()
    assert EMAIL not in stored
    assert PHONE not in stored
    assert "555-0132" not in stored


def test_the_excerpt_of_an_answer_is_short() -> None:
    assert len(record(Reply(400, b"x" * 60_000), Undeliverable("http_400", ""))["answer"]) == ANSWER_CHARS


@pytest.mark.parametrize("body", [b"", b"  \n", b"\xff\xfe\x00"])
def test_an_answer_that_is_no_text_costs_nothing(body: bytes) -> None:
    assert record(Reply(500, body), RetryLater(timedelta(), "HTTP 500"))["status"] == 500


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        pytest.param("emails", "ada@example.com", " Ada@Example.com ", id="an address as people write it"),
        pytest.param("phones", "+14155550132", "(415) 555-0132", id="a number as people write it"),
        pytest.param("user_ids", "customer-1042", "customer-1042", id="an id"),
    ],
)
def test_a_persons_records_carry_the_same_mark(kind: Kind, one: str, other: str) -> None:
    assert search_hash(kind, one) == search_hash(kind, other) < 2**20
    assert search_hash(kind, one) != search_hash(kind, one.replace("2", "3").replace("ada", "bea"))
