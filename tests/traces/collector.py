"""A collector of OpenTelemetry on 127.0.0.1: it takes OTLP over HTTP, decodes it, and can misbehave."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Literal

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.local import serving_http

Mood = Literal["takes", "refuses", "hangs", "closes"]
_KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """One span as a collector sees it. IDs are hexadecimal."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[tuple[str, str], ...]  # trace and span
    attributes: dict[str, Any]
    start_ns: int
    end_ns: int
    failed: bool


@dataclass
class Collector:
    """What has arrived."""

    url: str = ""
    mood: Mood = "takes"
    bodies: list[bytes] = field(default_factory=list)  # after decompression
    headers: list[dict[str, str]] = field(default_factory=list)
    spans: list[ReceivedSpan] = field(default_factory=list)
    asked: int = 0
    released: threading.Event = field(default_factory=threading.Event)  # ends what hangs

    def take(self, body: bytes, headers: dict[str, str]) -> None:
        """Keep a request."""
        self.bodies.append(body)
        self.headers.append(headers)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _attributes(resource.resource.attributes)["service.name"]
            for scope in resource.scope_spans:
                self.spans += [_span(service, span) for span in scope.spans]

    def of_trace(self, trace_id: str) -> list[ReceivedSpan]:
        """The spans of one trace."""
        return [span for span in self.spans if span.trace_id == trace_id]

    def named(self, start: str) -> list[ReceivedSpan]:
        """The spans whose names start so."""
        return [span for span in self.spans if span.name.startswith(start)]


def _attributes(given: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in given}


def _span(service: str, span: Any) -> ReceivedSpan:
    return ReceivedSpan(
        service,
        span.name,
        _KINDS[span.kind],
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        _attributes(span.attributes),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.status.code == 2,
    )


@contextmanager
def running_collector(mood: Mood = "takes") -> Iterator[Collector]:
    """A collector that listens until the context ends."""
    collector = Collector(mood=mood)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.asked += 1
            body = self.rfile.read(int(self.headers["content-length"]))
            match collector.mood:
                case "hangs":
                    collector.released.wait()
                    return
                case "closes":  # the connection, without an answer
                    self.close_connection = True
                    return
                case "refuses":
                    self.send_response(500)
                case "takes":
                    if self.headers.get("content-encoding") == "gzip":
                        body = gzip.decompress(body)
                    collector.take(body, {name.lower(): value for name, value in self.headers.items()})
                    self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with serving_http(Handler) as collector.url:
        try:
            yield collector
        finally:
            collector.released.set()
