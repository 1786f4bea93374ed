"""`attentive-gateway slo`: how calls do against the objective for lag."""

from datetime import timedelta
from typing import Annotated, Any

import orjson
import typer

from app.commands.common import numeric, out, table_with, whole, with_redis
from app.delivery.objectives import LagCount, Window
from app.operations.lag import LagStatus, lag_status


def slo(
    destination: Annotated[
        str | None, typer.Option("--destination", help="Only this destination. Without it, all destinations.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each objective.")] = False,
) -> None:
    """Show how many calls are sent in time, and how much of the error budget is left.

    A call counts by the time from the receipt of its event until its first attempt. Calls that were late because they
    waited for Attentive's limit use no budget. Those that waited for the end of a hold are shown apart, too.
    """
    found = with_redis(lambda operator: lag_status(operator, destination))
    if as_json:
        for each in found:
            out.out(orjson.dumps(_facts(each)).decode(), highlight=False)
        return
    table = table_with(
        whole("Destination\npriority"),
        *("Objective", "Last hour", "6 hours", "30 days"),
        *numeric("Late: limit,\nhold, own", "Budget\nleft", "Burn\nrate"),
    )
    for each in found:
        table.add_row(*_row(each))
    out.print(table, highlight=False)


def _row(each: LagStatus) -> tuple[str, ...]:
    objective = each.report.objective
    burn = max(each.burn(window) for window in Window)
    return (
        f"{each.report.destination}\n{each.report.priority.name.lower()}",
        f"{objective.share * 100:g} %\nin {objective.within / timedelta(seconds=1):g} s",
        _share(each.recent(Window.FAST)),
        _share(each.recent(Window.SLOW)),
        _share(each.month),
        f"{each.month.limited:,}, {each.month.held:,}, {each.month.late:,}",
        f"{each.budget_left:.0%}".replace("%", " %"),
        f"{burn:.1f}",
    )


def _share(count: LagCount) -> str:
    return "-" if count.share is None else f"{count.share * 100:.4g} %\nof {count.judged:,}"


def _facts(each: LagStatus) -> dict[str, Any]:
    report = each.report
    return {
        "destination": report.destination,
        "priority": report.priority.name.lower(),
        "within_s": report.objective.within / timedelta(seconds=1),
        "objective": report.objective.share,
        "last_hour": _counts(each.recent(Window.FAST)),
        "last_6_hours": _counts(each.recent(Window.SLOW)),
        "last_30_days": _counts(each.month),
        "budget_left": round(each.budget_left, 4),
        "burn_rate": {window.value: round(each.burn(window), 2) for window in Window},
    }


def _counts(count: LagCount) -> dict[str, Any]:
    return {"in_time": count.in_time, "late": count.late, "limited": count.limited, "held": count.held}
