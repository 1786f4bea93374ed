"""The bodies and responses of the tracking paths, as FastAPI describes them in the OpenAPI document.

They describe bodies but do not check them: `parse_event` reads events, and accepts more than a strict model would.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from fastapi import Request, Security
from fastapi.security import APIKeyHeader, APIKeyQuery, HTTPBasic
from pydantic import BaseModel, ConfigDict, Field

from app.segment.events import WireEvent

Json = dict[str, Any]


def _without_noise(schema: Json) -> None:
    """Remove what pydantic adds for forms: a title for each field, and null as its default."""
    schema.pop("title", None)
    for field in schema.get("properties", {}).values():
        field.pop("title", None)
        if field.get("default", "") is None:
            del field["default"]


class _Described(BaseModel):
    model_config = ConfigDict(json_schema_extra=_without_noise)


WriteKeyInBody = Annotated[str | None, Field(description="the write key of the source, if it is nowhere else")]


class Event(WireEvent):
    """An event as trackers send it. `null` means absent, numbers are accepted as IDs, unknown fields are ignored."""

    model_config = ConfigDict(json_schema_extra=_without_noise)

    writeKey: WriteKeyInBody = None  # noqa: N815


class TrackEvent(Event):
    """A track call."""

    event: Annotated[str, Field(min_length=1, description="the name of the event")]


class TypedEvent(Event):
    """An event on a path that does not imply its type."""

    type: Literal["alias", "delete", "group", "identify", "page", "screen", "track"]


class Batch(_Described):
    """Many events in one request."""

    batch: Annotated[list[TypedEvent], Field(min_length=1)]
    sentAt: Annotated[Any, Field(description="the tracker's time when it sent the request")] = None  # noqa: N815
    writeKey: WriteKeyInBody = None  # noqa: N815
    context: Annotated[Json | None, Field(description="the default `context` of each event")] = None
    integrations: Annotated[Json | None, Field(description="the default `integrations` of each event")] = None


EventList = Annotated[list[TypedEvent], Field(min_length=1, title="EventList")]


class RefusedEvent(_Described):
    """An event of a batch that was refused while others were accepted."""

    index: Annotated[int, Field(ge=0, description="the position of the event in the batch")]
    code: Annotated[str, Field(description="a stable code")]
    field: Annotated[str | None, Field(description="the dotted path of what to correct")]
    message: Annotated[str, Field(description="an explanation for people")]


class Accepted(_Described):
    """Events that the gateway has stored."""

    success: Literal[True]
    accepted: Annotated[
        int | None, Field(description="the number of events accepted, when others of the batch were refused")
    ] = None
    refused: list[RefusedEvent] | None = None


class Refusal(_Described):
    """A request of which nothing was accepted."""

    success: Literal[False]
    code: Annotated[str, Field(description="a stable code")]
    message: Annotated[str, Field(description="an explanation for people")]
    error: Annotated[str, Field(description="the text of `message`, for clients that read it here")]
    field: Annotated[str | None, Field(description="the dotted path of what to correct")] = None


class _DeclaredBasic(HTTPBasic):
    """Basic authentication, described here. The intake reads it, more leniently than FastAPI does."""

    async def __call__(self, request: Request) -> None:  # type: ignore[override]
        """Leave the header to the intake."""


WRITE_KEY: Final = [
    Security(_DeclaredBasic(scheme_name="writeKey", description="the write key as user name, no password")),
    Security(APIKeyHeader(scheme_name="writeKeyHeader", name="X-Write-Key", auto_error=False)),
    Security(APIKeyQuery(scheme_name="writeKeyQuery", name="writeKey", auto_error=False)),
]
OR_IN_THE_BODY: Final[Json] = {"security": [{}]}  # added to the security of WRITE_KEY


def refusal(description: str, code: str, message: str, *, field: str | None = None, retry: bool = False) -> Json:
    """A response for FastAPI's `responses`. `retry`: the tracker should retry the request."""
    example: Json = {"success": False, "code": code, "message": message, "error": message}
    if field is not None:
        example["field"] = field
    response: Json = {
        "model": Refusal,
        "description": description,
        "content": {"application/json": {"example": example}},
    }
    if retry:
        response["headers"] = {
            "Retry-After": {
                "description": "whole seconds until the request may be sent again",
                "required": True,
                "schema": {"type": "integer", "minimum": 1},
            }
        }
    return response


_SOME_REFUSED: Final[Json] = {
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
}
RESPONSES: Final[Mapping[int, Json]] = {
    200: {
        "model": Accepted,
        "description": "Stored: each event will be delivered, dropped for a named reason, or become a dead letter",
        "content": {
            "application/json": {
                "examples": {
                    "all": {"summary": "All events are accepted", "value": {"success": True}},
                    "some": {"summary": "Some events of a batch are refused", "value": _SOME_REFUSED},
                }
            }
        },
    },
    400: refusal(
        "Do not retry this request: `message` names the field and the rule",
        "event_not_defined",
        "event: must be a non-empty string on a track call",
        field="event",
    ),
    401: refusal(
        "The write key is missing or unknown, or the signature is missing, wrong or too old",
        "unknown_source",
        "this write key belongs to no source",
        field="writeKey",
    ),
    403: refusal(
        "Pages of this origin may not post for this source",
        "origin_not_allowed",
        "pages of this origin may not post for this source",
        field="Origin",
    ),
    429: refusal(
        "The source exceeds its rate, or a backlog is full: send the request again later",
        "rate_limited",
        "this source exceeds its events per second, send the request again later",
        retry=True,
    ),
    500: refusal("An error of the gateway: send the request again", "internal_error", "the gateway failed to answer"),
    503: refusal(
        "Redis cannot store events now: send the request again later",
        "redis_unreachable",
        "events cannot be kept right now, send them again",
        retry=True,
    ),
}
RESPONSES_TO_DISCARDED: Final = {status: RESPONSES[status] for status in (200, 400, 500)}
UNKNOWN_SOURCE: Final = refusal(
    "The write key belongs to no source", "unknown_source", "this write key belongs to no source"
)

_WHO: Final[Json] = {"userId": "customer-1042", "context": {"traits": {"email": "ada@example.com"}}}
_VIEWED: Final[Json] = {
    "event": "Product Viewed",
    "messageId": "8f9c7b1e-0001",
    **_WHO,
    "properties": {"product_id": "SKI-7", "name": "Piste 7", "price": 499.0, "currency": "USD"},
}
EXAMPLES: Final[Mapping[str, Json]] = {
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
_MANY: Final = [{"type": "track", **_VIEWED}, {"type": "page", **EXAMPLES["page"]}]
BATCH_EXAMPLES: Final[Mapping[str, Any]] = {
    "batch": {
        "summary": "A batch, as trackers send it",
        "value": {"batch": _MANY, "context": {"library": {"name": "analytics-python"}}},
    },
    "event": {"summary": "A single event, as webhooks send it", "value": _MANY[0]},
    "list": {"summary": "A bare list, as some webhooks send it", "value": _MANY},
}
