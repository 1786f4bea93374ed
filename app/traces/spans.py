"""The spans that the gateway and its workers record: their names and attributes, all in one place. Pure.

Source: OpenTelemetry's semantic conventions for HTTP and for messaging. Those for messaging may still change.
No attribute holds personal data, a write key, a body or a query.
"""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

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
_TEMPLATES: Final = 1024  # that are kept of each sort
_MESSAGE_ID: Final = "messaging.message.id"
UNIQUE: Final = frozenset({_MESSAGE_ID})  # attributes whose values do not recur

Attributes = Mapping[str, str | int | float | bool]
NO_ATTRIBUTES: Final[Attributes] = {}


class Kind(StrEnum):
    """The kinds of spans, named as in OpenTelemetry."""

    SERVER = "SERVER"
    CLIENT = "CLIENT"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"


class AttemptSort(NamedTuple):
    """What an attempt has in common with many others."""

    destination: str
    endpoint: str
    source: str
    attempt: int
    priority: str
    outcome: str


class Template(Value, frozen=True, eq=False, gc=False):
    """What many spans have in common. There are few templates, so an exporter may keep their encoded form."""

    name: str
    kind: Kind
    attributes: Attributes


class Span(Value, frozen=True, gc=False):
    """One span that has ended. Times are in ns since 1970."""

    template: Template
    context: TraceContext
    start_ns: int
    end_ns: int
    attributes: Attributes = NO_ATTRIBUTES  # besides those of the template
    parent: TraceContext | None = None
    links: tuple[TraceContext, ...] = ()
    error: str = ""  # the value of `error.type`; "" if it went well


def request_span(
    place: Place, path: str, *, status: int, code: str, source: str, events: int, start_ns: int, end_ns: int
) -> Span:
    """A request of a tracker. `code` is that of its refusal, or "". `source` is "" if it is not known."""
    error = str(status) if status >= _SERVER_ERROR else ""
    attributes = {"gateway.events": events}
    return _placed(_request(path, status, source, code), place, start_ns, end_ns, attributes, error)


@lru_cache(_TEMPLATES)
def _request(path: str, status: int, source: str, code: str) -> Template:
    attributes: dict[str, str | int | float | bool] = {
        "http.request.method": "POST",
        "http.route": path,
        "http.response.status_code": status,
    }
    if source:
        attributes["gateway.source"] = source
    if code:
        attributes["gateway.refusal"] = code
    return Template(f"POST {path}", Kind.SERVER, attributes)


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
    attributes = {_MESSAGE_ID: message_id}
    return Span(_publish(destination, endpoint), context, start_ns, end_ns, attributes, parent=parent, error=error)


@lru_cache(_TEMPLATES)
def _publish(destination: str, endpoint: str) -> Template:
    lane = _lane(destination, endpoint)
    return Template(f"publish {lane}", Kind.PRODUCER, _messaging(lane, "publish", "send"))


def flush_span(
    context: TraceContext, links: Sequence[TraceContext], *, events: int, failed: bool, start_ns: int, end_ns: int
) -> Span:
    """One write into Redis for the requests of `links` and others that waited with them."""
    attributes = {"messaging.batch.message_count": events}
    error = "unavailable" if failed else ""
    return Span(_COMMIT, context, start_ns, end_ns, attributes, links=tuple(links[:MOST_LINKS]), error=error)


def attempt_span(
    place: Place,
    sort: AttemptSort,
    *,
    message_id: str,
    age_ms: int,
    waits_ms: Mapping[str, int],
    orphaned: bool,
    start_ns: int,
    end_ns: int,
    error: str,
) -> Span:
    """One attempt of a worker at one call, from its claim to its outcome.

    `age_ms` is the time since its event came in, `waits_ms` what it waited for since then or since the attempt before.
    """
    attributes: dict[str, str | int | float | bool] = {_MESSAGE_ID: message_id, "gateway.wait_ms": max(0, age_ms)}
    for cause, waited_ms in waits_ms.items():
        attributes[f"gateway.wait.{cause}_ms"] = waited_ms
    if orphaned:
        attributes["gateway.orphaned"] = True
    return _placed(_attempt(sort), place, start_ns, end_ns, attributes, error)


@lru_cache(_TEMPLATES)
def _attempt(sort: AttemptSort) -> Template:
    lane = _lane(sort.destination, sort.endpoint)
    attributes = {
        **_messaging(lane, "process", "process"),
        "gateway.source": sort.source,
        "gateway.attempt": sort.attempt,
        "gateway.priority": sort.priority,
        "gateway.outcome": sort.outcome,
    }
    return Template(f"process {lane}", Kind.CONSUMER, attributes)


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
    error = "unreachable" if status is None else str(status) if status >= _CLIENT_ERROR else ""
    return Span(_call(method, path, server, status, resend), context, start_ns, end_ns, parent=parent, error=error)


@lru_cache(_TEMPLATES)
def _call(method: str, path: str, server: str, status: int | None, resend: int) -> Template:
    attributes: dict[str, str | int | float | bool] = {
        "http.request.method": method,
        "url.template": path,
        "server.address": server,
    }
    if status is not None:
        attributes["http.response.status_code"] = status
    if resend:
        attributes["http.request.resend_count"] = resend
    return Template(f"{method} {path}", Kind.CLIENT, attributes)


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


def _placed(template: Template, place: Place, start_ns: int, end_ns: int, attributes: Attributes, error: str) -> Span:
    links = () if place.link is None else (place.link,)
    return Span(template, place.context, start_ns, end_ns, attributes, place.parent, links, error)


_COMMIT: Final = Template(
    "commit",
    Kind.CLIENT,
    {"messaging.system": "redis", "messaging.operation.name": "commit", "messaging.operation.type": "send"},
)
