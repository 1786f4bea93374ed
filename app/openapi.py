"""The OpenAPI document: FastAPI does not see the tracking routes, which are plain ASGI, and its own pages only in part.

`attentive-gateway openapi` prints it; openapi/gateway.yaml is that text.
"""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.ingest.paths import TRACKING_PATHS, TrackingPath
from app.segment.events import EVENT_TYPES, WireEvent

_ABOUT: Final = """\
Point a Segment-compatible tracker here; its events become calls of Attentive's API.

- Every tracking path is served with and without a slash at its end, and never redirects. Other methods are a 405.
- The Content-Type is ignored: a body is JSON, plain or gzipped (`Content-Encoding: gzip`).
- The write key is the Basic user name, the header `X-Write-Key`, the query's `writeKey`, or `writeKey` in the body; the
  first of these that is there counts. A source that signs its posts proves itself besides: with `X-Signature`
  (Segment), `webhook-id`, `webhook-timestamp` and `webhook-signature` (Standard Webhooks, Svix), or a token.
- A 200 means that the events are kept. After a 400, 401 or 403 the same must not be sent again; after a 429, 500 or 503
  it should be.
- Pages of other origins may post: `OPTIONS` needs no write key, and every answer carries the CORS headers.
"""

Json = dict[str, Any]


