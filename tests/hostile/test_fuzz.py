"""Events that a machine makes up of what has gone wrong before: nothing breaks, grows or costs more than its size."""

from typing import Any, Final

import orjson
from hypothesis import given

from app.pipeline import Plan
from app.privacy.guard import MOST_GROWTH, Guard
from tests.builders import Raw
from tests.hostile.corpus import ATTACKS
from tests.hostile.fuzz import EVENTS, FUZZ
from tests.hostile.test_cost import handled
from tests.hostile.work import calls_of

# A call is about a tenth of a microsecond to a whole one. Most of an event's are those of its names.
CALLS_A_BYTE: Final = 40
CALLS_AT_LEAST: Final = 20_000
PLAN: Final = Plan()


def size(raw: Any) -> int:
    return len(orjson.dumps(raw))


@FUZZ
@given(EVENTS)
def test_what_is_guarded_is_guarded_and_no_larger(raw: Raw) -> None:
    json = orjson.dumps(raw)
    once = Guard().inspect(raw, json)
    assert orjson.loads(once.json) == once.event
    assert len(once.json) <= len(json) + MOST_GROWTH
    assert orjson.dumps(raw) == json  # what it is given is never changed
    again = Guard().inspect(once.event, once.json)
    assert again.findings == (), once.event
    assert again.json == once.json


@FUZZ
@given(EVENTS)
def test_every_event_is_decided_at_a_cost_of_its_size(raw: Raw) -> None:
    decision: list[object] = []
    calls = calls_of(lambda: decision.append(handled(raw, PLAN)))
    assert decision
    assert calls <= CALLS_AT_LEAST + CALLS_A_BYTE * size(raw)


def test_the_corpus_keeps_within_the_same_bound() -> None:
    for attack in ATTACKS:
        raw = attack.event(8_000)
        assert calls_of(lambda raw=raw: handled(raw, Plan())) <= CALLS_AT_LEAST + CALLS_A_BYTE * size(raw)  # type: ignore[misc]
