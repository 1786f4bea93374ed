"""One event is one connected story, from the tracker's request to Attentive's answer, whatever is killed in between."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

import httpx
import pytest

from app.embedded import RedisBinary
from tests.stack import DESTINATION, WRITE_KEY, Stack, message_id, stack, wait_until
from tests.traces.collector import Collector, ReceivedSpan, running_collector

pytestmark = pytest.mark.timeout(180)
EMAIL: Final = "ada.lovelace@shop-a.example"
PHONE: Final = "+14155550132"
USER: Final = "customer-4711"
PUBLIC_KEY: Final = "public-key"
VIEW: Final = "/v1/events/ecommerce/product-view"
CALLER: Final = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with running_collector() as running:
        yield running


@pytest.fixture(scope="module")
def running(
    redis_binary: RedisBinary, tmp_path_factory: pytest.TempPathFactory, collector: Collector
) -> Iterator[Stack]:
    with stack(
        tmp_path_factory.mktemp("traces"),
        redis_binary,
        sources={"web": {"write_key": PUBLIC_KEY, "trust": "public"}},
        destination={"unknown_outcomes": {"product-view": "send_again"}},
        environment={
            "GATEWAY_TRACES_ENDPOINT": collector.url,
            "GATEWAY_TRACES_HEADERS": "authorization=Bearer%20of-a-collector",
            "GATEWAY_TRACES_SHARE": "0",
        },
    ) as started:
        yield started


@pytest.fixture
def gateway(running: Stack) -> Iterator[Stack]:
    yield running
    running.heal()
    running.release_holds()


def view(**fields: Any) -> dict[str, Any]:
    return {
        "event": "Product Viewed",
        "userId": USER,
        "messageId": message_id(),
        "context": {"traits": {"email": EMAIL, "phone": PHONE}},
        "properties": {
            "product_id": "p-1",
            "name": "Hat",
            "price": 19.99,
            "url": "https://shop.example/?email=" + EMAIL,
        },
    } | fields


def traceparent(trace: str, *, sampled: bool = True) -> dict[str, str]:
    return {"traceparent": f"00-{trace}-{CALLER[1]}-0{int(sampled)}"}


def a_trace() -> str:
    return message_id().removeprefix("test-").replace("-", "")


def post(gateway: Stack, event: dict[str, Any], headers: dict[str, str], key: str = WRITE_KEY) -> None:
    content, auth = json.dumps(event), httpx.BasicAuth(key, "")
    answer = gateway.http.post("/v1/track", content=content, headers=headers, auth=auth)
    assert answer.status_code == 200, answer.text


def attempts(collector: Collector, published: ReceivedSpan) -> list[ReceivedSpan]:
    """The attempts that continue a published call: its children, and the first spans of traces that link to it."""
    own = published.trace_id, published.span_id
    return [span for span in collector.named("process ") if (span.trace_id, span.parent_id) == own or own in span.links]


def story(collector: Collector, trace: str, *outcomes: str) -> Sequence[ReceivedSpan]:
    """The attempts of the one call of a trace, once there is one of each of these outcomes."""

    def published() -> list[ReceivedSpan]:
        return [span for span in collector.of_trace(trace) if span.kind == "PRODUCER"]

    def told() -> list[str]:
        return [span.attributes["gateway.outcome"] for call in published() for span in attempts(collector, call)]

    wait_until(lambda: sorted(told()) == sorted(outcomes), f"attempts with {outcomes}, where there is {told()}", 40)
    (call,) = published()
    return attempts(collector, call)


def test_an_event_is_one_story_from_the_trackers_request_to_attentives_answer(
    gateway: Stack, collector: Collector
) -> None:
    trace, event = a_trace(), view()
    post(gateway, event, traceparent(trace))

    (attempt,) = story(collector, trace, "delivered")
    wait_until(lambda: len(collector.of_trace(trace)) > 3, "the gateway has exported the request too")

    by_kind = {(span.service, span.kind): span for span in collector.of_trace(trace)}
    request, publish = by_kind["attentive-gateway", "SERVER"], by_kind["attentive-gateway", "PRODUCER"]
    call = by_kind["attentive-gateway-worker", "CLIENT"]
    assert len(collector.of_trace(trace)) == 4
    assert (request.name, request.parent_id) == ("POST /v1/track", CALLER[1])
    assert (publish.name, publish.parent_id) == (f"publish {DESTINATION}:product-view", request.span_id)
    assert (attempt.name, attempt.parent_id) == (f"process {DESTINATION}:product-view", publish.span_id)
    assert (call.name, call.parent_id, call.attributes["http.response.status_code"]) == (
        f"POST {VIEW}",
        attempt.span_id,
        200,
    )
    assert request.start_ns <= publish.start_ns <= attempt.start_ns <= call.start_ns
    assert call.end_ns <= attempt.end_ns
    wait_until(lambda: any((trace, request.span_id) in span.links for span in collector.named("commit")), "the commit")


def test_the_journal_and_the_commands_name_the_traces(gateway: Stack, collector: Collector) -> None:
    trace, event = a_trace(), view()
    post(gateway, event, traceparent(trace))
    story(collector, trace, "delivered")
    wait_until(lambda: gateway.waiting() == 0, "it is settled")

    told = gateway.run("trace", event["messageId"], "--json").stdout

    steps = [json.loads(line) for line in told.splitlines()]
    assert {step["step"]: step.get("trace_id") for step in steps} == {"received": trace, "attempt": trace}


def test_a_retry_is_a_trace_of_its_own_that_links_to_the_request(gateway: Stack, collector: Collector) -> None:
    gateway.fault(kind="status", status=503, path=VIEW, count=1)
    trace = a_trace()
    post(gateway, view(), traceparent(trace))

    first, second = sorted(story(collector, trace, "retry", "delivered"), key=lambda span: span.start_ns)

    assert first.trace_id == trace
    assert second.trace_id != trace
    assert [span.attributes["gateway.attempt"] for span in (first, second)] == [1, 2]
    assert "gateway.wait.retry_ms" not in first.attributes
    assert 0 < second.attributes["gateway.wait.retry_ms"] <= second.attributes["gateway.wait_ms"]
    (resent,) = (span for span in collector.of_trace(second.trace_id) if span.kind == "CLIENT")
    assert resent.attributes["http.request.resend_count"] == 1
    assert f'"trace_id": "{trace}"' in gateway.log("worker")


def test_a_worker_that_is_killed_leaves_a_connected_story(gateway: Stack, collector: Collector) -> None:
    gateway.fault(kind="hang", path=VIEW, count=1)
    trace = a_trace()
    post(gateway, view(), traceparent(trace))
    wait_until(lambda: gateway.struck() > 0, "the call is under way")
    gateway.kill("worker")
    gateway.heal()
    gateway.start("worker")

    orphan, again = sorted(story(collector, trace, "retry", "delivered"), key=lambda span: span.start_ns)

    assert orphan.attributes["gateway.orphaned"] is True
    assert again.attributes["gateway.attempt"] == 2


def test_a_gateway_that_is_killed_leaves_the_trace_to_the_worker(gateway: Stack, collector: Collector) -> None:
    gateway.kill("worker")
    trace = a_trace()
    post(gateway, view(), traceparent(trace))
    gateway.kill("gateway")
    gateway.start("gateway", "worker")

    wait_until(lambda: any(span.kind == "CONSUMER" for span in collector.of_trace(trace)), "the attempt", 40)


def test_a_public_source_cannot_have_itself_traced(gateway: Stack, collector: Collector) -> None:
    trace, event, own = a_trace(), view(), a_trace()
    post(gateway, event, traceparent(trace), PUBLIC_KEY)
    post(gateway, view(), traceparent(own))
    story(collector, own, "delivered")
    wait_until(lambda: gateway.waiting() == 0, "it is settled")

    assert collector.of_trace(trace) == []
    assert not any(trace in link for span in collector.spans for link in span.links)


def test_a_dead_letter_is_recorded_although_its_request_is_not_traced(gateway: Stack, collector: Collector) -> None:
    before = len(collector.named("process "))
    gateway.fault(kind="status", status=400, path=VIEW, count=1)
    assert gateway.post("/v1/track", view()).status_code == 200

    wait_until(lambda: len(collector.named("process ")) > before, "the span")

    (span,) = collector.named("process ")[before:]
    facts = span.attributes["gateway.outcome"], span.attributes["error.type"]
    assert (facts, span.failed, span.parent_id, span.links) == (("dead_letter", "http_400"), True, "", ())


def test_a_refused_request_shows_why(gateway: Stack, collector: Collector) -> None:
    trace = a_trace()
    answer = gateway.http.post("/v1/track", content=json.dumps({"userId": USER}), headers=traceparent(trace))
    assert answer.status_code == 400

    wait_until(lambda: bool(collector.of_trace(trace)), "the span")

    (span,) = collector.of_trace(trace)
    assert span.attributes["http.response.status_code"] == 400
    assert span.attributes["gateway.refusal"] == answer.json()["code"]


def test_no_span_holds_personal_data_or_a_secret(gateway: Stack, collector: Collector) -> None:
    trace = a_trace()
    path = f"/v1/track?writeKey=journey-key&email={EMAIL}"
    event = view(messageId=f"{EMAIL}-1") | {"anonymousId": "visitor-0815"}
    answer = gateway.http.post(path, content=json.dumps(event), headers=traceparent(trace))
    assert answer.status_code == 200
    other = a_trace()
    post(gateway, view(messageId=PHONE.removeprefix("+")), traceparent(other))
    story(collector, trace, "delivered")
    story(collector, other, "delivered")

    seen = b"".join(collector.bodies)

    for secret in (EMAIL, "lovelace", PHONE[1:], USER, "visitor-0815", "journey-key", PUBLIC_KEY, "sandbox-token"):
        assert secret.encode() not in seen
    texts = [str(text) for span in collector.spans for text in (span.name, *span.attributes.values())]
    assert [text for text in texts if "@" in text] == []
    assert {headers["authorization"] for headers in collector.headers} == {"Bearer of-a-collector"}


def test_a_stop_exports_what_waits(gateway: Stack, collector: Collector) -> None:
    trace = a_trace()
    post(gateway, view(), traceparent(trace))
    wait_until(lambda: gateway.waiting() == 0, "it is delivered")
    gateway.stop("gateway")
    gateway.stop("worker")

    kinds = sorted(span.kind for span in collector.of_trace(trace))
    gateway.start("gateway", "worker")
    assert kinds == ["CLIENT", "CONSUMER", "PRODUCER", "SERVER"]