def _ref(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


def _json(schema: Json, **more: Any) -> Json:
    return {"application/json": {"schema": schema, **more}}


def _refusal(what: str, code: str, message: str, *, field: str | None = None, later: bool = False) -> Json:
    """A refusal as it is described once for all paths. `later`: the same may be sent again."""
    example = {"success": False, "code": code, "message": message, "error": message}
    if field is not None:
        example["field"] = field
    headers = {"headers": {"Retry-After": _ref("headers", "RetryAfter")}} if later else {}
    return {"description": what, **headers, "content": _json(_ref("schemas", "Refusal"), example=example)}


_RESPONSES: Final[Mapping[str, Json]] = {
    "Accepted": {
        "description": "Kept: each event will be delivered, dropped for a named reason, or become a dead letter",
        "content": _json(
            _ref("schemas", "Accepted"),
            examples={
                "all": {"summary": "Everything is kept", "value": {"success": True}},
                "some": {
                    "summary": "Of a batch, what was good is kept",
                    "value": {
                        "success": True,
                        "accepted": 2,
                        "refused": [
                            {
                                "index": 1,
                                "code": "event_not_defined",
                                "field": "event",
                                "message": "event: must be a non-empty string on a track call",
                            }
                        ],
                    },
                },
            },
        ),
    },
    "BadRequest": _refusal(
        "Not to be sent again: `message` names the field and the rule",
        "event_not_defined",
        "event: must be a non-empty string on a track call",
        field="event",
    ),
    "Unauthorized": _refusal(
        "The write key is missing or unknown, or the signature is missing, wrong or too old",
        "unknown_source",
        "this write key belongs to no source",
        field="writeKey",
    ),
    "Forbidden": _refusal(
        "Pages of this origin may not post for this source",
        "origin_not_allowed",
        "pages of this origin may not post for this source",
        field="Origin",
    ),
    "NotFound": _refusal("The write key belongs to no source", "unknown_source", "this write key belongs to no source"),
    "TooMany": _refusal(
        "The source sends faster than it may, or too much waits for its destination: send the same again, later",
        "rate_limited",
        "this source sends more events a second than it may, send the same again",
        later=True,
    ),
    "OurMistake": _refusal(
        "A mistake of the gateway: send the same again", "internal_error", "the gateway failed to answer"
    ),
    "Unavailable": _refusal(
        "Redis cannot take events now: send the same again, later",
        "redis_unreachable",
        "events cannot be kept right now, send them again",
        later=True,
    ),
}
_ANSWERS: Final = {
    "200": "Accepted",
    "400": "BadRequest",
    "401": "Unauthorized",
    "403": "Forbidden",
    "429": "TooMany",
    "500": "OurMistake",
    "503": "Unavailable",
}
_ANSWERS_TO_WHAT_IS_DISCARDED: Final = ("200", "400", "500")

_WRITE_KEY_IN_BODY: Final = {"type": "string", "description": "the source's write key, if it stands nowhere else"}
_SCHEMAS: Final[Mapping[str, Json]] = {
    "TypedEvent": {
        "description": "An event where its path says nothing of its type",
        "allOf": [
            _ref("schemas", "Event"),
            {"type": "object", "required": ["type"], "properties": {"type": {"enum": sorted(EVENT_TYPES)}}},
        ],
    },
    "TrackEvent": {
        "allOf": [
            _ref("schemas", "Event"),
            {"type": "object", "required": ["event"], "properties": {"event": {"type": "string", "minLength": 1}}},
        ],
    },
    "Batch": {
        "type": "object",
        "required": ["batch"],
        "properties": {
            "batch": {"type": "array", "items": _ref("schemas", "TypedEvent"), "minItems": 1},
            "sentAt": {"description": "the tracker's clock when the request left"},
            "writeKey": _WRITE_KEY_IN_BODY,
            "context": {"type": "object", "description": "beneath each event's own"},
            "integrations": {"type": "object", "description": "beneath each event's own"},
        },
    },
    "Accepted": {
        "type": "object",
        "required": ["success"],
        "properties": {
            "success": {"const": True},
            "accepted": {"type": "integer", "description": "events kept, when others of the batch were refused"},
            "refused": {"type": "array", "items": _ref("schemas", "RefusedEvent")},
        },
    },
    "RefusedEvent": {
        "type": "object",
        "required": ["index", "code", "field", "message"],
        "properties": {
            "index": {"type": "integer", "minimum": 0, "description": "its place in the batch"},
            "code": {"type": "string", "description": "stable"},
            "field": {"type": ["string", "null"], "description": "dotted path of what to mend"},
            "message": {"type": "string", "description": "for people"},
        },
    },
    "Refusal": {
        "type": "object",
        "required": ["success", "code", "message", "error"],
        "properties": {
            "success": {"const": False},
            "code": {"type": "string", "description": "stable"},
            "message": {"type": "string", "description": "for people"},
            "error": {"type": "string", "description": "the same as `message`, for clients that read it here"},
            "field": {"type": "string", "description": "dotted path of what to mend"},
        },
    },
    "Health": {
        "type": "object",
        "required": ["status"],
        "properties": {
            "status": {"enum": ["ok", "ready", "unavailable"]},
            "reason": {"type": "string", "description": "why it is not ready: a stable code"},
        },
    },
    "Scaling": {
        "type": "object",
        "required": ["sendable_work_seconds", "window_seconds", "worker_calls_per_second", "lanes"],
        "properties": {
            "sendable_work_seconds": {
                "type": "number",
                "description": "time one worker needs for what the lanes' limits would let out within the window",
            },
            "window_seconds": {"type": "number"},
            "worker_calls_per_second": {"type": "number", "description": "what one worker is taken to send"},
            "lanes": {"type": "array", "description": "those with something to send", "items": {"type": "object"}},
        },
    },
}
_SECURITY: Final[Mapping[str, Json]] = {
    "writeKey": {"type": "http", "scheme": "basic", "description": "the write key as user name, no password"},
    "writeKeyHeader": {"type": "apiKey", "in": "header", "name": "X-Write-Key"},
    "writeKeyQuery": {"type": "apiKey", "in": "query", "name": "writeKey"},
}
_HEADERS: Final[Mapping[str, Json]] = {
    "RetryAfter": {
        "description": "whole seconds until the same may be sent again",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    }
}

_WHO: Final[Json] = {"userId": "customer-1042", "context": {"traits": {"email": "ada@example.com"}}}
_VIEWED: Final[Json] = {
    "event": "Product Viewed",
    "messageId": "8f9c7b1e-0001",
    **_WHO,
    "properties": {"product_id": "SKI-7", "name": "Piste 7", "price": 499.0, "currency": "USD"},
}
_EXAMPLES: Final[Mapping[str, Json]] = {
    "track": _VIEWED,
    "identify": {
        "messageId": "8f9c7b1e-0002",
        "userId": "customer-1042",
        "traits": {"email": "ada@example.com", "phone": "+14155550132", "firstName": "Ada"},
    },
    "page": {"messageId": "8f9c7b1e-0003", **_WHO, "properties": {"path": "/skis", "title": "Skis"}},
    "screen": {"messageId": "8f9c7b1e-0004", **_WHO, "name": "Skis"},
    "group": {"messageId": "8f9c7b1e-0005", **_WHO, "groupId": "ski-club"},
    "alias": {"messageId": "8f9c7b1e-0006", **_WHO, "previousId": "browser-1"},
    "delete": {"messageId": "8f9c7b1e-0007", "userId": "customer-1042", "traits": {"email": "ada@example.com"}},
}
_MANY: Final = [{"type": "track", **_VIEWED}, {"type": "page", **_EXAMPLES["page"]}]
_BATCH_EXAMPLES: Final[Mapping[str, Json]] = {
    "batch": {
        "summary": "A batch, as trackers send it",
        "value": {"batch": _MANY, "context": {"library": {"name": "analytics-python"}}},
    },
    "event": {"summary": "A single event, as webhooks send it", "value": _MANY[0]},
    "list": {"summary": "A bare list, as some webhooks send it", "value": _MANY},
}

# What FastAPI cannot know of its own pages: their names, answers and bodies.
_PAGES: Final[Mapping[str, Json]] = {
    "/v1/projects/{write_key}/settings": {
        "operationId": "trackerSettings",
        "description": "Points back at this gateway. Also served without `/v1`.",
        "responses": {
            "200": {
                "description": "What the library reads before its first event",
                "content": _json({"type": "object", "required": ["integrations", "plan"]}),
            },
            "404": _ref("responses", "NotFound"),
        },
    },
    "/sourceConfig": {
        "operationId": "sourceConfig",
        "description": "A source without destinations on the device: all events come here.",
        "security": [{name: []} for name in _SECURITY],
        "responses": {
            "200": {
                "description": "What the library reads before its first event",
                "content": _json({"type": "object", "required": ["source"]}),
            },
            "404": _ref("responses", "NotFound"),
        },
    },
    "/healthz": {
        "operationId": "healthz",
        "responses": {"200": {"description": "It is", "content": _json(_ref("schemas", "Health"))}},
    },
    "/readyz": {
        "operationId": "readyz",
        "responses": {
            "200": {"description": "It can", "content": _json(_ref("schemas", "Health"))},
            "503": {
                "description": "Redis is away, full or read-only: `reason` says which",
                "content": _json(_ref("schemas", "Health")),
            },
        },
    },
    "/metrics": {
        "operationId": "metrics",
        "responses": {
            "200": {
                "description": "Counters, gauges and histograms",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            }
        },
    },
    "/scaling": {
        "operationId": "scaling",
        "description": "For an autoscaler: `sendable_work_seconds` is what the number of workers should follow.",
        "responses": {
            "200": {"description": "The work that could be done now", "content": _json(_ref("schemas", "Scaling"))},
            "503": {"description": "Redis is away: `reason` says why", "content": _json(_ref("schemas", "Health"))},
        },
    },
}


def describe_tracking(app: FastAPI) -> None:
    """Make /openapi.json and /docs tell of everything that is served."""

    def openapi() -> Json:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI) -> Json:
    document = get_openapi(
        title=app.title, version=app.version, summary=app.summary, description=_ABOUT, routes=app.routes
    )
    pages: Json = document["paths"]
    for path, known in _PAGES.items():
        pages[path]["get"] |= known
    document["paths"] = {form.path: {"post": _operation(form)} for form in TRACKING_PATHS} | pages
    document["components"] = {
        "schemas": {"Event": _event_schema(), **_SCHEMAS},
        "requestBodies": _bodies(),
        "responses": dict(_RESPONSES),
        "headers": dict(_HEADERS),
        "securitySchemes": dict(_SECURITY),
    }
    return document


