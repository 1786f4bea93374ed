"""The documents that trackers fetch before their first event. They point back at this gateway, never elsewhere.

Source: the published clients; what they do with each field was read in their code.
"""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from app.ingest.auth import WriteKeys
from app.ingest.refusal import Refused

_CACHE = {"Cache-Control": "public, max-age=300"}


def documents_router(write_keys: WriteKeys) -> APIRouter:
    """Settings for Segment's browser and mobile libraries, and RudderStack's source configuration."""
    router = APIRouter(tags=["tracking"])

    @router.get("/v1/projects/{write_key}/settings", summary="Settings for Segment's browser and mobile libraries")
    @router.get("/v1/projects/{write_key}/settings/", include_in_schema=False)
    @router.get("/projects/{write_key}/settings", include_in_schema=False)
    @router.get("/projects/{write_key}/settings/", include_in_schema=False)
    async def settings(write_key: str, request: Request) -> JSONResponse:
        if not write_keys.knows(write_key):
            return _unknown()
        ours = request.base_url  # unlike `url`, it can be read whatever bytes the query is made of
        return JSONResponse(segment_settings(write_key, ours.netloc, ours.scheme), headers=_CACHE)

    @router.get("/sourceConfig", summary="Source configuration for RudderStack's browser library")
    @router.get("/sourceConfig/", include_in_schema=False)
    async def source_config(request: Request) -> JSONResponse:
        write_key = write_keys.named_in(request.headers.raw, request.scope["query_string"])
        if not write_keys.knows(write_key):
            return _unknown()
        return JSONResponse(rudderstack_source(write_key), headers=_CACHE)

    return router


def segment_settings(write_key: str, host: str, scheme: str) -> dict[str, Any]:
    """`integrations["Segment.io"].apiHost` replaces the host that a library was given: it must be ours."""
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
    """A source without destinations on the device: all events come to us."""
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


def _unknown() -> JSONResponse:
    return JSONResponse(Refused(404, "unknown_source", "this write key belongs to no source").content(), 404)
