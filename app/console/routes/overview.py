"""The first page."""

from datetime import UTC, datetime

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.console.pages.graphs import graphs
from app.console.pages.overview import flows
from app.console.rendering import render
from app.console.visit import Seen
from app.operations.destinations import read_statuses

router = APIRouter()


@router.get("/")
async def overview(request: Request, visit: Seen) -> Response:
    """What came in, and what became of it."""
    found = flows(await read_statuses(visit.operator), datetime.now(UTC))
    rates = await visit.parts.rates.of(visit.operator.destinations)
    drawn = {name: graphs(each) for name, each in rates.items()}
    return render(request, "overview.html", visit, flows=found, graphs=drawn)
