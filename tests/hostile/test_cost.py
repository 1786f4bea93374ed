"""No event costs more than ten times a plain one of its size, and none costs more than its size makes it.

The plain event is one of products that a shop sends. Cost is counted work: calls of functions, instructions of Python,
and, for what patterns do within one call, processor time of a small event beside that of a large one, with a margin.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import orjson
import pytest

from app.pipeline import Decision, Forward, Plan, decide, read
from app.privacy.guard import MOST_GROWTH, Guard
from app.segment.events import InvalidEvent
from tests.builders import Raw
from tests.hostile.corpus import ATTACKS, Attack, of_size, plain, plain_of_size
from tests.hostile.work import calls_of, instructions_of, processor_ns, ratio_of_times

SIZE: Final = 32_000  # the largest event that the intake takes, nearly
SIZES: Final = (4_000, SIZE)
COUNTED_SIZES: Final = (1_000, 4_000)  # of a small event, what every event costs is most: there, ratios are highest
MOST_TIMES: Final = 10
MARGIN: Final = 2
REQUEST_NS: Final = 50_000  # of a request beside the event in it: HTTP, the key, the answer
NOW: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALL: Final = [pytest.param(attack, id=str(attack)) for attack in ATTACKS]


def handled(raw: Raw, plan: Plan) -> Decision | InvalidEvent:
    """What becomes of the event in the pipeline."""
    try:
        return decide(read(raw, orjson.dumps(raw), plan), plan, source="web", received_at=NOW)
    except InvalidEvent as invalid:
        return invalid


@cache
def calls_of_a_plain_event(size: int) -> int:
    """Of one with so many bytes."""
    raw = plain_of_size(size)
    return calls_of(lambda: handled(raw, Plan()))


def test_the_corpus_has_three_variants_of_each_attack() -> None:
    aims = [attack.aim for attack in ATTACKS]
    assert {aims.count(aim) for aim in aims} == {3}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("attack", ALL)
def test_costs_at_most_ten_plain_events_of_its_size(attack: Attack, size: int) -> None:
    raw = of_size(attack, size)
    times = calls_of(lambda: handled(raw, Plan())) / calls_of_a_plain_event(len(orjson.dumps(raw)))
    assert times <= MOST_TIMES


@cache
def instructions_of_a_plain_event(size: int) -> int:
    """Of one with so many bytes, in a process that has seen such events."""
    raw, plan = plain_of_size(size), Plan()
    handled(raw, plan)
    return instructions_of(lambda: handled(raw, plan))


@pytest.mark.parametrize("size", COUNTED_SIZES)
@pytest.mark.parametrize("attack", ALL)
def test_executes_at_most_ten_times_the_instructions_of_a_plain_event(attack: Attack, size: int) -> None:
    raw, plan = attack.event(size), Plan()
    handled(raw, plan)
    instructions = instructions_of(lambda: handled(raw, plan))
    assert instructions <= MOST_TIMES * instructions_of_a_plain_event(len(orjson.dumps(raw)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("attack", ALL)
def test_takes_no_more_processor_time_than_ten_plain_events_and_a_margin(attack: Attack, size: int) -> None:
    raw, plan = of_size(attack, size), Plan()
    usual = plain_of_size(len(orjson.dumps(raw)))
    ratio = ratio_of_times(
        lambda: handled(raw, plan), lambda: handled(usual, plan), times=MOST_TIMES, more_ns=REQUEST_NS
    )
    assert ratio <= MARGIN


@pytest.mark.parametrize("attack", ALL)
def test_the_cost_of_the_guard_is_linear(attack: Attack) -> None:
    small, large = attack.event(SIZE // 8), attack.event(SIZE)
    growth = len(orjson.dumps(large)) / len(orjson.dumps(small))
    inspect: Callable[[Raw], Any] = lambda raw: Guard().inspect(raw, orjson.dumps(raw))  # noqa: E731
    assert calls_of(lambda: inspect(large)) <= 1.5 * growth * calls_of(lambda: inspect(small)) + 1_000
    # Eight times the size is 64 times the cost of what is quadratic.
    assert processor_ns(lambda: inspect(large)) <= 4 * growth * processor_ns(lambda: inspect(small)) + 2_000_000


@pytest.mark.parametrize("attack", ALL)
def test_no_event_grows_in_the_guard(attack: Attack) -> None:
    raw = of_size(attack, SIZE)
    json = orjson.dumps(raw)
    inspected = Guard().inspect(raw, json)
    assert len(inspected.json) <= len(json) + MOST_GROWTH
    assert orjson.loads(inspected.json) == inspected.event


@pytest.mark.parametrize("attack", ALL)
def test_is_decided_and_its_calls_are_no_larger_than_it_was(attack: Attack) -> None:
    raw = of_size(attack, SIZE)
    decision = handled(raw, Plan())
    assert isinstance(decision, Forward), decision
    most = len(orjson.dumps(raw)) * 5 // 4 + 2 * MOST_GROWTH  # names that are told apart by a number grow
    assert all(len(delivery.body) <= most for delivery in decision.deliveries)


@pytest.mark.parametrize("attack", ALL)
def test_later_events_cost_what_they_did_before(attack: Attack) -> None:
    plan, usual = Plan(), plain(2_000)
    handled(usual, plan)
    before = calls_of(lambda: handled(usual, plan))
    for _ in range(3):
        handled(of_size(attack, SIZE), plan)
    handled(usual, plan)
    assert calls_of(lambda: handled(usual, plan)) <= before + 100
