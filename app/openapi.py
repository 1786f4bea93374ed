"""The tracking routes in the OpenAPI document: they are plain ASGI, so FastAPI does not see them."""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.ingest.paths import TRACKING_PATHS, TrackingPath
from app.segment.events import WireEvent

_ANSWERS: Final = {
    "200": ("Kept: it will be delivered, dropped for a named reason, or become a dead letter", "Accepted"),
    "400": ("Not to be sent again: `message` names the field and the rule", "Refusal"),
    "401": ("The write key is missing or unknown, or the signature does not fit", "Refusal"),
    "403": ("Pages of this origin may not post for this source", "Refusal"),
    "429": (
        "The source's rate or the backlog is full: send again after `Retry-After` seconds",
        "Refusal",
    ),
    "503": ("Redis cannot take events now: send the same again after `Retry-After` seconds", "Refusal"),
}
_SCHEMAS: Final[dict[str, Any]] = {
    "Accepted": {
        "type": "object",
        "required": ["success"],
        "properties": {
            "success": {"const": True},
            "accepted": {"type": "integer", "description": "events kept, when others of the batch were refused"},
            "refused": {"type": "array", "items": {"type": "object"}, "description": "which were not, and why"},
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
    "Batch": {
        "type": "object",
        "required": ["batch"],
        "properties": {
            "batch": {"type": "array", "items": {"$ref": "#/components/schemas/Event"}, "minItems": 1},
            "sentAt": {"description": "the tracker's clock when the request left"},
            "writeKey": {"type": "string"},
            "context": {"type": "object", "description": "beneath each event's own"},
            "integrations": {"type": "object", "description": "beneath each event's own"},
        },
    },
}


def describe_tracking(app: FastAPI) -> None:
    """Make /openapi.json and /docs tell of the tracking routes."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(_SCHEMAS, Event=WireEvent.model_json_schema())
    components["securitySchemes"] = {
        "writeKey": {"type": "http", "scheme": "basic", "description": "write key as user name, no password"},
        "writeKeyHeader": {"type": "apiKey", "in": "header", "name": "X-Write-Key"},
        "writeKeyQuery": {"type": "apiKey", "in": "query", "name": "writeKey"},
    }
    tracking = {form.path: {"post": _operation(form)} for form in TRACKING_PATHS}
    document["paths"] = tracking | document["paths"]
    return document


def _operation(form: TrackingPath) -> dict[str, Any]:
    if form.discard:
        summary, schema = "Taken and thrown away", {"type": "object"}
    elif form.type is None:
        summary, schema = "Take many events in one request", {"$ref": "#/components/schemas/Batch"}
    else:
        summary, schema = f"Take one {form.type} call", {"$ref": "#/components/schemas/Event"}
    return {
        "tags": ["tracking"],
        "operationId": "post" + form.path.replace("/", "_"),
        "summary": summary,
        "description": f"Called by {form.who}. The same with a trailing slash.",
        "security": [{name: []} for name in ("writeKey", "writeKeyHeader", "writeKeyQuery")],
        "requestBody": {
            "required": True,
            "description": "JSON whatever the Content-Type says, plain or gzipped; `writeKey` may stand in it too",
            "content": {"application/json": {"schema": schema}},
        },
        "responses": {
            status: {
                "description": description,
                "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{answer}"}}},
            }
            for status, (description, answer) in _ANSWERS.items()
        },
    }