def _event_schema() -> Json:
    """The wire's own model, without what pydantic adds for forms; the write key is taken out before it is read."""
    schema = WireEvent.model_json_schema()
    fields = {
        name: {key: value for key, value in field.items() if key not in ("title", "default")}
        for name, field in schema["properties"].items()
    }
    return {
        "type": "object",
        "description": schema["description"],
        "properties": {**fields, "writeKey": _WRITE_KEY_IN_BODY},
    }


def _operation(form: TrackingPath) -> Json:
    """One tracking path. The last, empty requirement stands for a key in the body."""
    if form.discard:
        summary, body = "Taken and thrown away", "Anything"
    elif form.type is None:
        summary, body = "Take many events in one request", "Batch"
    else:
        summary, body = f"Take one {form.type} call", form.type.title()
    statuses = _ANSWERS_TO_WHAT_IS_DISCARDED if form.discard else _ANSWERS
    return {
        "tags": ["tracking"],
        "summary": summary,
        "description": f"Used by {form.who}.",
        "operationId": "post" + form.path.replace("/", "_"),
        "security": [] if form.discard else [*({name: []} for name in _SECURITY), {}],
        "requestBody": _ref("requestBodies", body),
        "responses": {status: _ref("responses", _ANSWERS[status]) for status in statuses},
    }


def _bodies() -> Json:
    """What is posted, described once for all paths."""
    typed = _ref("schemas", "TypedEvent")
    one_or_many = {"anyOf": [_ref("schemas", "Batch"), typed, {"type": "array", "items": typed, "minItems": 1}]}
    bodies: Json = {
        kind.title(): {
            "required": True,
            "content": _json(_ref("schemas", "TrackEvent" if kind == "track" else "Event"), example=example),
        }
        for kind, example in _EXAMPLES.items()
    }
    bodies["Batch"] = {"required": True, "content": _json(one_or_many, examples=dict(_BATCH_EXAMPLES))}
    bodies["Anything"] = {"content": _json({"type": "object"}, example={"series": []})}
    return bodies
