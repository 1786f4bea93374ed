"""The audit log and the sessions, for those who administer everything."""

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from app.console.rendering import render
from app.console.visit import Overseen
from app.console.web import link
from app.operations.operator import NotFound

router = APIRouter()
_ENTRIES: Final = 100


@router.get("/audit")
async def audit(request: Request, visit: Overseen, before: str = "") -> Response:
    """Who did what, the newest first."""
    ms, _, number = before.partition("-")
    entries = await visit.parts.audit.latest(_ENTRIES, before if ms.isdecimal() and number.isdecimal() else None)
    older = entries[-1].id if len(entries) == _ENTRIES else ""
    return render(request, "audit.html", visit, entries=entries, older=older)


@router.get("/sessions")
async def sessions(request: Request, visit: Overseen) -> Response:
    """Every session that has not ended."""
    return render(request, "sessions.html", visit, sessions=await visit.parts.sessions.all())


@router.post("/sessions/{digest}/revoke")
async def revoke(visit: Overseen, digest: str) -> Response:
    """End a session now."""
    found = [session for session in await visit.parts.sessions.all() if session.digest == digest]
    if not found or not await visit.parts.sessions.revoke(digest):
        raise NotFound("This session has ended already.")
    await visit.note("revoke session", ids=[digest[:12]], of=found[0].user)
    return RedirectResponse(link("sessions", note="revoked"), 303)
