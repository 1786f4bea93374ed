"""How calls to one Attentive account are sent, as the YAML file describes it."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from app.config.values import Frozen, Hours, Rate


class LagObjective(Frozen):
    """The share of calls of one priority that must be sent soon enough after their event was received."""

    within_s: Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)] = Field(
        description="the time from the receipt of the event until the call is sent, in seconds"
    )
    share: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = Field(
        0.99,
        description="the share of the calls that must be in time; those that wait for Attentive's limit do not count",
    )


def _objectives() -> dict[Literal["high", "normal", "low"], LagObjective]:
    return {"high": LagObjective(within_s=5), "normal": LagObjective(within_s=60)}


class DeliverySettings(Frozen):
    """The order of calls, how long they are retried, and the rate of the whole account."""

    calls_per_second: Rate | None = Field(
        None, description="limit for all endpoints of the account together, shared evenly; Attentive documents none"
    )
    starvation_seconds: Annotated[float, Field(gt=0, le=365 * 86_400, allow_inf_nan=False)] = Field(
        60,
        description="after waiting this long, a call shares a reserved 10 % of its endpoint's rate, "
        "regardless of priority",
    )
    fresh_hours: Hours = Field(
        12, description="an older event is stale: it starts no journey, and is sent after all fresh events"
    )
    horizon_hours: Hours = Field(24, description="an older event is not sent, and becomes a dead letter")

    objectives: dict[Literal["high", "normal", "low"], LagObjective] = Field(
        default_factory=_objectives,
        description="the objectives for lag by priority, see below and docs/alerts.md; by default 99 % of high in 5 s "
        "and of normal in 60 s",
    )

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.fresh_hours > self.horizon_hours:
            raise ValueError("fresh_hours must not be more than horizon_hours")
        return self
