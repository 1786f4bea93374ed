"""How long an answer takes: a distribution per path, drawn from a seeded source.

Attentive publishes no latency figure, so the code's default is none at all.
"""

import random
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Milliseconds = Annotated[float, Field(ge=0, le=600_000, allow_inf_nan=False)]


class _Latency(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Fixed(_Latency):
    """A constant wait."""

    kind: Literal["fixed"] = "fixed"
    ms: Milliseconds

    def draw_s(self, rand: random.Random) -> float:
        """The wait of one answer, in seconds."""
        return self.ms / 1000


class Uniform(_Latency):
    """Any wait between the two bounds is as likely as any other."""

    kind: Literal["uniform"] = "uniform"
    min_ms: Milliseconds
    max_ms: Milliseconds

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_ms > self.max_ms:
            raise ValueError("min_ms must not be above max_ms")
        return self

    def draw_s(self, rand: random.Random) -> float:
        """The wait of one answer, in seconds."""
        return rand.uniform(self.min_ms, self.max_ms) / 1000


class LogNormal(_Latency):
    """Mostly near the median, with a long tail that `max_ms` cuts off."""

    kind: Literal["lognormal"] = "lognormal"
    median_ms: Milliseconds
    sigma: float = Field(0.5, ge=0, le=5)
    max_ms: Milliseconds = 10_000

    def draw_s(self, rand: random.Random) -> float:
        """The wait of one answer, in seconds."""
        return min(self.max_ms, self.median_ms * rand.lognormvariate(0, self.sigma)) / 1000


Latency = Annotated[Fixed | Uniform | LogNormal, Field(discriminator="kind")]
