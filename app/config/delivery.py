"""How calls leave for one Attentive account, as the YAML file describes it."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from app.config.values import Frozen, Rate

Hours = Annotated[float, Field(gt=0, le=24 * 365, allow_inf_nan=False)]


class DeliverySettings(Frozen):
    """What goes first, for how long it is tried, and how much the account takes in all."""

    calls_per_second: Rate | None = Field(
        None, description="a ceiling for all endpoints of the account together, shared evenly; none is documented"
    )
    patience_seconds: Annotated[float, Field(gt=0, le=365 * 86_400, allow_inf_nan=False)] = Field(
        60, description="what has waited this long gets a tenth of its endpoint's pace, whatever goes before it"
    )
    fresh_hours: Hours = Field(
        12, description="an event older than this is stale: it starts no journey, and goes after all that are fresh"
    )
    horizon_hours: Hours = Field(24, description="an event older than this is not sent any more: a dead letter")

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.fresh_hours > self.horizon_hours:
            raise ValueError("fresh_hours must not be more than horizon_hours")
        return self
