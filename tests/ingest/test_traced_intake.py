"""An intake that records traces: what a request turns into, and what none of its spans holds."""

from typing import Any, Final

import orjson
import pytest

from app.ingest.auth import Sender
from app.ingest.request_trace import MOST_PUBLISHED
from app.pipeline import Plan
from app.traces.context import TraceContext
from app.traces.spans import Kind, Span
from tests.builders import deliveries_of
from tests.fakes import WRITE_KEY, Harness, open_intake

CALLER: Final = TraceContext("a" * 32, "b" * 16)
HEADERS: Final = {"traceparent": CALLER.traceparent}
MARK: Final = "zqwx7131"  # stands for personal data
PATH: Final = "/v1/track"


def view(number: int = 0, **fields: Any) -> dict[str, Any]:
    traits = {"email": f"{MARK}@shop-a.example", "phone": "+14155550132"}
    event = {"type": "track", "event": "Product Viewed", "messageId": f"m-{number}", "userId": MARK}
    return event | {"context": {"traits": traits}, "properties": {"product_id": "p-1", "price": 1}} | fields


def intake(*, public: bool = False, share: float = 0) -> tuple[Harness, list[Span]]:
    spans: list[Span] = []
    senders = {WRITE_KEY: Sender("shop", "acme", Plan(public=public))}
    return open_intake(senders=senders, emit=spans.append, share=share), spans


async def test_the_calls_and_the_journal_carry_the_trace() -> None:
    gateway, spans = intake()

    assert (await gateway.post(PATH, view(), headers=HEADERS)).status_code == 200

    request, publish = spans
    (arrival,) = gateway.outbox.arrivals
    (call,) = deliveries_of(arrival)
    assert (request.template.kind, request.parent, request.context.trace_id) == (Kind.SERVER, CALLER, CALLER.trace_id)
    assert (publish.template.kind, publish.parent) == (Kind.PRODUCER, request.context)
    assert call.traceparent == publish.context.traceparent
    assert arrival.trace == request.context
    assert gateway.outbox.records[0]["trace_id"] == CALLER.trace_id


@pytest.mark.parametrize("path", ["/v1/batch", "/beacon/v1/batch"])
async def test_a_large_batch_has_a_bounded_number_of_spans_and_every_call_a_place(path: str) -> None:
    gateway, spans = intake()
    events = [view(number) for number in range(MOST_PUBLISHED + 20)]

    assert (await gateway.post(path, {"batch": events}, headers=HEADERS)).status_code == 200

    request, *published = spans
    contexts = [call.traceparent for each in gateway.outbox.arrivals for call in deliveries_of(each)]
    assert len(published) == MOST_PUBLISHED
    assert contexts == [span.context.traceparent for span in published] + [request.context.traceparent] * 20
    assert request.attributes["gateway.events"] == len(events)


async def test_a_public_traceparent_forces_nothing() -> None:
    gateway, spans = intake(public=True)

    assert (await gateway.post(PATH, view(), headers=HEADERS)).status_code == 200

    (arrival,) = gateway.outbox.arrivals
    assert (spans, arrival.trace, deliveries_of(arrival)[0].traceparent) == ([], None, "")
    assert "trace_id" not in gateway.outbox.records[0]


async def test_a_public_traceparent_is_linked_where_chance_chose_the_request() -> None:
    gateway, spans = intake(public=True, share=1)

    assert (await gateway.post(PATH, view(), headers=HEADERS)).status_code == 200

    request = spans[0]
    assert (request.parent, request.links) == (None, (CALLER,))
    assert request.context.trace_id != CALLER.trace_id


@pytest.mark.parametrize(
    ("share", "spans_of_it"), [pytest.param(1, 1, id="chance chose it"), pytest.param(0, 0, id="chance did not")]
)
async def test_a_request_of_an_unknown_sender_is_traced_by_chance_alone(share: float, spans_of_it: int) -> None:
    gateway, spans = intake(share=share)

    assert (await gateway.post(PATH, view(), key="unknown", headers=HEADERS)).status_code == 401

    assert len(spans) == spans_of_it
    assert all(span.template.attributes["gateway.refusal"] == "unknown_source" for span in spans)
    assert all(span.parent is None for span in spans)


async def test_events_that_redis_cannot_store_are_published_with_an_error() -> None:
    gateway, spans = intake()
    gateway.outbox.away = "redis_unreachable"

    assert (await gateway.post(PATH, view(), headers=HEADERS)).status_code == 503

    assert [(span.template.kind, span.error) for span in spans] == [(Kind.SERVER, "503"), (Kind.PRODUCER, "503")]


async def test_an_event_that_is_dropped_has_no_call_to_publish() -> None:
    gateway, spans = intake()

    assert (
        await gateway.post(PATH, view(context={}, userId=None, anonymousId="a"), headers=HEADERS)
    ).status_code == 200

    assert [span.template.kind for span in spans] == [Kind.SERVER]


def marked(content: Any) -> Any:
    """The same with the mark in every text, and as every number of a person."""
    match content:
        case dict():
            return {f"{name}": marked(value) for name, value in content.items()} | {MARK: MARK}
        case list():
            return [*map(marked, content), MARK]
        case str():
            return f"{content} {MARK}"
        case _:
            return content


async def test_no_span_holds_what_a_tracker_wrote() -> None:
    gateway, spans = intake(share=1)
    plain = [view(1), {"type": "identify", "userId": "u", "traits": {"email": "a@b.example"}}, {"type": "page"}]
    for event in plain:
        for name in ("messageId", "userId", "anonymousId", "event", "properties", "context", "traits", "timestamp"):
            await gateway.post("/v1/batch", {"batch": [event | {name: marked(event.get(name, ""))}]})
        for headers in ({"traceparent": MARK}, {"tracestate": f"{MARK}=1"}, {"user-agent": MARK}, {"referer": MARK}):
            await gateway.post(f"{PATH}?email={MARK}", marked(event), headers=headers)

    templates = [span.template for span in spans]
    seen = orjson.dumps(
        [
            [template.name, template.attributes, span.attributes, span.error]
            for template, span in zip(templates, spans, strict=True)
        ]
    ).decode()

    assert len(spans) > 30
    assert MARK not in seen
    assert "4155550132" not in seen
    assert WRITE_KEY not in seen
