"""Alerts: what is open, mutes, and whether the channels work."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from app.console.access import Right
from app.console.pages.alerts import alerts_page, seen_by
from app.console.rendering import render
from app.console.visit import Needs, Seen, Visit
from app.console.web import link
from app.operations.alerts import history, mute_alert, overview, send_test, unmute_alert

router = APIRouter()
_CHANGES: Final = 100
_LONGEST_H: Final = 24 * 30
Operated = Annotated[Visit, Depends(Needs(Right.OPERATE, everywhere=True))]
Rule = Annotated[str, Form(max_length=100)]
Subject = Annotated[str, Form(max_length=300)]


@router.get("/alerts")
async def alerts(request: Request, visit: Seen) -> Response:
    """What is open, the worst first, and what has changed. A user of some destinations sees those alone."""
    found, changes = await overview(visit.operator), await history(visit.operator, _CHANGES)
    everywhere = visit.access.everywhere(Right.SEE)
    if not everywhere:
        topology = visit.operator.topology
        names = (topology.destinations.keys(), topology.sources.keys())
        found = replace(
            found,
            alerts=[each for each in found.alerts if seen_by(each.id, *names)],
            mutes={alert: until for alert, until in found.mutes.items() if seen_by(alert, *names)},
            channels=[],
        )
        changes = [each for each in changes if seen_by(each.alert, *names)]
    page = alerts_page(found, changes, datetime.now(UTC))
    may_act = visit.access.everywhere(Right.OPERATE)
    return render(request, "alerts.html", visit, page=page, may_act=may_act, everywhere=everywhere)


@router.post("/alerts/mute")
async def mute(
    visit: Operated,
    rule: Rule,
    hours: Annotated[float, Form(gt=0, le=_LONGEST_H, allow_inf_nan=False)],
    subject: Subject = "",
) -> Response:
    """Mute a rule, or one subject of it, for some hours."""
    await mute_alert(visit.operator, rule, subject or None, timedelta(hours=hours))
    await visit.note("mute alert", rule=rule, subject=subject, hours=f"{hours:g}")
    return RedirectResponse(link("alerts", note="muted"), 303)


@router.post("/alerts/unmute")
async def unmute(visit: Operated, rule: Rule, subject: Subject = "") -> Response:
    """End a mute."""
    await unmute_alert(visit.operator, rule, subject or None)
    await visit.note("unmute alert", rule=rule, subject=subject)
    return RedirectResponse(link("alerts", note="unmuted"), 303)


@router.post("/alerts/test")
async def test_channel(visit: Operated, channel: Annotated[str, Form(max_length=100)]) -> Response:
    """Send a test message to one channel."""
    failed = any((await send_test(visit.operator, channel)).values())
    await visit.note("test channel", channel=channel, sent=str(not failed))
    return RedirectResponse(link("alerts", note="channel-fails" if failed else "channel-works"), 303)
