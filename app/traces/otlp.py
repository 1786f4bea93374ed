"""Spans as OTLP over HTTP. Imported only where traces are on: the protocol's messages are an extra.

The spans are encoded here and not by OpenTelemetry's SDK, which takes 50 µs for each, as long as a whole request. Since
nearly all of a span recurs, the encoded form of templates and of attributes is kept.
"""

import gzip
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

import structlog
import urllib3
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Status
from opentelemetry.proto.trace.v1.trace_pb2 import Span as EncodedSpan

from app.traces.spans import SCHEMA_URL, SCOPE, UNIQUE, Kind, Span, Template

_TIMEOUT: Final = urllib3.Timeout(connect=3, read=5)
# The statuses that OTLP declares to be temporary. A request that is repeated may bring spans twice, which have IDs.
_RETRY: Final = urllib3.Retry(
    2, status_forcelist=(429, 502, 503, 504), allowed_methods=None, backoff_factor=1, raise_on_status=False
)
_FAST: Final = 1  # gzip's level: it halves the time of the best one, and the size is nearly the same
_LOGGED_EVERY_S: Final = 60.0
_FIRST_ERROR: Final = 300
_KINDS: Final = {
    Kind.SERVER: EncodedSpan.SPAN_KIND_SERVER,
    Kind.CLIENT: EncodedSpan.SPAN_KIND_CLIENT,
    Kind.PRODUCER: EncodedSpan.SPAN_KIND_PRODUCER,
    Kind.CONSUMER: EncodedSpan.SPAN_KIND_CONSUMER,
}
_FAILED: Final[bytes] = EncodedSpan(status=Status(code=Status.STATUS_CODE_ERROR)).SerializeToString()
_KEPT: Final = 4096  # templates, and attributes, in their encoded form
# The wire format: the fields of ExportTraceServiceRequest, ResourceSpans and ScopeSpans that hold the next one, and how
# a field of variable length is written.
_RESOURCE_SPANS, _SCOPE_SPANS, _SPANS = 1, 2, 2
_LENGTH_DELIMITED: Final = 2
_SEVEN_BITS, _MORE = 0x7F, 0x80

log = structlog.get_logger()


class OtlpExporter:
    """Sends spans to one collector."""

    def __init__(self, endpoint: str, headers: Mapping[str, str], *, service: str, version: str) -> None:
        """`endpoint` is the whole address. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over `service`."""
        self._endpoint = endpoint
        self._headers = {
            **headers,
            "content-type": "application/x-protobuf",
            "content-encoding": "gzip",
            "user-agent": f"attentive-gateway/{version}",
        }
        self._http = urllib3.PoolManager(1, timeout=_TIMEOUT, retries=_RETRY)
        own = {"service.name": service, "service.version": version, "service.instance.id": str(uuid.uuid4())}
        attributes = own | _resource_attributes(os.environ)
        resource = Resource(attributes=[_key_value(*each) for each in attributes.items()])
        scope = InstrumentationScope(name=SCOPE, version=version)
        self._resource: bytes = ResourceSpans(resource=resource).SerializeToString()
        self._scope: bytes = ScopeSpans(scope=scope, schema_url=SCHEMA_URL).SerializeToString()
        self._log_from_s = 0.0

    def export(self, spans: Sequence[Span]) -> bool:
        """Return whether the collector has them. Blocks for half a minute at the most, unless bytes come one by one."""
        body = gzip.compress(self.encoded(spans), _FAST)
        try:
            response = self._http.request("POST", self._endpoint, body=body, headers=self._headers, redirect=False)
        except urllib3.exceptions.HTTPError as failure:
            self._report(type(getattr(failure, "reason", None) or failure).__name__)
            return False
        if response.status >= _FIRST_ERROR:
            self._report(f"HTTP {response.status}")
        return response.status < _FIRST_ERROR

    def encoded(self, spans: Sequence[Span]) -> bytes:
        """The body of a request: an ExportTraceServiceRequest."""
        in_scope = self._scope + b"".join(_field(_SPANS, _encoded(span)) for span in spans)
        return _field(_RESOURCE_SPANS, self._resource + _field(_SCOPE_SPANS, in_scope))

    def _report(self, reason: str) -> None:
        """Log a failure, once a minute: a collector may be away for hours."""
        now_s = time.monotonic()
        if now_s >= self._log_from_s:
            self._log_from_s = now_s + _LOGGED_EVERY_S
            log.warning("traces.not_exported", endpoint=self._endpoint, reason=reason)


def _encoded(span: Span) -> bytes:
    """A span, put together of encoded parts: joined, the encoded forms of two messages are that of both merged."""
    parts = [_template(span.template)]
    parts += [
        _new_attribute(name, value) if name in UNIQUE else _attribute(name, value)
        for name, value in span.attributes.items()
    ]
    own = EncodedSpan(
        trace_id=bytes.fromhex(span.context.trace_id),
        span_id=bytes.fromhex(span.context.span_id),
        parent_span_id=b"" if span.parent is None else bytes.fromhex(span.parent.span_id),
        start_time_unix_nano=span.start_ns,
        end_time_unix_nano=span.end_ns,
    )
    for link in span.links:
        own.links.add(trace_id=bytes.fromhex(link.trace_id), span_id=bytes.fromhex(link.span_id))
    if span.error:
        parts += [_attribute("error.type", span.error), _FAILED]
    parts.append(own.SerializeToString())
    return b"".join(parts)


@lru_cache(_KEPT)
def _template(template: Template) -> bytes:
    encoded: bytes = EncodedSpan(
        name=template.name,
        kind=_KINDS[template.kind],
        attributes=[_key_value(*each) for each in template.attributes.items()],
    ).SerializeToString()
    return encoded


def _new_attribute(name: str, value: str | int | float | bool) -> bytes:
    encoded: bytes = EncodedSpan(attributes=[_key_value(name, value)]).SerializeToString()
    return encoded


_attribute: Final = lru_cache(_KEPT, typed=True)(_new_attribute)


def _key_value(name: str, value: str | int | float | bool) -> KeyValue:
    match value:
        case bool():
            return KeyValue(key=name, value=AnyValue(bool_value=value))
        case int():
            return KeyValue(key=name, value=AnyValue(int_value=value))
        case float():
            return KeyValue(key=name, value=AnyValue(double_value=value))
        case str():
            return KeyValue(key=name, value=AnyValue(string_value=value))


def _field(number: int, content: bytes) -> bytes:
    """A field of a message that holds an encoded message: its key, its length, and its content."""
    key, length = bytes((number << 3 | _LENGTH_DELIMITED,)), bytearray()
    left = len(content)
    while left > _SEVEN_BITS:
        length.append(left & _SEVEN_BITS | _MORE)
        left >>= 7
    length.append(left)
    return key + length + content


def _resource_attributes(environment: Mapping[str, str]) -> dict[str, str]:
    """The attributes that OpenTelemetry's own variables set."""
    pairs = (pair.partition("=") for pair in environment.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","))
    given = {name.strip(): unquote(value.strip()) for name, equals, value in pairs if equals and name.strip()}
    service = environment.get("OTEL_SERVICE_NAME")
    return given | ({"service.name": service} if service else {})
