"""The spans that the gateway and its workers record: their names and attributes, all in one place. Pure.

Source: OpenTelemetry's semantic conventions for HTTP and for messaging. Those for messaging may still change.
No attribute holds personal data, a write key, a body or a query.
"""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

from app.traces.context import TraceContext
from app.traces.sampling import Place
from app.value import Value

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
SCOPE: Final = "attentive-gateway"
MOST_LINKS: Final = 128  # of one span, as in OpenTelemetry's own limit
_UUID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
# IDs that trackers and the gateway generate. Any other may contain a name or a number of somebody.
_GENERATED_ID: Final = re.compile(
    rf"(ajs-|node-)?(next-)?([0-9]{{13}}-)?{_UUID}|ajs-[0-9a-f]{{32}}|sha256:[0-9a-f]{{64}}"
)
_SERVER_ERROR: Final = 500
_CLIENT_ERROR: Final = 400

Attributes = Mapping[str, str | int | float | bool]


class Kind(StrEnum):
    """The kinds of spans, named as in OpenTelemetry."""

    SERVER = "SERVER"
    CLIENT = "CLIENT"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"


class Span(Value, frozen=True):
    """One span that has ended. Times are in ns since 1970."""

    name: str
    kind: Kind
    context: TraceContext
    start_ns: int
    end_ns: int
    attributes: Attributes
    parent: TraceContext | None = None
    links: tuple[TraceContext, ...] = ()
    error: str = ""  # the value of `error.type`; "" if it went well


def request_span(
    place: Place, path: str, *, status: int, code: str, source: str, events: int, start_ns: int, end_ns: int
) -> Span:
    """A request of a tracker. `code` is that of its refusal, or "". `source` is "" if it is not known."""
    attributes: dict[str, str | int | float | bool] = {
        "http.request.method": "POST",
        "http.route": path,
        "http.response.status_code": status,
        "gateway.events": events,
    }
    if source:
        attributes["gateway.source"] = source
    if code:
        attributes["gateway.refusal"] = code
    error = str(status) if status >= _SERVER_ERROR else ""
    return _placed(f"POST {path}", Kind.SERVER, place, attributes, start_ns, end_ns, error)


def publish_span(
    context: TraceContext,
    parent: TraceContext,
    destination: str,
    endpoint: str,
    *,
    message_id: str,
    start_ns: int,
    end_ns: int,
    error: str = "",
) -> Span:
    """One call that was handed to Redis, until Redis had stored it."""
    lane = _lane(destination, endpoint)
    attributes = {**_messaging(lane, "publish", "send"), "messaging.message.id": message_id}
    return Span(f"publish {lane}", Kind.PRODUCER, context, start_ns, end_ns, attributes, parent=parent, error=error)


def flush_span(
    context: TraceContext, links: Sequence[TraceContext], *, events: int, failed: bool, start_ns: int, end_ns: int
) -> Span:
    """One write into Redis for the requests of `links` and others that waited with them."""
    attributes: Attributes = {
        "messaging.system": "redis",
        "messaging.operation.name": "commit",
        "messaging.operation.type": "send",
        "messaging.batch.message_count": events,
    }
    error = "unavailable" if failed else ""
    tied = tuple(links[:MOST_LINKS])
    return Span("commit", Kind.CLIENT, context, start_ns, end_ns, attributes, links=tied, error=error)


def attempt_span(
    place: Place,
    destination: str,
    endpoint: str,
    *,
    attributes: Attributes,
    start_ns: int,
    end_ns: int,
    error: str = "",
) -> Span:
    """One attempt of a worker at one call, from its claim to its outcome."""
    lane = _lane(destination, endpoint)
    facts = {**_messaging(lane, "process", "process"), **attributes}
    return _placed(f"process {lane}", Kind.CONSUMER, place, facts, start_ns, end_ns, error)


def call_span(
    context: TraceContext,
    parent: TraceContext,
    method: str,
    path: str,
    *,
    server: str,
    status: int | None,
    resend: int,
    start_ns: int,
    end_ns: int,
) -> Span:
    """One HTTP request to Attentive. `status` is None if no answer came. `resend` counts the attempts before."""
    attributes: dict[str, str | int | float | bool] = {
        "http.request.method": method,
        "url.template": path,
        "server.address": server,
    }
    if status is not None:
        attributes["http.response.status_code"] = status
    if resend:
        attributes["http.request.resend_count"] = resend
    error = "unreachable" if status is None else str(status) if status >= _CLIENT_ERROR else ""
    return Span(f"{method} {path}", Kind.CLIENT, context, start_ns, end_ns, attributes, parent=parent, error=error)


def shown_message_id(message_id: str, key: bytes) -> str:
    """The message ID if it was generated, else the event's key, which is a digest: an ID may contain personal data."""
    return message_id if _GENERATED_ID.fullmatch(message_id) else key.hex()


def _lane(destination: str, endpoint: str) -> str:
    return f"{destination}:{endpoint}"


def _messaging(lane: str, name: str, kind: str) -> dict[str, str | int | float | bool]:
    return {
        "messaging.system": "redis",
        "messaging.destination.name": lane,
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
    }


def _placed(
    name: str, kind: Kind, place: Place, attributes: Attributes, start_ns: int, end_ns: int, error: str
) -> Span:
    links = () if place.link is None else (place.link,)
    return Span(name, kind, place.context, start_ns, end_ns, attributes, place.parent, links, error)
