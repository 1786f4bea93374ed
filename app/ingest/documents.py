"""The documents that trackers fetch before their first event. They point back at this gateway only.

Source: the published clients, whose code shows how they use each field.
"""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from app.ingest.auth import WriteKeys
from app.ingest.refusal import Refused
from app.ingest.schemas import UNKNOWN_SOURCE, WRITE_KEY

_CACHE = {"Cache-Control": "public, max-age=300"}


def documents_router(write_keys: WriteKeys) -> APIRouter:
    """Settings for Segment's browser and mobile libraries, and RudderStack's source configuration."""
    router = APIRouter(tags=["tracking"])

    @router.get(
        "/v1/projects/{write_key}/settings",
        summary="Settings for Segment's browser and mobile libraries",
        description="Points back at this gateway. Also served without `/v1`.",
        operation_id="trackerSettings",
        responses={200: _document("integrations", "plan"), 404: UNKNOWN_SOURCE},
    )
    @router.get("/projects/{write_key}/settings", include_in_schema=False)
    async def settings(write_key: str, request: Request) -> JSONResponse:
        if not write_keys.knows(write_key):
            return _unknown()
        ours = request.base_url  # unlike `url`, it works with any bytes in the query
        return JSONResponse(segment_settings(write_key, ours.netloc, ours.scheme), headers=_CACHE)

    @router.get(
        "/sourceConfig",
        summary="Source configuration for RudderStack's browser library",
        description="A source without destinations on the device: all events come to the gateway.",
        operation_id="sourceConfig",
        dependencies=WRITE_KEY,
        responses={200: _document("source"), 404: UNKNOWN_SOURCE},
    )
    async def source_config(request: Request) -> JSONResponse:
        write_key = write_keys.named_in(request.headers.raw, request.scope["query_string"])
        if not write_keys.knows(write_key):
            return _unknown()
        return JSONResponse(rudderstack_source(write_key), headers=_CACHE)

    return router


def segment_settings(write_key: str, host: str, scheme: str) -> dict[str, Any]:
    """`integrations["Segment.io"].apiHost` replaces the library's configured host, so it must be this gateway."""
    return {
        "integrations": {
            "Segment.io": {
                "apiKey": write_key,
                "apiHost": f"{host}/v1",
                "protocol": scheme,
                "unbundledIntegrations": [],
                "addBundledMetadata": False,
                "maybeBundledConfigIds": {},
                "versionSettings": {"version": "4.4.7", "componentTypes": ["browser"]},
                "retryQueue": True,
            }
        },
        "plan": {
            "track": {"__default": {"enabled": True, "integrations": {}}},
            "identify": {"__default": {"enabled": True}},
            "group": {"__default": {"enabled": True}},
        },
        "edgeFunction": {},
        "metrics": {"sampleRate": 0},
        "enabledMiddleware": {},
        "remotePlugins": [],
    }


def rudderstack_source(write_key: str) -> dict[str, Any]:
    """A source without destinations on the device: all events come to the gateway."""
    off = {"enabled": False}
    return {
        "source": {
            "id": "attentive-gateway",
            "name": "attentive-gateway",
            "writeKey": write_key,
            "enabled": True,
            "workspaceId": "attentive-gateway",
            "connections": [],
            "destinations": [],
            "config": {"statsCollection": {"errors": off, "metrics": off}},
        },
        "updatedAt": "2026-01-01T00:00:00.000Z",
    }


def _document(*required: str) -> dict[str, Any]:
    schema = {"type": "object", "required": list(required)}
    return {
        "description": "What the library reads before its first event",
        "content": {"application/json": {"schema": schema}},
    }


def _unknown() -> JSONResponse:
    return JSONResponse(Refused(404, "unknown_source", "this write key belongs to no source").content(), 404)
