"""How an attempt ended, for every status there is; and how long until the next one."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

import pytest

from app.attentive.answers import Reply, Unreachable
from app.delivery.backoff import LONGEST_WAIT, LONGEST_WAIT_BUSY, backoff
from app.delivery.delivery import Delivery
from app.delivery.outcome import (
    HOLD,
    HOLD_DESTINATION,
    LINK_WITHIN,
    Delivered,
    Hold,
    Outcome,
    RetryLater,
    Undeliverable,
    Unknown,
    judge,
)
from app.delivery.unknown import WhenUnknown
from tests.builders import NOW, delivery

LATER: Final = NOW + timedelta(hours=24)
WAIT: Final = timedelta(seconds=2)


def steady(attempt: int, *, longest: timedelta) -> timedelta:
    """A backoff without chance."""
    return WAIT


def judged(
    reply: Reply | Unreachable, *, deadline: datetime = LATER, backoff: Callable[..., timedelta] = steady
) -> Outcome:
    return judge(reply, delivery(deadline=deadline), now=NOW, backoff=backoff)


DELIVERED: Final = (200, 201, 202, 204)
BUSY: Final = (408, 425, 429)
THEIR_FAULT: Final = (500, 502, 503, 504, *range(507, 512), *range(520, 600))
PERMANENT: Final = (501, 505, 400, 422, 404, 405, 406, 411, 413, 414, 415, 431, 409, 300, 301, 302, 303, 304, 307, 308)


def outcomes() -> list[Any]:
    """The whole table: a row for each status, and one for each way in which no answer came."""
    rows: list[tuple[Reply | Unreachable, Outcome, str]] = [
        *((Reply(status), Delivered(status), f"{status} is delivered") for status in DELIVERED),
        *((Reply(n), RetryLater(WAIT, f"HTTP {n}"), f"{n} is tried again: it was not processed") for n in BUSY),
        *((Reply(n), RetryLater(WAIT, f"HTTP {n}", ambiguous=True), f"{n} is tried again") for n in THEIR_FAULT),
        (Unreachable("cut", ambiguous=True), RetryLater(WAIT, "cut", ambiguous=True), "no answer is tried again"),
        (Unreachable("no way", ambiguous=False), RetryLater(WAIT, "no way"), "no connection is tried again"),
    ]
    return [pytest.param(reply, outcome, id=name) for reply, outcome, name in rows]


@pytest.mark.parametrize(("reply", "expected"), outcomes())
def test_the_outcome_follows_the_answer(reply: Reply | Unreachable, expected: Outcome) -> None:
    assert judged(reply) == expected


@pytest.mark.parametrize("status", PERMANENT)
def test_what_would_fail_again_is_given_up_at_once(status: int) -> None:
    outcome = judged(Reply(status, retry_after=timedelta(seconds=1)))
    assert isinstance(outcome, Undeliverable)
    assert outcome.reason == f"http_{status}"


@pytest.mark.parametrize(
    ("status", "whole_destination", "wait"),
    [
        pytest.param(401, True, HOLD_DESTINATION, id="a refused key stops the whole destination"),
        pytest.param(403, False, HOLD, id="a missing scope stops its endpoint alone"),
    ],
)
def test_our_keys_fault_holds_everything_and_spends_no_attempt(
    status: int, whole_destination: bool, wait: timedelta
) -> None:
    outcome = judged(Reply(status), deadline=NOW - timedelta(hours=1))
    assert isinstance(outcome, Hold)
    assert (outcome.whole_destination, outcome.wait) == (whole_destination, wait)


@pytest.mark.parametrize(
    ("status", "asked_s", "wait_s"),
    [
        pytest.param(429, 9, 9, id="their wait wins when it is longer than ours"),
        pytest.param(429, 1, 2, id="ours wins when it is longer than theirs"),
        pytest.param(503, 9, 9, id="theirs counts after a fault of theirs too"),
        pytest.param(503, None, 2, id="ours is enough when they ask for none"),
    ],
)
def test_the_wait_is_the_longer_of_theirs_and_ours(status: int, asked_s: int | None, wait_s: int) -> None:
    asked = None if asked_s is None else timedelta(seconds=asked_s)
    outcome = judged(Reply(status, retry_after=asked))
    assert isinstance(outcome, RetryLater)
    assert outcome.wait == timedelta(seconds=wait_s)


@pytest.mark.parametrize("status", BUSY)
def test_a_busy_server_is_left_alone_for_a_second_at_least(status: int) -> None:
    outcome = judged(Reply(status), backoff=lambda attempt, longest: timedelta())
    assert isinstance(outcome, RetryLater)
    assert outcome.wait >= timedelta(seconds=1)


@pytest.mark.parametrize("reply", [Reply(429), Reply(503), Unreachable("cut", ambiguous=True)])
def test_a_retry_that_would_miss_the_deadline_is_none(reply: Reply | Unreachable) -> None:
    assert isinstance(judged(reply, deadline=NOW + WAIT), RetryLater)
    missed = judged(reply, deadline=NOW + WAIT - timedelta(milliseconds=1))
    assert isinstance(missed, Undeliverable)
    assert missed.reason == "expired"


UNKNOWN: Final = [
    pytest.param(Unreachable("no answer in time", ambiguous=True), id="no answer in time"),
    pytest.param(Reply(500), id="a server's error"),
    pytest.param(Reply(503, retry_after=timedelta(seconds=9)), id="a server that asks to wait"),
]


@pytest.mark.parametrize("reply", UNKNOWN)
@pytest.mark.parametrize("policy", [WhenUnknown.REVIEW, WhenUnknown.GIVE_UP])
def test_an_unknown_outcome_follows_its_policy(reply: Reply | Unreachable, policy: WhenUnknown) -> None:
    outcome = judge(reply, delivery(deadline=NOW - WAIT), now=NOW, policy=policy)
    assert isinstance(outcome, Unknown), "whatever its deadline: nobody knows whether it is late"
    assert outcome.policy is policy


@pytest.mark.parametrize("policy", list(WhenUnknown))
@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Unreachable("could not connect", ambiguous=False), id="nothing was sent"),
        pytest.param(Reply(429), id="refused for its pace"),
        pytest.param(Reply(408), id="not read in time"),
    ],
)
def test_what_was_surely_not_processed_is_sent_again_whatever_the_policy(
    reply: Reply | Unreachable, policy: WhenUnknown
) -> None:
    outcome = judge(reply, delivery(deadline=LATER), now=NOW, policy=policy)
    assert isinstance(outcome, RetryLater)
    assert not outcome.ambiguous


def by_external_id(**fields: Any) -> Delivery:
    user = b'{"externalIdentifiers":{"clientUserId":"u-1"}}'
    return delivery(body=b'{"type":"Signed Up","user":' + user + b"}", deadline=LATER, **fields)


@pytest.mark.parametrize(
    ("attempt", "after"),
    [
        pytest.param(1, timedelta(0), id="at once"),
        pytest.param(2, timedelta(seconds=9), id="soon, after another error"),
        pytest.param(1, timedelta(minutes=20), id="late, after it has waited in its lane"),
    ],
)
def test_a_404_for_somebody_whose_link_may_still_be_on_its_way_is_tried_once_more(
    attempt: int, after: timedelta
) -> None:
    first = judge(Reply(404), by_external_id(attempt=attempt), now=NOW + after)
    assert isinstance(first, RetryLater)
    assert (first.wait, first.ambiguous) == (LINK_WITHIN, False)
    second = judge(Reply(404), by_external_id(attempt=attempt + 1), now=NOW + after + first.wait)
    assert isinstance(second, Undeliverable)


@pytest.mark.parametrize(
    ("endpoint", "reply", "done"),
    [
        pytest.param("subscribe", Reply(409), True, id="a conflict: subscribed already"),
        pytest.param(
            "subscribe", Reply(400, b'{"message":"ALREADY_SUBSCRIBED"}'), True, id="refused: subscribed already"
        ),
        pytest.param(
            "subscribe", Reply(400, b'{"message":"INVALID_DESTINATION"}'), False, id="refused for another reason"
        ),
        pytest.param("custom-event", Reply(409), False, id="a conflict elsewhere"),
    ],
)
def test_who_is_subscribed_already_counts_as_subscribed(endpoint: str, reply: Reply, done: bool) -> None:
    assert isinstance(judge(reply, delivery(endpoint=endpoint, deadline=LATER), now=NOW), Delivered) is done


def test_a_success_after_the_deadline_is_a_success() -> None:
    assert judged(Reply(200), deadline=NOW - timedelta(days=1)) == Delivered(200)


@pytest.mark.parametrize(
    ("reply", "longest"),
    [
        pytest.param(Reply(429), LONGEST_WAIT_BUSY, id="a minute after a 429"),
        pytest.param(Reply(503), LONGEST_WAIT, id="ten minutes after a fault of theirs"),
        pytest.param(Unreachable("cut", ambiguous=True), LONGEST_WAIT, id="ten minutes after no answer"),
    ],
)
def test_the_wait_is_at_most(reply: Reply | Unreachable, longest: timedelta) -> None:
    outcome = judge(
        reply,
        delivery(attempt=50, deadline=LATER),
        now=NOW,
        backoff=lambda n, longest: backoff(n, longest=longest, rand=lambda: 1),
    )
    assert isinstance(outcome, RetryLater)
    assert outcome.wait == longest


@pytest.mark.parametrize(
    ("attempt", "highest_s"),
    [(1, 2), (2, 4), (3, 8), (5, 32), (9, 512), (10, 600), (11, 600), (1000, 600), (10**9, 600)],
)
def test_backoff_doubles_with_full_jitter(attempt: int, highest_s: float) -> None:
    assert backoff(attempt, rand=lambda: 0.0) == timedelta()
    assert backoff(attempt, rand=lambda: 0.5) == timedelta(seconds=highest_s / 2)
    assert backoff(attempt, rand=lambda: 1.0) == timedelta(seconds=highest_s)
    assert timedelta() <= backoff(attempt) <= timedelta(seconds=highest_s)


def test_backoff_never_exceeds_what_it_is_told() -> None:
    assert backoff(20, longest=timedelta(seconds=60), rand=lambda: 1.0) == timedelta(seconds=60)
