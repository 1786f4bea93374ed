"""How calls do against the objective for lag."""

import time
from dataclasses import dataclass

from app.delivery.lag import LagReport, read_lag, read_month
from app.delivery.objectives import LagCount, Window, budget_left, burn_rate
from app.operations.operator import Operator
from app.wiring.shared import all_objectives


@dataclass(frozen=True, slots=True)
class LagStatus:
    """One destination and priority."""

    report: LagReport
    month: LagCount

    @property
    def budget_left(self) -> float:
        """The share of the error budget of 30 days that is left."""
        return budget_left(self.month, self.report.objective)

    def burn(self, window: Window) -> float:
        """How fast the budget is used."""
        return burn_rate(*self.report.windows[window], self.report.objective)

    def recent(self, window: Window) -> LagCount:
        """The calls of the long window."""
        return self.report.windows[window][0]


async def lag_status(operator: Operator, destination: str | None) -> list[LagStatus]:
    """The status of each objective, of one destination or of all."""
    now_s, wanted = time.time(), all_objectives(operator.topology)
    chosen = {name: wanted[name] for name in operator.chosen(destination)}
    months = {name: await read_month(operator.redis, name, now_s=now_s) for name in chosen}
    reports = await read_lag(operator.redis, chosen, now_s=now_s)
    return [LagStatus(report, months[report.destination][report.priority]) for report in reports]
